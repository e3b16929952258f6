//! A feed of messages falls silent.

use super::spoken::{
    DAYS, Hours, LEAST_DAYS, Place, begin, could_be_seen, counted, speaks_from, whole_hours,
};
use super::visibility_loss::UNSEEN;
use super::window::rename;
use super::{Rule, Wants, Watch};
use crate::calendar::hour;
use crate::edge::State;
use crate::feed::Feed;
use crate::findings::{number, word};
use crate::judge::{ExchangeSeen, View};
use crate::table::Key;
use crate::verdict::{Out, Peer, Verdict};
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
        three times the usual one, in an hour of the week in which it spoke at least 4 times out of 5 (and 3 times in all). At \
        least 200 pauses have to be known. The first of such hours counts once it has spoken in it, the last of them does not \
        count, for nobody knows when in it a feed begins or ends. Or a whole hour goes by without a message in which it spoke \
        on at least 5 of the last 7 days of the kind (weekdays; weekends and holidays): so feeds that speak once a day are \
        judged, too. Where it speaks in the hours before or after as well, that has to be longer than it may pause, and so many \
        hours in a row without a message have to come by chance less than once in 10 000 times, going by how many around them \
        were without one on those days. The same goes for pauses, where one of 1000 is longer than an hour. After a change of \
        the clock, a feed may go by either time for some weeks: the hour counts if that before or after it, in which it would \
        speak by the other, went by without a message, too. Where either end is silent with most of its zone, device-silent \
        tells of the zone, and this is a note. Critical where a life hangs on the sender or the receiver.",
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
/// Pauses from so many milliseconds on may leave out a whole hour, and are then not among those that are known.
const HOUR_MS: u64 = 3_600_000;

/// Why what was told is a note.
const ZONE: &str = "part of the silence of a zone";

#[derive(Debug, Default, Serialize, Deserialize)]
struct FeedSilence {
    senders: BTreeSet<u32>,
    /// Feeds that are silent: since when.
    silent: BTreeMap<Place, i64>,
    /// It is written behind the rest, so that what was written without it is read.
    #[serde(skip)]
    hours: Hours,
}

/// A feed of a sender.
struct Sends<'a> {
    device: DeviceId,
    key: Key,
    feed: &'a Feed,
}

impl Sends<'_> {
    fn place(&self) -> Place {
        (self.device.0, self.key.server.map_or(0, |id| id.0), self.key.port)
    }

    /// Whether an end of it is silent with its zone.
    fn is_hushed(&self, view: &View<'_>) -> bool {
        let hushed = view.hushed.borrow();
        hushed.contains(&self.device) || self.key.server.is_some_and(|id| hushed.contains(&id))
    }

    /// What both ways of falling silent tell of it.
    fn verdict(&self, view: &View<'_>, what: &str) -> Option<Verdict> {
        let device = view.profile(self.device)?;
        let peer = self.key.server.and_then(|id| view.profile(id));
        let outside = || view.edges.edge_key(&self.key).peer.map(|peer| peer.to_string());
        let to = peer.as_ref().map(|peer| peer.name.to_string()).or_else(outside);
        let title = format!(
            "{} ({}) has sent nothing to {} {what}",
            device.name,
            device.class(),
            to.unwrap_or_default()
        );
        let verdict = Verdict::new(&RULE, Some(device.id()), view.now, title)
            .peer(self.key.server.map_or(Peer::Nobody, Peer::Device))
            .service(self.key.transport, self.key.port, Some("hl7".into()))
            .found(word("last_message", &self.feed.last.to_string()));
        Some(verdict)
    }
}

impl Watch for FeedSilence {
    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        if seen.application == "hl7" && self.senders.len() < MOST {
            self.senders.insert(seen.client.0);
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let now = hour(view.now);
        // An hour is looked at when it is known that the sensor saw until its end, or as one that it did not see.
        let ended = *self.hours.hour.get_or_insert(now);
        let is_seen = view.sees_until.get() >= begin(ended + 1);
        let ended = (ended < now && (is_seen || ended + 1 < now)).then_some(ended);
        if ended.is_some() || self.hours.hour > Some(now) {
            self.hours.hour = Some(now);
        }
        if let Some(since) = view.blind_since.get() {
            out.lower_told(&RULE, since, UNSEEN);
            self.silent.retain(|_, at| *at < since.0);
        }
        let mut heard = BTreeSet::new();
        for id in self.senders.clone() {
            let Some(habit) = view.habits.get(DeviceId(id)) else {
                self.senders.remove(&id);
                continue;
            };
            let is_armed = view.is_armed(DeviceId(id));
            if !is_armed && ended.is_none() {
                continue;
            }
            for key in view.edges.of_device(DeviceId(id)).into_iter().filter(|key| key.client.0 == id) {
                let Some(feed) = view.edges.get(&key).and_then(State::feed) else { continue };
                let sends = Sends { device: DeviceId(id), key, feed };
                if let Some(ended) = ended {
                    heard.insert(sends.place());
                    self.hour(&sends, ended, view, out);
                }
                if is_armed {
                    self.pause(&sends, habit.first(), view, out);
                }
            }
        }
        if ended.is_some() {
            self.hours.feeds.retain(|place, spoke| heard.contains(place) && !spoke.is_empty());
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        if self.senders.remove(&from.0) {
            self.senders.insert(into.0);
        }
        let own = |id: u32| if id == from.0 { into.0 } else { id };
        let renamed = |(sender, receiver, port): &Place| (own(*sender), own(*receiver), *port);
        let is_its = |place: &&Place| place.0 == from.0 || place.1 == from.0;
        for place in self.silent.keys().filter(is_its).copied().collect::<Vec<_>>() {
            rename(&mut self.silent, &place, renamed(&place), |own, other| *own = other.min(*own));
        }
        for place in self.hours.feeds.keys().filter(is_its).copied().collect::<Vec<_>>() {
            rename(&mut self.hours.feeds, &place, renamed(&place), |own, other| {
                other.into_iter().for_each(|(slot, days)| *own.entry(slot).or_default() |= days);
            });
        }
    }

    fn save(&self) -> Vec<u8> {
        postcard::to_allocvec(&(self, &self.hours)).unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) {
        let Ok((known, rest)) = postcard::take_from_bytes::<Self>(saved) else { return };
        *self = Self { hours: postcard::from_bytes(rest).unwrap_or_default(), ..known };
    }
}

impl FeedSilence {
    /// An hour is over: whether the feed spoke in it, as it does on such days.
    fn hour(&mut self, sends: &Sends<'_>, ended: i32, view: &View<'_>, out: &mut Out<'_>) {
        let slot = view.site.calendar.slot(ended);
        // One that was looked at late may have spoken after it only; then it is not silent now.
        let spoke = sends.feed.last >= begin(ended);
        let place = sends.place();
        let first = view.habits.get(sends.device).map_or(begin(ended), |habit| habit.first());
        let spoken = self.hours.on_days(&place, slot);
        let is_known = spoke || (could_be_seen(view, ended, ended) && spoken != 0);
        if is_known && !self.hours.remember(place, slot, spoken << 1 | u8::from(spoke)) {
            return;
        }
        if is_known && self.hours.later(&place, ended, first, view) == 0 {
            self.missed(sends, (ended, ended), counted(spoken), view, out);
        }
        // Of what may go by either clock, the two hours in which it would speak are looked at together.
        let before = ended - 1;
        let later = |hour| self.hours.later(&place, hour, first, view);
        let (by_wall, by_other) = match (later(before), later(ended)) {
            (1.., _) => (before, ended),
            (_, ..0) => (ended, before),
            _ => return,
        };
        if could_be_seen(view, before, ended) {
            // Both have been remembered since.
            let by_wall = counted(self.hours.on_days(&place, view.site.calendar.slot(by_wall)) >> 1);
            let by_other = counted(self.hours.by_other(&place, by_other, view) >> 1);
            self.missed(sends, (before, ended), by_wall.max(by_other), view, out);
        }
    }

    /// Hours went by, from one to another, in which a feed may not have spoken that did so on some of the last days.
    fn missed(
        &mut self,
        sends: &Sends<'_>,
        (missed, ended): (i32, i32),
        spoken: u32,
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let (from, until, place) = (begin(missed), begin(ended + 1), sends.place());
        let is_missed = sends.feed.last < from && spoken >= LEAST_DAYS && !self.silent.contains_key(&place);
        if !is_missed || !view.is_armed(sends.device) {
            return;
        }
        if sends.is_hushed(view) {
            out.lower_since(&RULE, sends.device, sends.feed.last, ZONE);
            return;
        }
        let Some(first) = self.hours.without(&place, sends.feed, (missed, ended), view) else { return };
        let from = begin(first);
        let verdict = sends.verdict(view, "for a whole hour in which it speaks on such days");
        let Some(verdict) = verdict else { return };
        let verdict = verdict
            .between(from, until)
            .found([number("hours_without", (ended + 1 - first).unsigned_abs().into())])
            .found(word("hour_began", &from.to_string()))
            .normal([
                number("days", DAYS.into()),
                number("spoke_on_days", spoken.into()),
                number("least_days", LEAST_DAYS.into()),
            ]);
        out.raise(view, verdict);
    }

    /// Whether the feed pauses for longer than it should.
    fn pause(&mut self, sends: &Sends<'_>, first: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
        let Sends { feed, .. } = sends;
        let Some(limit) = feed.too_long() else { return };
        let place = sends.place();
        if view.now.since(feed.last) <= limit {
            self.silent.remove(&place);
            return;
        }
        // Its zone is told of.
        if sends.is_hushed(view) {
            if self.silent.remove(&place).is_some() {
                out.lower_since(&RULE, sends.device, feed.last, ZONE);
            }
            return;
        }
        // What could not be seen is not silence, nor is the night of a feed that speaks by day.
        let is_blind = view.blind_until.get() > view.now;
        let seen_from = view.blind_until.get().min(view.now);
        let speaks_from = speaks_from(feed, first, view);
        let since = feed.last.max(seen_from).max(speaks_from.unwrap_or(view.now));
        let was_told = self.silent.contains_key(&place);
        let (pauses, usual, longest) = feed.normal();
        let is_rare = || longest < HOUR_MS || self.hours.is_rare(&place, whole_hours(since, view.now), view);
        let is_new = || speaks_from.is_some() && view.sees_until.get().since(since) > limit && is_rare();
        if is_blind || !(was_told || is_new()) {
            return;
        }
        let minutes = view.now.since(feed.last) / 60_000_000_000;
        let Some(verdict) = sends.verdict(view, &format!("for {minutes} min")) else { return };
        let began = *self.silent.entry(place).or_insert(view.now.0);
        let slot = view.site.calendar.slot(hour(view.now));
        let verdict = verdict
            .between(Timestamp(began), view.now)
            .times(u64::from(!was_told))
            .found([
                number("silent_seconds", view.now.since(feed.last).unsigned_abs() / 1_000_000_000),
                number("limit_seconds", limit.unsigned_abs() / 1_000_000_000),
            ])
            .normal([
                number("pauses", pauses),
                number("usual_pause_ms", usual),
                number("longest_of_1000_ms", longest),
                number("hours_like_this", view.hours_like_before(slot, first, hour(feed.last) + 1).into()),
                number("spoke_in", feed.spoke_in(slot).into()),
            ]);
        out.raise(view, verdict);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, Severity, Timestamp};

    /// A laboratory that sends three results every 20 minutes by day, for a week.
    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(7 * DAY);
        let (lis, engine) =
            (story.device(1, DeviceClass::Lis, 30), story.device(2, DeviceClass::InterfaceEngine, 30));
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
        let told = found[0].last;
        story.baseline.blind(Timestamp(story.now.0 + 50 * 60 * SECOND));
        others(&mut story, engine, 45);
        assert_eq!(story.found("feed-silence")[0].last, told, "nobody knows whether it goes on");
        burst(&mut story, lis, engine);
        story.wait(5 * 60 * SECOND);
        assert!(story.found("feed-silence")[0].last < story.now.plus(-60 * SECOND), "it speaks again");
    }

    #[test]
    fn a_feed_that_is_silent_with_its_zone_is_a_note() {
        let mut story = Story::new(3 * DAY);
        let engine = story.device(30, DeviceClass::InterfaceEngine, 30);
        let monitors: Vec<_> = (1..=6).map(|n| story.device(n, DeviceClass::PatientMonitor, 26)).collect();
        for slice in 0..4 * 144 {
            story.at(slice * 600 * SECOND);
            for id in &monitors {
                burst(&mut story, *id, engine);
            }
            story.talk(engine, engine, 80, None);
        }
        assert_eq!(story.found("feed-silence").len(), 0);
        let loud = |story: &mut Story| {
            let found = story.found("feed-silence");
            (found.len(), found.iter().filter(|f| f.severity > Severity::Info).count())
        };
        // The limits of feeds are over before it is known that all are silent.
        others(&mut story, engine, 26);
        assert_eq!(loud(&mut story), (6, 6));
        others(&mut story, engine, 30);
        assert_eq!(loud(story.restart()), (6, 0), "{:#?}", story.found("device-silent"));
        others(&mut story, engine, 8 * 60);
        assert_eq!(loud(&mut story), (6, 0));
    }

    #[test]
    fn a_silence_that_goes_on_for_days_counts_on_each() {
        let (mut story, _, engine) = story();
        story.at(7 * DAY + 8 * HOUR);
        burst(&mut story, DeviceId(1), engine);
        others(&mut story, engine, 17 * 60);
        let counts: Vec<_> = story.found("feed-silence").iter().map(|f| f.count).collect();
        assert_eq!(counts, [1, 1], "of two days");
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
    /// A batch of so many messages at a time of the day.
    fn batch(story: &mut Story, day: i64, minute: i64, messages: usize) {
        story.at(day * DAY + 2 * HOUR + minute * 60 * SECOND);
        story.talk(DeviceId(1), DeviceId(2), 6_662, Some("hl7"));
        for _ in 0..messages {
            story.wait(SECOND / 10);
            story.ask(DeviceId(1), DeviceId(2), 6_662, "hl7", "ORU^R01", Some("AA"));
        }
    }

    /// Two weeks in which a batch comes some time after two in the night, on days of which `sends` holds.
    fn nightly(messages: usize, sends: impl Fn(i64) -> bool) -> Story {
        let mut story = Story::with(14 * DAY, |config| {
            // Thursday of the third week.
            config.site.calendar = crate::Calendar::new([], [(2026, 1, 22)]);
        });
        story.device(1, DeviceClass::Lis, 30);
        let engine = story.device(2, DeviceClass::InterfaceEngine, 30);
        for day in 0..14 {
            others_at(&mut story, engine, day, 0..2);
            if sends(day) {
                batch(&mut story, day, 5 + day * 3, messages);
            }
            others_at(&mut story, engine, day, 3..24);
        }
        assert_eq!(story.found("feed-silence").len(), 0, "while learning");
        story
    }

    /// Others talk in some hours of a day.
    fn others_at(story: &mut Story, engine: DeviceId, day: i64, hours: std::ops::Range<i64>) {
        for slice in hours.start * 6..hours.end * 6 {
            story.at(day * DAY + slice * 600 * SECOND);
            story.talk(engine, engine, 80, None);
        }
    }

    /// A day without the batch; how many findings there are after it.
    fn without(story: &mut Story, day: i64) -> usize {
        others_at(story, DeviceId(2), day, 0..24);
        story.found("feed-silence").len()
    }

    #[test]
    fn a_batch_that_does_not_come_at_its_hour_is_told() {
        for messages in [3, 300] {
            let mut story = nightly(messages, |_| true);
            others_at(&mut story, DeviceId(2), 14, 0..2);
            batch(&mut story, 14, 55, messages);
            others_at(&mut story, DeviceId(2), 14, 3..24);
            assert_eq!(story.found("feed-silence").len(), 0, "late, but there");
            others_at(story.restart(), DeviceId(2), 15, 0..3);
            assert_eq!(story.found("feed-silence").len(), 0, "the hour is not over");
            assert_eq!(without(&mut story, 15), 1, "{messages}");
            let found = &story.found("feed-silence")[0];
            assert_eq!(
                (found.key.device, found.severity, found.count),
                (Some(DeviceId(1)), Severity::High, 1)
            );
            assert_eq!(found.first, Timestamp(crate::rules::story::MONDAY + 15 * DAY + 2 * HOUR));
            // What does not come any more is told for three days: then it was there on four of seven days.
            assert_eq!((16..20).map(|day| without(&mut story, day)).last(), Some(3));
        }
    }

    #[test]
    fn a_feed_that_keeps_to_working_days_may_be_silent_on_others() {
        let is_weekday = |day: i64| day % 7 < 5;
        let mut story = nightly(3, is_weekday);
        for day in 14..21 {
            // On Thursday is a holiday.
            if is_weekday(day) && day != 17 {
                others_at(&mut story, DeviceId(2), day, 0..2);
                batch(&mut story, day, 30, 3);
                others_at(&mut story, DeviceId(2), day, 3..24);
            } else {
                assert_eq!(without(&mut story, day), 0, "day {day}");
            }
        }
        assert_eq!(without(&mut story, 21), 1, "the control: a Monday");
    }

    #[test]
    fn an_hour_that_was_not_seen_is_no_silence() {
        let mut story = nightly(3, |_| true);
        others_at(&mut story, DeviceId(2), 14, 0..1);
        story.baseline.blind(Timestamp(crate::rules::story::MONDAY + 14 * DAY + 2 * HOUR + 1));
        others_at(&mut story, DeviceId(2), 14, 1..24);
        assert_eq!(story.found("feed-silence").len(), 0);
        // Nobody was heard at all.
        others_at(&mut story, DeviceId(2), 15, 0..2);
        story.at(15 * DAY + 7 * HOUR);
        assert_eq!(story.found("feed-silence").len(), 0);
    }

    #[test]
    fn a_feed_ends_its_day_when_it_does() {
        let (mut story, lis, engine) = story();
        others_at(&mut story, engine, 7, 0..8);
        for slice in 8 * 3..17 * 3 + 1 {
            story.at(7 * DAY + slice * 1_200 * SECOND);
            burst(&mut story, lis, engine);
            others(&mut story, engine, 15);
        }
        others(&mut story, engine, 120);
        assert_eq!(story.found("feed-silence").len(), 0, "when in the last hour it ends is not known");
    }

    #[test]
    fn two_numbers_of_a_sender_are_one_feed() {
        let (mut story, lis, engine) = story();
        let other = story.device(9, DeviceClass::Lis, 30);
        story.merge(lis, other);
        others_at(&mut story, engine, 7, 0..8);
        story.at(7 * DAY + 8 * HOUR);
        burst(&mut story, other, engine);
        others(&mut story, engine, 35);
        let found = story.found("feed-silence");
        assert_eq!(found.iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(other)]);
        let third = story.device(77, DeviceClass::Lis, 30);
        story.merge(other, third);
        others(&mut story, engine, 35);
        let found = story.found("feed-silence");
        assert_eq!(found.iter().map(|f| (f.key.device, f.count)).collect::<Vec<_>>(), [(Some(third), 1)]);
    }

    /// Three weeks of a site whose clock is put forward (or back) after two of them, in which a feed speaks in some hours by UTC:
    /// whether anything was told, and whether it is on another day on which it says nothing.
    fn turned(later: i32, speaks: impl Fn(i64, i64) -> bool) -> [bool; 2] {
        let turn = (crate::rules::story::MONDAY + 14 * DAY - 23 * HOUR) / SECOND;
        let mut story = Story::with(12 * DAY, |config| {
            config.site.calendar = crate::Calendar::new([(0, 3_600), (turn, 3_600 + 3_600 * later)], []);
        });
        let (lis, engine) =
            (story.device(1, DeviceClass::Lis, 30), story.device(2, DeviceClass::InterfaceEngine, 30));
        let mut days = Vec::new();
        for day in 0..36 {
            for slice in 0..72 {
                story.at(day * DAY + slice * 1_200 * SECOND);
                story.talk(engine, engine, 80, None);
                if day < 35 && speaks(day, slice) {
                    burst(&mut story, lis, engine);
                }
            }
            days.push(story.found("feed-silence").len());
        }
        [days[34] > 0, days[35] > days[34]]
    }

    #[test]
    fn a_feed_may_go_by_another_clock_than_the_site() {
        for later in [1, -1] {
            // Every three hours, by day from twenty minutes to the hour on, and the same by the clock on the wall.
            assert_eq!(turned(later, |_, slice| slice % 9 == 1), [false, true], "{later}");
            assert_eq!(
                turned(later, |_, slice| (7 * 3 + 2..16 * 3).contains(&slice)),
                [false, true],
                "{later}"
            );
            let wall = |day: i64| if day < 13 { 0 } else { -i64::from(later) * 3 };
            assert_eq!(turned(later, |day, slice| (slice - wall(day)) % 9 == 1), [false, true], "{later}");
            let by_day = |day, slice| (7 * 3 + 2 + wall(day)..16 * 3 + wall(day)).contains(&slice);
            assert_eq!(turned(later, by_day), [false, true], "{later}");
        }
    }

    #[test]
    fn who_falls_silent_after_a_change_of_the_clock_is_told() {
        for later in [1, -1] {
            // Three days later, on Thursday.
            let found = turned(later, |day, slice| day != 17 && slice % 9 == 1);
            assert_eq!(found, [true, true], "{later}");
            let found = turned(later, |day, slice| day != 17 && (7 * 3..16 * 3).contains(&slice));
            assert_eq!(found, [true, true], "{later}");
        }
    }
}
