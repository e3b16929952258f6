//! A feed of messages falls silent.

use super::{Rule, Wants, Watch};
use crate::calendar::hour;
use crate::feed::Feed;
use crate::findings::{number, word};
use crate::judge::{ExchangeSeen, Out, Peer, Verdict, View};
use model::{DeviceId, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub(super) static RULE: Rule = Rule {
    name: "feed-silence",
    severity: Severity::High,
    rises: true,
    posture: false,
    attack: &["T0804", "T0815", "T0829", "T0878"],
    finds: "An HL7 feed of a learned device pauses for longer than one and a half times the longest of 1000 pauses, and than \
        three times the usual one, at an hour of the week in which it spoke at least 4 times out of 5 (and 3 times in all). \
        At least 200 pauses have to be known; feeds that leave out whole hours by day are not judged. Critical where a life hangs on the sender or the receiver.",
    matters: "Results, orders or alarms do not arrive, and nobody sees that something is missing.",
    innocent: "Planned downtime, a ward that is closed, a loss of sight of the sensor (which suppresses this).",
    references: "Verify that alarms and EHR integrations still function; ATT&CK T0804, T0815, T0829, T0878.",
    advice: "Tell those who wait for the messages, and have the interface on both ends looked at.",
    contain: "",
    wants: Wants::EXCHANGES,
    watch: || Box::<FeedSilence>::default(),
};

/// Senders that are watched.
const MOST: usize = 20_000;
/// Hours that are looked back for when it began to speak.
const MOST_RUN: i32 = 48;
/// Hours like this one in which it spoke, at least.
const LEAST_HOURS: u16 = 3;

#[derive(Debug, Default, Serialize, Deserialize)]
struct FeedSilence {
    senders: BTreeSet<u32>,
    /// Feeds that are silent, by sender, receiver and port: since when.
    silent: BTreeMap<(u32, u32, u16), i64>,
}

impl Watch for FeedSilence {
    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        if seen.application == "hl7" && self.senders.len() < MOST {
            self.senders.insert(seen.client.0);
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let slot = view.site.calendar.slot(hour(view.now));
        let is_blind = view.blind_until.get() > view.now;
        for id in self.senders.clone() {
            let Some(habit) = view.habits.get(DeviceId(id)) else {
                self.senders.remove(&id);
                continue;
            };
            if !view.is_armed(DeviceId(id)) {
                continue;
            }
            let could = view.hours_like(slot, habit.first());
            for key in view.edges.of_device(DeviceId(id)).into_iter().filter(|key| key.client.0 == id) {
                let Some(state) = view.edges.get(&key) else { continue };
                let Some((feed, limit)) = state.feed.as_ref().and_then(|feed| Some((feed, feed.too_long()?))) else {
                    continue;
                };
                let place = (id, key.server.map_or(0, |id| id.0), key.port);
                let spoke = feed.spoke_in(slot);
                let speaks_from = speaks_from(feed, habit.first(), view);
                let is_expected = speaks_from.is_some();
                // What could not be seen is not silence, nor is the night of a feed that speaks by day.
                let seen_from = view.blind_until.get().min(view.now);
                let since = feed.last.max(seen_from).max(speaks_from.unwrap_or(view.now));
                if view.now.since(feed.last) <= limit {
                    self.silent.remove(&place);
                    continue;
                }
                let was_told = self.silent.contains_key(&place);
                if !was_told && (is_blind || !is_expected || view.sees_until.get().since(since) <= limit) {
                    continue;
                }
                let Some(device) = view.profile(DeviceId(id)) else { continue };
                let peer = key.server.and_then(|id| view.profile(id));
                let to = peer.as_ref().map(|p| p.name.to_string()).or_else(|| view.edges.edge_key(&key).peer.map(|peer| peer.to_string()));
                let began = *self.silent.entry(place).or_insert(view.now.0);
                let minutes = view.now.since(feed.last) / 60_000_000_000;
                let title = format!(
                    "{} ({}) has sent nothing to {} for {minutes} min",
                    device.name,
                    device.class(),
                    to.unwrap_or_default()
                );
                let (pauses, usual, longest) = feed.normal();
                let verdict = Verdict::new(&RULE, Some(device.id()), view.now, title)
                    .peer(key.server.map_or(Peer::Nobody, Peer::Device))
                    .service(key.transport, key.port, Some("hl7".into()))
                    .between(Timestamp(began), view.now)
                    .times(u64::from(!was_told))
                    .found([
                        number("silent_seconds", view.now.since(feed.last).unsigned_abs() / 1_000_000_000),
                        number("limit_seconds", limit.unsigned_abs() / 1_000_000_000),
                    ])
                    .found(word("last_message", &feed.last.to_string()))
                    .normal([
                        number("pauses", pauses),
                        number("usual_pause_ms", usual),
                        number("longest_of_1000_ms", longest),
                        number("hours_like_this", could.into()),
                        number("spoke_in", spoke.into()),
                    ]);
                out.raise(view, verdict);
            }
        }
    }

    fn save(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) {
        *self = postcard::from_bytes(saved).unwrap_or_default();
    }
}

/// Since when it would be speaking, hour by hour; `None` when it need not be now.
fn speaks_from(feed: &Feed, first: Timestamp, view: &View<'_>) -> Option<Timestamp> {
    let now = hour(view.now);
    let speaks = |hour: &i32| {
        let slot = view.site.calendar.slot(*hour);
        let (spoke, could) = (feed.spoke_in(slot), view.hours_like(slot, first));
        spoke >= LEAST_HOURS && spoke * 5 >= could * 4
    };
    let run = (now - MOST_RUN..=now).rev().take_while(speaks).last()?;
    Some(Timestamp(i64::from(run) * 3_600 * 1_000_000_000))
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, Severity, Timestamp};

    /// A laboratory that sends three results every 20 minutes by day, for a week.
    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(7 * DAY);
        let (lis, engine) = (story.device(1, DeviceClass::Lis, 30), story.device(2, DeviceClass::InterfaceEngine, 30));
        for slice in 0..7 * 72 {
            story.at(slice * 1_200 * SECOND);
            story.talk(engine, engine, 80, None);
            if (8 * 3..18 * 3).contains(&(slice % 72)) {
                burst(&mut story, lis, engine);
            }
        }
        (story, lis, engine)
    }

    /// So many minutes in which others talk.
    fn others(story: &mut Story, engine: DeviceId, minutes: i64) {
        for _ in 0..minutes {
            story.wait(60 * SECOND);
            story.talk(engine, engine, 80, None);
        }
    }

    fn burst(story: &mut Story, lis: DeviceId, engine: DeviceId) {
        story.talk(lis, engine, 6_662, Some("hl7"));
        for _ in 0..3 {
            story.wait(SECOND);
            story.ask(lis, engine, 6_662, "hl7", "ORU^R01", Some("AA"));
        }
    }

    #[test]
    fn silence_at_an_hour_that_is_never_silent_is_told_once() {
        let (mut story, lis, engine) = story();
        // The night goes by; the sensor is not blind.
        for slice in 0..24 {
            story.at(7 * DAY + slice * 1_200 * SECOND);
            story.talk(engine, engine, 80, None);
        }
        assert_eq!(story.found("feed-silence").len(), 0, "it never speaks at night");
        story.at(7 * DAY + 8 * HOUR);
        burst(&mut story, lis, engine);
        others(&mut story, engine, 25);
        assert_eq!(story.found("feed-silence").len(), 0, "not yet");
        others(&mut story, engine, 10);
        let found = story.found("feed-silence");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(lis), Severity::High, 1)]);
        others(story.restart(), engine, 60);
        let found = story.found("feed-silence");
        assert_eq!((found.len(), found[0].count), (1, 1), "one silence is one finding");
        burst(&mut story, lis, engine);
        story.wait(5 * 60 * SECOND);
        assert!(story.found("feed-silence")[0].last < story.now.plus(-60 * SECOND), "it speaks again");
    }

    #[test]
    fn who_sees_nothing_tells_of_no_silence() {
        let (mut story, lis, engine) = story();
        story.at(7 * DAY + 8 * HOUR);
        burst(&mut story, lis, engine);
        story.baseline.blind(Timestamp(story.now.0 + 50 * 60 * SECOND));
        others(&mut story, engine, 45);
        assert_eq!(story.found("feed-silence").len(), 0);
    }
}
