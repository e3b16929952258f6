//! The commands about findings and what is decided about them.

use super::{Db, Format, TableOrJson};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use model::Severity;

pub(super) const WHERE: &str = "Conditions: KEY=VALUE (is), KEY!=VALUE (is not), KEY~VALUE (contains), severity>=VALUE (at
least); several must all hold.
Keys: severity (info, low, medium, high, critical), rule, device (number, MAC, address or name), class, zone, status (open,
acknowledged, resolved, muted). Upper and lower case do not matter. What is muted or resolved is hidden unless --all or a
condition on status asks for it.

Examples:
  wardwatch findings --db ward.db --where 'severity>=medium'
  wardwatch findings --db ward.db --where device=CT-RM3 --where rule=new-edge --all
  wardwatch findings --db ward.db --where status=muted --format json | jq .title";

pub(super) const FINDING: &str = "Examples:
  wardwatch finding f3 --db ward.db
  wardwatch finding f3 --db ward.db --format json";

pub(super) const ACKNOWLEDGE: &str = "Examples:
  wardwatch acknowledge f3 --db ward.db --reason ticket-4711
  wardwatch acknowledge f3 f4 --db ward.db --reason ticket-4711 --by anna";

pub(super) const RESOLVE: &str = "Examples:
  wardwatch resolve f3 --db ward.db --reason vendor-confirmed
  wardwatch resolve f3 f4 --db ward.db --reason vendor-confirmed --by anna";

pub(super) const MUTE: &str = "Examples:
  wardwatch mute f3 --db ward.db --reason known-backup
  wardwatch mute --rule new-edge --device CT-RM3 --port 443/tcp --db ward.db --reason vendor-updates
  wardwatch mute --rule new-edge --db ward.db --reason being-rebuilt --by anna";

pub(super) const UNMUTE: &str = "Examples:
  wardwatch unmute f3 --db ward.db --reason backup-has-moved
  wardwatch unmute m4 --db ward.db --reason backup-has-moved --by anna";

pub(super) const MUTES: &str = "Examples:
  wardwatch mutes --db ward.db
  wardwatch mutes --db ward.db --format json | jq .rule";

pub(super) const JOURNAL: &str = "Examples:
  wardwatch journal --db ward.db
  wardwatch journal verify --db ward.db";

/// Reads the name of a severity.
pub(super) fn severity() -> impl TypedValueParser<Value = Severity> {
    PossibleValuesParser::new(Severity::ALL.iter().map(|severity| severity.as_str()))
        .try_map(|name| Severity::parse(&name).ok_or("no severity"))
}

/// `wardwatch findings`.
#[derive(Args, Debug)]
pub struct Findings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Show only findings for which this holds; may be given several times.
    #[arg(long = "where", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// Show what is muted or resolved, too.
    #[arg(long)]
    pub all: bool,
    /// Table for people, JSON lines or CSV for machines.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `wardwatch finding`.
#[derive(Args, Debug)]
pub struct Finding {
    /// Its number, such as f3.
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// A page for people, or the JSON record.
    #[arg(long, value_enum, default_value_t)]
    pub format: TableOrJson,
}

/// Who decides, and why.
#[derive(Args, Debug)]
pub struct Signed {
    /// Why; must be given. It is kept in the journal.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who decides; if not given, the name one is logged in with ($USER or $LOGNAME).
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// `wardwatch acknowledge` and `wardwatch resolve`.
#[derive(Args, Debug)]
pub struct Decide {
    /// Numbers of findings, such as f3.
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub signed: Signed,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
}

/// `wardwatch mute`.
#[derive(Args, Debug)]
pub struct Mute {
    /// The number of a finding, such as f3: its rule is muted about its device (or about none, if it has none), with its
    /// class of peer, on its service.
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Instead of a finding, the rule to mute.
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// With --rule: only about this device (its number, MAC, address or name).
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// With --rule: only on this service, such as 443/tcp.
    #[arg(long, value_name = "N/tcp")]
    pub port: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub signed: Signed,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
}

/// `wardwatch unmute`.
#[derive(Args, Debug)]
pub struct Unmute {
    /// The number of a finding, such as f3, or of a mute, such as m4.
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub signed: Signed,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
}

/// `wardwatch mutes`.
#[derive(Args, Debug)]
pub struct Mutes {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Table for people, JSON lines or CSV for machines.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `wardwatch journal`.
#[derive(Args, Debug)]
pub struct Journal {
    /// Instead of listing the entries: check that none was changed, taken out or cut off.
    #[arg(value_enum)]
    pub what: Option<JournalWhat>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Table for people, JSON lines or CSV for machines.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What can be done with the journal besides listing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JournalWhat {
    /// Check the chain of hashes; the exit code is 1 when it is broken.
    Verify,
}
