//! `wardwatch baseline diff`: what changed from one baseline to another, in words and for machines.

use super::configured;
use super::diff::{Active, Difference, Rates, What, compare, spoken_alike};
use super::level::{Labels, Names, record, summed};
use super::snapshot::{Devices, Snapshot};
use crate::Error;
use crate::cli::{self, Level, TableOrJson};
use crate::findings::lasting;
use crate::show::heading;
use crate::text::{self, bytes, line, moment, plural};
use baseline::Site;
use model::{DeviceClass, DeviceId, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::Store;

/// The differences of one device or one role.
#[derive(Debug)]
struct Group {
    name: String,
    id: Option<DeviceId>,
    class: DeviceClass,
    /// The device came, or went.
    note: &'static str,
    all: Vec<Difference>,
}

/// All of them.
#[derive(Debug)]
struct Told {
    devices: Vec<Group>,
    roles: Vec<Group>,
}

pub(super) fn diff(args: &cli::Diff) -> Result<(), Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let (reader, config) = (store.reader(), configured(args.config.as_deref())?);
    let a = Snapshot::read(&reader, &args.from, &config)?;
    let b = Snapshot::read(&reader, &args.to, &config)?;
    let told = differences(&a, &b, &config.baseline().site);
    match args.format {
        TableOrJson::Json => line(&json_of(&a, &b, &told).to_string()),
        TableOrJson::Table => words_of(&a, &b, &told),
    }
}

fn differences(a: &Snapshot, b: &Snapshot, site: &Site) -> Told {
    // What a device is called and is for, both times as it is known in the end: a name that is new is no new habit.
    let mut known: Devices = a.devices.clone();
    known.extend(b.devices.iter().map(|(id, who)| (*id, who.clone())));
    let names = Names { devices: &known, site };
    let edges = spoken_alike([&a.edges, &b.edges]);
    let of = |level, active: &dyn Fn(&Labels) -> Active| {
        let [before, after] =
            edges.each_ref().map(|edges| summed(edges.iter().map(AsRef::as_ref), &names, level));
        compare(&before, &after, active)
    };
    // Of who did nothing since it is known until the end that he did nothing.
    let until = |before: Option<Timestamp>, after: Option<Timestamp>| {
        if after > before { after } else { before.and(Some(b.last)) }
    };
    let active = |id: DeviceId| Active {
        before: a.active(id),
        after: b.active(id),
        longest: a.habits.get(&id).map_or(0, |known| i64::from(known.pause).saturating_mul(1_000_000_000)),
    };
    let device = |edge: &Labels| {
        let own = edge.device_id.map(active).unwrap_or_default();
        Active { after: until(own.before, own.after), ..own }
    };
    // A role was active when one of its devices was.
    let mut roles: BTreeMap<(String, Option<DeviceId>), Active> = BTreeMap::new();
    for id in known.keys() {
        let (role, own) = (roles.entry(names.role(*id)).or_default(), active(*id));
        (role.before, role.after) = (role.before.max(own.before), role.after.max(own.after));
        role.longest = role.longest.max(own.longest);
    }
    let role = |edge: &Labels| {
        let own = roles.get(&(edge.device.clone(), edge.device_id)).copied().unwrap_or_default();
        Active { after: until(own.before, own.after), ..own }
    };
    let class =
        |id: Option<DeviceId>| id.and_then(|id| known.get(&id)).map_or(DeviceClass::Unknown, |who| who.class);
    let group = |all: Vec<Difference>| {
        let mut groups: Vec<Group> = Vec::new();
        for one in all {
            let (name, id) = (&one.edge.device, one.edge.device_id);
            match groups.last_mut().filter(|group| group.id == id && group.name == *name) {
                Some(group) => group.all.push(one),
                None => {
                    let is_in = |of: &Snapshot| id.is_none_or(|id| of.devices.contains_key(&id));
                    let note = match (is_in(a), is_in(b)) {
                        (false, true) => "new device",
                        (true, false) => "gone",
                        _ => "",
                    };
                    groups.push(Group { name: name.clone(), id, class: class(id), note, all: vec![one] });
                }
            }
        }
        groups
    };
    let mut roles = of(Level::Role, &role);
    // A device that has no role was told of already.
    roles.retain(|one| one.edge.device_id.is_none());
    Told { devices: group(of(Level::Device, &device)), roles: group(roles) }
}

/// `1,200 conversations`, `0.5 conversations`.
fn rate(n: f64) -> String {
    if n >= 10.0 { text::count(n.round() as u64) } else { format!("{n:.1}") }
}

/// `4.0 times more`.
fn times(rates: Rates) -> String {
    let (word, ratio) = if rates.after >= rates.before {
        ("more", rates.after / rates.before)
    } else {
        ("less", rates.before / rates.after)
    };
    if ratio.is_finite() {
        format!("{} times {word}", rate(ratio))
    } else {
        format!("none on one side, {word}")
    }
}

/// One difference in words.
fn sentence(one: &Difference) -> (&'static str, String) {
    let (edge, of) = (one.edge.words(), &one.of);
    let used = || {
        format!(
            "{} in {}",
            plural(of.flows, "conversation", "conversations"),
            plural(of.hours.into(), "active hour", "active hours")
        )
    };
    match &one.what {
        What::New => {
            let state = if of.state.is_normal() { String::new() } else { format!(" ({})", of.state) };
            ("new", format!("{edge}: {}, first {} UTC{state}", used(), moment(of.first)))
        }
        What::Gone => ("gone", format!("{edge}: it had {}, last {} UTC", used(), moment(of.last))),
        What::Silent { pause, silence } => {
            let seconds = |nanos: i64| lasting(u64::try_from(nanos / 1_000_000_000).unwrap_or_default());
            (
                "silent",
                format!(
                    "{edge}: not used for {}, since {} UTC; its usual pause is {}",
                    seconds(*silence),
                    moment(of.last),
                    seconds(*pause)
                ),
            )
        }
        What::Changed { flows, bytes: sizes } => {
            let flows = flows.map(|rates| {
                format!(
                    "{} conversations an active hour, {} before ({})",
                    rate(rates.after),
                    rate(rates.before),
                    times(rates)
                )
            });
            let sizes = sizes.map(|rates| {
                format!(
                    "{} an active hour, {} before ({})",
                    bytes(rates.after.round() as u64),
                    bytes(rates.before.round() as u64),
                    times(rates)
                )
            });
            let both: Vec<_> = flows.into_iter().chain(sizes).collect();
            ("changed", format!("{edge}: {}", both.join("; ")))
        }
    }
}

fn words_of(a: &Snapshot, b: &Snapshot, told: &Told) -> Result<(), Error> {
    if told.devices.is_empty() && told.roles.is_empty() {
        return line(&format!("Nothing changed from {} to {}.", a.name, b.name));
    }
    let named = |of: &Snapshot| format!("{} (until {} UTC)", of.name, moment(of.last));
    line(&text::strong(&format!("From {} to {}", named(a), named(b))))?;
    let mut counts: BTreeMap<(u8, &str), u64> = BTreeMap::new();
    for one in told.devices.iter().flat_map(|group| &group.all) {
        *counts.entry((super::diff::place(&one.what), sentence(one).0)).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|((_, kind), n)| format!("{} {kind}", text::count(*n))).collect();
    line(&format!("{} of {}", counts.join(", "), plural(told.devices.len() as u64, "device", "devices")))?;
    for group in &told.devices {
        let number = group.id.map(|id| id.to_string()).unwrap_or_default();
        let parts = [group.name.clone(), group.class.to_string(), number, group.note.to_owned()];
        let mut shown = BTreeSet::new();
        let parts: Vec<_> =
            parts.iter().filter(|part| !part.is_empty() && shown.insert(*part)).cloned().collect();
        heading(&parts.join("   "))?;
        print(group)?;
    }
    for group in &told.roles {
        heading(&format!("Role {}", group.name))?;
        print(group)?;
    }
    Ok(())
}

fn print(group: &Group) -> Result<(), Error> {
    group.all.iter().try_for_each(|one| {
        let (kind, words) = sentence(one);
        line(&format!("  {kind:<8} {words}"))
    })
}

fn json_of(a: &Snapshot, b: &Snapshot, told: &Told) -> Value {
    let side = |of: &Snapshot| json!({ "name": of.name, "last_seen": of.last.to_string() });
    let groups =
        |groups: &[Group], level| groups.iter().map(|group| json_group(group, level)).collect::<Vec<_>>();
    json!({
        "from": side(a), "to": side(b), "devices": groups(&told.devices, Level::Device),
        "roles": groups(&told.roles, Level::Role),
    })
}

fn json_group(group: &Group, level: Level) -> Value {
    let mut out = Map::new();
    match level {
        Level::Device => {
            out.insert("device".into(), group.name.as_str().into());
            out.extend(group.id.map(|id| ("device_id".to_owned(), id.to_string().into())));
            out.insert("device_class".into(), group.class.as_str().into());
        }
        _ => drop(out.insert("role".into(), group.name.as_str().into())),
    }
    for one in &group.all {
        let (kind, _) = sentence(one);
        let list = out.entry(kind).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(json_difference(one, level));
        }
    }
    Value::Object(out)
}

fn json_difference(one: &Difference, level: Level) -> Value {
    let record = ::export::baseline_record(&record(one.edge.clone(), one.of.clone(), level));
    // A record of plain data is always an object.
    let mut out = serde_json::to_value(record).unwrap_or_default();
    let rates = |rates: Rates| json!({ "before": rates.before, "after": rates.after });
    let more = match &one.what {
        What::New | What::Gone => vec![],
        What::Silent { pause, silence } => vec![
            ("usual_pause_seconds", Some((pause / 1_000_000_000).into())),
            ("silent_seconds", Some((silence / 1_000_000_000).into())),
        ],
        What::Changed { flows, bytes } => vec![
            ("conversations_per_active_hour", flows.map(rates)),
            ("bytes_per_active_hour", bytes.map(rates)),
        ],
    };
    if let Value::Object(fields) = &mut out {
        fields.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::tests::{devices, edge};
    use baseline::{Known, Seen};
    use model::{Edge, LearningState};

    const HOUR: i64 = 3_600_000_000_000;

    fn snapshot(name: &str, last: i64, edges: Vec<Edge>) -> Snapshot {
        let known = |id: &DeviceId| Known {
            device: *id,
            state: LearningState::Learning,
            seen: Seen::default(),
            class: DeviceClass::Ct,
            first: Timestamp(0),
            last: Timestamp(last * HOUR),
            pause: 14 * 3_600,
            locked: false,
            converged: false,
        };
        let devices = devices();
        let habits = devices.keys().map(|id| (*id, known(id))).collect();
        Snapshot { name: name.into(), last: Timestamp(last * HOUR), devices, edges, habits }
    }

    fn lines(told: &[Group]) -> Vec<String> {
        let of = |group: &Group| {
            let one = |one: &Difference| {
                let (kind, words) = sentence(one);
                format!("{} {kind} {words}", group.name)
            };
            group.all.iter().map(one).collect::<Vec<_>>()
        };
        told.iter().flat_map(of).collect()
    }

    #[test]
    fn who_is_switched_off_is_told_once_that_is_longer_than_ever() {
        let regular = Edge { last: Timestamp(8 * HOUR), hours: 5, ..edge(1, 3, 104) };
        let a = snapshot("monday", 10, vec![regular.clone()]);
        let told = |last: i64| {
            let mut b = snapshot("now", last, vec![regular.clone()]);
            b.habits = a.habits.clone();
            lines(&differences(&a, &b, &Site::default()).devices)
        };
        assert_eq!(told(8 + 21), [""; 0], "a night and a half of its longest");
        let silent = told(8 + 22);
        assert_eq!(silent.len(), 1, "{silent:?}");
        assert!(silent[0].starts_with("CT-1 silent asks PACS-1 (d3) on 104/tcp dicom: not used for 22 h"));
    }

    #[test]
    fn devices_and_roles_are_told_in_words() {
        let regular = Edge { last: Timestamp(8 * HOUR), hours: 5, ..edge(1, 3, 104) };
        let more = Edge {
            flows: 412,
            bytes: [40_000, 8_000],
            hours: 14,
            last: Timestamp(50 * HOUR),
            ..edge(2, 3, 104)
        };
        let a = snapshot("monday", 10, vec![regular.clone(), edge(2, 3, 104), edge(4, 3, 80)]);
        let b = snapshot("now", 50, vec![regular, more, edge(1, 4, 22)]);
        let told = differences(&a, &b, &Site::default());
        assert_eq!(
            lines(&told.devices),
            [
                "CT-1 silent asks PACS-1 (d3) on 104/tcp dicom: not used for 1 d 18 h, since 1 Jan 1970 08:00:00 UTC; its usual \
                 pause is 2 h",
                "CT-1 new asks d4 on 22/tcp dicom: 12 conversations in 4 active hours, first 1 Jan 1970 00:00:00 UTC",
                "CT-2 changed asks PACS-1 (d3) on 104/tcp dicom: 40 conversations an active hour, 3.0 before (13 times more); \
                 4.7 kB an active hour, 360 B before (13 times more)",
                "d4 gone asks PACS-1 (d3) on 80/tcp dicom: it had 12 conversations in 4 active hours, last 1 Jan 1970 00:00:01 UTC",
            ]
        );
        let roles = lines(&told.roles);
        assert_eq!(roles.len(), 2, "what d4 does is told once: {roles:?}");
        assert!(
            roles[0].starts_with(
                "CT changed asks PACS on 104/tcp dicom: 40 conversations an active hour, 2.7 before"
            ),
            "{roles:?}"
        );
        assert!(roles[1].starts_with("CT new asks d4 on 22/tcp"), "{roles:?}");
    }

    #[test]
    fn machines_are_told_the_same() {
        let a = snapshot("monday", 10, vec![edge(2, 3, 104)]);
        let b = snapshot("now", 50, vec![edge(1, 4, 22)]);
        let told = json_of(&a, &b, &differences(&a, &b, &Site::default()));
        assert_eq!(
            (&told["from"]["name"], &told["to"]["last_seen"]),
            (&"monday".into(), &"1970-01-03T02:00:00Z".into())
        );
        let [one, two] = told["devices"].as_array().unwrap().as_slice() else { panic!("{told}") };
        assert_eq!(
            (&one["device"], &one["new"][0]["port"], &one["new"][0]["level"]),
            (&"CT-1".into(), &22.into(), &"device".into())
        );
        assert_eq!((&two["device_id"], &two["gone"][0]["peer_id"]), (&"d2".into(), &"d3".into()));
        assert_eq!(told["roles"][0]["role"], "CT");
        let same = json_of(&a, &a, &differences(&a, &a, &Site::default()));
        assert_eq!((&same["devices"], &same["roles"]), (&json!([]), &json!([])));
    }

    #[test]
    fn what_a_device_is_called_or_is_for_is_no_new_habit() {
        let a = snapshot("monday", 10, vec![edge(1, 3, 104)]);
        let mut b = snapshot("now", 10, vec![edge(1, 3, 104)]);
        let who = b.devices.get_mut(&DeviceId(3)).unwrap();
        (who.name, who.class) = ("archive".into(), DeviceClass::Server);
        let told = differences(&a, &b, &Site::default());
        assert!(told.devices.is_empty() && told.roles.is_empty(), "{told:?}");
    }
}
