//! Credentials that anybody on the way can read.

use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::verdict::{Out, Verdict};
use inventory::Sign;
use model::{DeviceId, Severity, Timestamp};
use std::collections::BTreeMap;

pub(super) static RULE: Rule = Rule {
    name: "cleartext-credential",
    severity: Severity::Medium,
    rises: false,
    posture: false,
    attack: &["T1552", "T1040", "T0859"],
    finds: "A device that sends a credential in clear, once a day for each kind: so far a DICOM user identity (user name, \
        pass code, SAML assertion or JSON web token) without TLS. What the credential is, is never kept. FTP and Telnet \
        are not read yet.",
    matters: "Whoever listens once can sign in afterwards as that user, from anywhere.",
    innocent: "Old equipment that cannot do otherwise: then the network between it and its server has to be the protection.",
    references: "DICOM PS3.7 D.3.3.7 User Identity, PS3.15 B.1 TLS; Medical Device Access Management: retire legacy \
        protocols, eliminate shared passwords; ATT&CK T1552 Unsecured Credentials.",
    advice: "Ask the maker for TLS; until then change the password, use it nowhere else, and keep this traffic in its own zone.",
    contain: "",
    wants: Wants::SIGNS,
    watch: || Box::<Cleartext>::default(),
};

/// Devices and kinds that wait for the end of the minute, at most; of more, some are told when they do it again.
const MOST: usize = 4_096;

/// How often, first and last.
type Times = (u64, Timestamp, Timestamp);

#[derive(Debug, Default)]
struct Cleartext(BTreeMap<(DeviceId, &'static str), Times>);

/// Whether whoever reads it can use it: a ticket is of use once only, and of an unknown type nothing is known.
fn is_usable(kind: &str) -> bool {
    !kind.contains("Kerberos") && !kind.contains("unknown type")
}

impl Watch for Cleartext {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        let Sign::Credential(kind) = *seen.sign else { return };
        let key = (seen.device, kind);
        if is_usable(kind) && (self.0.len() < MOST || self.0.contains_key(&key)) {
            let (n, first, last) = self.0.entry(key).or_insert((0, seen.ts, seen.ts));
            *n = n.saturating_add(1);
            (*first, *last) = (seen.ts.min(*first), seen.ts.max(*last));
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for ((id, kind), (n, first, last)) in std::mem::take(&mut self.0) {
            let Some(profile) = view.profile(id) else { continue };
            let title = format!("{} ({}) sends a credential in clear: {kind}", profile.name, profile.class());
            let verdict = Verdict::new(&RULE, Some(profile.id()), last, title)
                .apart(kind)
                .between(first, last)
                .times(n)
                .found(word("kind", kind))
                .found([number("seen", n), number("threshold", 1)]);
            out.raise(view, verdict);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, Story};
    use inventory::Sign;
    use model::{DeviceClass, Severity};

    #[test]
    fn each_kind_is_told_once_a_day_also_while_learning() {
        let mut story = Story::new(DAY);
        let viewer = story.device(1, DeviceClass::ImagingWorkstation, 40);
        for kind in ["DICOM user identity (username and passcode)", "DICOM user identity (username)"] {
            story.sign(viewer, Sign::Credential(kind));
            story.sign(viewer, Sign::Credential(kind));
        }
        let found = story.found("cleartext-credential");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(viewer), Severity::Medium, 2), (Some(viewer), Severity::Medium, 2)]);
        story.restart().sign(viewer, Sign::Credential("DICOM user identity (username)"));
        assert_eq!(story.found("cleartext-credential").iter().map(|f| f.count).sum::<u64>(), 5);
        story.at(DAY + 1).sign(viewer, Sign::Credential("DICOM user identity (username)"));
        assert_eq!(story.found("cleartext-credential").len(), 3, "another day");
    }

    #[test]
    fn a_ticket_is_of_no_use_to_who_reads_it() {
        let mut story = Story::new(DAY);
        let viewer = story.device(1, DeviceClass::ImagingWorkstation, 40);
        story.sign(viewer, Sign::Credential("DICOM user identity (Kerberos ticket)"));
        assert_eq!(story.found("cleartext-credential").len(), 0);
    }
}
