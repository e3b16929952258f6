//! A device with office hours works at night.

use super::{Rule, Wants, Watch};
use crate::findings::number;
use crate::judge::{HourSeen, View};
use crate::rates::Metric;
use crate::verdict::{Out, Verdict};
use model::{DeviceClass, Severity};

pub(super) static RULE: Rule = Rule {
    name: "off-hours",
    severity: Severity::Low,
    rises: false,
    posture: false,
    attack: &["T1029", "T0859"],
    finds: "A learned device that keeps hours (imaging, laboratory, desks; never monitors, pumps, servers and network \
        equipment) begins conversations in an hour of the week (weekday or weekend, by hour of the day) in which it never \
        did, although there were at least 4 such hours. Leases do not count, nor does what only goes on; what is told in the \
        hour after that in which it began counts for that.",
    matters: "Who does not want to be seen comes at night.",
    innocent: "Emergencies, service visits after hours, a shift that is new.",
    references: "Medical Device Access Management: monitor and baseline normal behaviour; ATT&CK T1029, T0859.",
    advice: "Ask the department whether somebody worked then.",
    contain: "",
    wants: Wants::HOURS,
    watch: || Box::new(OffHours),
};

/// Hours like it that have to be known.
const LEAST_HOURS: u16 = 4;

#[derive(Debug)]
struct OffHours;

impl Watch for OffHours {
    fn hour(&mut self, hour: &HourSeen<'_>, view: &View<'_>, out: &mut Out<'_>) -> bool {
        if !hour.is_over {
            return false;
        }
        // What began in the last minute of a day's work is told when that is over.
        let (began, slot, flows) = match hour.habit.begun() {
            (0, None) => return false,
            (0, Some(before)) => (before, view.site.calendar.slot(before), hour.count(Metric::Flows)),
            (begun, _) => (hour.habit.hour, hour.slot, begun.into()),
        };
        if hour.active_before(slot) > 0 {
            return false;
        }
        let hours_before = hour.hours_before(slot, began, view);
        if hours_before < LEAST_HOURS || !view.is_armed(hour.device) {
            return false;
        }
        let Some(device) = view.profile(hour.device) else { return false };
        if device.class() == DeviceClass::Unknown || device.class().keeps_no_hours() {
            return false;
        }
        let clock = u32::from(slot) % 24;
        let day = if slot >= 24 { "weekends" } else { "weekdays" };
        let title = format!(
            "{} ({}) works at {clock} o'clock, as it never does on {day}",
            device.name,
            device.class()
        );
        let verdict = Verdict::new(&RULE, Some(hour.device), hour.from(), title)
            .between(hour.from(), hour.from().plus(3_600 * 1_000_000_000 - 1))
            .found([number("flows", flows), number("hour_of_the_day", clock.into())])
            .normal([number("hours_like_this", hours_before.into()), number("active_in", 0)]);
        out.raise(view, verdict);
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, Severity};

    fn week(class: DeviceClass) -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(7 * DAY);
        let (device, server) = (story.device(1, class, 20), story.device(2, DeviceClass::Pacs, 30));
        for hour in 0..7 * 24 {
            story.at(hour * HOUR + HOUR / 2);
            story.talk(server, server, 80, None);
            if (8..18).contains(&(hour % 24)) {
                story.talk(device, server, 104, Some("dicom"));
            }
        }
        story.at(7 * DAY + 3 * HOUR);
        (story, device, server)
    }

    #[test]
    fn a_modality_at_night_is_told_and_a_monitor_is_not() {
        let (mut story, ct, pacs) = week(DeviceClass::Ct);
        story.talk(ct, pacs, 104, Some("dicom"));
        let found = story.wait(HOUR).found("off-hours");
        assert_eq!(
            found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
            [(Some(ct), Severity::Low)]
        );
        story.at(7 * DAY + 9 * HOUR).talk(ct, pacs, 104, Some("dicom"));
        assert_eq!(story.wait(HOUR).found("off-hours").len(), 1, "by day it may");
        let (mut story, monitor, pacs) = week(DeviceClass::PatientMonitor);
        story.talk(monitor, pacs, 104, Some("dicom"));
        assert_eq!(story.wait(HOUR).found("off-hours").len(), 0);
    }

    #[test]
    fn too_few_nights_tell_nothing() {
        let mut story = Story::new(3 * DAY);
        let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(2, DeviceClass::Pacs, 30));
        for hour in 0..3 * 24 {
            story.at(hour * HOUR + HOUR / 2).talk(pacs, pacs, 80, None);
            if (8..18).contains(&(hour % 24)) {
                story.talk(ct, pacs, 104, Some("dicom"));
            }
        }
        story.at(3 * DAY + 3 * HOUR).talk(ct, pacs, 104, Some("dicom"));
        assert_eq!(story.wait(HOUR).found("off-hours").len(), 0);
    }

    #[test]
    fn what_began_in_the_hour_before_is_of_that_hour_and_what_goes_on_is_of_none() {
        let (mut story, ct, pacs) = week(DeviceClass::Ct);
        let told_late = |story: &mut Story, hour: i64| {
            let told = story.at(7 * DAY + hour * HOUR + 20 * SECOND).now;
            story.now = told.plus(-60 * SECOND);
            story.talk(ct, pacs, 104, Some("dicom"));
            story.now = told;
            story.restart().wait(HOUR).found("off-hours")
        };
        assert_eq!(told_late(&mut story, 18).len(), 0, "its day ends at six");
        story.continued = true;
        story.at(7 * DAY + 20 * HOUR).talk(ct, pacs, 104, Some("dicom"));
        assert_eq!(story.wait(HOUR).found("off-hours").len(), 0, "it began by day");
        story.continued = false;
        let found = told_late(&mut story, 27);
        let titles: Vec<_> = found.iter().map(|f| f.title.as_str()).collect();
        assert_eq!(titles, ["host-1 (CT) works at 2 o'clock, as it never does on weekdays"]);
    }
}
