//! What is told of a flow: when it is over, and every quarter of an hour while it goes on.

use super::{Context, Part};
use crate::counters::{Tally, add};
use crate::dispatch::Origin;
use crate::table::Flow;
use model::{Event, FlowRecord, IpProto, Observation, Side, Vlan};
use std::net::IpAddr;

impl Part {
    /// A flow is looked at: it is over when it has been idle for too long, else what there was of it is told.
    pub(crate) fn close(&mut self, cx: &mut Context<'_>, slot: u32) {
        match self.table.get(slot) {
            Some(flow) if flow.last.plus(flow.idle(cx.config)) > cx.now => self.tell(cx, slot),
            _ => self.end(cx, slot),
        }
    }

    /// What there was of a flow that goes on is told, and counted anew.
    fn tell(&mut self, cx: &mut Context<'_>, slot: u32) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        let mut told = flow.clone();
        flow.told();
        // Whenever more comes of it, it is told in time.
        let check = flow.check(cx.config).min(cx.now.plus(cx.config.told_every)).seconds().saturating_add(1);
        self.timers.set(&mut self.table, slot, cx.now.seconds(), check);
        if let Some(place) = self.sessions.get_mut(told.conversation).and_then(|c| c.found()) {
            told.find(place);
        }
        self.hear(cx, &told);
        let record = Box::new(record(cx, &told));
        cx.out.push(Event::Flow { no: cx.no, record, learned: Vec::new() });
    }

    /// A flow is over.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>, slot: u32) {
        let Some(mut flow) = self.table.remove(slot) else { return };
        let scope = flow.key.scope;
        let [low, high] = flow.key.ends();
        let mut learned = Vec::new();
        if let Some(mut conversation) = self.sessions.remove(flow.conversation) {
            self.held = self.held.saturating_sub(conversation.charged());
            let (no, ts, macs, proto) = (cx.no, flow.last, flow.macs(), flow.key.proto);
            let (vlan, src, dst, side, truncated) = (vlan_of(cx, scope), low, high, Side::Low, false);
            let origin = Origin { no, ts, vlan, macs, own: None, src, dst, proto, side, truncated };
            let gaps = conversation.close(cx.registry, &origin, cx.tally, &mut learned);
            flow.gaps = flow.gaps.saturating_add(u16::try_from(gaps).unwrap_or(u16::MAX));
            if let Some(place) = conversation.found() {
                flow.find(place);
            }
        }
        let is_between_hosts = [low, high].into_iter().all(|(ip, _)| crate::decode::is_host(ip));
        if matches!(IpProto(flow.key.proto), IpProto::TCP | IpProto::UDP) && is_between_hosts {
            let one_sided = u64::from(!flow.is_two_sided());
            add(&mut cx.tally.sum.one_sided, one_sided);
            cx.tally.quality(scope, |quality| {
                add(&mut quality.flows, 1);
                add(&mut quality.one_sided, one_sided);
            });
        }
        self.hear(cx, &flow);
        self.over(cx, &flow, learned);
    }

    /// Nothing came since it was told of: then there is nothing more to tell, unless its last bytes taught something.
    fn over(&self, cx: &mut Context<'_>, flow: &Flow, learned: Vec<Observation>) {
        if flow.has_packets() || !learned.is_empty() {
            let record = Box::new(record(cx, flow));
            cx.out.push(Event::Flow { no: cx.no, record, learned });
        }
    }

    /// Counts where the ends of a flow were heard, and its holes.
    fn hear(&mut self, cx: &mut Context<'_>, flow: &Flow) {
        let ends = flow.key.ends();
        let single = ends.map(|(ip, _)| crate::decode::is_host(ip));
        if matches!(IpProto(flow.key.proto), IpProto::TCP | IpProto::UDP) && single == [true; 2] {
            cx.tally.quality(flow.key.scope, |quality| add(&mut quality.gaps, u64::from(flow.gaps)));
        }
        let mut heard = |side: Side, (host, _): (IpAddr, u16), group: bool| {
            if flow.packets(side) > 0 {
                self.networks.heard(cx.tally.scopes.get(flow.scope(side)), host, group);
            }
        };
        let ([low, high], [low_single, high_single]) = (ends, single);
        heard(Side::Low, low, !high_single);
        heard(Side::High, high, !low_single);
    }
}

/// The VLAN that a number stands for.
fn vlan_of(cx: &Context<'_>, scope: u16) -> Vlan {
    scopes(cx.tally, cx.config.vlan_scope, scope)
}

fn scopes(tally: &Tally, scoped: bool, scope: u16) -> Vlan {
    if scoped { tally.scopes.get(scope) } else { Vlan::NONE }
}

fn record(cx: &Context<'_>, flow: &Flow) -> FlowRecord {
    let name = |place: u8| cx.registry.get(place).map(|dissector| dissector.name);
    let claimed = |port: u16| cx.registry.port(flow.key.proto, port).and_then(name);
    let tunnel = cx.tally.tunnels.get(flow.tunnel);
    flow.record(|scope| vlan_of(cx, scope), tunnel, claimed, flow.found().and_then(name))
}
