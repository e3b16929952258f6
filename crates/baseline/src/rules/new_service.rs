//! A device serves a port that it did not serve before.

use super::window::rename;
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::verdict::{Out, Verdict};
use crate::trail::Trail;
use inventory::Sign;
use model::{DeviceId, IpProto, Severity, Timestamp};
use std::collections::BTreeMap;

pub(super) static RULE: Rule = Rule {
    name: "new-service",
    severity: Severity::Medium,
    rises: true,
    posture: false,
    attack: &["T0886", "T1021"],
    finds: "A learned device answers on a port that it never answered on before: a handshake was completed, or the content \
        says what is served. High for FTP, SSH, Telnet, SMB, RDP and VNC (by port). Negotiated ports do not count unless the \
        content tells.",
    matters: "A clinical device that opens a new door was changed: by an update, by a technician, or by somebody else.",
    innocent: "Updates, service modes, a function that nobody used while the device was learned.",
    references: "Medical Device Network Isolation: record ports and services observed; ATT&CK T0886, T1021.",
    advice: "Ask biomedical engineering what was changed on the device at that time.",
    contain: "Until then block the port at the firewall.",
    wants: Wants::SIGNS,
    watch: || Box::<NewService>::default(),
};

/// Services that wait to be judged, at most; a scan of open doors is told by others.
const MOST: usize = 1_024;

/// Ports that let others in.
const DOORS: [u16; 6] = [21, 22, 23, 445, 3389, 5900];

type Place = (DeviceId, u8, u16);

#[derive(Debug, Default)]
struct NewService {
    seen: BTreeMap<Place, (Timestamp, Option<&'static str>)>,
}

impl Watch for NewService {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        if let Sign::Serves { transport, port, application } = *seen.sign
            && self.seen.len() < MOST
        {
            self.seen.insert((seen.device, transport.0, port), (seen.ts, application));
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let its = self.seen.range((from, 0, 0)..).map(|(place, _)| *place).take_while(|(id, ..)| *id == from);
        for place in its.collect::<Vec<_>>() {
            rename(&mut self.seen, &place, (into, place.1, place.2), |own, other| own.0 = other.0.min(own.0));
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for ((id, transport, port), (ts, application)) in std::mem::take(&mut self.seen) {
            // Who answers for leases is looked at by a rule of its own.
            let is_lease = transport == IpProto::UDP.0 && matches!(port, 67 | 547);
            if is_lease || !view.is_armed(id) {
                continue;
            }
            let Some(device) = view.profile(id) else { continue };
            let is_door = transport == IpProto::TCP.0 && DOORS.contains(&port);
            let app = application.map(|app| format!(" ({app})")).unwrap_or_default();
            let title =
                format!("{} ({}) serves {}/{port}{app}, which is new", device.name, device.class(), IpProto(transport));
            let seen = view.habits.get(id).map(|habit| habit.seen()).unwrap_or_default();
            let verdict = Verdict::new(&RULE, Some(id), ts, title)
                .service(IpProto(transport), port, application.map(Into::into))
                .severity(if is_door { Severity::High } else { RULE.severity })
                .over(Trail::Served(device.id(), IpProto(transport), port))
                .found([number("port", port.into())])
                .found(word("application", application.unwrap_or("not recognised")))
                .normal([number("active_hours", u64::from(seen.hours))])
                .normal(word("seen_since", &device.device.first.to_string()));
            out.raise(view, verdict);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use inventory::Sign;
    use model::{DeviceClass, IpProto, Severity};

    #[test]
    fn a_door_that_opens_after_learning_is_told() {
        let mut story = Story::new(DAY);
        let (pump, ct) = (story.device(1, DeviceClass::InfusionPump, 26), story.device(2, DeviceClass::Ct, 20));
        story.talk(pump, ct, 104, None);
        let serves = |port| Sign::Serves { transport: IpProto::TCP, port, application: None };
        story.sign(pump, serves(80));
        assert_eq!(story.found("new-service").len(), 0, "while learning");
        story.at(DAY + HOUR).sign(pump, serves(8080));
        story.sign(ct, serves(22));
        story.sign(ct, Sign::Serves { transport: IpProto::UDP, port: 67, application: Some("dhcp") });
        let late = story.device(3, DeviceClass::Server, 30);
        story.sign(late, serves(443));
        let found = story.found("new-service");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert_eq!(brief, [(Some(pump), Severity::High), (Some(ct), Severity::High)], "a step up for the pump");
    }
}
