//! The program as a user runs it: what it prints, what it keeps, how it ends. And that no patient value is anywhere in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn ward() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ward.pcapng")
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wardwatch"))
        .args(args)
        .env_remove("WARDWATCH_DB")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs what must succeed.
fn fine(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    text(&output)
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

#[test]
fn a_capture_is_replayed_and_its_devices_explained() {
    let dir = tempfile::tempdir().unwrap();
    let (ward, db) = (ward(), dir.path().join("ward.db"));
    let (ward, db) = (ward.to_str().unwrap(), db.to_str().unwrap());
    let shown = fine(&["replay", ward, "--db", db]);
    for says in [
        "1,720 packets",
        "24 devices",
        "DICOM, DNS, OUI",
        "CLASS",
        "SOMATOM Force #WLB-CT-75021",
        "Protocols read: ARP, CDP, DHCP, DICOM, DNS, HL7, LLDP.",
        "Capture quality: 13 flows one-sided",
        "ONE-SIDED FLOWS",
        "LLDP/CDP heard from",
    ] {
        assert!(shown.contains(says), "{says:?} is not in\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colours where there is no terminal");
    assert!(shown.lines().all(|line| line == line.trim_end()), "no trailing space");

    let page = fine(&["device", "10.20.20.21", "--db", db]);
    for says in ["CT", "AE titles   CT_SOM_01", "Why CT", "Evidence", "(0008,1090)", "Peers", "C-STORE 0000H"]
    {
        assert!(page.contains(says), "{says:?} is not in\n{page}");
    }
    let ct = fine(&["devices", "--db", db, "--where", "class=CT", "--format", "json"]);
    let ct: serde_json::Value = serde_json::from_str(&ct).unwrap();
    for name in [ct["id"].as_str().unwrap(), "88:4b:39:12:34:21", "CT_SOM_01", "WLB-CT-75021"] {
        assert_eq!(fine(&["device", name, "--db", db]), page, "{name}");
    }
    let pump = fine(&["device", "space-4711", "--db", db]);
    assert!(
        pump.contains("DHCP history") && pump.contains("plugged in  switch 10.20.26.1, port vlan26"),
        "{pump}"
    );

    assert!(fine(&["devices", "--db", db, "--where", "class=CT"]).contains("1 device "));
    assert!(
        fine(&["devices", "--db", db, "--where", "ip=10.20.26.0/24", "--where", "make~braun"])
            .contains("1 device ")
    );
    assert_eq!(fine(&["devices", "--db", db, "--format", "csv"]).lines().count(), 25);
    let json = fine(&["devices", "--db", db, "--format", "json"]);
    assert_eq!(
        json.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count(),
        24
    );
    assert_eq!(json, fine(&["export", "inventory", "--db", db]), "the two are one record");
    let out = dir.path().join("inventory.csv");
    fine(&["export", "inventory", "--db", db, "--format", "csv", "-o", out.to_str().unwrap()]);
    assert!(std::fs::read_to_string(&out).unwrap().starts_with("id,macs,ips,"));

    let flows = fine(&["flows", "--db", db, "--where", "app=hl7", "--limit", "3"]);
    assert!(flows.contains("3 flows") && flows.contains("tcp hl7"), "{flows}");
    assert!(
        fine(&["flows", "--db", db, "--where", "device=CT_SOM_01", "--format", "json"])
            .contains("\"application\":\"dicom\"")
    );
    assert!(fine(&["flows", "--db", db, "--format", "csv"]).starts_with("first_seen,"));

    let again = fine(&["replay", ward, "--db", db, "--shards", "2", "--format", "json"]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["devices"].as_array().unwrap().len(), 24, "the same capture again makes no new device");
    assert_eq!(again["summary"]["packets"], 1_720);
}

#[test]
fn what_a_database_has_read_before_is_said() {
    let (dir, ward) = (tempfile::tempdir().unwrap(), ward());
    let (db, ward) = (dir.path().join("ward.db"), ward.to_str().unwrap());
    let args = ["replay", ward, "--db", db.to_str().unwrap()];
    let warning = "this database has read a capture of";
    assert!(!fine(&args).contains(warning), "it is new");
    assert!(fine(&args).contains(warning), "counted twice");
    let json: serde_json::Value =
        serde_json::from_str(&fine(&[&args[..], &["--format", "json"]].concat())).unwrap();
    let summary = &json["summary"];
    assert_eq!(
        summary["read_before"],
        serde_json::json!({"first": summary["first"], "last": summary["last"]})
    );
}

#[test]
fn no_patient_value_is_kept_printed_or_exported() {
    let dir = tempfile::tempdir().unwrap();
    let (ward, db) = (ward(), dir.path().join("ward.db"));
    let (file, db) = (ward.to_str().unwrap(), db.to_str().unwrap());
    let canaries = [&b"CANARY"[..], b"19010203"];
    let holds = |bytes: &[u8]| {
        canaries.iter().any(|canary| bytes.windows(canary.len()).any(|w| w.eq_ignore_ascii_case(canary)))
    };
    let capture = std::fs::read(&ward).unwrap();
    assert!(holds(&capture), "the search finds what it looks for: the capture is full of it");

    let mut printed = fine(&["replay", file, "--db", db]);
    for args in [
        vec!["devices"],
        vec!["devices", "--format", "json"],
        vec!["flows"],
        vec!["flows", "--format", "json"],
        vec!["export", "inventory", "--format", "csv"],
        vec!["findings", "--all"],
        vec!["export", "findings"],
        vec!["baseline", "show"],
        vec!["export", "baselines"],
        vec!["baseline", "save", "monday"],
        vec!["baseline", "export", "monday", "--format", "csv"],
    ] {
        printed += &fine(&[&args[..], &["--db", db]].concat());
    }
    for n in 1..=30 {
        printed += &text(&run(&["device", &format!("d{n}"), "--db", db]));
        printed += &text(&run(&["baseline", "show", &format!("d{n}"), "--db", db]));
    }
    assert!(printed.len() > 50_000 && !holds(printed.as_bytes()));
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        assert!(!holds(&std::fs::read(&path).unwrap()), "{}", path.display());
    }
}

/// Thirty datagrams between two hosts, each of a flow of its own, answered or not; classic pcap.
fn datagrams(answered: bool) -> Vec<u8> {
    let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    let (asks, serves) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    for n in 0..30u8 {
        for back in [false, true].into_iter().take(if answered { 2 } else { 1 }) {
            let ((src, from, sport), (dst, to, dport)) = match back {
                false => ((asks, 7, [200, n]), (serves, 9, [0, 161])),
                true => ((serves, 9, [0, 161]), (asks, 7, [200, n])),
            };
            let mut frame = [&dst[..], &src, &[8, 0, 0x45, 0, 0, 32, 0, n, 0, 0, 64, 17, 0, 0]].concat();
            frame.extend([10, 20, 20, from, 10, 20, 20, to]);
            frame.extend([&sport[..], &dport, &[0, 12, n, 1, 1, 2, 3, 4]].concat());
            for word in [1_772_438_400 + u32::from(n), 0, frame.len() as u32, frame.len() as u32] {
                out.extend(word.to_le_bytes());
            }
            out.extend(frame);
        }
    }
    out
}

#[test]
fn what_a_capture_lacks_lowers_the_confidence_of_what_depends_on_it() {
    let dir = tempfile::tempdir().unwrap();
    for (answered, sure) in [(false, true), (true, false)] {
        let (capture, db) =
            (dir.path().join(format!("{answered}.pcap")), dir.path().join(format!("{answered}.db")));
        std::fs::write(&capture, datagrams(answered)).unwrap();
        let (capture, db) = (capture.to_str().unwrap(), db.to_str().unwrap());
        fine(&["replay", capture, "--db", db]);
        let page = fine(&["device", "10.20.20.7", "--db", db]);
        let json = fine(&["device", "10.20.20.7", "--db", db, "--format", "json"]);
        let says = "0% of its services and peers: 30 of 30 flows one-sided in VLAN untagged";
        assert_eq!(page.contains(says), sure, "{page}");
        assert_eq!(json.contains("\"visibility\":{\"confidence\":0.0,"), sure, "{json}");
    }
}

#[test]
fn mistakes_get_one_clear_line_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("notes.txt"), "these are notes about the ward network").unwrap();
    std::fs::write(at("wrong.toml"), "[flow]\nmax_flow = 1\n").unwrap();
    std::fs::write(at("fine.toml"), "[site]\ninternal_prefixes = [\"192.0.2.0/24\"]\n").unwrap();
    let (ward, notes, db) = (ward(), at("notes.txt"), at("x.db"));
    let ward = ward.to_str().unwrap();
    fails(&["replay", &at("missing.pcap")], &["missing.pcap", "no such file"]);
    fails(&["replay", &notes], &["notes.txt", "not a capture file"]);
    fails(&["devices", "--db", &at("missing.db")], &["missing.db", "cannot open"]);
    fails(&["devices", "--db", &notes], &["notes.txt", "not a Wardwatch database"]);
    fails(&["replay", ward, "--db", &notes], &["notes.txt", "not a Wardwatch database"]);
    fails(
        &["replay", ward, "--config", &at("wrong.toml")],
        &["wrong.toml:2:1", "flow.max_flow", "unknown field"],
    );
    fails(&["config", "check", &at("wrong.toml")], &["wrong.toml:2:1", "flow.max_flow"]);
    assert!(fine(&["config", "check", &at("fine.toml")]).contains("fine.toml: fine"));
    fine(&["replay", ward, "--db", &db, "--config", &at("fine.toml")]);
    fails(&["devices", "--db", &db, "--where", "colour=red"], &["colour", "expected one of"]);
    fails(&["device", "nobody", "--db", &db], &["nobody"]);
    fails(&["flows", "--db", &db, "--where", "port=x"], &["port=x", "expected a port"]);
    fails(&["export", "inventory", "--db", &db, "-o", "/nonexistent/x.csv"], &["/nonexistent/x.csv"]);
    assert_eq!(run(&["replay"]).status.code(), Some(2));
    assert_eq!(run(&["replay", ward, "--shards", "99"]).status.code(), Some(2));
}

#[test]
fn a_capture_without_frames_has_no_time_and_no_devices() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (empty, db) = (path("empty.pcap"), path("empty.db"));
    let head = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    std::fs::write(&empty, head).unwrap();
    for shards in ["0", "1", "3"] {
        let shown = fine(&["replay", &empty, "--db", &db, "--shards", shards]);
        assert!(shown.contains("no packets") && shown.contains("0 devices"), "{shown}");
    }
    assert_eq!(fine(&["devices", "--db", &db, "--format", "json"]), "");
    assert_eq!(fine(&["export", "inventory", "--db", &db, "--format", "csv"]).lines().count(), 1);
    let nowhere = path("nowhere/devices.csv");
    fails(&["export", "inventory", "--db", &db, "-o", &nowhere], &[&nowhere]);
}

#[test]
fn standard_input_folders_and_a_closed_pipe() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(ward(), dir.path().join("a.pcapng")).unwrap();
    assert!(fine(&["replay", dir.path().to_str().unwrap()]).contains("24 devices"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_wardwatch"))
        .args(["replay", "-"])
        .stdin(std::fs::File::open(ward()).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "who stops reading is no error");
}

#[test]
fn the_program_documents_itself() {
    let protocols = fine(&["protocols"]);
    for name in ["arp", "dhcp", "lldp", "cdp", "hl7", "dicom", "dns", "tls"] {
        assert!(protocols.contains(name), "{protocols}");
    }
    assert_eq!(fine(&["protocols", "--format", "json"]).lines().count(), 8);
    let man = fine(&["man"]);
    assert!(man.contains(".TH") && man.contains("wardwatch REPLAY"), "{man}");
    assert!(man.contains("wardwatch BASELINE DIFF"), "what is below a command has its section, too: {man}");
    assert!(fine(&["completions", "bash"]).contains("wardwatch"));
    assert!(fine(&["--help"]).contains("Examples:"));
    assert!(fine(&["config", "default"]).contains("max_flows"));
}
