//! A device sends or receives far more than it does at such an hour.

use super::{Rule, Wants, Watch};
use crate::findings::{number, real};
use crate::habits::Habit;
use crate::judge::{HourSeen, View};
use crate::quantile::HIGH;
use crate::rates::{Metric, Score};
use crate::verdict::{Out, Verdict};
use model::Severity;

pub(super) static RULE: Rule = Rule {
    name: "unusual-volume",
    severity: Severity::Medium,
    rises: false,
    posture: false,
    attack: &["T1041", "T1048", "T1030"],
    finds: "A learned device sent more in an hour than 20 MB, than 4 times what it sent in all but 1 of 200 hours before \
        (while fewer than 200 hours are known: than 4 times the most in any), and by more than 6 robust deviations than at \
        such an hour (weekday or weekend, by hour of the day): in 2 hours in a row, or by more than 12 deviations at once. \
        Only hours in which it sent anything count. Such an hour is not learned.",
    matters: "Large transfers at a strange hour may be data on its way out; a device in trouble may flood the network.",
    innocent: "Migrations of an archive, backups, an examination with many more images than usual.",
    references: "Medical Device Access Management: flag unusual data volumes; ATT&CK T1041, T1048, T1030.",
    advice: "Look at where the data went, and whether a migration or a backup was planned.",
    contain: "",
    wants: Wants::HOURS,
    watch: || Box::new(UnusualVolume),
};

/// Bytes below which nobody need know.
const LEAST: u64 = 20_000_000;
/// Times what there was in all but a few hours.
const TIMES: u64 = 4;
/// Deviations in two hours in a row, and at once.
const DEVIATIONS: f64 = 6.0;
const AT_ONCE: f64 = 12.0;
/// Hours that have to be known.
const LEAST_HOURS: u16 = 8;

#[derive(Debug)]
struct UnusualVolume;

/// What a device sends in nearly every hour.
struct Usual {
    bytes: u64,
    /// The share of hours, in thousandths, that stay under it.
    share: u32,
    /// The hours it stands on.
    hours: u64,
}

/// One hour of 200 may be out of the ordinary and says nothing of the others. Of fewer hours none is left out.
fn usual(habit: &Habit, score: &Score) -> Usual {
    match habit.rates.sent.high() {
        Some(bytes) => {
            let hours = habit.rates.sent.hours().into();
            Usual { bytes: bytes.min(score.most), share: HIGH, hours }
        }
        None => Usual { bytes: score.most, share: 1_000, hours: score.all_hours.into() },
    }
}

impl Watch for UnusualVolume {
    fn hour(&mut self, hour: &HourSeen<'_>, view: &View<'_>, out: &mut Out<'_>) -> bool {
        let sent = hour.count(Metric::BytesOut);
        let Some(score) = (sent > LEAST).then(|| hour.score(Metric::BytesOut)).flatten() else {
            return false;
        };
        if score.z <= DEVIATIONS || score.all_hours < LEAST_HOURS || !view.is_armed(hour.device) {
            return false;
        }
        let usual = usual(hour.habit, &score);
        if sent <= usual.bytes.saturating_mul(TIMES) {
            return false;
        }
        if score.z > AT_ONCE || (hour.is_over && hour.habit.unusual > 0) {
            raise(hour, sent, &score, &usual, view, out);
        }
        true
    }
}

fn raise(hour: &HourSeen<'_>, sent: u64, score: &Score, usual: &Usual, view: &View<'_>, out: &mut Out<'_>) {
    let Some(device) = view.profile(hour.device) else { return };
    let megabytes = sent / 1_000_000;
    let what = if usual.share == HIGH { "what it sends in all but 1 of 200 hours" } else { "its most" };
    let title = format!(
        "{} ({}) sent {megabytes} MB within an hour, {:.0} times {what}",
        device.name,
        device.class(),
        sent as f64 / (usual.bytes.max(1)) as f64
    );
    // It began with the hour at the earliest, and is known now.
    let until = view.now.min(hour.from().plus(3_600 * 1_000_000_000));
    let verdict = Verdict::new(&RULE, Some(hour.device), hour.from(), title)
        .between(hour.from(), until.max(hour.from()))
        .times(u64::from(hour.is_over))
        .found([
            number("sent_bytes", sent),
            real("deviations", score.z),
            real(
                "deviations_limit",
                if hour.is_over && hour.habit.unusual > 0 { DEVIATIONS } else { AT_ONCE },
            ),
            number("limit_bytes", LEAST.max(usual.bytes.saturating_mul(TIMES))),
            number("least_bytes", LEAST),
        ])
        .normal([
            number("typical_bytes", score.typical.max(0.0) as u64),
            real("quantile", f64::from(usual.share) / 1_000.0),
            number("quantile_bytes", usual.bytes),
            number("quantile_hours", usual.hours),
            number("most_bytes", score.most),
            number("hours_like_this", score.hours.into()),
            number("hours", score.all_hours.into()),
        ]);
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, Figure, FlowState, Severity};

    fn send(story: &mut Story, from: DeviceId, to: DeviceId, bytes: u64) {
        let (a, b) = (story.ip(from), story.ip(to));
        story.flow((Some(from), a), (Some(to), b), 104, Some("dicom"), [bytes, 10_000], FlowState::Closed);
    }

    /// A CT that sends about 2 MB an hour by day, for a week.
    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(7 * DAY);
        let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(2, DeviceClass::Pacs, 30));
        for hour in (0..7).flat_map(|day| (8..18).map(move |hour| day * DAY + hour * HOUR)) {
            story.at(hour + 60 * SECOND);
            send(&mut story, ct, pacs, 2_000_000 + (hour / HOUR) as u64 * 3_000);
        }
        story.at(7 * DAY + 9 * HOUR);
        (story, ct, pacs)
    }

    #[test]
    fn many_times_the_usual_is_told_and_not_learned() {
        let (mut story, ct, pacs) = story();
        send(&mut story, ct, pacs, 6_000_000);
        assert_eq!(story.found("unusual-volume").len(), 0, "a busy hour");
        story.wait(HOUR);
        send(&mut story, ct, pacs, 150_000_000);
        let found = story.found("unusual-volume");
        assert_eq!(
            found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
            [(Some(ct), Severity::Medium)]
        );
        // The next day the same is as unusual as it was: the attack did not train itself in.
        story.at(8 * DAY + 10 * HOUR);
        send(&mut story, ct, pacs, 150_000_000);
        assert_eq!(story.found("unusual-volume").len(), 2);
    }

    #[test]
    fn less_unusual_hours_have_to_be_two() {
        let (mut story, ct, pacs) = story();
        send(&mut story, ct, pacs, 21_000_000);
        assert_eq!(story.wait(HOUR).found("unusual-volume").len(), 0, "one hour");
        send(&mut story, ct, pacs, 21_000_000);
        assert_eq!(story.wait(HOUR).found("unusual-volume").len(), 1, "two in a row");
        let (mut story, ct, pacs) = self::story();
        send(&mut story, ct, pacs, 19_000_000);
        story.wait(HOUR);
        send(&mut story, ct, pacs, 19_000_000);
        assert_eq!(story.wait(HOUR).found("unusual-volume").len(), 0, "too little to matter");
    }
    /// A CT that sends about 2 MB in each of so many hours by day, but 100 MB in some.
    fn many_hours(hours: i64, large: &[i64]) -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(40 * DAY);
        let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(2, DeviceClass::Pacs, 30));
        for n in 0..hours {
            story.at(n / 10 * DAY + (8 + n % 10) * HOUR);
            let sent = if large.contains(&n) { 30_000_000 } else { 2_000_000 + n as u64 * 3_000 };
            send(&mut story, ct, pacs, sent);
        }
        story.at(42 * DAY + 9 * HOUR);
        (story, ct, pacs)
    }

    #[test]
    fn of_many_hours_one_does_not_say_what_is_much() {
        let figure = |figures: &[(std::borrow::Cow<'static, str>, Figure)], name: &str| {
            figures.iter().find(|(known, _)| known == name).map(|(_, figure)| figure.clone())
        };
        // 110 MB are less than 4 times the most, and far more than 4 times what there is in all but one of 200 hours.
        for (hours, large, told) in [(400, &[50, 60][..], 1), (400, &[50, 60, 70], 0), (198, &[50], 0)] {
            let (mut story, ct, pacs) = many_hours(hours, large);
            story.restart();
            send(&mut story, ct, pacs, 110_000_000);
            story.wait(HOUR);
            send(&mut story, ct, pacs, 110_000_000);
            let found = story.wait(HOUR).found("unusual-volume");
            assert_eq!(found.len(), told, "{hours} {large:?}");
            for found in found {
                assert_eq!(figure(&found.baseline, "quantile"), Some(Figure::Milli(995)));
                assert_eq!(figure(&found.baseline, "quantile_hours"), Some(Figure::Number(400)));
                let Some(Figure::Number(usual)) = figure(&found.baseline, "quantile_bytes") else { panic!() };
                assert!((3_000_000..3_700_000).contains(&usual), "{usual}");
                assert_eq!(figure(&found.evidence, "limit_bytes"), Some(Figure::Number(20_000_000)));
                assert_eq!(figure(&found.evidence, "sent_bytes"), Some(Figure::Number(110_000_000)));
            }
        }
    }
}
