//! Messages that are refused more often than not by accident.

use super::window::{DAY, Minutes, Recent, Rows, pack_as, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, real, word};
use crate::judge::{ExchangeSeen, View};
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, IpProto, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "hl7-nak-burst",
    severity: Severity::Medium,
    rises: false,
    posture: false,
    attack: &["T0804"],
    finds: "A receiver that refuses a fifth or more of the HL7 messages of one sender (acknowledgement codes AE, AR, CE, CR): \
        of the last twenty or more that it answered within an hour, and more than twice the share that was learned.",
    matters: "What is refused does not arrive: results and orders are missing until somebody notices.",
    innocent: "A full disk or an expired certificate at the receiver, a changed table of codes, an update on one side only.",
    references: "HL7 v2 chapter 2.15.8 (MSA-1, table 0008); Medical Device Network Isolation: confirm EHR integrations still \
        function; ATT&CK T0804 Block Reporting Message.",
    advice: "Tell those who run the interface: read the receiver's log for the reason, and have the refused messages sent again.",
    contain: "",
    wants: Wants::EXCHANGES,
    watch: || Box::<NakBurst>::default(),
};

/// Answers that are judged together at least, and the share of refusals in a hundred.
const LEAST: u64 = 20;
const SHARE: u64 = 20;
/// And so many times the share that was learned.
const FACTOR: u64 = 2;
/// Links that are counted, at most, and for how long without a message.
const MOST_LINKS: usize = 4_096;
const KEPT: i64 = 90 * DAY;
/// The layout of what is saved: before 2, it was not known which refusals were told.
const LAYOUT: u8 = 2;

/// Sender, receiver, and its port.
type Link = (u32, IpAddr, u16);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Answers {
    server: Option<u32>,
    /// Answered and refused.
    minutes: Minutes,
    learned: [u64; 2],
    /// Counted in this minute.
    fresh: [u64; 2],
    last: i64,
    last_code: String,
    last_kind: String,
    /// Refused, and not told yet.
    untold: u64,
}

/// The same as it was saved before it was known what was told.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct AnswersBefore {
    server: Option<u32>,
    minutes: Minutes,
    learned: [u64; 2],
    fresh: [u64; 2],
    last: i64,
    last_code: String,
    last_kind: String,
    told: Option<i64>,
}

impl AnswersBefore {
    /// As it is kept now. What was told counts no more, and what was refused since is not known.
    fn now(self) -> Answers {
        let Self { server, mut minutes, learned, fresh, last, last_code, last_kind, told } = self;
        let [_, refused] = minutes.hour(Timestamp(last));
        let untold = if told.is_some() { fresh[1] } else { refused };
        Answers { server, minutes, learned, fresh, last, last_code, last_kind, untold }
    }
}

#[derive(Debug)]
struct NakBurst(Recent<Link, Answers>);

impl Default for NakBurst {
    fn default() -> Self {
        Self(Recent::new(MOST_LINKS))
    }
}

/// Whether a burst is more than what was learned.
fn is_burst([answered, refused]: [u64; 2], [before, before_refused]: [u64; 2]) -> bool {
    let wide = |n: u64| u128::from(n);
    let is_share = wide(refused) * 100 >= wide(answered) * wide(SHARE);
    is_share && wide(refused) * wide(before.max(1)) > wide(before_refused) * wide(FACTOR) * wide(answered)
}

impl Watch for NakBurst {
    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        let Some(code) = seen.outcome.filter(|_| seen.application == "hl7") else { return };
        let is_refused = match code {
            "AA" | "CA" => false,
            "AE" | "AR" | "CE" | "CR" => true,
            _ => return,
        };
        let answers = self.0.entry(seen.ts, (seen.client.0, seen.peer, seen.port));
        answers.server = seen.server.map(|id| id.0);
        let [answered, refused] = &mut answers.fresh;
        *answered = answered.saturating_add(1);
        *refused = refused.saturating_add(is_refused.into());
        answers.minutes.add(seen.ts, [1, is_refused.into()]);
        answers.last = answers.last.max(seen.ts.0);
        if is_refused {
            answers.untold = answers.untold.saturating_add(1);
            code.clone_into(&mut answers.last_code);
            seen.kind.clone_into(&mut answers.last_kind);
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.0.forget(view.now.0.saturating_sub(KEPT));
        for ((client, ip, port), answers) in self.0.iter_mut() {
            let fresh = std::mem::take(&mut answers.fresh);
            if fresh == [0; 2] {
                continue;
            }
            let burst = answers.minutes.last(view.now, LEAST);
            let found = burst.filter(|(sums, _)| is_burst(*sums, answers.learned));
            let Some((sums, from)) = found else {
                let is_usual =
                    fresh[1] * 100 < fresh[0] * SHARE || !view.is_site_armed(Timestamp(answers.last));
                if is_usual {
                    for (learned, more) in answers.learned.iter_mut().zip(fresh) {
                        *learned = learned.saturating_add(more);
                    }
                }
                continue;
            };
            // What goes on is one finding a day, which counts each refusal once.
            if fresh[1] == 0 {
                continue;
            }
            let from = answers.minutes.began(from, 1).unwrap_or(from);
            raise((*client, *ip, *port), answers, sums, from, view, out);
            answers.untold = 0;
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let start = (from.0, IpAddr::from([0, 0, 0, 0]), 0);
        let renamed = |(_, ip, port): Link| (into.0, ip, port);
        self.0.rename_all(
            start,
            |(id, ..)| *id == from.0,
            renamed,
            |own, other| {
                own.minutes.absorb(other.minutes);
                for (count, other) in own.learned.iter_mut().zip(other.learned) {
                    *count = count.saturating_add(other);
                }
                for (count, other) in own.fresh.iter_mut().zip(other.fresh) {
                    *count = count.saturating_add(other);
                }
                own.last = own.last.max(other.last);
                own.untold = own.untold.saturating_add(other.untold);
            },
        );
    }

    fn save(&self) -> Vec<u8> {
        if self.0.is_empty() { Vec::new() } else { pack_as(LAYOUT, &self.0.rows()) }
    }

    fn restore(&mut self, saved: &[u8]) {
        let before = || {
            let rows = unpack::<Rows<Link, AnswersBefore>>(saved)?;
            Some(rows.into_iter().map(|(link, at, answers)| (link, at, answers.now())).collect())
        };
        self.0.fill(unpack_as::<Rows<Link, Answers>>(LAYOUT, saved).or_else(before).unwrap_or_default());
    }
}

fn raise(
    (client, ip, port): Link,
    answers: &Answers,
    [answered, refused]: [u64; 2],
    from: Timestamp,
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let client = view.profile(DeviceId(client));
    let server = answers.server.and_then(|id| view.profile(DeviceId(id)));
    let named = |who: &crate::profile::Profile| format!("{} ({})", who.name, who.class());
    let (by, of) = (server.as_deref().map(named), client.as_deref().map(named));
    let by = by.unwrap_or_else(|| ip.to_string());
    let title = format!("{by} refuses HL7 messages of {}", of.as_deref().unwrap_or("a sender"));
    // Whoever answers is whom it is about; where that is no device, whoever asks.
    let (device, peer) = match (&server, &client) {
        (Some(server), Some(client)) => (Some(server.id()), Peer::Device(client.id())),
        (Some(server), None) => (Some(server.id()), Peer::Nobody),
        (None, Some(client)) => (Some(client.id()), Peer::Address(ip)),
        (None, None) => return,
    };
    let share = |[answered, refused]: [u64; 2]| refused as f64 / answered.max(1) as f64;
    let last = Timestamp(answers.last);
    let verdict = Verdict::new(&RULE, device, last, title)
        .peer(peer)
        .service(IpProto::TCP, port, Some("hl7".into()))
        .between(from.min(last), last)
        .times(answers.untold.min(refused))
        .found([
            number("answered", answered),
            number("refused", refused),
            real("share", share([answered, refused])),
            real("threshold", SHARE as f64 / 100.0),
            number("least_answered", LEAST),
        ])
        .found(word("last_code", &answers.last_code))
        .found(word("last_type", &answers.last_kind))
        .normal([
            number("answered_before", answers.learned[0]),
            real("share_before", share(answers.learned)),
        ]);
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, Severity};

    const RULE: &str = "hl7-nak-burst";

    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let engine = story.device(1, DeviceClass::InterfaceEngine, 30);
        let gateway = story.device(2, DeviceClass::Gateway, 20);
        (story, gateway, engine)
    }

    fn send(story: &mut Story, from: DeviceId, to: DeviceId, code: &str, times: usize) {
        (0..times).for_each(|_| story.ask(from, to, 2575, "hl7", "ORU^R01", Some(code)));
    }

    #[test]
    fn a_fifth_of_twenty_is_told() {
        let (mut story, gateway, engine) = story();
        send(&mut story, gateway, engine, "AA", 15);
        send(&mut story, gateway, engine, "AE", 4);
        assert_eq!(story.found(RULE).len(), 0, "nineteen are too few");
        story.restart();
        send(&mut story, gateway, engine, "AA", 1);
        assert_eq!(story.found(RULE).len(), 0, "no refusal in this minute");
        send(&mut story, gateway, engine, "AA", 16);
        send(&mut story, gateway, engine, "AR", 3);
        assert_eq!(story.found(RULE).len(), 0, "three of the last twenty");
        send(&mut story, gateway, engine, "CE", 10);
        send(&mut story, gateway, engine, "CR", 10);
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(engine), Severity::Medium, 20)]);
        assert_eq!(found[0].peer.as_ref().unwrap().device, Some(gateway));
    }

    #[test]
    fn it_began_with_the_first_that_was_refused() {
        let (mut story, gateway, engine) = story();
        story.at(DAY);
        for code in ["AA", "AA", "AE", "AE"] {
            send(&mut story, gateway, engine, code, 8);
            story.wait(5 * 60 * SECOND);
        }
        let found = story.found(RULE);
        let since = found[0].first.since(story.now).div_euclid(60 * SECOND);
        assert_eq!((found.len(), since), (1, -11), "{found:#?}");
    }

    #[test]
    fn four_of_twenty_and_no_less() {
        for (refused, told) in [(3, 0), (4, 1)] {
            let (mut story, gateway, engine) = story();
            send(&mut story, gateway, engine, "AA", 20 - refused);
            send(&mut story, gateway, engine, "AE", refused);
            assert_eq!(story.found(RULE).len(), told, "{refused} of 20");
        }
    }

    #[test]
    fn a_link_on_which_a_share_is_always_refused_is_known() {
        let (mut story, gateway, engine) = story();
        for _ in 0..10 {
            send(&mut story, gateway, engine, "AA", 17);
            send(&mut story, gateway, engine, "AE", 3);
            assert_eq!(story.found(RULE).len(), 0);
            story.wait(HOUR + 60 * SECOND);
        }
        story.at(DAY + HOUR).restart();
        send(&mut story, gateway, engine, "AA", 15);
        send(&mut story, gateway, engine, "AE", 5);
        assert_eq!(story.found(RULE).len(), 0, "a quarter is not twice of 15 %");
        story.wait(HOUR + 60 * SECOND);
        send(&mut story, gateway, engine, "AA", 10);
        send(&mut story, gateway, engine, "AE", 10);
        assert_eq!(story.found(RULE).len(), 1);
    }

    #[test]
    fn refusals_hours_apart_are_no_burst() {
        let (mut story, gateway, engine) = story();
        for _ in 0..4 {
            send(&mut story, gateway, engine, "AE", 4);
            send(&mut story, gateway, engine, "AA", 3);
            story.wait(HOUR + 60 * SECOND);
        }
        assert_eq!(story.found(RULE).len(), 0);
    }

    #[test]
    fn every_refusal_counts_once_however_long_it_goes_on() {
        for pause in [1, 7, 30, 61] {
            let (mut story, gateway, engine) = story();
            story.at(DAY + 20 * HOUR);
            send(&mut story, gateway, engine, "AE", 25);
            story.wait(60 * SECOND);
            let n = 6 * 60 / pause;
            for _ in 0..n {
                send(&mut story, gateway, engine, "AE", 25);
                story.wait(60 * SECOND).restart().wait((pause - 1) * 60 * SECOND);
            }
            let found = story.found(RULE);
            assert_eq!(found.len(), 2, "one a day");
            let count: u64 = found.iter().map(|f| f.count).sum();
            assert_eq!(count, 25 * (n.unsigned_abs() + 1), "{pause} min apart");
        }
    }

    #[test]
    fn what_was_saved_before_is_read() {
        use super::*;
        let mut minutes = Minutes::default();
        minutes.add(Timestamp(9), [30, 7]);
        let before = AnswersBefore {
            server: None,
            minutes,
            learned: [40, 1],
            fresh: [0; 2],
            last: 9,
            last_code: "AE".into(),
            last_kind: String::new(),
            told: None,
        };
        let link = (3, IpAddr::from([10, 0, 0, 1]), 2_575);
        let mut rule = NakBurst::default();
        rule.restore(&pack_as(1, &vec![(link, 9_i64, before)]));
        let answers = rule.0.get(&link).unwrap();
        assert_eq!((answers.learned, answers.untold), ([40, 1], 7));
        let mut next = NakBurst::default();
        next.restore(&rule.save());
        assert_eq!(next.0.get(&link).map(|answers| answers.untold), Some(7));
    }
}
