//! How much a device does in an hour, by kinds of hour, and how far an hour departs from that.

use crate::calendar::SLOTS;
use crate::fetch;
use crate::quantile::Spread;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is counted of a device in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Bytes that it sent.
    BytesOut,
    /// Bytes that it received.
    BytesIn,
    /// Conversations, DHCP left out: leases are renewed at any hour.
    Flows,
    /// DICOM instances that it stored or retrieved.
    Objects,
    /// HL7 messages that it sent.
    Messages,
}

impl Metric {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::BytesOut, Self::BytesIn, Self::Flows, Self::Objects, Self::Messages];
}

/// An hour's counts, in the order of [`Metric::ALL`].
pub(crate) type Counts = [u64; Metric::ALL.len()];

/// The place of what is known of any hour, after those of the slots.
const ANY: u8 = SLOTS;

/// Hours that a mean remembers: four weeks of weekdays. Older ones fade.
const MEMORY: u16 = 20;

/// Hours of any kind that weigh as much as what is known of the slot itself, at most: the more kinds of hours differ, the fewer.
const SHRINK: f64 = 8.0;

/// The least standard deviation of `ln(1 + x)`: a quarter, so that what is always the same need not be the same for ever.
const LEAST_DEVIATION: f64 = 0.25;

/// Places by which the list grows.
const MORE: usize = 8;

/// Mean and spread of `ln(1 + x)`, and the most there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stat {
    pub(crate) n: u16,
    pub(crate) mean: f32,
    m2: f32,
    most: u64,
}

impl Stat {
    pub(crate) fn add(&mut self, value: u64) {
        self.add_log(value, (value as f64).ln_1p());
    }

    /// The same, with `ln(1 + value)`, which costs more than all the rest.
    fn add_log(&mut self, value: u64, x: f64) {
        self.n = self.n.saturating_add(1);
        let weight = f64::from(self.n.min(MEMORY));
        let before = x - f64::from(self.mean);
        let mean = f64::from(self.mean) + before / weight;
        let fading = if self.n > MEMORY { 1.0 - 1.0 / weight } else { 1.0 };
        self.m2 = (f64::from(self.m2) * fading + before * (x - mean)) as f32;
        self.mean = mean as f32;
        self.most = self.most.max(value);
    }

    pub(crate) fn deviation(&self) -> f64 {
        let n = self.weight();
        if n < 2.0 { 0.0 } else { (self.squares() / (n - 1.0)).sqrt() }
    }

    /// Hours that the mean stands on.
    fn weight(&self) -> f64 {
        self.n.min(MEMORY).into()
    }

    /// The sum of squares around the mean.
    fn squares(&self) -> f64 {
        f64::from(self.m2).max(0.0)
    }
}

/// What the hours of a device have in common, kinds of hours held against each other.
#[derive(Clone, Copy, Debug, Default)]
struct Common {
    /// The mean of `ln(1 + x)` over all of them.
    mean: f64,
    /// Its variance among hours of a kind, and among the kinds.
    within: f64,
    between: f64,
}

impl Common {
    fn new(slots: &[Stat]) -> Self {
        let hours = slots.iter().map(Stat::weight).sum::<f64>().max(1.0);
        let mean = slots.iter().map(|slot| slot.weight() * f64::from(slot.mean)).sum::<f64>() / hours;
        let off = |slot: &Stat| slot.weight() * (f64::from(slot.mean) - mean).powi(2);
        let inside: f64 = slots.iter().map(Stat::squares).sum();
        let all = (inside + slots.iter().map(off).sum::<f64>()) / hours;
        // Until hours of a kind come again, nobody knows how far they differ: as far as any.
        let again: f64 = slots.iter().map(|slot| (slot.weight() - 1.0).max(0.0)).sum();
        let within = (inside + SHRINK * all) / (again + SHRINK);
        Self { mean, within, between: (all - within).max(0.0) }
    }
}

/// How far an hour departs from what is normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    /// Deviations above the mean of `ln(1 + x)`, shrunk from the slot towards any hour; how far kinds of hours differ counts as
    /// far as little is known of the slot.
    pub(crate) z: f64,
    /// The typical count, `exp(mean) - 1`.
    pub(crate) typical: f64,
    /// The most there was in any hour.
    pub(crate) most: u64,
    /// Hours of this kind that are known.
    pub(crate) hours: u16,
    /// Hours of any kind that are known.
    pub(crate) all_hours: u16,
}

/// What is known of a device's hours. Only what was ever more than nothing takes room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rates {
    stats: Stats,
    /// How much it sent in hours of any kind. It is written behind the rest, so that what was written without it is read.
    #[serde(skip)]
    pub(crate) sent: Spread,
}

/// Means by slot and metric. When an hour is over, this is looked up for every device, and what is looked up first has to
/// come from memory: so a bit says whether there is one, the bits before it say where, and those of a slot are neighbours.
#[derive(Clone, Debug, Default, PartialEq)]
struct Stats {
    there: [u64; 4],
    all: Vec<Stat>,
}

/// The bit of a metric in a slot: its word, and where in there.
const fn bit(metric: Metric, slot: u8) -> (usize, u32) {
    let place = slot as u32 * Metric::ALL.len() as u32 + metric as u32;
    ((place / 64) as usize, place % 64)
}

impl Stats {
    /// Where it is, or would be, and whether it is there.
    fn place(&self, metric: Metric, slot: u8) -> (usize, bool) {
        let (word, at) = bit(metric, slot);
        let own = self.there.get(word).copied().unwrap_or_default();
        let before = self.there.iter().take(word).map(|word| word.count_ones()).sum::<u32>();
        ((before + (own & !(u64::MAX << at)).count_ones()) as usize, own >> at & 1 == 1)
    }

    fn get(&self, metric: Metric, slot: u8) -> Option<&Stat> {
        let (place, is_there) = self.place(metric, slot);
        self.all.get(place).filter(|_| is_there)
    }

    /// What is kept, or was just added.
    fn entry(&mut self, metric: Metric, slot: u8, new: Stat) -> Option<&mut Stat> {
        let (place, is_there) = self.place(metric, slot);
        if !is_there {
            // There are many devices, and none has much more than it has now.
            self.all.reserve_exact(usize::from(self.all.len() == self.all.capacity()) * MORE);
            self.all.insert(place, new);
            let (word, at) = bit(metric, slot);
            if let Some(there) = self.there.get_mut(word) {
                *there |= 1 << at;
            }
        }
        self.all.get_mut(place)
    }

    /// All of them, metric by metric.
    fn rows(&self) -> impl Iterator<Item = (Metric, u8, Stat)> {
        let places = Metric::ALL.into_iter().flat_map(|metric| (0..=ANY).map(move |slot| (metric, slot)));
        places.filter_map(|(metric, slot)| Some((metric, slot, *self.get(metric, slot)?)))
    }
}

/// As they are written: each with its number, metric by metric.
const fn number(metric: Metric, slot: u8) -> u8 {
    metric as u8 * (SLOTS + 1) + slot
}

impl Serialize for Stats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<(u8, Stat)> =
            self.rows().map(|(metric, slot, stat)| (number(metric, slot), stat)).collect();
        rows.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Stats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut stats = Self::default();
        for (number, stat) in Vec::<(u8, Stat)>::deserialize(deserializer)? {
            if let Some(metric) = Metric::ALL.get(usize::from(number / (SLOTS + 1))) {
                stats.entry(*metric, number % (SLOTS + 1), stat);
            }
        }
        Ok(stats)
    }
}

impl Rates {
    fn get(&self, metric: Metric, slot: u8) -> Stat {
        self.stats.get(metric, slot).copied().unwrap_or_default()
    }

    /// Has what is known of a slot brought from memory, which is asked for soon.
    pub(crate) fn fetch(&self, slot: u8) {
        for slot in [slot, ANY] {
            for metric in [Metric::BytesOut, Metric::Flows] {
                self.stats.get(metric, slot).into_iter().for_each(fetch);
            }
        }
        self.sent.fetch();
    }

    /// An hour was as it should be.
    pub(crate) fn fold(&mut self, slot: u8, counts: &Counts) {
        let [sent, ..] = *counts;
        if sent > 0 {
            self.sent.add(sent);
        }
        for (metric, value) in Metric::ALL.into_iter().zip(*counts).filter(|(_, value)| *value > 0) {
            let log = (value as f64).ln_1p();
            for slot in [slot, ANY] {
                if let Some(stat) = self.stats.entry(metric, slot, Stat::default()) {
                    stat.add_log(value, log);
                }
            }
        }
    }

    /// Hours of a kind in which there was anything of a metric.
    pub(crate) fn active_hours(&self, metric: Metric, slot: u8) -> u16 {
        self.get(metric, slot).n
    }

    /// How far a count departs; `None` where nothing is known.
    pub(crate) fn score(&self, metric: Metric, slot: u8, value: u64) -> Option<Score> {
        let (own, any) = (self.get(metric, slot), self.get(metric, ANY));
        if any.n == 0 {
            return None;
        }
        let slots: Vec<Stat> = (0..SLOTS).filter_map(|slot| self.stats.get(metric, slot)).copied().collect();
        let common = Common::new(&slots);
        // What an hour of another kind says of this one is the less the further kinds are apart.
        let others =
            if common.within < SHRINK * common.between { common.within / common.between } else { SHRINK };
        let n = f64::from(own.n);
        let mean = (n * f64::from(own.mean) + others * common.mean) / (n + others);
        let spread = (own.squares() + SHRINK * common.within) / ((own.weight() - 1.0).max(0.0) + SHRINK);
        // And how far the mean of its kind may be from what it was taken for.
        let deviation = (spread + common.between * others / (n + others)).sqrt().max(LEAST_DEVIATION);
        Some(Score {
            z: ((value as f64).ln_1p() - mean) / deviation,
            typical: mean.exp_m1(),
            most: any.most,
            hours: own.n,
            all_hours: any.n,
        })
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        self.stats.all.capacity() * size_of::<Stat>() + self.sent.heap()
    }

    /// What was known of another device, that turned out to be this one, counts where nothing is known of this one.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.sent.absorb(&other.sent);
        for (metric, slot, stat) in other.stats.rows() {
            self.stats.entry(metric, slot, stat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_held_against_hours_like_it() {
        let mut rates = Rates::default();
        assert_eq!(rates.score(Metric::BytesOut, 9, 5), None);
        for day in 0..10 {
            rates.fold(9, &[1_000_000 + day * 10_000, 0, 5, 0, 0]);
            rates.fold(3, &[1_000, 0, 1, 0, 0]);
        }
        let score = |slot, value| rates.score(Metric::BytesOut, slot, value).unwrap();
        assert!(score(9, 1_050_000).z < 1.0, "{:?}", score(9, 1_050_000));
        assert!(score(9, 60_000_000).z > score(9, 2_000_000).z);
        assert!(score(3, 1_000_000).z > score(9, 1_000_000).z, "at night it is more unusual");
        assert_eq!((score(9, 1).hours, score(9, 1).all_hours, score(9, 1).most), (10, 20, 1_090_000));
        assert_eq!((rates.active_hours(Metric::Flows, 9), rates.active_hours(Metric::Flows, 10)), (10, 0));
        assert_eq!(rates.score(Metric::Objects, 9, 5), None, "what never was takes no room");
    }

    #[test]
    fn day_and_night_do_not_hide_what_is_much_by_day() {
        let mut rates = Rates::default();
        let all: Vec<(u8, u64)> = (0..7).flat_map(|day| (0..24).map(move |slot| (slot, day * 300))).collect();
        for (slot, more) in &all {
            let sent = if (7..19).contains(slot) { 30_000 } else { 60 };
            rates.fold(*slot, &[sent + more * sent / 10_000, 0, 1, 0, 0]);
        }
        let z = |slot, value| rates.score(Metric::BytesOut, slot, value).unwrap().z;
        assert!(z(10, 28_000_000) > 9.0, "{}", z(10, 28_000_000));
        assert!(z(10, 60_000).abs() < 3.0, "{}", z(10, 60_000));
        assert!(z(3, 30_000) > 6.0, "what is usual by day, by night");
        // Of a weekend nothing is known but that it may be like any hour.
        assert!((0.0..6.0).contains(&z(30, 28_000_000)), "{}", z(30, 28_000_000));
        // Whose hours are known once each may have others.
        let mut newcomer = Rates::default();
        all.iter().take(24).for_each(|(slot, _)| {
            newcomer.fold(*slot, &[if *slot < 12 { 60 } else { 30_000 }, 0, 1, 0, 0]);
        });
        let score = newcomer.score(Metric::BytesOut, 14, 3_000_000).unwrap();
        assert!(score.z < 6.0, "{score:?}");
        // What is the same in each hour is held to the least deviation, and one odd hour of a kind does not undo that.
        let mut same = Rates::default();
        all.iter().for_each(|(slot, _)| same.fold(*slot, &[1_000_000, 0, 1, 0, 0]));
        let score = same.score(Metric::BytesOut, 30, 20_000_000).unwrap();
        assert!((11.9..12.1).contains(&score.z), "{score:?}");
    }

    #[test]
    fn how_much_was_sent_is_written_behind_the_rest() {
        let mut rates = Rates::default();
        rates.fold(9, &[1_000_000, 0, 5, 0, 0]);
        let before = postcard::to_allocvec(&(&rates, 7_u8)).unwrap();
        let (back, after) = postcard::from_bytes::<(Rates, u8)>(&before).unwrap();
        assert_eq!(
            (back.stats.all.len(), after, back.sent.hours()),
            (4, 7, 0),
            "what was written without it is read"
        );
        let own: Spread = postcard::from_bytes(&postcard::to_allocvec(&rates.sent).unwrap()).unwrap();
        assert_eq!((own.hours(), &own), (1, &rates.sent));
        let mut other = Rates::default();
        other.absorb(rates);
        assert_eq!((other.sent.hours(), other.heap() > 0), (1, true), "hours of a merged device count");
    }

    #[test]
    fn what_is_written_is_read_in_the_same_places() {
        let mut rates = Rates::default();
        for (n, slot) in [47, 3, 0, 12, 3].into_iter().enumerate() {
            rates.fold(slot, &[n as u64, 5, 0, 3 - n.min(3) as u64, 1 << n]);
        }
        let bytes = postcard::to_allocvec(&rates).unwrap();
        let rows: Vec<(u8, Stat)> = postcard::from_bytes(&bytes).unwrap();
        assert!(rows.is_sorted_by_key(|(number, _)| *number), "{rows:?}");
        assert_eq!(rows.len(), 4 + 5 + 4 + 5, "{rows:?}");
        let back: Rates = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(back.stats, rates.stats);
        for (number, stat) in rows {
            let metric = Metric::ALL[usize::from(number / (SLOTS + 1))];
            assert_eq!(rates.get(metric, number % (SLOTS + 1)), stat);
        }
        let all: Vec<(u8, Stat)> = (0..=u8::MAX).map(|number| (number, Stat::default())).collect();
        let full: Rates = postcard::from_bytes(&postcard::to_allocvec(&all).unwrap()).unwrap();
        assert_eq!(full.stats.all.len(), Metric::ALL.len() * usize::from(SLOTS + 1), "no number too many");
    }

    #[test]
    fn means_forget() {
        let mut rates = Rates::default();
        (0..20).for_each(|_| rates.fold(9, &[100, 0, 0, 0, 0]));
        (0..60).for_each(|_| rates.fold(9, &[100_000, 0, 0, 0, 0]));
        let score = rates.score(Metric::BytesOut, 9, 100_000).unwrap();
        assert!(score.z < 1.0 && score.typical > 50_000.0, "{score:?}");
    }
}
