//! The command line. Help, man page and completions are all made from these definitions.

mod baseline;
mod findings;

pub use baseline::{Baseline, BaselineCommand, BaselineExport, Delete, Diff, Lock, Save, Saved, Show};
pub use findings::{Decide, Finding, Findings, Journal, JournalWhat, Mute, Mutes, Signed, Unmute};

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{Severity, Timestamp};
use std::ffi::OsString;
use std::path::PathBuf;

/// Passive network discovery for hospitals: what is on the ward network, how it is known, and whom it talks to.
#[derive(Debug, Parser)]
#[command(name = "wardwatch", version, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  wardwatch replay ward.pcapng                      who is on the network in this capture
  wardwatch replay monday/ --db ward.db             read a folder of captures into a database, or continue it
  wardwatch devices --db ward.db --where class=CT   list the CT scanners
  wardwatch device 10.20.4.17 --db ward.db          everything known of one device, with the evidence
  wardwatch findings --db ward.db                   what departs from what is normal, severest first
  wardwatch baseline show --db ward.db              what each device normally does, and how far learning has come
  wardwatch export inventory --db ward.db --format csv -o inventory.csv";

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read capture files and show what is on the network.
    ///
    /// Reads pcap and pcapng files, plain or compressed with gzip or zstd, folders of them (in name order) and standard
    /// input (-). Several inputs replay as one timeline. Nothing is ever transmitted.
    #[command(after_help = "Examples:
  wardwatch replay ward.pcapng
  wardwatch replay tap-a.pcap.gz tap-b.pcap.gz --db ward.db
  wardwatch replay today.pcap --db ward.db --fail-on high
  tcpdump -r ward.pcap -w - 'not port 443' | wardwatch replay -")]
    Replay(Replay),
    /// List the devices of a database.
    #[command(after_help = WHERE_DEVICES)]
    Devices(Devices),
    /// Explain one device: identity and evidence, leases and addresses, services, peers, conflicts and merges.
    #[command(after_help = "Examples:
  wardwatch device d7 --db ward.db
  wardwatch device 00:1b:21:0a:0b:0c --db ward.db
  wardwatch device CT-RM3 --db ward.db --format json")]
    Device(Device),
    /// List the conversations of a database.
    #[command(after_help = WHERE_FLOWS)]
    Flows(Flows),
    /// List the findings of a database, severest first.
    #[command(after_help = findings::WHERE)]
    Findings(Findings),
    /// Explain one finding: who, with whom, what crossed the threshold, what was normal, what to do, what was decided.
    #[command(after_help = findings::FINDING)]
    Finding(Finding),
    /// Say that somebody works on findings.
    #[command(after_help = findings::ACKNOWLEDGE)]
    Acknowledge(Decide),
    /// Say that findings are done with; one that is seen again later is open again.
    #[command(after_help = findings::RESOLVE)]
    Resolve(Decide),
    /// Hide findings like one from now on, and those there are; or a rule, about one device or any, on one service or any.
    ///
    /// They are still found, counted and exported, with the status muted.
    #[command(after_help = findings::MUTE)]
    Mute(Mute),
    /// Show again what was muted: what there is, and what comes.
    ///
    /// Given a finding, every mute that hides it is taken back.
    #[command(after_help = findings::UNMUTE)]
    Unmute(Unmute),
    /// List what is muted, since when, by whom and why, and how many findings that hides.
    #[command(after_help = findings::MUTES)]
    Mutes(Mutes),
    /// List the detection rules; or explain one: what it finds, why that matters, and what causes it innocently.
    #[command(after_help = "Examples:
  wardwatch rules
  wardwatch rules new-edge
  wardwatch rules --format json | jq .name")]
    Rules(Rules),
    /// Show what each device normally does and how far learning has come; keep that under a name, and compare.
    #[command(after_help = baseline::EXAMPLES)]
    Baseline(Baseline),
    /// List what was decided about findings, by whom and why; or check that nobody changed it.
    #[command(after_help = findings::JOURNAL)]
    Journal(Journal),
    /// Write what a database holds for other programs.
    #[command(after_help = "Examples:
  wardwatch export inventory --db ward.db --format csv -o inventory.csv
  wardwatch export findings --db ward.db
  wardwatch export baselines --db ward.db --level role --format csv -o edges.csv")]
    Export(Export),
    /// List the protocols that are dissected, where each is found, and what it can teach.
    Protocols(Formatted),
    /// Work with configuration files.
    Config(Config),
    /// Print the manual page (roff).
    #[command(after_help = "Example:\n  wardwatch man | man -l -")]
    Man,
    /// Print the completion script of a shell.
    #[command(after_help = "Example:\n  wardwatch completions bash > /etc/bash_completion.d/wardwatch")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

const WHERE_DEVICES: &str = "Conditions: KEY=VALUE (is), KEY!=VALUE (is not), KEY~VALUE (contains); several must all hold.
Keys: id, class, make, model, serial, name, ip (an address or a prefix), mac, vlan, os, role, ae, application, source,
location, router (yes, no). Upper and lower case do not matter.

Examples:
  wardwatch devices --db ward.db --where class=CT --where vlan=20
  wardwatch devices --db ward.db --where ip=10.20.0.0/16 --where 'make~philips'
  wardwatch devices --db ward.db --format json | jq .serial";

const WHERE_FLOWS: &str = "Conditions: KEY=VALUE; several must all hold.
Keys: device (as in wardwatch device), ip, port, transport, app, vlan, state (attempt, rejected, established, closed, reset).

Examples:
  wardwatch flows --db ward.db --where device=CT-RM3
  wardwatch flows --db ward.db --where app=hl7 --limit 20";

/// `wardwatch replay`.
#[derive(Args, Debug)]
pub struct Replay {
    /// Capture files, folders of them, or - for standard input.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<OsString>,
    /// Keep the inventory in this database, and continue the one it holds. Without it, nothing is kept.
    #[arg(long, value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// Read the configuration from this file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Threads that dissect, beside the one that keeps the inventory; 0 does all on one thread, which takes the least CPU.
    /// More than 1 gained nothing where it was measured. The default is 1, and 0 on a single core. The output is the same
    /// for any number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=32))]
    pub shards: Option<u16>,
    /// End the learning of all devices at this time of the frames (2026-03-09T00:00:00Z): what is new after it is reported.
    /// Without it, learning ends by itself, device by device; what is new to the site as a whole, such as a device, is
    /// reported after a week.
    #[arg(long, value_name = "TIME", value_parser = learn_until)]
    pub learn_until: Option<Timestamp>,
    /// End with exit code 1 when an open finding of this severity or above was raised or seen again.
    #[arg(long, value_name = "SEVERITY", value_parser = findings::severity())]
    pub fail_on: Option<Severity>,
    /// Table for people, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub format: TableOrJson,
}

fn learn_until(text: &str) -> Result<Timestamp, String> {
    crate::site::moment(text)
}

/// The database to read.
#[derive(Args, Debug)]
pub struct Db {
    /// The database that `wardwatch replay --db` made.
    #[arg(long, value_name = "FILE", env = "WARDWATCH_DB", default_value = "wardwatch.db")]
    pub db: PathBuf,
}

/// `wardwatch devices`.
#[derive(Args, Debug)]
pub struct Devices {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Show only devices for which this holds; may be given several times.
    #[arg(long = "where", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// Table for people, JSON lines or CSV for machines.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `wardwatch device`.
#[derive(Args, Debug)]
pub struct Device {
    /// Its number (d7), MAC, address or name.
    #[arg(value_name = "ID|MAC|IP|NAME")]
    pub name: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// A page for people, or the JSON record.
    #[arg(long, value_enum, default_value_t)]
    pub format: TableOrJson,
}

/// `wardwatch flows`.
#[derive(Args, Debug)]
pub struct Flows {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Show only flows for which this holds; may be given several times.
    #[arg(long = "where", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// Show at most this many; 0 shows all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub limit: u64,
    /// Table for people, JSON lines or CSV for machines.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `wardwatch rules`.
#[derive(Args, Debug)]
pub struct Rules {
    /// Explain the rule of this name.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Table for people, JSON lines or CSV for machines.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `wardwatch export`.
#[derive(Args, Debug)]
pub struct Export {
    /// What to export.
    #[arg(value_enum)]
    pub what: What,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// With baselines: each edge of each device, or summed up over roles or zones; device if not given.
    #[arg(long, value_enum)]
    pub level: Option<Level>,
    /// With baselines: read zones and prefixes of the site from this configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON object a line, or CSV.
    #[arg(long, value_enum, default_value_t)]
    pub format: Machine,
    /// Write to this file instead of standard output; it is replaced only when all is written.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `wardwatch protocols`.
#[derive(Args, Debug)]
pub struct Formatted {
    /// Table for people, JSON lines or CSV for machines.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `wardwatch config`.
#[derive(Args, Debug)]
pub struct Config {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a configuration file is right; if not, name the line and the field.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print the default configuration, each field with its meaning.
    Default,
}

/// What can be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The devices, as documented in the README's reference section.
    Inventory,
    /// The findings with their status, muted and resolved ones too; documented there as well.
    Findings,
    /// Who talks to whom for what, and what that is to the baseline; documented there as well.
    Baselines,
}

/// How far edges are summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Each device with each peer.
    #[default]
    Device,
    /// Each device with each role.
    RolePeer,
    /// Each role with each role.
    Role,
    /// Each role with each zone.
    Zone,
}

/// For people or machines, many rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
    /// Comma-separated values with a header line.
    Csv,
}

/// For people or machines, one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TableOrJson {
    /// Text.
    #[default]
    Table,
    /// One JSON object.
    Json,
}

/// For machines only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// Comma-separated values with a header line.
    Csv,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// A command and all below it.
    fn with_subcommands(command: &clap::Command) -> Vec<clap::Command> {
        let below = command.get_subcommands().flat_map(with_subcommands);
        std::iter::once(command.clone()).chain(below).collect()
    }

    #[test]
    fn definitions_are_sound_and_every_command_has_help() {
        Cli::command().debug_assert();
        for command in with_subcommands(&Cli::command()) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
        }
    }

    #[test]
    fn the_examples_of_the_help_parse() {
        let mut examples = 0;
        let all = with_subcommands(&Cli::command());
        let texts: Vec<String> =
            all.iter().filter_map(|c| c.get_after_help()).map(ToString::to_string).collect();
        for line in texts.iter().flat_map(|text| text.lines()) {
            let Some(at) = line.find("wardwatch ") else { continue };
            if !line.starts_with("  ") {
                continue;
            }
            let line = line[at..].split("   ").next().unwrap().split(" | ").next().unwrap();
            let words =
                line.split(" > ").next().unwrap().split_whitespace().map(|word| word.trim_matches('\''));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
            examples += 1;
        }
        assert!(examples > 10, "only {examples} examples found");
    }
}
