//! What changed from one baseline to another.

use super::level::{Labels, Use};
use model::{Edge, EdgeKey, Timestamp};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How many times more or less is a change.
const TIMES: f64 = 4.0;

/// Conversations on both sides without which a change of rate says nothing.
const LEAST: u64 = 10;

/// Silence longer than so many usual pauses.
const PAUSES: i64 = 3;

/// The usual pause is this at least: hours are what is counted.
const HOUR: i64 = 3_600 * 1_000_000_000;

/// A rate per active hour, before and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    pub(crate) before: f64,
    pub(crate) after: f64,
}

impl Rates {
    /// `None` unless it is a change.
    fn changed(before: f64, after: f64) -> Option<Self> {
        let (low, high) = if before < after { (before, after) } else { (after, before) };
        (high > 0.0 && high >= TIMES * low).then_some(Self { before, after })
    }
}

/// What became of an edge.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// It was not there before.
    New,
    /// It is no more.
    Gone,
    /// It is used much more or less; conversations and bytes per active hour, each where it changed.
    Changed { flows: Option<Rates>, bytes: Option<Rates> },
    /// It was expected, and is not used: nanoseconds of the usual pause, and of the silence.
    Silent { pause: i64, silence: i64 },
}

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) edge: Labels,
    pub(crate) what: What,
    /// What it is now; of what is gone, what it was.
    pub(crate) of: Use,
}

/// When those who use an edge were last active, before, and after: if not since, until when they were not. And the longest
/// they paused while they were learned, in nanoseconds: nights and weekends are no silence.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Active {
    pub(crate) before: Option<Timestamp>,
    pub(crate) after: Option<Timestamp>,
    pub(crate) longest: i64,
}

/// Edges of two baselines, with one application where only one of them tells it: that content told it in between, or that it
/// used to be guessed by port and no longer is, is no change. Of several applications it is the one known longest, as in what
/// is learned.
pub(crate) fn spoken_alike<'e>(both: [&'e [Edge]; 2]) -> [Vec<Cow<'e, Edge>>; 2] {
    let unspoken = |key: &EdgeKey| EdgeKey { application: None, ..key.clone() };
    let mut spoken: BTreeMap<EdgeKey, (Timestamp, &EdgeKey)> = BTreeMap::new();
    for edge in both.into_iter().flatten().filter(|edge| edge.key.application.is_some()) {
        let this = (edge.first, &edge.key);
        spoken.entry(unspoken(&edge.key)).and_modify(|first| *first = this.min(*first)).or_insert(this);
    }
    both.map(|edges| {
        let alike = |edge: &'e Edge| match spoken.get(&edge.key) {
            Some((_, key)) => Cow::Owned(Edge { key: (*key).clone(), ..edge.clone() }),
            None => Cow::Borrowed(edge),
        };
        edges.iter().map(alike).collect()
    })
}

/// Every difference, edge by edge. `active` says when whoever uses an edge was last active.
pub(crate) fn compare(
    before: &BTreeMap<Labels, Use>,
    after: &BTreeMap<Labels, Use>,
    active: impl Fn(&Labels) -> Active,
) -> Vec<Difference> {
    let mut out = Vec::new();
    let mut add = |edge: &Labels, what, of: &Use| {
        out.push(Difference { edge: edge.clone(), what, of: of.clone() });
    };
    for (edge, a) in before {
        match after.get(edge) {
            None => add(edge, What::Gone, a),
            Some(b) => {
                if let Some(what) = silent(a, b, active(edge)) {
                    add(edge, what, b);
                }
                if let Some(what) = changed(a, b) {
                    add(edge, what, b);
                }
            }
        }
    }
    for (edge, b) in after.iter().filter(|(edge, _)| !before.contains_key(*edge)) {
        add(edge, What::New, b);
    }
    out.sort_by(|x, y| (&x.edge, place(&x.what)).cmp(&(&y.edge, place(&y.what))));
    out
}

/// In which order kinds of differences are told.
pub(crate) const fn place(what: &What) -> u8 {
    match what {
        What::New => 0,
        What::Gone => 1,
        What::Silent { .. } => 2,
        What::Changed { .. } => 3,
    }
}

/// Both counts are from the beginning. Where the later goes on from the earlier, what came since is compared with it.
fn changed(a: &Use, b: &Use) -> Option<What> {
    let goes_on = b.first <= a.first && b.last >= a.last && b.flows >= a.flows && b.all_hours >= a.all_hours;
    let sum = |of: &Use| of.bytes[0].saturating_add(of.bytes[1]);
    let (flows, bytes, hours) = if goes_on {
        (b.flows - a.flows, sum(b).saturating_sub(sum(a)), b.all_hours - a.all_hours)
    } else {
        (b.flows, sum(b), b.all_hours)
    };
    if a.flows < LEAST || flows < LEAST || a.all_hours == 0 || hours == 0 {
        return None;
    }
    let rates = |before: u64, after: u64| {
        Rates::changed(before as f64 / a.all_hours as f64, after as f64 / hours as f64)
    };
    let (flows, bytes) = (rates(a.flows, flows), rates(sum(a), bytes));
    (flows.is_some() || bytes.is_some()).then_some(What::Changed { flows, bytes })
}

/// An edge that was in use and normal, and was not used since, for longer than it or its device ever pauses.
fn silent(a: &Use, b: &Use, active: Active) -> Option<What> {
    let (before, after) = (active.before?, active.after?);
    if !a.state.is_normal() || a.hours < 2 || b.last > a.last || after <= before {
        return None;
    }
    let pause = (a.last.since(a.first) / i64::from(a.hours - 1)).max(HOUR);
    let most = pause.saturating_mul(PAUSES).max(active.longest.saturating_mul(3) / 2);
    let is_long = |silence: i64| silence > most;
    let silence = after.since(a.last);
    // What was silent before already is no change.
    (is_long(silence) && !is_long(before.since(a.last))).then_some(What::Silent { pause, silence })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceId, EdgeState, IpProto};

    fn labels(port: u16) -> Labels {
        Labels {
            device_id: Some(DeviceId(1)),
            device: "CT-1".into(),
            inbound: false,
            peer_kind: Some("device"),
            peer: Some("PACS-1".into()),
            peer_id: Some(DeviceId(3)),
            transport: IpProto::TCP,
            port,
            application: None,
        }
    }

    /// Used in so many hours from the first to the last, counted from 1970.
    fn used(flows: u64, hours: u32, first: i64, last: i64) -> Use {
        Use {
            flows,
            bytes: [flows * 100, flows * 10],
            hours,
            all_hours: hours.into(),
            first: Timestamp(first * HOUR),
            last: Timestamp(last * HOUR),
            state: EdgeState::Learned,
        }
    }

    fn at(hour: i64) -> Option<Timestamp> {
        Some(Timestamp(hour * HOUR))
    }

    /// The differences of one edge whose device was active until two hours.
    fn one(a: &Use, b: &Use, [before, after]: [Option<Timestamp>; 2]) -> Vec<What> {
        paused(a, b, Active { before, after, longest: 0 })
    }

    fn paused(a: &Use, b: &Use, active: Active) -> Vec<What> {
        let map = |of: &Use| BTreeMap::from([(labels(104), of.clone())]);
        compare(&map(a), &map(b), |_| active).into_iter().map(|d| d.what).collect()
    }

    #[test]
    fn the_same_is_no_difference() {
        let of = used(100, 10, 0, 90);
        assert_eq!(one(&of, &of, [at(90), at(90)]), []);
        assert_eq!(compare(&BTreeMap::new(), &BTreeMap::new(), |_| Active::default()), []);
    }

    #[test]
    fn an_application_that_one_of_them_does_not_tell_is_no_difference() {
        let edge = |port, app: Option<&'static str>, first| {
            let mut edge = crate::baselines::tests::edge(1, 2, port);
            edge.key.application = app.map(Into::into);
            edge.first = Timestamp(first);
            edge
        };
        let before =
            [edge(443, Some("tls"), 1), edge(104, None, 1), edge(80, None, 1), edge(22, Some("tls"), 1)];
        let after = [
            edge(443, None, 1),
            edge(104, Some("hl7"), 5),
            edge(104, Some("dicom"), 1),
            edge(80, None, 1),
            edge(22, Some("ssh"), 3),
        ];
        let [before, after] = spoken_alike([&before, &after]);
        let told = |edges: &[Cow<'_, Edge>]| -> Vec<_> {
            edges
                .iter()
                .map(|edge| (edge.key.port, edge.key.application.clone().unwrap_or_default()))
                .collect()
        };
        let same = |port, app: &'static str| (port, app.into());
        assert_eq!(told(&before), [same(443, "tls"), same(104, "dicom"), same(80, ""), same(22, "tls")]);
        assert_eq!(
            told(&after),
            [same(443, "tls"), same(104, "hl7"), same(104, "dicom"), same(80, ""), same(22, "ssh")]
        );
    }

    #[test]
    fn edges_come_and_go() {
        let (a, b) = (used(3, 2, 0, 5), used(7, 3, 6, 9));
        let before = BTreeMap::from([(labels(1), a.clone()), (labels(2), a.clone())]);
        let after = BTreeMap::from([(labels(2), a.clone()), (labels(3), b.clone())]);
        let found = compare(&before, &after, |_| Active { before: at(5), after: at(5), longest: 0 });
        assert_eq!(
            found,
            [
                Difference { edge: labels(1), what: What::Gone, of: a },
                Difference { edge: labels(3), what: What::New, of: b },
            ]
        );
    }

    #[test]
    fn what_came_since_is_compared_with_what_was() {
        // Ten an hour before; since then 40, or 39, in each of ten hours.
        let a = used(100, 10, 0, 90);
        let b = |since: u64, hours: u32| used(100 + since, 10 + hours, 0, 190);
        let active = [at(90), at(190)];
        let rates = |before, after| Some(Rates { before, after });
        assert_eq!(
            one(&a, &b(400, 10), active),
            [What::Changed { flows: rates(10.0, 40.0), bytes: rates(1_100.0, 4_400.0) }]
        );
        assert_eq!(one(&a, &b(399, 10), active), []);
        let less = one(&a, &b(10, 4), active);
        assert!(
            matches!(&less[..], [What::Changed { flows: Some(rates), .. }] if rates.after == 2.5),
            "{less:?}"
        );
        assert_eq!(one(&a, &b(9, 4), active), [], "too few to tell");
        assert_eq!(one(&used(9, 9, 0, 90), &used(900, 18, 0, 190), active), [], "on both sides");
        let mut heavy = b(100, 10);
        heavy.bytes = [100_000, 0];
        assert!(
            matches!(&one(&a, &heavy, active)[..], [What::Changed { flows: None, bytes: Some(_) }]),
            "bytes alone"
        );
        heavy.bytes = a.bytes;
        assert!(
            matches!(&one(&a, &heavy, active)[..], [What::Changed { bytes: Some(rates), .. }] if rates.after == 0.0)
        );
    }

    #[test]
    fn what_does_not_go_on_is_compared_as_a_whole() {
        let (a, b) = (used(100, 10, 0, 90), used(20, 10, 100, 190));
        let found = one(&a, &b, [at(90), at(90)]);
        assert!(
            matches!(&found[..], [What::Changed { flows: Some(Rates { before, after }), .. }]
            if (*before, *after) == (10.0, 2.0)),
            "{found:?}"
        );
        assert_eq!(one(&used(100, 0, 0, 90), &b, [at(90), at(90)]), [], "rows without hours tell no rate");
    }

    #[test]
    fn what_was_expected_and_is_not_used_is_silent() {
        // Every ten hours until the 90th.
        let a = used(10, 10, 0, 90);
        let silent = |after: i64| one(&a, &a, [at(95), at(after)]);
        assert_eq!(silent(120), [], "three pauses are not more than three");
        assert_eq!(silent(121), [What::Silent { pause: 10 * HOUR, silence: 31 * HOUR }]);
        assert_eq!(one(&a, &a, [at(95), at(95)]), [], "its device did nothing since");
        assert_eq!(one(&a, &a, [at(95), None]), [], "nothing is known of its device");
        assert_eq!(one(&a, &a, [at(130), at(140)]), [], "it was silent before");
        let weekend = |after| paused(&a, &a, Active { before: at(95), after: at(after), longest: 62 * HOUR });
        assert_eq!(weekend(183), [], "a weekend and a half are not more");
        assert_eq!(weekend(184).len(), 1);
        let once = used(10, 1, 90, 90);
        assert_eq!(one(&once, &once, [at(95), at(900)]), [], "once tells no pause");
        let again = Use { last: Timestamp(91 * HOUR), ..a.clone() };
        assert_eq!(one(&a, &again, [at(95), at(900)]), [], "it was used since");
        let bad = Use { state: EdgeState::Reported, ..a.clone() };
        assert_eq!(one(&bad, &bad, [at(95), at(900)]), [], "it was never normal");
        let short = Use { hours: 90, ..a };
        assert_eq!(one(&short, &short, [at(90), at(93)]), []);
        let dense = used(200, 2, 89, 90);
        assert_eq!(one(&dense, &dense, [at(90), at(93)]), []);
        assert_eq!(one(&dense, &dense, [at(90), at(94)]), [What::Silent { pause: HOUR, silence: 4 * HOUR }]);
    }
}
