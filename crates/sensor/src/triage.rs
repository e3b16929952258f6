//! What operators decided about a finding: its status, from the journal alone.

use model::{Decision, DeviceId, Finding, FindingId, FindingKey, IpProto, JournalEntry, Timestamp};
use std::collections::BTreeMap;
use std::fmt;

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

/// About which device, on which service; `None` is any.
type Muted = (Option<DeviceId>, Option<(IpProto, u16)>);

/// The decisions that stand.
#[derive(Debug, Default)]
pub(crate) struct Triage {
    /// The last word on each finding: when it had last been seen if it was resolved, `None` if it was acknowledged.
    last: BTreeMap<FindingId, Option<Timestamp>>,
    /// What is muted of each rule.
    mutes: BTreeMap<String, Vec<Muted>>,
}

impl Triage {
    pub(crate) fn new(journal: &[JournalEntry]) -> Self {
        let mut triage = Self::default();
        for entry in journal {
            match &entry.decision {
                Decision::Acknowledge(id) => drop(triage.last.insert(*id, None)),
                Decision::Resolve(id, last) => drop(triage.last.insert(*id, Some(*last))),
                Decision::Mute(rule, device, service) => {
                    triage.mutes.entry(rule.clone()).or_default().push((*device, *service));
                }
                Decision::Lock(..) => {}
            }
        }
        triage
    }

    /// What is to be done about a finding. A mute covers what came before it, too.
    pub(crate) fn status(&self, finding: &Finding) -> Status {
        let mutes = self.mutes.get(finding.key.rule.as_ref());
        if mutes.is_some_and(|mutes| mutes.iter().any(|muted| covers(*muted, &finding.key))) {
            return Status::Muted;
        }
        match self.last.get(&finding.id) {
            None => Status::Open,
            Some(None) => Status::Acknowledged,
            Some(Some(last)) if finding.last > *last => Status::Open,
            Some(Some(_)) => Status::Resolved,
        }
    }
}

fn covers((device, service): Muted, key: &FindingKey) -> bool {
    (device.is_none() || device == key.device) && (service.is_none() || service == key.service)
}

/// Whether a decision is about this finding.
pub(crate) fn concerns(decision: &Decision, finding: &Finding) -> bool {
    match decision {
        Decision::Acknowledge(id) | Decision::Resolve(id, _) => *id == finding.id,
        Decision::Mute(rule, device, service) => {
            finding.key.rule == *rule && covers((*device, *service), &finding.key)
        }
        Decision::Lock(..) => false,
    }
}

/// A decision in plain words: `muted new-peer about d7 on 104/tcp`.
pub(crate) fn words(decision: &Decision) -> String {
    let about = |device: &Option<DeviceId>| device.map_or("any device".to_owned(), |id| id.to_string());
    match decision {
        Decision::Acknowledge(id) => format!("acknowledged {id}"),
        Decision::Resolve(id, _) => format!("resolved {id}"),
        Decision::Mute(rule, device, service) => {
            let on =
                service.map_or("any service".to_owned(), |(transport, port)| format!("{port}/{transport}"));
            format!("muted {rule} about {} on {on}", about(device))
        }
        Decision::Lock(device, _) => {
            format!("ended learning of {}", device.map_or("all devices".to_owned(), |id| id.to_string()))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use model::{DeviceClass, Figure, Mac, Party, Severity, Text};
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
        Triage::new(&journal(decisions)).status(finding)
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
    fn a_mute_covers_its_pattern_and_no_more() {
        let f = finding(1, "new-peer", 7, 104, 50);
        let mute =
            |device: Option<u32>, service| Decision::Mute("new-peer".into(), device.map(DeviceId), service);
        let (here, there) = (Some((IpProto::TCP, 104)), Some((IpProto::UDP, 104)));
        for (yes, decision) in [
            (true, mute(None, None)),
            (true, mute(Some(7), None)),
            (true, mute(None, here)),
            (true, mute(Some(7), here)),
            (false, mute(Some(8), here)),
            (false, mute(Some(7), there)),
            (false, Decision::Mute("new-peers".into(), None, None)),
        ] {
            assert_eq!(status(from_ref(&decision), &f) == Status::Muted, yes, "{decision}");
            assert_eq!(concerns(&decision, &f), yes, "{decision}");
        }
        let acknowledged = [mute(Some(7), None), Decision::Acknowledge(f.id)];
        assert_eq!(status(&acknowledged, &f), Status::Muted, "whatever else was decided");
        let sensor = Finding { key: FindingKey { device: None, service: None, ..f.key.clone() }, ..f };
        assert_eq!(status(&[mute(Some(7), None)], &sensor), Status::Open);
        assert_eq!(status(&[mute(None, None)], &sensor), Status::Muted);
    }

    #[test]
    fn decisions_read_as_sentences() {
        let mute = Decision::Mute("new-peer".into(), Some(DeviceId(7)), Some((IpProto::TCP, 104)));
        assert_eq!(words(&mute), "muted new-peer about d7 on 104/tcp");
        let any = Decision::Mute("new-peer".into(), None, None);
        assert_eq!(words(&any), "muted new-peer about any device on any service");
        assert_eq!(words(&Decision::Resolve(FindingId(3), Timestamp(0))), "resolved f3");
        assert_eq!(words(&Decision::Lock(None, Timestamp(0))), "ended learning of all devices");
    }
}
