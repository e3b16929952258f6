//! What a database holds, for people and for machines.

use crate::Error;
use crate::cli::{Device, Devices, Flows, Format, Machine, TableOrJson};
use crate::text::{self, bytes, count, line, moment, plural, table};
use crate::visibility::Lacking;
use crate::{files, find};
use hdrhistogram::serialization::Deserializer;
use model::{Attribute, Edge, Evidence, Flow, FlowState, IpProto, LeaseMessage};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use store::{Known, Reader, Store};

pub(crate) fn devices(args: &Devices) -> Result<(), Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let (reader, conditions) = (store.reader(), &args.conditions);
    let format = match args.format {
        Format::Table => {
            let mut known = Vec::new();
            find::each_device(&reader, conditions, |device| {
                known.push(device);
                Ok(())
            })?;
            return device_table(&known, known.len() as u64);
        }
        Format::Json => Machine::Jsonl,
        Format::Csv => Machine::Csv,
    };
    files::written(None, |out| write_devices(&reader, conditions, format, out))
}

/// What machines are told of a device.
pub(crate) fn record(known: &Known, lacking: &Lacking) -> export::Record {
    export::record(&known.device, &known.evidence, &known.services).seen(lacking.of(&known.device))
}

/// Writes the devices for which all conditions hold, one after the other: they need not fit in memory together.
pub(crate) fn write_devices(
    reader: &Reader<'_>,
    conditions: &[String],
    format: Machine,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let lacking = Lacking::read(reader)?;
    match format {
        Machine::Jsonl => {
            find::each_device(reader, conditions, |known| Ok(write_json(&known, &lacking, out)?))
        }
        Machine::Csv => {
            let mut csv = export::Csv::new(export::CSV_COLUMNS, out)?;
            find::each_device(reader, conditions, |known| {
                Ok(csv.row(&export::csv_row(&record(&known, &lacking)))?)
            })?;
            Ok(csv.end()?)
        }
    }
}

/// A device as one line of JSON.
fn write_json(known: &Known, lacking: &Lacking, mut out: &mut dyn Write) -> std::io::Result<()> {
    serde_json::to_writer(&mut out, &record(known, lacking))?;
    out.write_all(b"\n")
}

/// The devices as a table, known ones first; `of` is how many there are in all.
pub(crate) fn device_table(known: &[Known], of: u64) -> Result<(), Error> {
    line(&format!(
        "{}   {}",
        text::strong(&plural(of, "device", "devices")),
        text::faint("wardwatch device NAME explains one")
    ))?;
    let mut order: Vec<_> = known.iter().collect();
    order.sort_by_key(|k| (k.device.class, k.device.addresses.first().map(|(_, ip)| *ip), k.device.id));
    let rows = order.iter().map(|k| {
        vec![
            k.device.class.to_string(),
            make_and_model(k),
            address(k),
            name(k),
            k.device
                .vlans
                .iter()
                .filter_map(|vlan| vlan.inner())
                .map(|id| id.to_string())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
                .join(" "),
            known_from(k),
        ]
    });
    line(&table(&["CLASS", "MAKE AND MODEL", "ADDRESS", "NAME", "VLAN", "KNOWN FROM"], rows.collect()))
}

/// `Canon Medical Aquilion ONE  #4DB1042`.
fn make_and_model(k: &Known) -> String {
    let of = |attribute| k.device.attribute(&attribute).map(|text| text.to_string());
    let (make, model) = (of(Attribute::MANUFACTURER), of(Attribute::MODEL));
    let mut parts: Vec<String> = match (make, model) {
        (Some(make), Some(model)) if model.starts_with(&make) => vec![model],
        (Some(make), Some(model)) => vec![format!("{make} {model}")],
        (Some(make), None) => vec![format!("{make} (model unknown)")],
        (None, Some(model)) => vec![model],
        (None, None) => vec!["–".into()],
    };
    if let Some(serial) = of(Attribute::SERIAL) {
        parts.push(format!("#{serial}"));
    }
    parts.join(" ")
}

/// What people call it: its host name, else the name it has in its application, else its number.
pub(crate) fn called(device: &model::Device) -> String {
    let names = [Attribute::HOSTNAME, Attribute::AE_TITLE, Attribute::HL7_APPLICATION];
    let found = names.iter().find_map(|attribute| device.attribute(attribute));
    found.map_or_else(|| device.id.to_string(), |name| name.to_string())
}

fn name(k: &Known) -> String {
    called(&k.device)
}

/// The address people would use, IPv4 before IPv6, link-local last; how many more there are. Of one that holds none, the last.
fn address(k: &Known) -> String {
    let mut seen = BTreeSet::new();
    let all = k.device.addresses.iter().map(|(_, ip)| *ip);
    let mut ips: Vec<_> = all.filter(|ip| seen.insert(*ip)).collect();
    let local = |ip: &std::net::IpAddr| matches!(ip, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local());
    ips.sort_by_key(|ip| (local(ip), ip.is_ipv6()));
    let past = || k.addresses.iter().max_by_key(|a| (a.until, a.last)).map(|a| format!("{} (past)", a.ip));
    match ips.as_slice() {
        [] => {
            past().or_else(|| k.device.macs.first().map(|mac| mac.to_string())).unwrap_or_else(|| "–".into())
        }
        [one] => one.to_string(),
        [one, more @ ..] => format!("{one} +{}", more.len()),
    }
}

/// The addresses it holds, and where.
fn held(device: &model::Device) -> Vec<String> {
    let place = |(vlan, ip): &(model::Vlan, std::net::IpAddr)| match vlan.inner() {
        Some(_) => format!("{ip} in VLAN {vlan}"),
        None => ip.to_string(),
    };
    device.addresses.iter().map(place).collect()
}

/// The sources, those with most to say first: `DICOM, ARP, OUI`.
fn known_from(k: &Known) -> String {
    let name = |source: &str| match source {
        "IEEE registry" => "OUI".to_owned(),
        "nd" | "ip" | "tcp" => source.to_uppercase(),
        name if dissectors::REGISTRY.iter().any(|known| known.name == name) => name.to_uppercase(),
        other => other.to_owned(),
    };
    let mut counts: Vec<(String, u8)> = Vec::new();
    for e in &k.evidence {
        let name = name(&e.key.source);
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, best)) => *best = (*best).max(e.confidence),
            None => counts.push((name, e.confidence)),
        }
    }
    // That its frames were seen says little beside anything else.
    if counts.len() > 1 {
        counts.retain(|(name, _)| !matches!(name.as_str(), "ethernet" | "IP"));
    }
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let names: Vec<_> = counts.into_iter().map(|(name, _)| name).collect();
    let via = k.device.behind.map(|id| format!(" via {id}")).unwrap_or_default();
    format!("{}{via}", names.join(", "))
}

pub(crate) fn device(args: &Device) -> Result<(), Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let reader = store.reader();
    let all = reader.inventory()?;
    let known = find::device(&all, &args.name)?;
    let lacking = Lacking::read(&reader)?;
    match args.format {
        TableOrJson::Json => Ok(write_json(known, &lacking, &mut std::io::stdout().lock())?),
        TableOrJson::Table => page(known, &all, &lacking, &reader),
    }
}

/// A heading with an empty line before it.
pub(crate) fn heading(text: &str) -> Result<(), Error> {
    line("")?;
    line(&text::strong(text))
}

/// One page on one device.
fn page(known: &Known, all: &[Known], lacking: &Lacking, reader: &Reader<'_>) -> Result<(), Error> {
    let device = &known.device;
    line(&text::strong(&format!(
        "{}   {}   {}   {}",
        name(known),
        device.class,
        make_and_model(known),
        device.id
    )))?;
    let list = |values: Vec<String>| values.join(", ");
    let of = |attribute: Attribute| list(device.attributes_of(&attribute).map(|t| t.to_string()).collect());
    let mut facts =
        vec![
            (
                "MAC",
                list(
                    device
                        .macs
                        .iter()
                        .map(|mac| {
                            if mac.is_local() {
                                format!("{mac} (random or virtual)")
                            } else {
                                mac.to_string()
                            }
                        })
                        .collect(),
                ),
            ),
            ("address", list(held(device))),
            ("names", of(Attribute::HOSTNAME)),
            ("domain", of(Attribute::DOMAIN)),
            ("serial", of(Attribute::SERIAL)),
            ("hardware", of(Attribute::HARDWARE)),
            ("firmware", of(Attribute::FIRMWARE)),
            ("software", of(Attribute::SOFTWARE)),
            ("system", of(Attribute::OS)),
            ("asset", of(Attribute::ASSET)),
            ("UDI", of(Attribute::UDI)),
            ("location", of(Attribute::LOCATION)),
            ("AE titles", of(Attribute::AE_TITLE)),
            ("HL7", of(Attribute::HL7_APPLICATION)),
            ("DHCP", of(Attribute::DHCP_VENDOR_CLASS)),
            ("roles", list(device.roles.iter().map(|role| role.to_string()).collect())),
        ];
    if let Some(at) = &device.attachment {
        let part = |name: &str, text: &Option<model::Text>| text.as_ref().map(|t| format!("{name} {t}"));
        facts.push((
            "plugged in",
            list([part("switch", &at.switch), part("port", &at.port)].into_iter().flatten().collect()),
        ));
    }
    if device.router {
        facts.push(("router", "forwards packets of others".into()));
    }
    if let Some(through) = device.behind.and_then(|id| all.iter().find(|k| k.device.id == id)) {
        facts.push(("heard via", format!("{} ({})", name(through), through.device.id)));
    }
    facts.push(("seen", format!("{} – {} UTC", moment(device.first), moment(device.last))));
    if let Some(visibility) = lacking.of(device) {
        let sure = format!("{:.0}%", visibility.confidence * 100.0);
        let why = list(visibility.lacking);
        facts.push(("sure", format!("{sure} of its services and peers: {why}")));
    }
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        line(&format!("  {:<11} {value}", name))?;
    }
    class_vote(known)?;
    evidence(known)?;
    if !known.addresses.is_empty() {
        heading("Addresses over time")?;
        let rows = known.addresses.iter().map(|a| {
            let until = a.until.map(|t| format!("ended {}", moment(t))).unwrap_or_else(|| "holds".into());
            vec![
                a.ip.to_string(),
                find::vlan(a.vlan),
                moment(a.first),
                moment(a.last),
                until,
                a.how.to_string(),
            ]
        });
        line(&table(&["ADDRESS", "VLAN", "FROM", "LAST CONFIRMED", "STATE", "KNOWN BY"], rows.collect()))?;
    }
    leases(known)?;
    if !known.services.is_empty() {
        heading("Services")?;
        let rows = known.services.iter().map(|s| {
            let app = s.application.as_deref().unwrap_or("–").to_owned();
            vec![
                format!("{}/{}", s.port, s.transport),
                app,
                plural(s.count, "flow", "flows"),
                moment(s.first),
                moment(s.last),
            ]
        });
        line(&table(&["PORT", "APPLICATION", "USED", "FIRST", "LAST"], rows.collect()))?;
    }
    peers(known, all, reader)?;
    let merges: Vec<_> =
        reader.merges()?.into_iter().filter(|m| m.into == device.id || m.from == device.id).collect();
    if !merges.is_empty() {
        heading("Merges")?;
        for m in merges {
            let undone =
                m.undone.map(|(at, why)| format!("; taken back {} ({why})", moment(at))).unwrap_or_default();
            line(&format!("  {} went up in {} on {}: {}{undone}", m.from, m.into, moment(m.at), m.why))?;
        }
    }
    Ok(())
}

/// How the vote on the class went.
fn class_vote(known: &Known) -> Result<(), Error> {
    let device = &known.device;
    if device.votes.is_empty() {
        return Ok(());
    }
    heading(&format!("Why {}", device.class))?;
    let rows = device.votes.iter().map(|vote| {
        let reasons: Vec<_> = vote.reasons.iter().map(|reason| reason.to_string()).collect();
        vec![vote.class.to_string(), vote.weight.to_string(), reasons.join("; ")]
    });
    line(&table(&["CLASS", "WEIGHT", "REASONS"], rows.collect()))
}

/// More values than this of one field are shown as the first and a count.
const LIST: usize = 6;

/// The evidence, by attribute; values that contradict the best one are marked.
fn evidence(known: &Known) -> Result<(), Error> {
    let single = [
        Attribute::MANUFACTURER,
        Attribute::MODEL,
        Attribute::SERIAL,
        Attribute::HARDWARE,
        Attribute::FIRMWARE,
        Attribute::OS,
    ];
    let conflicts = |e: &Evidence| {
        single.contains(&e.key.attribute)
            && known
                .device
                .attribute(&e.key.attribute)
                .is_some_and(|best| !best.as_str().eq_ignore_ascii_case(e.key.value.as_str()))
    };
    heading("Evidence")?;
    let plain = export::plain_evidence(&known.evidence);
    let same = |a: &Evidence, b: &Evidence| {
        (&a.key.attribute, &a.key.source, &a.key.field, a.confidence)
            == (&b.key.attribute, &b.key.source, &b.key.field, b.confidence)
    };
    let mut sorted: Vec<_> = plain.iter().collect();
    sorted.sort_by(|a, b| {
        let place =
            |e: &Evidence| (e.key.attribute.clone(), e.key.source.clone(), e.key.field.clone(), e.confidence);
        place(a).cmp(&place(b)).then_with(|| a.key.value.cmp(&b.key.value))
    });
    let rows = sorted.chunk_by(|a, b| same(a, b)).flat_map(|group| {
        // A list (SOP classes offered by the hundred) is one row.
        let (shown, rest) = if group.len() > LIST { (&group[..1], group.len() - 1) } else { (group, 0) };
        shown.iter().map(move |e| {
            let mark = if conflicts(e) { " (differs)" } else { "" };
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            vec![
                e.key.attribute.to_string(),
                format!("{}{mark}{more}", e.key.value),
                format!("{} {}", e.key.source, e.key.field).trim_end().to_owned(),
                format!("{}%", e.confidence),
                count(e.count),
                moment(e.last),
            ]
        })
    });
    line(&table(&["ATTRIBUTE", "VALUE", "SOURCE", "TRUST", "TIMES", "LAST"], rows.collect()))
}

fn leases(known: &Known) -> Result<(), Error> {
    if known.leases.is_empty() {
        return Ok(());
    }
    heading("DHCP history")?;
    let rows = known.leases.iter().map(|entry| {
        let l = &entry.lease;
        let ip = |ip: Option<std::net::IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_else(|| "–".into());
        let time = match (l.message, l.seconds) {
            (LeaseMessage::Ack | LeaseMessage::Offer, Some(u32::MAX)) => "for ever".into(),
            (LeaseMessage::Ack | LeaseMessage::Offer, Some(s)) => format!("{} s", count(s.into())),
            _ => "–".into(),
        };
        vec![moment(entry.ts), l.message.as_str().to_owned(), ip(l.ip), ip(l.server), ip(l.relay), time]
    });
    line(&table(&["WHEN", "MESSAGE", "ADDRESS", "SERVER", "RELAY", "LEASE"], rows.collect()))
}

fn peers(known: &Known, all: &[Known], reader: &Reader<'_>) -> Result<(), Error> {
    let me = known.device.id;
    let edges: Vec<Edge> =
        reader.edges()?.into_iter().filter(|e| e.key.client == me || e.key.server == Some(me)).collect();
    if edges.is_empty() {
        return Ok(());
    }
    heading("Peers")?;
    let called = |id| all.iter().find(|k| k.device.id == id).map_or_else(|| id.to_string(), name);
    let rows = edges.iter().map(|e| {
        let asks = e.key.client == me && !e.key.inbound;
        let peer = match (e.key.client == me, e.key.server, &e.key.peer) {
            (false, ..) => called(e.key.client),
            (true, Some(server), _) => called(server),
            (true, None, peer) => peer.as_ref().map_or_else(|| "–".into(), ToString::to_string),
        };
        let port = if e.key.port == 0 {
            e.key.transport.to_string()
        } else {
            format!("{}/{}", e.key.port, e.key.transport)
        };
        let asked: Vec<_> = e
            .exchanges
            .iter()
            .map(|(kind, outcome, n)| {
                format!("{kind} {} ×{n}", outcome.as_ref().map_or("unanswered", |o| o.as_str()))
            })
            .collect();
        vec![
            if asks { "asks" } else { "serves" }.to_owned(),
            peer,
            port,
            e.key.application.as_deref().unwrap_or("–").to_owned(),
            count(e.flows),
            format!("{} / {}", bytes(e.bytes[0]), bytes(e.bytes[1])),
            asked.join(", "),
            latency(e),
        ]
    });
    line(&table(
        &["", "PEER", "PORT", "APPLICATION", "FLOWS", "BYTES OUT / BACK", "ASKED", "ANSWER TIME"],
        rows.collect(),
    ))
}

/// Median and 99th percentile of the answers.
fn latency(edge: &Edge) -> String {
    let histogram: Option<hdrhistogram::Histogram<u64>> =
        Deserializer::new().deserialize(&mut edge.latency.as_slice()).ok();
    match histogram.filter(|h| !h.is_empty()) {
        Some(h) => {
            let at = |q| text::nanos(h.value_at_quantile(q).saturating_mul(1_000));
            format!("{} (99%: {})", at(0.5), at(0.99))
        }
        None => String::new(),
    }
}

pub(crate) fn flows(args: &Flows) -> Result<(), Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let reader = store.reader();
    let filter = find::flows(&reader, &args.conditions, args.limit)?;
    let flows = reader.flows(&filter)?;
    match args.format {
        Format::Table => {
            line(&text::strong(&plural(flows.len() as u64, "flow", "flows")))?;
            let rows = flows.iter().map(flow_row).collect();
            line(&table(
                &[
                    "BEGAN",
                    "ORIGINATOR",
                    "",
                    "RESPONDER",
                    "PROTOCOL",
                    "STATE",
                    "PACKETS",
                    "BYTES",
                    "VLAN",
                    "NOTE",
                ],
                rows,
            ))
        }
        Format::Json => flows.iter().try_for_each(|flow| line(&flow_json(flow).to_string())),
        Format::Csv => {
            let columns = [
                "first_seen",
                "last_seen",
                "vlan",
                "transport",
                "originator_ip",
                "originator_port",
                "originator_device",
                "responder_ip",
                "responder_port",
                "responder_device",
                "originator_by",
                "application",
                "application_by_content",
                "state",
                "packets_out",
                "packets_back",
                "bytes_out",
                "bytes_back",
                "gaps",
                "originator_vlan",
                "responder_vlan",
                "tunnel",
                "continued",
                "cut_short",
                "copied",
            ];
            let rows = flows.iter().map(|flow| {
                let json = flow_json(flow);
                let cell = |name: &&str| match json.get(*name) {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                columns.iter().map(cell).collect()
            });
            Ok(export::csv(&columns, rows, &mut std::io::stdout().lock())?)
        }
    }
}

fn flow_row(flow: &Flow) -> Vec<String> {
    let r = &flow.record;
    let [from, to] = r.ends();
    let end = |(ip, port): (std::net::IpAddr, u16), id: Option<model::DeviceId>| {
        let place = match (r.key.proto, ip) {
            (IpProto::TCP | IpProto::UDP | IpProto::SCTP, ip) if ip.is_ipv6() => format!("[{ip}]:{port}"),
            (IpProto::TCP | IpProto::UDP | IpProto::SCTP, ip) => format!("{ip}:{port}"),
            (_, ip) => ip.to_string(),
        };
        id.map_or(place.clone(), |id| format!("{place} {id}"))
    };
    let app = match (r.app, r.app_by_content) {
        (Some(app), true) => format!("{} {app}", r.key.proto),
        (Some(app), false) => format!("{} {app}?", r.key.proto),
        (None, _) => r.key.proto.to_string(),
    };
    let mut notes = Vec::new();
    if r.originator_by == model::OriginatorBy::FirstPacket && r.state != FlowState::Attempt {
        notes.push("direction uncertain".to_owned());
    }
    if r.is_one_sided() && r.state != FlowState::Attempt {
        notes.push("one-sided".to_owned());
    }
    if r.gaps > 0 {
        notes.push(plural(r.gaps.into(), "gap", "gaps"));
    }
    if r.continued {
        notes.push("continued".to_owned());
    }
    if r.cut_short {
        notes.push("cut short".to_owned());
    }
    if r.copied {
        notes.push("seen twice".to_owned());
    }
    notes.extend(r.tunnel.map(|tunnel| format!("in {tunnel}")));
    let crossed = r.vlans.into_iter().find(|vlan| *vlan != r.key.vlan);
    notes.extend(crossed.map(|vlan| format!("also in VLAN {}", find::vlan(vlan))));
    vec![
        moment(r.first),
        end(from, flow.devices[0]),
        "→".into(),
        end(to, flow.devices[1]),
        app,
        r.state.to_string(),
        format!("{} / {}", count(r.packets[0]), count(r.packets[1])),
        format!("{} / {}", bytes(r.bytes[0]), bytes(r.bytes[1])),
        find::vlan(r.key.vlan),
        notes.join(", "),
    ]
}

/// A flow for machines: stable names, absent when unknown.
fn flow_json(flow: &Flow) -> Value {
    let r = &flow.record;
    let [from, to] = r.ends();
    let mut out = json!({
        "first_seen": r.first.to_string(), "last_seen": r.last.to_string(), "transport": r.key.proto.to_string(),
        "originator_ip": from.0.to_string(), "originator_port": from.1, "responder_ip": to.0.to_string(),
        "responder_port": to.1, "originator_by": r.originator_by.as_str(), "state": r.state.as_str(),
        "packets_out": r.packets[0], "packets_back": r.packets[1], "bytes_out": r.bytes[0], "bytes_back": r.bytes[1],
        "gaps": r.gaps, "continued": r.continued, "cut_short": r.cut_short, "copied": r.copied,
    });
    // Where a routed copy was heard in another VLAN too, each end has its own.
    let of_end =
        |vlan: model::Vlan| (vlan != r.key.vlan && vlan.inner().is_some()).then(|| json!(vlan.to_string()));
    let known = [
        ("vlan", r.key.vlan.inner().map(|_| json!(r.key.vlan.to_string()))),
        ("originator_vlan", of_end(r.vlans[0])),
        ("responder_vlan", of_end(r.vlans[1])),
        ("tunnel", r.tunnel.map(|tunnel| json!(tunnel.to_string()))),
        ("application", r.app.map(|app| json!(app))),
        ("application_by_content", r.app.map(|_| json!(r.app_by_content))),
        ("originator_device", flow.devices[0].map(|id| json!(id.to_string()))),
        ("responder_device", flow.devices[1].map(|id| json!(id.to_string()))),
    ];
    if let Value::Object(fields) = &mut out {
        fields.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    out
}
