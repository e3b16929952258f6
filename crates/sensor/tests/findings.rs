//! Findings as a user meets them: listed, explained, decided about, exported, failed on; and the journal of it.

use model::{
    Change, DeviceClass, DeviceId, Figure, Finding, FindingId, FindingKey, IpProto, Mac, Party, Severity,
    Text, Timestamp,
};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use store::Store;

fn ward() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ward.pcapng")
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wardwatch"))
        .args(args)
        .env_remove("WARDWATCH_DB")
        .env("USER", "anna")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs what must end with this code and say nothing on standard error.
fn ends(args: &[&str], code: i32) -> String {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), error.as_str()), (Some(code), ""), "{args:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fine(args: &[&str]) -> String {
    ends(args, 0)
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

fn t(text: &str) -> Text {
    Text::from_str_lossy(text).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn finding(id: u32, rule: &'static str, severity: Severity, last: Timestamp) -> Finding {
    Finding {
        id: FindingId(id),
        key: FindingKey {
            rule: rule.into(),
            device: Some(DeviceId(7)),
            peer_class: t("external"),
            service: Some((IpProto::TCP, 443)),
            day: 20_514,
        },
        severity,
        title: t(&format!("CT-RM3 does {rule}")),
        device: Some(Party {
            device: Some(DeviceId(7)),
            macs: vec![Mac([0, 0x1b, 0x21, 0x0a, 0x0b, 0x0c])],
            ips: vec!["10.20.4.17".parse().unwrap()],
            name: Some(t("CT-RM3")),
            class: DeviceClass::Ct,
            kind: "device".into(),
            zone: Some(t("imaging")),
        }),
        peer: Some(Party { kind: "external".into(), name: Some(t("update.example")), ..Party::default() }),
        application: Some("tls".into()),
        first: at("2026-03-02T08:00:00Z"),
        last,
        raised: Some(at("2026-03-02T08:01:00Z")),
        count: 3,
        evidence: vec![
            ("sent_bytes".into(), Figure::Number(31_200_000)),
            ("threshold_bytes".into(), Figure::Number(1_000_000)),
        ],
        baseline: vec![("window_seconds".into(), Figure::Number(1_209_600))],
        attack: vec!["T1071.001".into()],
        advice: t("Ask the vendor whether this was planned."),
    }
}

fn put(db: &str, findings: &[Finding]) {
    let changes: Vec<_> = findings.iter().map(|f| Change::Finding(Box::new(f.clone()))).collect();
    Store::open(Path::new(db)).unwrap().write(&changes).unwrap();
}

/// A database with three findings, in a folder that goes away.
fn filled() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("ward.db").to_str().unwrap().to_owned();
    put(
        &db,
        &[
            finding(1, "new-peer", Severity::Low, at("2026-03-02T08:00:04Z")),
            finding(2, "exfiltration", Severity::Critical, at("2026-03-02T08:00:05Z")),
            finding(3, "new-peer", Severity::Medium, at("2026-03-02T08:00:06Z")),
        ],
    );
    (dir, db)
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(db: &str, more: &[&str]) -> Vec<String> {
    let text = fine(&[&["findings", "--db", db, "--format", "json"], more].concat());
    json(&text).iter().map(|f| f["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn findings_are_listed_explained_and_exported() {
    let (dir, db) = filled();
    let db = db.as_str();
    let list = fine(&["findings", "--db", db]);
    let lines: Vec<_> = list.lines().collect();
    assert!(lines[0].starts_with("3 findings "), "{list}");
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>(),
        ["SEVERITY", "WHEN", "RULE", "DEVICE", "WHAT", "COUNT", "ID"]
    );
    assert!(
        lines[2].starts_with("critical  2 Mar 2026 08:00:05  exfiltration  CT-RM3  CT-RM3 does"),
        "{list}"
    );
    assert!(
        lines[2].ends_with(" 3      f2") && lines[3].starts_with("medium") && lines[4].starts_with("low")
    );
    assert!(!list.contains('\u{1b}'), "no colours where there is no terminal");
    assert_eq!(ids(db, &[]), ["f2", "f3", "f1"]);
    assert_eq!(ids(db, &["--where", "severity>=medium"]), ["f2", "f3"]);
    assert_eq!(ids(db, &["--where", "severity>=medium", "--where", "rule~new-peer"]), ["f3"]);
    assert_eq!(ids(db, &["--where", "device=10.20.4.17", "--where", "class=ct"]).len(), 3);
    assert!(fine(&["findings", "--db", db, "--where", "zone=icu"]).starts_with("0 findings"));

    let page = fine(&["finding", "f2", "--db", db]);
    for says in [
        "CT-RM3 does exfiltration\nf2   critical   exfiltration   open\n",
        "  device      CT-RM3   CT   d7   10.20.4.17   00:1b:21:0a:0b:0c   zone imaging\n",
        "  with        update.example   (external)\n",
        "  service     443/tcp tls\n",
        "  seen        2 Mar 2026 08:00:00 – 2 Mar 2026 08:00:05 UTC\n",
        "  raised      2 Mar 2026 08:01:00 UTC\n",
        "  count       3 times\n",
        "  ATT&CK      T1071.001\n",
        "What crossed the threshold\n  sent        31 MB\n  threshold   1.0 MB\n",
        "What was normal\n  window      14 d\n",
        "What to do\n  Ask the vendor whether this was planned.\n",
        "What was decided\n  Nothing yet.\n",
    ] {
        assert!(page.contains(says), "{says:?} is not in\n{page}");
    }
    assert!(page.lines().all(|line| line == line.trim_end()), "no trailing space");
    let record = fine(&["finding", "f2", "--db", db, "--format", "json"]);
    let exported = fine(&["export", "findings", "--db", db]);
    assert_eq!(exported.lines().nth(1), record.lines().next(), "the two are one record");
    let record = &json(&record)[0];
    assert_eq!((&record["status"], &record["service"]["port"]), (&"open".into(), &443.into()));
    let out = dir.path().join("findings.csv");
    fine(&["export", "findings", "--db", db, "--format", "csv", "-o", out.to_str().unwrap()]);
    let csv = std::fs::read_to_string(out).unwrap();
    assert!(csv.starts_with("id,rule,severity,status,title,device_id,"), "{csv}");
    assert_eq!(csv.lines().count(), 4);
    assert_eq!(fine(&["findings", "--db", db, "--format", "csv"]).lines().count(), 4);
}

#[test]
fn decisions_change_the_status_and_stand_in_the_journal() {
    let (_dir, db) = filled();
    let db = db.as_str();
    let status = |id| json(&fine(&["finding", id, "--db", db, "--format", "json"]))[0]["status"].clone();
    let said =
        fine(&["acknowledge", "f1", "f2", "--reason", "ticket 4711", "--db", db, "--by", "eve\u{1b}[2J"]);
    assert_eq!(said, "Acknowledged f1: CT-RM3 does new-peer\nAcknowledged f2: CT-RM3 does exfiltration\n");
    assert_eq!(
        (status("f1"), status("f2"), status("f3")),
        ("acknowledged".into(), "acknowledged".into(), "open".into())
    );
    assert!(fine(&["findings", "--db", db]).contains("CT-RM3 does new-peer (acknowledged)"));

    assert_eq!(
        fine(&["resolve", "f2", "--reason", "planned", "--db", db]),
        "Resolved f2: CT-RM3 does exfiltration\n"
    );
    let list = fine(&["findings", "--db", db]);
    assert!(
        list.starts_with("2 findings") && list.ends_with("\n1 hidden: 1 resolved; --all shows them\n"),
        "{list}"
    );
    assert_eq!(ids(db, &["--all"]), ["f2", "f3", "f1"]);
    assert_eq!(ids(db, &["--where", "status=resolved"]), ["f2"]);
    put(
        db,
        &[Finding { count: 4, ..finding(2, "exfiltration", Severity::Critical, at("2026-03-02T08:00:05Z")) }],
    );
    assert_eq!(status("f2"), "resolved", "counted again, and not seen later");
    put(db, &[finding(2, "exfiltration", Severity::Critical, at("2026-03-02T09:00:00Z"))]);
    assert_eq!(status("f2"), "open", "seen again");

    let muted = fine(&["mute", "f3", "--reason", "backup", "--db", db]);
    assert_eq!(muted, "Muted new-peer (external) about d7 on 443/tcp: 2 findings so far\n");
    put(db, &[finding(4, "new-peer", Severity::High, at("2026-03-03T08:00:00Z"))]);
    assert_eq!(status("f4"), "muted", "what comes later, too");
    assert_eq!(ids(db, &[]), ["f2"]);
    let told = "3 hidden: 3 muted; --all shows them, wardwatch mutes lists what is muted\n";
    assert!(fine(&["findings", "--db", db]).ends_with(told));
    assert_eq!(ids(db, &["--where", "status=muted"]), ["f4", "f3", "f1"]);
    assert_eq!(fine(&["export", "findings", "--db", db]).lines().count(), 4, "exports hide nothing");
    let stays = fine(&["acknowledge", "f3", "--reason", "x", "--db", db]);
    assert!(stays.contains("it stays muted"), "{stays}");

    let page = fine(&["finding", "f1", "--db", db]);
    assert!(page.contains("eve [2J acknowledged f1: ticket 4711\n"), "{page}");
    assert!(page.contains("anna muted new-peer (external) about d7 on 443/tcp: backup\n"), "{page}");
    let journal = fine(&["journal", "--db", db]);
    assert!(journal.starts_with("5 entries ") && journal.contains("resolved f2"), "{journal}");
    let entries = json(&fine(&["journal", "--db", db, "--format", "json"]));
    assert_eq!(entries[2]["decision"], "resolve f2 last 2026-03-02T08:00:05Z");
    assert_eq!((&entries[2]["n"], &entries[2]["who"]), (&3.into(), &"anna".into()));
    assert!(Timestamp::parse(entries[2]["at"].as_str().unwrap()).unwrap() > at("2025-01-01T00:00:00Z"));
    assert!(
        fine(&["journal", "--db", db, "--format", "csv"]).starts_with("n,at,who,decision,reason,hash\n1,")
    );
}

#[test]
fn a_rule_is_muted_about_a_device_or_any() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("ward.db").to_str().unwrap().to_owned();
    let db = db.as_str();
    fine(&["replay", ward().to_str().unwrap(), "--db", db]);
    let id = json(&fine(&["device", "CT_SOM_01", "--db", db, "--format", "json"]))[0]["id"].clone();
    let id = id.as_str().unwrap();
    let mute = |more: &[&str]| fine(&[&["mute", "--db", db, "--reason", "x"], more].concat());
    let one = mute(&["--rule", "new-edge", "--device", "CT_SOM_01", "--port", "443/tcp"]);
    assert_eq!(one, format!("Muted new-edge about {id} on 443/tcp: 0 findings so far\n"));
    put(db, &[finding(90_000, "beaconing", Severity::Low, at("2026-03-02T08:00:00Z"))]);
    assert_eq!(
        mute(&["--rule", "Beaconing"]),
        "Muted beaconing about any device on any service: 1 finding so far\n"
    );
    for (args, says) in [
        (&["mute", "--reason", "x"][..], "expected the number of a finding, such as f3, or --rule NAME"),
        (&["mute", "f90000", "--rule", "x", "--reason", "x"], "not both"),
        (&["mute", "f90000", "--port", "1/tcp", "--reason", "x"], "go with --rule"),
        (&["mute", "--rule", "new-edge", "--port", "443", "--reason", "x"], "--port 443: expected a port"),
        (
            &["mute", "--rule", "new-edge", "--device", "nobody", "--reason", "x"],
            "no device is called \"nobody\"",
        ),
        (
            &["mute", "--rule", "new peer", "--reason", "x"],
            "--rule NAME: there is no rule \"new peer\"; the nearest names are new-edge, ",
        ),
        (&["mute", "--rule", "x"], "--reason TEXT: say why"),
    ] {
        fails(&[args, &["--db", db]].concat(), &[says]);
    }
    assert!(fine(&["journal", "--db", db]).starts_with("2 entries"), "a mistake leaves no entry");
}

#[test]
fn a_mute_is_listed_and_can_be_taken_back() {
    let (_dir, db) = filled();
    let db = db.as_str();
    let with = |args: &[&str]| fine(&[args, &["--db", db]].concat());
    let nobody = FindingKey {
        device: None,
        service: None,
        ..finding(4, "new-peer", Severity::Low, at("2026-03-02T08:00:07Z")).key
    };
    let mut sensor = finding(4, "new-peer", Severity::Low, at("2026-03-02T08:00:07Z"));
    (sensor.key, sensor.device) = (nobody, None);
    put(db, &[sensor]);
    assert!(with(&["mutes"]).starts_with("0 mutes "));
    let said = with(&["mute", "f4", "--reason", "our own"]);
    assert_eq!(said, "Muted new-peer (external) about no device on no service: 1 finding so far\n");
    assert_eq!(ids(db, &[]), ["f2", "f3", "f1"], "what is about a device is still told");
    with(&["mute", "f3", "--reason", "backup", "--by", "eve\u{1b}[2J"]);
    with(&["mute", "--rule", "scan", "--reason", "pentest"]);
    assert_eq!(ids(db, &[]), ["f2"]);

    let list = with(&["mutes"]);
    let lines: Vec<Vec<&str>> = list
        .lines()
        .skip(1)
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
        .collect();
    assert_eq!(lines[0], ["ID", "SINCE", "WHO", "WHAT", "FINDINGS", "REASON"]);
    assert_eq!(
        (lines[1][0], lines[1][3], lines[1][4]),
        ("m1", "new-peer (external) about no device on no service", "1")
    );
    assert_eq!((lines[2][0], lines[2][2], lines[2][5]), ("m2", "eve [2J", "backup"));
    assert_eq!((lines[3][0], lines[3][3], lines[3][4]), ("m3", "scan about any device on any service", "0"));
    let mutes = json(&with(&["mutes", "--format", "json"]));
    let parts = |n: usize| {
        ["id", "rule", "device", "peer_class", "service"].map(|name| mutes[n][name].as_str().unwrap())
    };
    assert_eq!(parts(0), ["m1", "new-peer", "none", "external", "none"]);
    assert_eq!(parts(1), ["m2", "new-peer", "d7", "external", "443/tcp"]);
    assert_eq!(parts(2), ["m3", "scan", "any", "any", "any"]);
    assert_eq!((&mutes[1]["findings"], &mutes[1]["reason"]), (&2.into(), &"backup".into()));
    let csv = with(&["mutes", "--format", "csv"]);
    assert!(csv.starts_with("id,at,who,rule,device,peer_class,service,findings,reason,macs\nm1,"), "{csv}");

    let said = with(&["unmute", "f1", "--reason", "moved"]);
    assert_eq!(said, "Unmuted new-peer (external) about d7 on 443/tcp: 2 findings so far\n");
    assert_eq!(ids(db, &[]), ["f2", "f3", "f1"]);
    put(db, &[finding(5, "new-peer", Severity::High, at("2026-03-03T08:00:00Z"))]);
    assert_eq!(ids(db, &[]), ["f2", "f5", "f3", "f1"], "what comes later is told, too");
    let counts = json(&fine(&["findings", "--db", db, "--format", "json"]));
    assert!(counts.iter().all(|f| f["count"] == 3), "what was counted while it was muted stays");
    let page = with(&["finding", "f1"]);
    assert!(page.contains("anna unmuted new-peer (external) about d7 on 443/tcp: moved\n"), "{page}");
    with(&["unmute", "M3", "--reason", "over"]);
    assert_eq!(json(&with(&["mutes", "--format", "json"])).len(), 1);

    // What two mutes hide is told when both are taken back.
    with(&["mute", "f3", "--reason", "backup"]);
    with(&["mute", "--rule", "new-edge", "--reason", "x"]);
    put(db, &[finding(6, "new-edge", Severity::High, at("2026-03-03T08:00:00Z"))]);
    with(&["mute", "f6", "--reason", "y"]);
    let wide = with(&["mutes"]).lines().find(|line| line.contains("about any")).unwrap()[..2].to_owned();
    let said = with(&["unmute", &wide, "--reason", "x"]);
    assert_eq!(
        said,
        "Unmuted new-edge about any device on any service: 1 finding so far, of which another mute hides 1\n"
    );
    with(&["mute", "--rule", "new-edge", "--reason", "x"]);
    assert_eq!(with(&["unmute", "f6", "--reason", "x"]).lines().count(), 2);
    assert!(ids(db, &[]).contains(&"f6".to_owned()));

    let entries = json(&with(&["journal", "--format", "json"]));
    assert_eq!(
        entries[3]["decision"],
        "unmute device d7 service 443/tcp peer external macs 00:1b:21:0a:0b:0c rule new-peer"
    );
    for (args, says) in [
        (&["unmute", "f2", "--reason", "x"][..], "f2 is not muted; `wardwatch mutes` lists what is muted"),
        (&["unmute", "f99", "--reason", "x"], "there is no finding f99"),
        (&["unmute", "m3", "--reason", "x"], "there is no mute m3; `wardwatch mutes` lists"),
        (&["unmute", "monday", "--reason", "x"], "\"monday\" is neither a finding's number nor a mute's"),
        (&["unmute", "f4"], "--reason TEXT: say why"),
    ] {
        fails(&[args, &["--db", db]].concat(), &[says]);
    }
    let after = json(&with(&["journal", "--format", "json"]));
    assert_eq!(after.len(), entries.len(), "a mistake leaves no entry");
    assert!(with(&["journal", "verify"]).contains("chain whole"));
}

#[test]
fn a_journal_that_was_changed_is_told() {
    let (_dir, db) = filled();
    let db = db.as_str();
    assert!(fine(&["journal", "verify", "--db", db]).starts_with("0 entries, chain whole\n"));
    for id in ["f1", "f2", "f3"] {
        fine(&["acknowledge", id, "--reason", "looking", "--db", db]);
    }
    let whole = fine(&["journal", "verify", "--db", db]);
    let last = json(&fine(&["journal", "--db", db, "--format", "json"]))[2]["hash"].clone();
    assert!(whole.starts_with("3 entries, chain whole\n"), "{whole}");
    assert!(whole.contains(last.as_str().unwrap()), "{whole}");
    // Rows are small enough to stand in the page as they are.
    let bytes = std::fs::read(db).unwrap();
    let find = |needle: &[u8]| bytes.windows(needle.len()).rposition(|window| window == needle).unwrap();
    let mut changed = bytes.clone();
    changed[find(b"acknowledge f1looking") + 14..][..7].copy_from_slice(b"nothing");
    std::fs::write(db, changed).unwrap();
    let broken = ends(&["journal", "verify", "--db", db], 1);
    assert_eq!(
        broken,
        "The journal is broken at entry 1: its hash is not that of its fields and the entry before\n"
    );
    let broken = ends(&["journal", "verify", "--db", db, "--format", "json"], 1);
    assert_eq!(json(&broken)[0]["entry"], 1);
}

/// A datagram and its answer between two hosts, in which no rule finds anything; classic pcap.
fn capture() -> Vec<u8> {
    let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    let (asks, serves) = (([2, 0, 0, 0, 0, 1], 7, [200, 1]), ([2, 0, 0, 0, 0, 2], 9, [0, 161]));
    for ((src, from, sport), (dst, to, dport)) in [(asks, serves), (serves, asks)] {
        let mut frame = [&dst[..], &src, &[8, 0, 0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0]].concat();
        frame.extend([10, 20, 20, from, 10, 20, 20, to]);
        frame.extend([&sport[..], &dport, &[0, 12, 0, 0, 1, 2, 3, 4]].concat());
        for word in [1_772_438_400 + u32::from(from), 0, frame.len() as u32, frame.len() as u32] {
            out.extend(word.to_le_bytes());
        }
        out.extend(frame);
    }
    out
}

#[test]
fn a_replay_ends_with_findings_and_fails_on_those_one_asked_to_fail_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("ward.db").to_str().unwrap().to_owned();
    let (file, db) = (dir.path().join("a.pcap"), db.as_str());
    std::fs::write(&file, capture()).unwrap();
    let file = file.to_str().unwrap();
    assert!(fine(&["replay", file]).ends_with("\n\nNo findings.\n"));
    let first = json(&fine(&["replay", file, "--db", db, "--format", "json"])).remove(0);
    assert_eq!(first["findings"], Value::Array(vec![]));
    let (begin, end) =
        (at(first["summary"]["first"].as_str().unwrap()), at(first["summary"]["last"].as_str().unwrap()));
    put(
        db,
        &[
            finding(90_001, "made-up", Severity::Critical, end),
            finding(90_002, "made-up-too", Severity::Critical, begin.plus(-1)),
        ],
    );
    let replay = |more: &[&str], code| ends(&[&["replay", file, "--db", db], more].concat(), code);
    let shown = replay(&[], 0);
    let section = shown.rsplit("\n\n").next().unwrap();
    assert!(section.starts_with("1 finding: 1 critical "), "{shown}");
    assert!(section.contains("f90001"), "{shown}");
    assert!(!section.contains("f90002"), "not of this run: {shown}");
    replay(&["--fail-on", "critical"], 1);
    let outcome = json(&replay(&["--fail-on", "info", "--format", "json"], 1)).remove(0);
    let made_up = outcome["findings"].as_array().unwrap().iter().find(|f| f["id"] == "f90001").unwrap();
    assert_eq!((&made_up["status"], &made_up["rule"]), (&"open".into(), &"made-up".into()));
    for decide in ["acknowledge", "resolve"] {
        fine(&[decide, "f90001", "--reason", "x", "--db", db]);
        replay(&["--fail-on", "critical"], 0);
    }
    put(db, &[finding(90_001, "made-up", Severity::Critical, end.plus(1))]);
    replay(&["--fail-on", "critical"], 1);
    fine(&["mute", "f90001", "--reason", "x", "--db", db]);
    assert!(replay(&["--fail-on", "critical"], 0).contains("1 hidden: 1 muted"));
    assert_eq!(run(&["replay", file, "--fail-on", "odd"]).status.code(), Some(2));
}

#[test]
fn mistakes_get_one_clear_line_and_exit_code_2() {
    let (dir, db) = filled();
    let db = db.as_str();
    let missing = dir.path().join("missing.db").to_str().unwrap().to_owned();
    for args in [
        &["findings"][..],
        &["finding", "f1"],
        &["acknowledge", "f1", "--reason", "x"],
        &["mute", "--rule", "x", "--reason", "x"],
        &["journal"],
        &["journal", "verify"],
        &["export", "findings"],
    ] {
        fails(&[args, &["--db", &missing]].concat(), &["missing.db", "cannot open"]);
    }
    assert!(!Path::new(&missing).exists(), "deciding makes no file");
    fails(&["findings", "--db", db, "--where", "severity=odd"], &["severity=odd", "expected info, low"]);
    fails(
        &["findings", "--db", db, "--where", "rule=new-edges"],
        &["rule=new-edges", "wardwatch rules lists"],
    );
    fails(&["finding", "f9", "--db", db], &["there is no finding f9"]);
    fails(&["finding", "d1", "--db", db], &["\"d1\" is no finding's number; expected one such as f3"]);
    fails(&["acknowledge", "f1", "--db", db], &["--reason TEXT: say why"]);
    fails(&["resolve", "f1", "--db", db, "--reason", " "], &["--reason TEXT: say why"]);
    fails(&["resolve", "f1", "--db", db, "--reason", "x", "--by", ""], &["--by NAME: expected the name"]);
    fails(&["acknowledge", "f1", "f9", "--db", db, "--reason", "x"], &["there is no finding f9"]);
    assert!(
        fine(&["journal", "--db", db]).starts_with("0 entries"),
        "one that is not there, and none is decided"
    );
    let _writes = Store::open(Path::new(db)).unwrap();
    fails(&["acknowledge", "f1", "--db", db, "--reason", "x"], &["ward.db", "another wardwatch is writing"]);
    assert!(fine(&["findings", "--db", db]).starts_with("3 findings"), "looking goes on beside it");
}
