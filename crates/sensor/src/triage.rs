//! What operators decided about a finding: its status, from the journal alone.

use crate::Error;
use crate::merged::Merged;
use model::{
    Decision, DeviceId, Figure, Finding, FindingId, JournalEntry, Merge, Pattern, Text, Timestamp, Which,
};
use std::collections::BTreeMap;
use std::fmt;
use store::Reader;

/// The figure that names the mutes of a finding's device that do not hold any more, as it is one with another since.
pub(crate) const MUTED_BEFORE: &str = "muted_before";
/// How many it names, at most.
const MOST_NAMED: usize = 16;

/// What is to be done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// Nobody has looked at it, or it was seen again after it was resolved.
    Open,
    /// Somebody works on it.
    Acknowledged,
    /// Done, and not seen since.
    Resolved,
    /// Of a kind that is not to be shown.
    Muted,
}

impl Status {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 4] = [Self::Open, Self::Acknowledged, Self::Resolved, Self::Muted];

    /// The stable name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Muted => "muted",
        }
    }

    /// Whether it is left out of lists unless one asks for it.
    pub(crate) const fn is_hidden(self) -> bool {
        matches!(self, Self::Resolved | Self::Muted)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The decisions that stand.
#[derive(Debug, Default)]
pub(crate) struct Triage {
    /// The last word on each finding: when it had last been seen if it was resolved, `None` if it was acknowledged.
    last: BTreeMap<FindingId, Option<Timestamp>>,
    /// What is muted of each rule, and the entry that says so.
    mutes: BTreeMap<String, Vec<(u64, Pattern)>>,
    /// Which devices turned out to be others.
    merged: Merged,
}

impl Triage {
    /// From the journal, and from which devices turned out to be others since.
    pub(crate) fn of(reader: &Reader<'_>) -> Result<Self, Error> {
        Ok(Self::new(&reader.journal()?, &reader.merges()?))
    }

    /// The same, of what was read already.
    pub(crate) fn new(journal: &[JournalEntry], merges: &[Merge]) -> Self {
        let mut triage = Self { merged: Merged::new(merges), ..Self::default() };
        for entry in journal {
            match &entry.decision {
                Decision::Acknowledge(id) => drop(triage.last.insert(*id, None)),
                Decision::Resolve(id, last) => drop(triage.last.insert(*id, Some(*last))),
                Decision::Mute(..) | Decision::Unmute(..) | Decision::Lock(..) => {}
            }
        }
        for (entry, pattern) in mutes(journal) {
            triage.mutes.entry(pattern.rule.clone()).or_default().push((entry.n, pattern.clone()));
        }
        triage
    }

    /// What is to be done about a finding. A mute covers what came before it, too.
    pub(crate) fn status(&self, finding: &Finding) -> Status {
        if self.of_rule(finding).any(|(_, muted)| self.covers(muted, finding)) {
            return Status::Muted;
        }
        // What was decided about one that went up in it is shown with it, but decides nothing: nobody looked at the rest.
        match self.last.get(&finding.id) {
            None => Status::Open,
            Some(None) => Status::Acknowledged,
            Some(Some(last)) if finding.last > *last => Status::Open,
            Some(Some(_)) => Status::Resolved,
        }
    }

    fn of_rule(&self, finding: &Finding) -> impl Iterator<Item = &(u64, Pattern)> {
        self.mutes.get(finding.key.rule.as_ref()).into_iter().flatten()
    }

    /// Whether a finding is of a pattern.
    pub(crate) fn covers(&self, pattern: &Pattern, finding: &Finding) -> bool {
        pattern.covers(finding, |id| self.merged.now(id))
    }

    /// Whether it is, or would be if its device were still the one that the pattern is about, and no other besides.
    fn names(&self, pattern: &Pattern, finding: &Finding) -> bool {
        pattern.names(&finding.key, |id| self.merged.now(id))
    }

    /// The number that a device has in the end.
    pub(crate) fn now(&self, id: DeviceId) -> DeviceId {
        self.merged.now(id)
    }

    /// A finding and its status. One that is told although its device was muted, as that has turned out to be one with
    /// another since, says so.
    pub(crate) fn judge(&self, mut finding: Finding) -> (Finding, Status) {
        let status = self.status(&finding);
        if status != Status::Muted {
            let before = self.of_rule(&finding).filter(|(_, pattern)| self.names(pattern, &finding));
            let named: Vec<String> = before.take(MOST_NAMED).map(|(n, _)| format!("m{n}")).collect();
            let named = Text::from_str_lossy(&named.join(", "));
            finding.evidence.extend(named.map(|named| (MUTED_BEFORE.into(), Figure::Words(named))));
        }
        (finding, status)
    }

    /// Whether a decision is about this finding.
    pub(crate) fn concerns(&self, decision: &Decision, finding: &Finding) -> bool {
        match decision {
            Decision::Acknowledge(id) | Decision::Resolve(id, _) => ids(finding).any(|own| own == *id),
            Decision::Mute(pattern) | Decision::Unmute(pattern) => self.names(pattern, finding),
            Decision::Lock(..) => false,
        }
    }
}

/// The numbers of a finding: its own, and those of findings that went up in it.
pub(crate) fn ids(finding: &Finding) -> impl Iterator<Item = FindingId> {
    let named = finding.evidence.iter().find(|(name, _)| name == baseline::ONE_WITH);
    let words = match named {
        Some((_, Figure::Words(words))) => words.as_str(),
        _ => "",
    };
    let own = std::iter::once(finding.id);
    own.chain(words.split(", ").filter_map(FindingId::parse))
}

/// The mutes that were not taken back, each with what it mutes, oldest first; of two of the same pattern the later.
pub(crate) fn mutes(journal: &[JournalEntry]) -> Vec<(&JournalEntry, &Pattern)> {
    let mut stand: BTreeMap<u64, (&JournalEntry, &Pattern)> = BTreeMap::new();
    // The entry by which a pattern is muted, so that a journal of thousands of mutes is gone through only once.
    let mut by = BTreeMap::new();
    for entry in journal {
        let (Decision::Mute(pattern) | Decision::Unmute(pattern)) = &entry.decision else { continue };
        let before = match entry.decision {
            Decision::Mute(_) => {
                stand.insert(entry.n, (entry, pattern));
                by.insert(pattern.to_string(), entry.n)
            }
            _ => by.remove(&pattern.to_string()),
        };
        before.map(|n| stand.remove(&n));
    }
    stand.into_values().collect()
}

/// What is muted, in plain words: `new-peer (external) about d7 on 104/tcp`.
pub(crate) fn pattern_words(pattern: &Pattern) -> String {
    let rule = &pattern.rule;
    let apart = match &pattern.peer_class {
        // A finding of which nothing is to be told apart has a dash.
        Which::Is(class) if class.as_str() != "-" => format!(" ({class})"),
        _ => String::new(),
    };
    let about = match &pattern.device {
        Which::Any => "any device".to_owned(),
        Which::Is(None) => "no device".to_owned(),
        Which::Is(Some(id)) => id.to_string(),
    };
    let on = match &pattern.service {
        Which::Any => "any service".to_owned(),
        Which::Is(None) => "no service".to_owned(),
        Which::Is(Some((transport, port))) => format!("{port}/{transport}"),
    };
    format!("{rule}{apart} about {about} on {on}")
}

/// A decision in plain words: `muted new-peer (external) about d7 on 104/tcp`.
pub(crate) fn words(decision: &Decision) -> String {
    match decision {
        Decision::Acknowledge(id) => format!("acknowledged {id}"),
        Decision::Resolve(id, _) => format!("resolved {id}"),
        Decision::Mute(pattern) => format!("muted {}", pattern_words(pattern)),
        Decision::Unmute(pattern) => format!("unmuted {}", pattern_words(pattern)),
        Decision::Lock(device, _) => {
            format!("ended learning of {}", device.map_or("all devices".to_owned(), |id| id.to_string()))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::merged::tests::merge;
    use model::{DeviceClass, FindingKey, IpProto, Mac, Party, Severity};
    use std::slice::from_ref;

    pub(crate) fn finding(id: u32, rule: &'static str, device: u32, port: u16, last: i64) -> Finding {
        let t = |text: &str| Text::from_str_lossy(text).unwrap();
        Finding {
            id: FindingId(id),
            key: FindingKey {
                rule: rule.into(),
                device: Some(DeviceId(device)),
                peer_class: t("external"),
                service: Some((IpProto::TCP, port)),
                day: 0,
            },
            severity: Severity::High,
            title: t("CT-RM3 talks to a new peer"),
            device: Some(Party {
                device: Some(DeviceId(device)),
                macs: vec![Mac([0, 0, 0, 0, 0, device as u8])],
                ips: vec!["10.20.4.17".parse().unwrap()],
                name: Some(t("CT-RM3")),
                class: DeviceClass::Ct,
                kind: "device".into(),
                zone: Some(t("imaging")),
            }),
            peer: None,
            application: None,
            first: Timestamp(0),
            last: Timestamp(last),
            raised: None,
            count: 1,
            evidence: vec![("new_peers".into(), Figure::Number(1))],
            baseline: vec![],
            attack: vec![],
            advice: t("Ask."),
        }
    }

    fn journal(decisions: &[Decision]) -> Vec<JournalEntry> {
        let entry = |(n, decision): (usize, &Decision)| JournalEntry {
            n: n as u64 + 1,
            at: Timestamp(n as i64),
            who: "anna".into(),
            decision: decision.clone(),
            reason: "x".into(),
            hash: [0; 32],
        };
        decisions.iter().enumerate().map(entry).collect()
    }

    fn status(decisions: &[Decision], finding: &Finding) -> Status {
        Triage::new(&journal(decisions), &[]).status(finding)
    }

    #[test]
    fn the_last_word_on_a_finding_stands_until_it_is_seen_again() {
        let (f, other) = (finding(1, "new-peer", 7, 104, 50), FindingId(2));
        let (ack, done) = (Decision::Acknowledge(f.id), Decision::Resolve(f.id, Timestamp(50)));
        assert_eq!(status(&[], &f), Status::Open);
        assert_eq!(status(&[Decision::Acknowledge(other)], &f), Status::Open);
        assert_eq!(status(from_ref(&ack), &f), Status::Acknowledged);
        assert_eq!(status(&[ack.clone(), done.clone()], &f), Status::Resolved);
        assert_eq!(status(&[done.clone(), ack.clone()], &f), Status::Acknowledged);
        let again = Finding { last: Timestamp(51), ..f.clone() };
        assert_eq!(status(from_ref(&done), &again), Status::Open, "seen after it was resolved");
        assert_eq!(status(from_ref(&ack), &again), Status::Acknowledged, "it is still worked on");
        let twice = [done, Decision::Resolve(f.id, Timestamp(51))];
        assert_eq!(status(&twice, &again), Status::Resolved);
        assert_eq!(status(&[Decision::Lock(None, Timestamp(0))], &f), Status::Open);
    }

    #[test]
    fn what_was_decided_about_one_that_went_up_in_it_is_shown_and_hides_nothing() {
        let mut f = finding(1, "new-peer", 7, 104, 50);
        let named = Text::from_str_lossy("f3, f4").unwrap();
        f.evidence.push((baseline::ONE_WITH.into(), Figure::Words(named)));
        let [ack, done] =
            [Decision::Acknowledge(FindingId(4)), Decision::Resolve(FindingId(3), Timestamp(50))];
        assert_eq!(status(&[ack.clone(), done.clone()], &f), Status::Open, "nobody looked at the rest of it");
        assert_eq!(status(&[Decision::Acknowledge(f.id), done.clone()], &f), Status::Acknowledged);
        assert!([ack, done].iter().all(|decision| Triage::default().concerns(decision, &f)));
        let other = Decision::Acknowledge(FindingId(5));
        assert_eq!(
            (status(from_ref(&other), &f), Triage::default().concerns(&other, &f)),
            (Status::Open, false)
        );
    }

    fn wide(rule: &str) -> Pattern {
        let rule = rule.into();
        Pattern { rule, device: Which::Any, peer_class: Which::Any, service: Which::Any, macs: vec![] }
    }

    #[test]
    fn a_mute_covers_its_pattern_and_no_more() {
        let f = finding(1, "new-peer", 7, 104, 50);
        let tight = Pattern::of(&f.key);
        let (here, there) = (tight.service.clone(), Which::Is(Some((IpProto::UDP, 104))));
        let about = |device| Pattern { device: Which::Is(device), ..wide("new-peer") };
        for (yes, pattern) in [
            (true, tight.clone()),
            (true, wide("new-peer")),
            (true, about(Some(DeviceId(7)))),
            (true, Pattern { service: here, ..wide("new-peer") }),
            (false, about(Some(DeviceId(8)))),
            (false, about(None)),
            (false, Pattern { service: there, ..tight.clone() }),
            (false, wide("new-peers")),
        ] {
            let decision = Decision::Mute(pattern);
            assert_eq!(status(from_ref(&decision), &f) == Status::Muted, yes, "{decision}");
            assert_eq!(Triage::default().concerns(&decision, &f), yes, "{decision}");
        }
        let acknowledged = [Decision::Mute(tight), Decision::Acknowledge(f.id)];
        assert_eq!(status(&acknowledged, &f), Status::Muted, "whatever else was decided");
    }

    #[test]
    fn a_mute_of_what_is_about_no_device_hides_nothing_about_one() {
        let f = finding(1, "new-peer", 7, 104, 50);
        let nobody =
            Finding { key: FindingKey { device: None, service: None, ..f.key.clone() }, ..f.clone() };
        let mute = Decision::Mute(Pattern::of(&nobody.key));
        assert_eq!((status(from_ref(&mute), &nobody), status(&[mute], &f)), (Status::Muted, Status::Open));
    }

    #[test]
    fn what_is_unmuted_is_told_again_with_what_was_decided_before() {
        let f = finding(1, "new-peer", 7, 104, 50);
        let (tight, wide) = (Pattern::of(&f.key), wide("new-peer"));
        let [mute, widely] = [&tight, &wide].map(|pattern| Decision::Mute(pattern.clone()));
        let [unmute, everything] = [&tight, &wide].map(|pattern| Decision::Unmute(pattern.clone()));
        let ack = Decision::Acknowledge(f.id);
        let of = |decisions: &[&Decision]| {
            let all: Vec<_> = decisions.iter().map(|decision| (*decision).clone()).collect();
            let journal = journal(&all);
            let stand: Vec<u64> = mutes(&journal).iter().map(|(entry, _)| entry.n).collect();
            (Triage::new(&journal, &[]).status(&f), stand)
        };
        assert_eq!(of(&[&mute, &unmute]), (Status::Open, vec![]));
        assert_eq!(of(&[&ack, &mute, &unmute]), (Status::Acknowledged, vec![]));
        assert_eq!(of(&[&mute, &unmute, &mute]), (Status::Muted, vec![3]));
        assert_eq!(of(&[&mute, &widely, &mute]), (Status::Muted, vec![2, 3]), "of two alike the later");
        assert_eq!(of(&[&mute, &mute, &unmute]), (Status::Open, vec![]), "and both are taken back");
        assert_eq!(of(&[&mute, &everything]), (Status::Muted, vec![1]), "another pattern");
        assert_eq!(of(&[&mute, &widely, &unmute]), (Status::Muted, vec![2]), "which covers it too");
        assert_eq!(of(&[&unmute]), (Status::Open, vec![]));
    }

    #[test]
    fn a_mute_goes_on_when_its_device_turns_out_to_be_another() {
        let [before, after, other] = [7, 3, 8].map(|device| finding(1, "new-peer", device, 104, 50));
        let mute = [Decision::Mute(Pattern::of(&before.key))];
        let of = |merges: &[Merge]| {
            let triage = Triage::new(&journal(&mute), merges);
            assert_eq!(
                triage.concerns(&mute[0], &after),
                triage.status(&after) == Status::Muted,
                "{merges:?}"
            );
            [&before, &after, &other].map(|finding| triage.status(finding))
        };
        let (hidden, told) = (Status::Muted, Status::Open);
        assert_eq!(of(&[]), [hidden, told, told]);
        assert_eq!(of(&[merge(7, 5, false), merge(5, 3, false)]), [hidden, hidden, told]);
        assert_eq!(of(&[merge(7, 5, false), merge(5, 3, true)]), [hidden, told, told], "taken back");
        assert_eq!(of(&[merge(7, 8, false), merge(8, 7, false)])[1], told, "rows that go in a circle end");
    }

    #[test]
    fn a_mute_covers_what_was_muted_and_not_what_that_is_one_with_since() {
        let mac = |last| Mac([0, 0, 0, 0, 0, last]);
        let about = |device, macs: &[u8]| {
            let mut finding = finding(1, "new-peer", device, 104, 50);
            finding.device.as_mut().unwrap().macs = macs.iter().copied().map(mac).collect();
            finding
        };
        let mute = |device, macs: &[u8]| {
            let macs = macs.iter().copied().map(mac).collect();
            Decision::Mute(Pattern { macs, ..Pattern::of(&about(device, &[]).key) })
        };
        let merges = [merge(7, 3, false)];
        let of = |mute: &Decision, finding: &Finding| {
            let triage = Triage::new(&journal(from_ref(mute)), &merges);
            assert!(triage.concerns(mute, finding), "what was decided of its device is shown");
            let (finding, status) = triage.judge(finding.clone());
            (status, finding.evidence.iter().any(|(name, _)| name == MUTED_BEFORE))
        };
        let (hidden, told) = ((Status::Muted, false), (Status::Open, true));
        // Of what was muted as d7, and is called d3 by now.
        assert_eq!(of(&mute(7, &[7]), &about(3, &[7])), hidden);
        assert_eq!(of(&mute(7, &[7]), &about(3, &[])), hidden, "known by its address");
        assert_eq!(of(&mute(7, &[7]), &about(3, &[3])), told, "the other's, from before");
        assert_eq!(of(&mute(7, &[7]), &about(3, &[3, 7])), told, "either's");
        assert_eq!(of(&mute(3, &[3]), &about(3, &[3, 7])), told, "whichever number stays");
        assert_eq!(of(&mute(3, &[3, 7]), &about(3, &[3, 7])), hidden, "muted as what it is now");
        assert_eq!(of(&mute(7, &[]), &about(3, &[3, 7])), hidden, "nobody kept what was muted");
        let other = Triage::new(&journal(&[mute(7, &[7])]), &[]).judge(about(3, &[3]));
        assert_eq!((other.1, other.0.evidence.len()), (Status::Open, 1), "another device's is not concerned");
    }

    #[test]
    fn decisions_read_as_sentences() {
        let f = finding(3, "new-peer", 7, 104, 50);
        let tight = Pattern::of(&f.key);
        assert_eq!(words(&Decision::Mute(tight.clone())), "muted new-peer (external) about d7 on 104/tcp");
        assert_eq!(words(&Decision::Unmute(tight)), "unmuted new-peer (external) about d7 on 104/tcp");
        let any = Decision::Mute(wide("new-peer"));
        assert_eq!(words(&any), "muted new-peer about any device on any service");
        let peer_class = Text::from_str_lossy("-").unwrap();
        let sensor = FindingKey { device: None, service: None, peer_class, ..f.key };
        assert_eq!(
            words(&Decision::Mute(Pattern::of(&sensor))),
            "muted new-peer about no device on no service"
        );
        assert_eq!(words(&Decision::Resolve(FindingId(3), Timestamp(0))), "resolved f3");
        assert_eq!(words(&Decision::Lock(None, Timestamp(0))), "ended learning of all devices");
    }
}
