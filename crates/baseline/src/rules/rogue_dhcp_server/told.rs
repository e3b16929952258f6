//! How a DHCP server is told that was not there when the site was learned.

use super::{ANYBODY, Answers, Handed, RULE, RogueDhcp};
use crate::findings::{number, word};
use crate::judge::View;
use crate::lists::listed;
use crate::profile::Profile;
use crate::rules::askers;
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, IpProto, Severity, Timestamp};
use std::net::IpAddr;

impl RogueDhcp {
    fn normal(&self, view: &View<'_>, verdict: Verdict) -> Verdict {
        verdict
            .normal([number("known_servers", self.names_of(DeviceId(ANYBODY)).count() as u64)])
            .normal(view.armed_from.and_then(|from| word("servers_known_until", &from.to_string())))
    }

    /// Somebody answers in the name of a server that is not known: a device, where it is known whose the address is.
    pub(super) fn raise(
        &self,
        ip: IpAddr,
        answers: &Answers,
        device: Option<&Profile>,
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let who = device
            .map_or_else(|| ip.to_string(), |profile| format!("{} ({})", profile.name, profile.class()));
        let is_proxy = answers.given == 0;
        let what = if is_proxy { "answers as a DHCP proxy" } else { "hands out addresses by DHCP" };
        let clients = self.told.clients(ip, view);
        let names: Vec<String> = clients.iter().map(|id| askers::called(*id, view)).collect();
        let mut verdict = Verdict::new(&RULE, device.map(Profile::id), answers.last, format!("{who} {what}"))
            .severity(if is_proxy { Severity::Info } else { Severity::High })
            .apart(&ip.to_string())
            .service(IpProto::UDP, 67, Some("dhcp".into()))
            .between(answers.first, answers.last)
            .times(answers.offers.saturating_add(answers.acks))
            .found(word("server", &ip.to_string()))
            .found(answers.vlan.inner().map(|vlan| number("vlan", vlan.into())))
            .found([
                number("offers", answers.offers),
                number("acks", answers.acks),
                number("clients", clients.len() as u64),
                number("threshold", 1),
            ])
            .found(listed(["asked_by", "more_asked_by"], &names, names.len()));
        if device.is_none() {
            verdict = verdict.peer(Peer::Address(ip));
        }
        let given = self.terms.of(ip, device.map(Profile::id)).or_else(|| self.terms.of(ip, None));
        out.raise(view, self.terms.tell(self.normal(view, verdict), given));
    }

    /// A device answers in the name of a known server.
    pub(super) fn raise_imposter(
        &self,
        ip: IpAddr,
        profile: &Profile,
        handed: &Handed,
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let known: Vec<_> = self.who_answers_as(ip).filter_map(|id| view.profile(id)).collect();
        let names: Vec<&str> = known.iter().map(|profile| profile.name.as_str()).collect();
        let title =
            format!("{} ({}) hands out addresses by DHCP in the name of {ip}", profile.name, profile.class());
        let has_taken_it = profile.device.addresses.iter().any(|(_, own)| *own == ip);
        let mut verdict = Verdict::new(&RULE, Some(profile.id()), handed.last, title)
            .apart(&ip.to_string())
            .peer(known.first().map_or(Peer::Address(ip), |known| Peer::Device(known.id())))
            .service(IpProto::UDP, 67, Some("dhcp".into()))
            .between(handed.first, handed.last)
            .times(handed.answers)
            .found(word("server", &ip.to_string()))
            .found([number("answers", handed.answers), number("threshold", 1)])
            .normal(word("answered_by", &names.join(", ")));
        if has_taken_it {
            // The address is the server's, and says nothing of where this one is.
            verdict = verdict.placed(view.zone_of_vlans(&profile.device.vlans));
        }
        let given = self.terms.of(ip, Some(profile.id()));
        out.raise(view, self.terms.tell(self.normal(view, verdict), given));
    }

    /// A device began to answer, and nobody knows in whose name.
    pub(super) fn raise_serves(&self, profile: &Profile, ts: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
        let title = format!("{} ({}) begins to answer as a DHCP server", profile.name, profile.class());
        let verdict = Verdict::new(&RULE, Some(profile.id()), ts, title)
            .service(IpProto::UDP, 67, Some("dhcp".into()))
            .found([number("answers", 1), number("threshold", 1)]);
        out.raise(view, self.terms.tell(self.normal(view, verdict), self.terms.by(profile.id())));
    }
}
