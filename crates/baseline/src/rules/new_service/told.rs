//! How a service is told that a device, or a whole role, begins to offer.

use super::{Client, DOORS, NewService, RULE};
use crate::findings::{number, word};
use crate::judge::View;
use crate::lists::listed;
use crate::rules::askers;
use crate::rules::waves::{Change, Joined, Told};
use crate::trail::Trail;
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, Figure, IpProto, Severity, Timestamp};
use std::borrow::Cow;

impl NewService {
    /// Who asked for a service, as far as it is known, in the order in which they did first.
    fn askers(
        &self,
        (id, transport, port): (DeviceId, IpProto, u16),
        view: &View<'_>,
    ) -> Vec<(Cow<'static, str>, Figure)> {
        let mut names = askers::names((id, transport, port), view);
        // Conversations on a port that may be negotiated have no port of their own in what is learned.
        let negotiated =
            self.high.get(&id.0).and_then(|ports| ports.get(&(transport.0, port))?.client.clone());
        let negotiated = negotiated.map(|client| match client {
            Client::Device(id) => askers::called(DeviceId(id), view),
            Client::Address(ip) => crate::site::called(ip),
        });
        names.extend(negotiated.filter(|name| !names.contains(name)));
        listed(["asked_by", "more_asked_by"], &names, names.len())
    }

    /// A learned device serves something new.
    pub(super) fn tell(
        &mut self,
        (id, transport, port): (DeviceId, IpProto, u16),
        (ts, application): (Timestamp, Option<&str>),
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let Some(device) = view.profile(id) else { return };
        let is_door = transport == IpProto::TCP && DOORS.contains(&port);
        let service = (transport, port, application);
        // No roll-out is asked for from outside.
        let is_open = askers::are_outside((id, transport, port), view);
        if let Some(change) =
            Change::served(device.class(), (transport, port), application).filter(|_| !is_door && !is_open)
        {
            match self.waves.serves(change.clone(), device.id(), ts) {
                Told::Wave(joined) => return self.raise_wave(&change, &joined, view, out),
                Told::Nothing => return,
                Told::Alone => {}
            }
        }
        let severity = if is_door { Severity::High } else { RULE.severity };
        let title = format!("{} ({}) serves {}, which is new", device.name, device.class(), called(service));
        let seen = view.normal_until(id, ts);
        let verdict = Verdict::new(&RULE, Some(id), ts, title)
            .service(transport, port, application.map(|app| app.to_owned().into()))
            .severity(if is_open { severity.step(true) } else { severity })
            .over(Trail::Served(device.id(), transport, port))
            .found([number("port", port.into())])
            .found(word("application", application.unwrap_or("not recognised")))
            .found(self.askers((id, transport, port), view))
            .normal([number("active_hours", u64::from(seen.hours))])
            .normal(word("seen_since", &device.device.first.to_string()));
        out.raise(view, verdict);
    }

    /// Several devices of a role began to serve the same: one note for all of them, which names who asks.
    pub(super) fn raise_wave(
        &mut self,
        change: &Change,
        joined: &Joined,
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let (class, (transport, port), application) = change.served_by();
        for id in &joined.new {
            let Some(at) = joined.devices.get(id).map(|at| Timestamp(*at)) else { continue };
            out.lower_service(
                view,
                &RULE,
                (*id, at),
                (transport, port),
                "part of a change of the whole role",
            );
        }
        let (devices, names) = self.waves.askers(change, &joined.new, view);
        let peer = match (devices.as_slice(), names.len()) {
            (_, 0) => Peer::Nobody,
            ([one], 1) => Peer::Device(*one),
            (_, n) => Peer::Many(n as u64),
        };
        let application = application.map(|app| app.to_owned().into());
        let about = |verdict: Verdict| {
            let verdict = verdict.service(transport, port, application).peer(peer);
            verdict.found([number("askers", names.len() as u64)]).found(listed(
                ["asked_by", "more_asked_by"],
                &names,
                names.len(),
            ))
        };
        let what = format!("now serve {}", called((transport, port, change.served_by().2)));
        if let Some(verdict) = joined.note(&RULE, class, &what, view, about) {
            out.raise(view, verdict);
        }
    }
}

/// `tcp/104 (dicom)`.
fn called((transport, port, application): (IpProto, u16, Option<&str>)) -> String {
    let app = application.map(|app| format!(" ({app})")).unwrap_or_default();
    format!("{transport}/{port}{app}")
}
