//! By which of their addresses the ends of an edge talked. Who has an address in several zones is in that of the one it uses.

use crate::judge::{EdgeNews, View};
use crate::site::Site;
use crate::table::{Key, Table};
use model::{Flow, Text};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Edges that wait to be judged of which it is known, at most. Of more, a device is where it is at home.
const MOST: usize = 8_192;

/// The address of who asks, and of who answers.
pub(crate) type Way = [IpAddr; 2];

/// Of edges that wait to be judged, by which addresses the ends talked.
#[derive(Debug, Default)]
pub(crate) struct Ways(BTreeMap<Key, Way>);

impl Ways {
    /// A conversation of an edge that waits. One from zone to zone is kept before one within a zone: what is judged is the
    /// widest that was done.
    pub(crate) fn note(&mut self, key: &Key, flow: &Flow, turned: bool, site: &Site) {
        let [(asker, _), (answerer, _)] = flow.record.ends();
        let way = if turned { [answerer, asker] } else { [asker, answerer] };
        let crosses = |[a, b]: Way| site.zone(None, a) != site.zone(None, b);
        if let Some(known) = self.0.get_mut(key) {
            if *known != way && crosses(way) && !crosses(*known) {
                *known = way;
            }
        } else if self.0.len() < MOST {
            self.0.insert(*key, way);
        }
    }

    pub(crate) fn of(&self, key: &Key) -> Option<Way> {
        self.0.get(key).copied()
    }

    /// The edge was judged.
    pub(crate) fn remove(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// Forgets those of edges that do not wait any more.
    pub(crate) fn forget(&mut self, edges: &Table) {
        self.0.retain(|key, _| edges.get(key).is_some_and(|state| state.waits || state.waits_for_hour));
    }
}

impl EdgeNews {
    /// The zones of who asks and who answers: of a device with addresses in several that of the address by which it talked,
    /// and where that is not known the one that it is at home in.
    pub(crate) fn zones(&self, view: &View<'_>) -> [Option<Text>; 2] {
        let ends = self.ends().map(|id| id.and_then(|id| view.profile(id)));
        [0, 1].map(|side| match ends.get(side).and_then(Option::as_ref) {
            Some(profile) => profile.zone_by(self.way.and_then(|way| way.get(side).copied()), view.site),
            None => self.address().and_then(|ip| view.zone(ip)).map(|zone| zone.name.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story, text};
    use model::{DeviceClass, DeviceId, Finding, FlowState, Severity, Vlan};
    use std::net::IpAddr;

    /// The device has an address in one more zone, behind the one it is at home in.
    fn also_in(story: &mut Story, id: DeviceId, zone: u8) -> IpAddr {
        let ip = IpAddr::from([10, 20, zone, id.0 as u8]);
        story.devices.get_mut(&id).unwrap().addresses.push((Vlan::single(zone.into()), ip));
        ip
    }

    fn talk(
        story: &mut Story,
        from: (DeviceId, IpAddr),
        to: (DeviceId, IpAddr),
        port: u16,
        app: Option<&'static str>,
    ) {
        let ends = ((Some(from.0), from.1), (Some(to.0), to.1));
        story.flow(ends.0, ends.1, port, app, [2_000, 2_000], FlowState::Closed);
    }

    fn titles(found: &[Finding]) -> Vec<&str> {
        found.iter().map(|f| f.title.as_str()).collect()
    }

    #[test]
    fn clinical_data_crosses_zones_by_the_addresses_that_it_is_sent_by() {
        let mut story = Story::new(DAY);
        let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(3, DeviceClass::Pacs, 30));
        let near = also_in(&mut story, pacs, 20);
        let [of_ct, far] = [ct, pacs].map(|id| story.ip(id));
        let store = |story: &mut Story, to: IpAddr| {
            story.ask(ct, pacs, 104, "dicom", "C-STORE", Some("success"));
            talk(story, (ct, of_ct), (pacs, to), 104, Some("dicom"));
        };
        for hour in 0..5 {
            store(story.at(hour * HOUR), near);
            assert!(story.found("clear-clinical-across-zones").is_empty(), "within the zone");
        }
        // The control: once by the address of the other zone, among others within.
        [near, far, near].into_iter().for_each(|ip| store(&mut story, ip));
        story.wait(HOUR);
        let found = story.found("clear-clinical-across-zones");
        assert_eq!(titles(&found), ["DICOM in clear from imaging to servers"]);
        store(story.wait(HOUR), near);
        story.wait(HOUR);
        assert_eq!(story.found("clear-clinical-across-zones"), found, "that was all");
    }

    #[test]
    fn a_legacy_protocol_crosses_zones_by_the_address_that_it_is_asked_by() {
        for (is_near, severity) in [(true, Severity::Medium), (false, Severity::High)] {
            let mut story = Story::new(DAY);
            let (desk, server) =
                (story.device(1, DeviceClass::Workstation, 40), story.device(3, DeviceClass::Server, 30));
            let near = also_in(&mut story, server, 40);
            let to = if is_near { near } else { story.ip(server) };
            let from = story.ip(desk);
            talk(&mut story, (desk, from), (server, to), 23, None);
            story.wait(HOUR);
            let found = story.found("legacy-protocol");
            assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [severity], "{is_near}");
        }
    }

    #[test]
    fn a_server_in_several_zones_is_turned_to_in_the_one_of_its_address() {
        for (zone, told) in [(26, None), (40, Some("office"))] {
            let mut story = Story::new(DAY);
            let (monitor, gateway) = (
                story.device(1, DeviceClass::PatientMonitor, 26),
                story.device(2, DeviceClass::MonitorGateway, 26),
            );
            let server = story.device(3, DeviceClass::Server, 40);
            also_in(&mut story, server, 26);
            for hour in 0..5 {
                story.at(hour * HOUR).talk(monitor, gateway, 4_001, None);
            }
            story.at(DAY + HOUR).restart();
            let (from, to) = (story.ip(monitor), IpAddr::from([10, 20, zone, 3]));
            (0..2).for_each(|_| talk(&mut story, (monitor, from), (server, to), 9_000, None));
            let found = story.found("unusual-destination");
            assert_eq!(found.len(), usize::from(told.is_some()), "{zone}");
            assert!(told.is_none_or(|told| found[0].title.as_str().contains(&format!("turns to {told}"))));
            assert_eq!(story.found("new-edge").len(), usize::from(told.is_none()), "it is told all the same");
        }
    }

    #[test]
    fn a_router_is_in_no_zone_and_who_moved_is_where_it_is_now() {
        let zones = |class: DeviceClass, more: &[u8]| {
            let mut story = Story::new(DAY);
            let (one, pacs) = (story.device(7, class, 40), story.device(3, DeviceClass::Pacs, 30));
            for zone in more {
                also_in(&mut story, one, *zone);
            }
            let refused = Some("rejected: no reason given");
            (0..3).for_each(|_| story.ask(one, pacs, 104, "dicom", "A-ASSOCIATE", refused));
            let found = story.found("dicom-rejected").remove(0);
            found.device.unwrap().zone
        };
        let office = Some(text("office"));
        assert_eq!(zones(DeviceClass::Router, &[20, 26]), None);
        assert_eq!(zones(DeviceClass::Server, &[20]), None);
        assert_eq!(zones(DeviceClass::Server, &[]), office);
        assert_eq!(zones(DeviceClass::Workstation, &[]), office);
        assert_eq!(zones(DeviceClass::Workstation, &[20]), office, "an address that it had before it moved");
    }

    #[test]
    fn who_comes_to_a_zone_of_care_among_others_is_looked_at_as_who_comes_to_that_alone() {
        for class in [DeviceClass::Router, DeviceClass::Server] {
            let mut story = Story::new(DAY);
            story.at(DAY + HOUR);
            let new = story.device(9, class, 40);
            also_in(&mut story, new, 20);
            let outside = (None, IpAddr::from([203, 0, 113, 9]));
            let from = (Some(new), story.ip(new));
            (0..2).for_each(|_| story.flow(from, outside, 443, None, [2_000, 2_000], FlowState::Closed));
            let found = story.found("internet-from-clinical");
            assert_eq!(found.len(), 1, "{class}");
        }
    }
}
