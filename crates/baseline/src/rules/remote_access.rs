//! A clinical device is steered from a computer that is no jump host.

use super::edges::{Kind, kind, name, remote};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{EdgeNews, View};
use crate::verdict::{Out, Verdict};
use model::Severity;

pub(super) static RULE: Rule = Rule {
    name: "remote-access",
    severity: Severity::High,
    rises: true,
    posture: false,
    attack: &["T0886", "T0822", "T1021.001", "T1021.005", "T1219.002", "T1199"],
    finds: "An answered conversation with a clinical device, or one of any class that came to a zone of care after the site was \
        learned, on a port of SSH, RDP, VNC, TeamViewer, AnyDesk, ScreenConnect or \
        WinRM, from a host inside that is not among the jump hosts of the configuration, whether it is learned or not. Told by \
        handshake and port: the content is not read. SMB is left out, as files are shared over it, too. \
        Who comes from outside is told by internet-to-clinical. \
        A newcomer's becomes a note when it turns out within an hour to be another card of a learned device that is used to it.",
    matters: "Who steers a clinical device can change what it does to a patient. Jump hosts are where that is controlled.",
    innocent: "A service visit; a helpdesk tool; a jump host that is missing in the configuration.",
    references: "Medical Device Access Management: broker remote vendor access through a jump host; ATT&CK T0886, T1021.",
    advice: "Ask who sits at the other end, and whether biomedical engineering knows of a service session now.",
    contain: "",
    wants: Wants::NOTHING,
    watch: || Box::new(RemoteAccess),
};

#[derive(Debug)]
struct RemoteAccess;

impl Watch for RemoteAccess {
    fn edge(&mut self, news: &EdgeNews, view: &View<'_>, out: &mut Out<'_>) {
        let (Kind::Remote, [asker, Some(device)]) = kind(news, view) else { return };
        let Some(program) = remote(news.key.transport, news.key.port) else { return };
        let title = format!(
            "{} opens {program} (by port {}) on {} ({})",
            name(&asker, news),
            news.key.port,
            device.name,
            device.class()
        );
        let jump_hosts = view.site.jump_hosts.len() as u64;
        let verdict = Verdict::new(&RULE, Some(device.id()), news.first, title)
            .edge(news)
            .peer(asker.as_ref().map_or(news.peer(), |asker| crate::verdict::Peer::Device(asker.id())))
            .found([number("flows", news.conversations), number("bytes", news.bytes.iter().sum())])
            .found(word("program", program))
            .normal([number("jump_hosts_configured", jump_hosts)]);
        out.raise(view, verdict);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, EdgeState, Severity};

    #[test]
    fn only_jump_hosts_may_steer_a_clinical_device() {
        let mut story = Story::with(DAY, |config| {
            config.site.jump_hosts = vec![("10.20.40.2".parse().unwrap(), 32)];
        });
        let (ct, pump) =
            (story.device(1, DeviceClass::Ct, 20), story.device(5, DeviceClass::InfusionPump, 26));
        let (jump, desk) =
            (story.device(2, DeviceClass::Workstation, 40), story.device(3, DeviceClass::Workstation, 40));
        story.talk(jump, ct, 22, None);
        story.talk(desk, jump, 3389, None);
        story.talk(desk, ct, 104, Some("dicom"));
        assert_eq!(story.found("remote-access").len(), 0);
        story.talk(desk, ct, 3389, None);
        story.talk(desk, pump, 5900, None);
        let found = story.found("remote-access");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert_eq!(brief, [(Some(ct), Severity::High), (Some(pump), Severity::Critical)]);
        assert_eq!(found[0].peer.as_ref().and_then(|peer| peer.device), Some(desk));
        let quarantined = story.baseline.edges().filter(|edge| edge.state == EdgeState::Quarantined).count();
        assert_eq!(quarantined, 2, "what is seen of it while learning is not learned");
    }

    #[test]
    fn a_conversation_counts_once_however_long_it_takes() {
        for restarts in [false, true] {
            let mut story = Story::new(DAY);
            let (ct, desk) =
                (story.device(1, DeviceClass::Ct, 20), story.device(3, DeviceClass::Workstation, 40));
            story.talk(ct, desk, 443, None);
            story.at(2 * DAY - HOUR);
            let counts = |story: &mut Story| -> Vec<u64> {
                let found = story.found("remote-access");
                if restarts {
                    story.restart();
                }
                found.iter().map(|f| f.count).collect()
            };
            // A part is told every quarter of an hour, and midnight comes meanwhile.
            for part in 0..8 {
                story.continued = part > 0;
                story.talk(desk, ct, 3389, None);
                story.wait(900 * 1_000_000_000);
                assert_eq!(counts(&mut story), if part < 4 { vec![1] } else { vec![1, 1] }, "{part}");
            }
            story.continued = false;
            story.talk(desk, ct, 3389, None);
            assert_eq!(counts(&mut story), [1, 1], "what was there at midnight was counted the day before");
            story.talk(desk, ct, 3389, None);
            assert_eq!(counts(&mut story), [1, 2], "three conversations in all");
        }
    }

    #[test]
    fn what_was_told_is_not_told_again_when_its_device_turns_out_to_be_another() {
        let mut story = Story::new(DAY);
        let (device, desk) =
            (story.device(1, DeviceClass::Unknown, 40), story.device(3, DeviceClass::Workstation, 40));
        (0..3).for_each(|_| story.talk(desk, device, 3389, None));
        assert_eq!(story.found("remote-access").len(), 0);
        let counts = |story: &mut Story, class: DeviceClass| -> Vec<u64> {
            story.devices.get_mut(&device).unwrap().class = class;
            story.wait(24 * HOUR).restart();
            story.talk(desk, device, 443, None);
            story.wait(HOUR);
            story.found("remote-access").iter().map(|f| f.count).collect()
        };
        assert_eq!(counts(&mut story, DeviceClass::Ct), [3], "all of it is new");
        assert_eq!(counts(&mut story, DeviceClass::Mr), [3], "none of it is");
    }
}
