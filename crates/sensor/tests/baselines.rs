//! Baselines as a user meets them: shown, kept under names, compared, ended by hand, exported; and the rules, listed.

use model::{Change, DeviceId, Edge, EdgeKey, EdgeState, IpProto, Timestamp};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use store::Store;

const HOUR: i64 = 3_600_000_000_000;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wardwatch"))
        .args(args)
        .env_remove("WARDWATCH_DB")
        .env("USER", "anna")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn fine(args: &[&str]) -> String {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), error.as_str()), (Some(0), ""), "{args:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains('\u{1b}'), "no colours where there is no terminal");
    assert!(text.lines().all(|line| line == line.trim_end()), "no trailing space: {text}");
    text
}

/// Runs what must fail: exit code 2 and one line that says all of this.
fn fails(args: &[&str], says: &[&str]) {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{args:?}: {error}");
    for part in says {
        assert!(error.contains(part), "{args:?}: {error:?} lacks {part:?}");
    }
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The ward's capture, so many nanoseconds later.
fn shifted(by: i64) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ward.pcapng");
    let mut bytes = std::fs::read(path).unwrap();
    let (mut at, mut packets) = (0, 0);
    while at + 12 <= bytes.len() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (kind, length) = (word(at), word(at + 4) as usize);
        if kind == 6 {
            let ts = (u64::from(word(at + 12)) << 32 | u64::from(word(at + 16))) + by as u64;
            bytes[at + 12..at + 16].copy_from_slice(&((ts >> 32) as u32).to_le_bytes());
            bytes[at + 16..at + 20].copy_from_slice(&(ts as u32).to_le_bytes());
            packets += 1;
        }
        at += length;
    }
    assert_eq!(packets, 1_720);
    bytes
}

struct Ward {
    dir: tempfile::TempDir,
    db: String,
    ct: DeviceId,
    pacs: DeviceId,
    /// Time of the last frame of the first replay.
    last: Timestamp,
}

impl Ward {
    /// A database that read the ward once.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("ward.db").to_str().unwrap().to_owned();
        let mut ward = Self { dir, db, ct: DeviceId(0), pacs: DeviceId(0), last: Timestamp(0) };
        ward.replay(0);
        (ward.ct, ward.pacs) = (ward.id("CT_SOM_01"), ward.id("pacs"));
        ward.last =
            Store::open_read_only(Path::new(&ward.db)).unwrap().reader().runs().unwrap()[0].last.unwrap();
        ward
    }

    fn replay(&self, by: i64) {
        let path = self.dir.path().join("later.pcapng");
        std::fs::write(&path, shifted(by)).unwrap();
        fine(&["replay", path.to_str().unwrap(), "--db", &self.db]);
    }

    fn says(&self, args: &[&str]) -> String {
        fine(&[args, &["--db", &self.db]].concat())
    }

    fn fails(&self, args: &[&str], says: &[&str]) {
        fails(&[args, &["--db", &self.db]].concat(), says);
    }

    fn id(&self, name: &str) -> DeviceId {
        let device = json(&self.says(&["device", name, "--format", "json"])).remove(0);
        DeviceId::parse(device["id"].as_str().unwrap()).unwrap()
    }

    /// Changes the edges of the CT.
    fn edges(&self, change: impl Fn(&mut Vec<Edge>)) {
        let mut store = Store::open(Path::new(&self.db)).unwrap();
        let mut edges = store.reader().edges().unwrap();
        edges.retain(|edge| edge.key.client == self.ct);
        change(&mut edges);
        edges.sort_by(|a, b| a.key.cmp(&b.key));
        store.write(&[Change::Edges(self.ct, edges)]).unwrap();
    }

    /// An edge of the CT to the archive, used every two hours until the end of the first replay.
    fn edge(&self, port: u16, flows: u64) -> Edge {
        Edge {
            key: EdgeKey {
                client: self.ct,
                server: Some(self.pacs),
                peer: None,
                inbound: false,
                transport: IpProto::TCP,
                port,
                application: None,
            },
            first: self.last.plus(-18 * HOUR),
            last: self.last,
            flows,
            packets: [flows, flows],
            bytes: [flows * 1_000, flows * 100],
            exchanges: vec![],
            latency: vec![],
            hours: 10,
            last_hour: (self.last.seconds() / 3_600) as i32,
            state: EdgeState::Learned,
            feed: vec![],
            parts: 0,
            told: [false; 2],
        }
    }
}

#[test]
fn learning_is_shown_device_by_device_and_role_by_role() {
    let ward = Ward::new();
    let all = ward.says(&["baseline", "show"]);
    let lines: Vec<_> = all.lines().collect();
    assert!(lines[0].starts_with("24 devices ") && lines[1] == "24 observing", "{all}");
    let headings =
        ["DEVICE", "CLASS", "STATE", "EDGES", "ACTIVE", "HOURS", "COVERAGE", "WHAT", "WAS", "SEEN"];
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), headings);
    assert!(lines[3].starts_with("CT_SOM_01 ") && lines[3].contains("in 1 active hour, "), "{all}");
    let records = json(&ward.says(&["baseline", "show", "--format", "json"]));
    assert_eq!(records.len(), 24);
    let ct = ward.ct.to_string();
    let of_ct = records.iter().find(|record| record["device_id"] == ct).unwrap();
    assert_eq!((&of_ct["state"], &of_ct["device_class"]), (&"observing".into(), &"CT".into()));

    let page = ward.says(&["baseline", "show", "CT_SOM_01"]);
    for says in [
        &format!("CT_SOM_01   CT   {ct}\n  state     observing: seen in 1 of the 24 active hours"),
        "(Chao and Jost)",
        "active hours                       1     at least 72     not yet\n",
        "\nEdges\n",
        &format!("asks  pacs ({})      11112/tcp  dicom        learned", ward.pacs),
        "seen once",
    ] {
        assert!(page.contains(says), "{says:?} is not in\n{page}");
    }
    let page = json(&ward.says(&["baseline", "show", "CT_SOM_01", "--format", "json"])).remove(0);
    assert_eq!(page["conditions"].as_array().unwrap().len(), 5);
    let edges = page["edge_list"].as_array().unwrap();
    assert!(edges.iter().any(|edge| edge["peer"] == "pacs" && edge["seen_once"] == true), "{page}");
    let pacs = ward.says(&["baseline", "show", "pacs"]);
    assert!(pacs.contains(&format!("serves  CT_SOM_01 ({ct})")), "{pacs}");

    let roles = ward.says(&["baseline", "show", "--roles"]);
    assert!(roles.starts_with("19 roles "), "{roles}");
    let pumps = roles.lines().find(|line| line.starts_with("infusion pump ")).unwrap();
    let words: Vec<_> = pumps.split_whitespace().take(6).collect();
    assert_eq!(words, ["infusion", "pump", "observing", "2", "0", "0"], "{roles}");
    assert!(pumps.contains(" active hour of 2 devices, "), "{roles}");
    let roles = json(&ward.says(&["baseline", "show", "--roles", "--format", "json"]));
    assert_eq!((roles.len(), &roles[0]["role"], &roles[0]["devices"]), (19, &"CT".into(), &1.into()));
    assert_eq!((&roles[0]["state"], &roles[0]["devices_learned"]), (&"observing".into(), &0.into()));
    assert_eq!(roles[0]["device_states"]["observing"], 1);
    for field in ["coverage", "coverage_good_turing", "expected_unseen_edges", "active_hours", "sentence"] {
        assert!(roles.iter().all(|role| role["role"] == "unknown" || !role[field].is_null()), "{field}");
    }
    let csv = ward.says(&["baseline", "show", "--roles", "--format", "csv"]);
    let header = "role,state,devices,devices_learned,edges,active_hours,edges_seen_once,edges_seen_twice,edge_hours,\
                  quiet_hours,coverage,coverage_good_turing,expected_unseen_edges,active_hours_to_next_edge,first_seen,\
                  last_seen,shared_edges,sentence\n";
    assert!(csv.starts_with(header) && csv.lines().count() == 20, "{csv}");
    let csv = ward.says(&["baseline", "show", "--format", "csv"]);
    assert!(
        csv.starts_with("device,device_id,device_class,zone,state,edges,") && csv.lines().count() == 25,
        "{csv}"
    );
    let csv = ward.says(&["baseline", "show", "CT_SOM_01", "--format", "csv"]);
    assert!(csv.contains(&format!("\nCT_SOM_01,{ct},CT,")) && csv.lines().count() == 2, "{csv}");

    ward.fails(&["baseline", "show", "nobody"], &["no device is called \"nobody\""]);
    assert_eq!(run(&["baseline", "show", "d1", "--roles", "--db", &ward.db]).status.code(), Some(2));
    let toml = ward.dir.path().join("site.toml");
    std::fs::write(&toml, "[learning]\nobserve_hours = 1\nmin_hours = 7\n").unwrap();
    let page = ward.says(&["baseline", "show", "CT_SOM_01", "--config", toml.to_str().unwrap()]);
    assert!(page.contains("  state     learning: ") && page.contains("at least 7 "), "{page}");
}

#[test]
fn baselines_are_kept_compared_and_replaced() {
    let ward = Ward::new();
    assert!(ward.says(&["baseline", "list"]).starts_with("0 saved baselines "));
    let (silent, gone, busy) = (ward.edge(4242, 50), ward.edge(4343, 12), ward.edge(4444, 100));
    ward.edges(|edges| edges.extend([silent.clone(), gone.clone(), busy.clone()]));
    let saved = ward.says(&["baseline", "save", "monday"]);
    assert!(
        saved.starts_with("Saved monday: 24 devices, 43 edges, until ") && saved.ends_with(" UTC\n"),
        "{saved}"
    );
    assert_eq!(ward.says(&["baseline", "diff", "monday", "now"]), "Nothing changed from monday to now.\n");

    // What was guessed by port when it was saved, and told by content since, and the other way round.
    ward.edges(|edges| {
        for edge in edges.iter_mut() {
            edge.key.application = match (edge.key.port, &edge.key.application) {
                (4242..=4444, None) => Some("tls".into()),
                (4242..=4444 | 11112, Some(_)) => None,
                (_, app) => app.clone(),
            };
        }
    });
    assert_eq!(ward.says(&["baseline", "diff", "monday", "now"]), "Nothing changed from monday to now.\n");
    ward.edges(|edges| {
        edges
            .iter_mut()
            .filter(|e| e.key.port >= 4242 && e.key.port <= 4444)
            .for_each(|e| e.key.application = None)
    });

    ward.replay(30 * HOUR);
    let busier = Edge { flows: 500, bytes: [500_000, 50_000], hours: 20, last: busy.last.plus(HOUR), ..busy };
    let new = Edge { state: EdgeState::Reported, ..ward.edge(22, 7) };
    ward.edges(|edges| {
        edges.retain(|edge| edge.key.port != 4343 && edge.key.port != 4444);
        edges.extend([busier.clone(), new.clone()]);
    });
    let diff = ward.says(&["baseline", "diff", "monday", "now"]);
    assert!(
        diff.starts_with("From monday (until ")
            && diff.contains("1 new, 1 gone, 1 silent, 1 changed of 1 device\n"),
        "{diff}"
    );
    let pacs = ward.pacs;
    for says in [
        format!("\nCT_SOM_01   CT   {}\n", ward.ct),
        format!("  new      asks pacs ({pacs}) on 22/tcp: 7 conversations in 10 active hours, first "),
        "UTC (reported)\n".into(),
        format!(
            "  gone     asks pacs ({pacs}) on 4343/tcp: it had 12 conversations in 10 active hours, last "
        ),
        format!("  silent   asks pacs ({pacs}) on 4242/tcp: not used for 1 d "),
        "its usual pause is 2 h\n".into(),
        format!(
            "  changed  asks pacs ({pacs}) on 4444/tcp: 40 conversations an active hour, 10 before (4.0 times more); 44 kB \
             an active hour, 11 kB before (4.0 times more)\n"
        ),
        "\nRole CT\n  new      asks PACS on 22/tcp: ".into(),
    ] {
        assert!(diff.contains(&says), "{says:?} is not in\n{diff}");
    }
    let told = json(&ward.says(&["baseline", "diff", "monday", "now", "--format", "json"])).remove(0);
    let of_ct = &told["devices"][0];
    assert_eq!((&told["from"]["name"], &told["to"]["name"]), (&"monday".into(), &"now".into()));
    assert_eq!((&of_ct["new"][0]["port"], &of_ct["new"][0]["state"]), (&22.into(), &"reported".into()));
    assert_eq!(of_ct["silent"][0]["usual_pause_seconds"], 7_200);
    assert_eq!(of_ct["changed"][0]["conversations_per_active_hour"]["after"], 40.0);
    let back = ward.says(&["baseline", "diff", "now", "monday"]);
    assert!(back.contains("  new      asks pacs") && !back.contains("  silent "), "{back}");

    ward.fails(&["baseline", "save", "monday"], &["ward.db", "\"monday\"", "--replace"]);
    ward.says(&["baseline", "save", "Fri.2026_03-06"]);
    ward.says(&["baseline", "save", "monday", "--replace"]);
    assert_eq!(
        ward.says(&["baseline", "diff", "Fri.2026_03-06", "monday"]),
        "Nothing changed from Fri.2026_03-06 to monday.\n"
    );
    let list = ward.says(&["baseline", "list"]);
    assert!(
        list.starts_with("2 saved baselines ") && list.lines().nth(2).unwrap().starts_with("Fri.2026_03-06"),
        "{list}"
    );
    let list = json(&ward.says(&["baseline", "list", "--format", "json"]));
    assert_eq!((&list[1]["name"], &list[1]["devices"]), (&"monday".into(), &24.into()));
    ward.fails(
        &["baseline", "diff", "tuesday", "now"],
        &["there is no baseline \"tuesday\"", "baseline list"],
    );
    for bad in ["now", "a b", "ä", "", &"x".repeat(65)] {
        ward.fails(&["baseline", "save", bad], &["cannot be the name of a baseline"]);
    }
    for n in 2..64 {
        ward.says(&["baseline", "save", &format!("n{n}")]);
    }
    ward.fails(&["baseline", "save", "one-more"], &["64 baselines", "delete one"]);
    assert_eq!(ward.says(&["baseline", "delete", "n2"]), "Deleted n2\n");
    ward.fails(&["baseline", "delete", "n2"], &["there is no baseline \"n2\"", "baseline list"]);
    ward.fails(&["baseline", "delete", "now"], &["stands for the one that is not saved"]);
    ward.fails(&["baseline", "delete", "a b"], &["cannot be the name of a baseline"]);
    ward.fails(&["baseline", "diff", "n2", "now"], &["there is no baseline \"n2\""]);
    ward.says(&["baseline", "save", "one-more"]);
    assert_eq!(json(&ward.says(&["baseline", "list", "--format", "json"])).len(), 64);
    // What is saved is left alone by what is replayed.
    ward.replay(60 * HOUR);
    let kept = ward.says(&["baseline", "export", "monday"]);
    assert!(kept.contains("\"port\":22,") && !kept.contains("\"port\":4343,"), "{kept}");
    fails(&["baseline", "list", "--db", "/nonexistent/x.db"], &["/nonexistent/x.db"]);
}

#[test]
fn learning_is_ended_by_hand_and_that_is_shown_at_once() {
    let ward = Ward::new();
    let state = |name: &str| json(&ward.says(&["baseline", "show", name, "--format", "json"])).remove(0);
    ward.fails(&["baseline", "lock", "CT_SOM_01"], &["--reason TEXT: say why"]);
    ward.fails(&["baseline", "lock", "nobody", "--reason", "x"], &["no device is called \"nobody\""]);
    let said = ward.says(&["baseline", "lock", "CT_SOM_01", "--reason", "commissioned"]);
    assert!(said.starts_with(&format!("Ended learning of CT_SOM_01 ({}) at ", ward.ct)), "{said}");
    assert_eq!(
        (&state("CT_SOM_01")["state"], &state("pacs")["state"]),
        (&"locked".into(), &"observing".into())
    );
    let why = state("CT_SOM_01")["why"].as_str().unwrap().to_owned();
    assert!(why.starts_with("anna ended learning at ") && why.contains("(commissioned)"), "{why}");
    let entries = json(&ward.says(&["journal", "--format", "json"]));
    assert_eq!(entries[0]["decision"], format!("lock {} at {}", ward.ct, ward.last));

    let said = ward.says(&["baseline", "lock", "--reason", "accepted", "--by", "eve"]);
    assert!(said.starts_with("Ended learning of all 22 devices at "), "{said}");
    assert_eq!(state("pacs")["state"], "locked");
    let all = ward.says(&["baseline", "show"]);
    assert!(all.contains("\n2 observing, 22 locked\n"), "what did nothing yet is not locked: {all}");
    let silent = json(&ward.says(&["baseline", "show", "--format", "json"]));
    let silent = silent.iter().find(|record| record["state"] == "observing").unwrap();
    let silent = silent["device_id"].as_str().unwrap();
    ward.fails(&["baseline", "lock", silent, "--reason", "x"], &["no learning to end"]);
    assert!(ward.says(&["journal"]).starts_with("2 entries"), "a mistake leaves no entry");
    // It holds for what is replayed from then on.
    ward.replay(2 * HOUR);
    assert_eq!(state("pacs")["state"], "locked");
}

#[test]
fn edges_are_exported_at_every_level() {
    let ward = Ward::new();
    let edges = json(&ward.says(&["export", "baselines"]));
    assert_eq!(edges.len(), 40);
    let ct = ward.ct.to_string();
    let one = edges.iter().find(|e| e["device_id"] == ct && e["peer"] == "pacs").unwrap();
    let fields: Vec<_> = one.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "device",
        "peer",
        "peer_kind",
        "direction",
        "transport",
        "port",
        "application",
        "level",
        "state",
        "flows",
        "bytes_out",
        "bytes_in",
        "active_hours",
        "first_seen",
        "last_seen",
        "device_id",
        "peer_id",
    ];
    let header = expected.join(",");
    expected.sort_unstable();
    assert_eq!(
        fields.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        (&one["direction"], &one["peer_kind"], &one["level"]),
        (&"out".into(), &"device".into(), &"device".into())
    );
    assert!(Timestamp::parse(one["first_seen"].as_str().unwrap()).is_some());
    assert!(
        edges
            .iter()
            .flat_map(|e| e.as_object().unwrap().values())
            .all(|value| !value.is_null() && value != "")
    );

    let csv = ward.says(&["export", "baselines", "--format", "csv"]);
    assert_eq!((csv.lines().next(), csv.lines().count()), (Some(header.as_str()), 41));
    let roles = json(&ward.says(&["export", "baselines", "--level", "role"]));
    assert!(roles.len() <= edges.len() && roles.iter().all(|e| e["level"] == "role"));
    let flows = |edges: &[Value]| edges.iter().map(|e| e["flows"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(flows(&roles), flows(&edges));
    assert!(roles.iter().any(|e| e["device"] == "CT" && e["peer"] == "PACS" && e.get("device_id").is_none()));
    let peers = json(&ward.says(&["export", "baselines", "--level", "role-peer"]));
    assert!(
        peers.iter().any(|e| e["device"] == "CT_SOM_01" && e["peer"] == "PACS" && e["level"] == "role-peer")
    );

    let toml = ward.dir.path().join("site.toml");
    std::fs::write(
        &toml,
        "[[site.zones]]\nname = \"ward\"\nkind = \"clinical\"\nprefixes = [\"10.20.0.0/16\"]\n",
    )
    .unwrap();
    let toml = toml.to_str().unwrap();
    let zones = json(&ward.says(&["export", "baselines", "--level", "zone", "--config", toml]));
    assert!(
        zones.iter().any(|e| e["device"] == "CT" && e["peer"] == "ward" && e["level"] == "zone"),
        "{zones:?}"
    );
    ward.says(&["baseline", "save", "monday", "--config", toml]);
    let out = ward.dir.path().join("monday.jsonl");
    let path = out.to_str().unwrap();
    assert_eq!(
        ward.says(&["baseline", "export", "monday", "--level", "zone", "--config", toml, "-o", path]),
        ""
    );
    assert_eq!(json(&std::fs::read_to_string(&out).unwrap()), zones, "zones are kept with what is saved");
    assert_eq!(ward.says(&["baseline", "export", "now"]), ward.says(&["export", "baselines"]));
    ward.fails(&["export", "findings", "--level", "role"], &["go with baselines"]);
    ward.fails(&["baseline", "export", "x"], &["there is no baseline \"x\""]);
    ward.fails(&["export", "baselines", "--config", "/nonexistent.toml"], &["/nonexistent.toml"]);
}

#[test]
fn rules_are_listed_and_explained() {
    let list = fine(&["rules"]);
    let names: Vec<_> = list.lines().skip(2).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.is_sorted() && names.contains(&"new-edge"), "{list}");
    assert!(list.starts_with(&format!("{} rules ", names.len())), "{list}");
    assert!(list.lines().all(|line| line.chars().count() <= 140), "{list}");
    let page = fine(&["rules", "new-edge"]);
    for heading in
        ["What it finds", "Why it matters", "What causes it innocently", "References", "What to do"]
    {
        assert!(page.contains(&format!("\n\n{heading}\n  ")), "{heading:?} is not in\n{page}");
    }
    assert!(
        page.starts_with("new-edge\n  severity  medium") && page.contains("  ATT&CK    T0885, T0869\n"),
        "{page}"
    );
    let rules = json(&fine(&["rules", "--format", "json"]));
    assert_eq!(rules.len(), names.len());
    assert_eq!(json(&fine(&["rules", "new-edge", "--format", "json"]))[0]["attack"][0], "T0885");
    assert!(fine(&["rules", "--format", "csv"]).starts_with("name,severity,attack,finds,matters,"));
    fails(&["rules", "new-egde"], &["there is no rule \"new-egde\"", "nearest names are new-edge, "]);
}

#[test]
fn learning_that_did_not_end_is_said() {
    let ward = Ward::new();
    let capture = ward.dir.path().join("later.pcapng");
    let replay = |until: Timestamp| {
        let until = until.to_string();
        fine(&["replay", capture.to_str().unwrap(), "--learn-until", &until])
    };
    let goes_on = "Learning goes on: no packet is of ";
    assert!(replay(ward.last.plus(1)).contains(goes_on));
    assert!(!replay(ward.last).contains(goes_on));
}
