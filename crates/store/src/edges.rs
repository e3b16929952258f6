//! The edges of a client in one row.
//!
//! Edges are many, and those of one device are read and written together; a row for each would cost more than all that
//! was counted on it.

use crate::packed::{Reader, place, put, put_ip, put_list, put_signed};
use model::{DeviceId, Edge, EdgeKey, EdgeState, IpProto, Stranger, Text, Timestamp};
use std::net::IpAddr;

/// What the peer is known by, if anything, and in a bit of its own whether the peer asks.
mod peer {
    pub(super) const NONE: u8 = 0;
    pub(super) const DOMAIN: u8 = 1;
    pub(super) const V4: u8 = 4;
    pub(super) const V6: u8 = 6;
    pub(super) const INBOUND: u8 = 0x80;
}

/// A client's row: the applications and the texts its edges name, how many edges, and the edges.
pub(crate) fn pack(edges: &[Edge]) -> Vec<u8> {
    let (mut apps, mut texts, mut body) = (Vec::new(), Vec::new(), Vec::with_capacity(edges.len() * 32));
    for edge in edges {
        let key = &edge.key;
        put(&mut body, key.server.map_or(0, |id| u64::from(id.0) + 1));
        let family = match &key.peer {
            None => peer::NONE,
            Some(Stranger::Address(IpAddr::V4(_))) => peer::V4,
            Some(Stranger::Address(IpAddr::V6(_))) => peer::V6,
            Some(Stranger::Domain(_)) => peer::DOMAIN,
        };
        body.push(family | if key.inbound { peer::INBOUND } else { 0 });
        match &key.peer {
            None => {}
            Some(Stranger::Address(ip)) => put_ip(&mut body, *ip),
            Some(Stranger::Domain(domain)) => {
                put(&mut body, domain.as_str().len() as u64);
                body.extend_from_slice(domain.as_str().as_bytes());
            }
        }
        body.push(key.transport.0);
        put(&mut body, key.port.into());
        put(&mut body, place(&mut apps, key.application.as_deref()));
        put_signed(&mut body, edge.first.0);
        put_signed(&mut body, edge.last.0.wrapping_sub(edge.first.0));
        for n in [edge.flows, edge.packets[0], edge.packets[1], edge.bytes[0], edge.bytes[1]] {
            put(&mut body, n);
        }
        put(&mut body, edge.exchanges.len() as u64);
        for (kind, outcome, count) in &edge.exchanges {
            put(&mut body, place(&mut texts, Some(kind.as_str())));
            put(&mut body, place(&mut texts, outcome.as_ref().map(Text::as_str)));
            put(&mut body, *count);
        }
        put(&mut body, edge.latency.len() as u64);
        body.extend_from_slice(&edge.latency);
    }
    let mut out = Vec::with_capacity(body.len() + 64);
    put_list(&mut out, apps.iter());
    put_list(&mut out, texts.iter());
    put(&mut out, edges.len() as u64);
    out.extend_from_slice(&body);
    for edge in edges {
        put(&mut out, edge.hours.into());
        put_signed(&mut out, edge.last_hour.into());
        put(
            &mut out,
            EdgeState::ALL.iter().position(|state| *state == edge.state).unwrap_or_default() as u64,
        );
        put(&mut out, edge.feed.len() as u64);
        out.extend_from_slice(&edge.feed);
    }
    // Of most devices there is nothing more to say.
    if edges.iter().any(has_more) {
        for edge in edges {
            put(&mut out, has_more(edge).into());
            if has_more(edge) {
                put(&mut out, edge.parts.into());
                out.extend_from_slice(&edge.told.map(u8::from));
            }
        }
    }
    out
}

/// Whether some of an edge's flows were no conversations, or were told before it was judged.
fn has_more(edge: &Edge) -> bool {
    edge.parts > 0 || edge.told != [false; 2]
}

/// Reads a client's row; `None` when it is damaged.
pub(crate) fn unpack(client: DeviceId, bytes: &[u8]) -> Option<Vec<Edge>> {
    let mut from = Reader(bytes);
    let apps = from.list(|name| Some(name.to_owned()))?;
    let texts = from.list(Text::from_str_lossy)?;
    let count = from.number()?;
    let mut edges: Vec<Edge> =
        (0..count).map(|_| edge(client, &mut from, &apps, &texts)).collect::<Option<_>>()?;
    // What is learned of them stands at the end: rows of the first baselines have none.
    if !from.0.is_empty() {
        edges.iter_mut().try_for_each(|edge| learned(edge, &mut from))?;
    }
    if !from.0.is_empty() {
        edges.iter_mut().try_for_each(|edge| more(edge, &mut from))?;
    }
    Some(edges)
}

fn learned(edge: &mut Edge, from: &mut Reader<'_>) -> Option<()> {
    edge.hours = u32::try_from(from.number()?).ok()?;
    edge.last_hour = i32::try_from(from.signed()?).ok()?;
    edge.state = *EdgeState::ALL.get(usize::try_from(from.number()?).ok()?)?;
    let length = from.small()?;
    edge.feed = from.take(length)?.to_vec();
    Some(())
}

fn more(edge: &mut Edge, from: &mut Reader<'_>) -> Option<()> {
    if from.number()? > 0 {
        edge.parts = u32::try_from(from.number()?).ok()?;
        edge.told = from.array::<2>()?.map(|told| told > 0);
    }
    Some(())
}

fn edge(client: DeviceId, from: &mut Reader<'_>, apps: &[String], texts: &[Text]) -> Option<Edge> {
    let server = match from.number()?.checked_sub(1) {
        None => None,
        Some(id) => Some(DeviceId(u32::try_from(id).ok()?)),
    };
    let [family] = from.array()?;
    let peer = match family & !peer::INBOUND {
        peer::NONE => None,
        peer::V4 => Some(Stranger::Address(from.ip(false)?)),
        peer::V6 => Some(Stranger::Address(from.ip(true)?)),
        peer::DOMAIN => {
            let length = from.small()?;
            Some(Stranger::Domain(Text::new(from.take(length)?)?))
        }
        _ => return None,
    };
    let inbound = family & peer::INBOUND != 0;
    let [transport] = from.array()?;
    let port = from.small()?;
    let application = from.listed(apps)?.map(Into::into);
    let key = EdgeKey { client, server, peer, inbound, transport: IpProto(transport), port, application };
    let first = from.signed()?;
    let last = first.wrapping_add(from.signed()?);
    let flows = from.number()?;
    let packets = [from.number()?, from.number()?];
    let bytes = [from.number()?, from.number()?];
    let kinds = from.number()?;
    let exchange = |_| Some((from.listed(texts)??, from.listed(texts)?, from.number()?));
    let exchanges = (0..kinds).map(exchange).collect::<Option<_>>()?;
    let length = from.small()?;
    let latency = from.take(length)?.to_vec();
    let (first, last) = (Timestamp(first), Timestamp(last));
    let (hours, last_hour, state, feed) = (0, 0, EdgeState::Learned, Vec::new());
    let (parts, told) = (0, [false; 2]);
    Some(Edge {
        key,
        first,
        last,
        flows,
        parts,
        told,
        packets,
        bytes,
        exchanges,
        latency,
        hours,
        last_hour,
        state,
        feed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::edge;

    #[test]
    fn a_row_reads_back() {
        let mut edges = vec![edge(1); 5];
        edges[4].key.peer = Text::from_str_lossy("example.org").map(Stranger::Domain);
        edges[4].key.inbound = true;
        edges[1].key.peer = Some(Stranger::Address("2001:db8::1".parse().unwrap()));
        edges[1].key.application = Some("hl7".into());
        edges[1].exchanges.clear();
        edges[2].key.server = Some(DeviceId(u32::MAX));
        edges[2].key.peer = None;
        (edges[2].first, edges[2].last) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        (edges[3].flows, edges[3].latency) = (u64::MAX, Vec::new());
        (edges[3].hours, edges[3].last_hour, edges[3].state) = (7, i32::MIN, EdgeState::Quarantined);
        (edges[1].key.inbound, edges[1].feed) = (true, vec![1, 2, 3]);
        let without = pack(&edges);
        assert_eq!(unpack(DeviceId(1), &without).as_ref(), Some(&edges));
        (edges[2].parts, edges[4].told) = (u32::MAX, [true, false]);
        assert_eq!(pack(&edges).len(), without.len() + 5 + 7 + 3, "only where there is something");
        assert_eq!(unpack(DeviceId(1), &pack(&edges)), Some(edges));
        assert_eq!(unpack(DeviceId(1), &pack(&[])), Some(Vec::new()));
    }

    #[test]
    fn damage_is_told_and_never_panics() {
        let mut named = edge(1);
        named.key.peer = Text::from_str_lossy("example.org").map(Stranger::Domain);
        named.parts = 1;
        let packed = pack(&[edge(1), named]);
        let whole: Vec<_> =
            (0..packed.len()).filter(|cut| unpack(DeviceId(1), &packed[..*cut]).is_some()).collect();
        // A row that ends where what is learned begins is one of the first baselines', and one that ends behind that one of
        // those that did not tell conversations from their parts.
        assert_eq!(whole, [packed.len() - 13, packed.len() - 5], "{whole:?}");
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut other = packed.clone();
                other[at] ^= 1 << bit;
                let _ = unpack(DeviceId(1), &other);
            }
        }
    }
}
