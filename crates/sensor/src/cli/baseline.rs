//! The commands about baselines: what each device normally does.

use super::{Db, Format, Level, Machine, Signed, TableOrJson};
use clap::{Args, Subcommand};
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "Examples:
  wardwatch baseline show --db ward.db
  wardwatch baseline save before-upgrade --db ward.db
  wardwatch baseline diff before-upgrade now --db ward.db
  wardwatch baseline lock CT-RM3 --db ward.db --reason commissioned";

const SHOW: &str = "Examples:
  wardwatch baseline show --db ward.db
  wardwatch baseline show CT-RM3 --db ward.db
  wardwatch baseline show --roles --db ward.db
  wardwatch baseline show --db ward.db --format json | jq .state";

const SAVE: &str = "Examples:
  wardwatch baseline save before-upgrade --db ward.db
  wardwatch baseline save monday --db ward.db --config site.toml --replace";

const LIST: &str = "Examples:
  wardwatch baseline list --db ward.db
  wardwatch baseline list --db ward.db --format json | jq .name";

const DELETE: &str = "Examples:
  wardwatch baseline delete before-upgrade --db ward.db";

const DIFF: &str = "New: in B and not in A. Gone: in A and not in B. Changed: conversations, or bytes, per active hour at least 4 times
more or less, with at least 10 conversations on both sides. Silent: normal in A and not used since, for longer than 3
times its usual pause, while its device was active.

Examples:
  wardwatch baseline diff before-upgrade now --db ward.db
  wardwatch baseline diff monday friday --db ward.db --format json | jq .devices";

const LOCK: &str = "Examples:
  wardwatch baseline lock CT-RM3 --db ward.db --reason commissioned
  wardwatch baseline lock --db ward.db --reason ward-accepted --by anna";

const EXPORT: &str = "Examples:
  wardwatch baseline export now --db ward.db
  wardwatch baseline export before-upgrade --db ward.db --level role --format csv -o before.csv";

/// `wardwatch baseline`.
#[derive(Args, Debug)]
pub struct Baseline {
    /// What to do with it.
    #[command(subcommand)]
    pub command: BaselineCommand,
}

/// What can be done with baselines.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// List how far learning has come, device by device; or explain one device, with its edges.
    #[command(after_help = SHOW)]
    Show(Show),
    /// Keep the baseline as it is now under a name, in the same database.
    #[command(after_help = SAVE)]
    Save(Save),
    /// List the baselines that were saved.
    #[command(after_help = LIST)]
    List(Saved),
    /// Let a baseline that was saved go. What is learned now is not touched.
    #[command(after_help = DELETE)]
    Delete(Delete),
    /// Say what changed from one baseline to another: new, gone, much more or less, and expected but silent.
    #[command(after_help = DIFF)]
    Diff(Diff),
    /// End the learning of a device, or of all: what is new from then on is reported.
    ///
    /// It stands in the journal, is shown at once, and holds for what is replayed from then on. Devices that are first
    /// seen later are learned as ever.
    #[command(after_help = LOCK)]
    Lock(Lock),
    /// Write a baseline for other programs, the present one or one that was saved.
    #[command(after_help = EXPORT)]
    Export(BaselineExport),
}

/// `wardwatch baseline show`.
#[derive(Args, Debug)]
pub struct Show {
    /// Explain this device: its number (d7), MAC, address or name.
    #[arg(value_name = "DEVICE", conflicts_with = "roles")]
    pub device: Option<String>,
    /// Show, by role, how far learning has come, and what its devices have in common.
    #[arg(long)]
    pub roles: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Read when habits count as learned from this configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Table for people; JSON, one object a device or role; or CSV, one row each.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `wardwatch baseline save`.
#[derive(Args, Debug)]
pub struct Save {
    /// Its name: letters, digits, dots, underscores and dashes, at most 64.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Put it in place of one of the same name.
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Read zones of the site from this configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `wardwatch baseline list`.
#[derive(Args, Debug)]
pub struct Saved {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Table for people; or JSON, one object a baseline.
    #[arg(long, value_enum, default_value_t)]
    pub format: TableOrJson,
}

/// `wardwatch baseline delete`.
#[derive(Args, Debug)]
pub struct Delete {
    /// The name under which it was saved.
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
}

/// `wardwatch baseline diff`.
#[derive(Args, Debug)]
pub struct Diff {
    /// The earlier one: the name of a saved baseline, or now.
    #[arg(value_name = "A")]
    pub from: String,
    /// The later one: the name of a saved baseline, or now.
    #[arg(value_name = "B")]
    pub to: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Read zones and prefixes of the site from this configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Words for people, or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub format: TableOrJson,
}

/// `wardwatch baseline lock`.
#[derive(Args, Debug)]
pub struct Lock {
    /// The device: its number (d7), MAC, address or name. Without it, all devices there are.
    #[arg(value_name = "DEVICE")]
    pub device: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub signed: Signed,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
}

/// `wardwatch baseline export`.
#[derive(Args, Debug)]
pub struct BaselineExport {
    /// The name of a saved baseline, or now.
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub db: Db,
    /// Each edge of each device, or summed up over roles or zones.
    #[arg(long, value_enum, default_value_t)]
    pub level: Level,
    /// Read zones and prefixes of the site from this configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON object a line, or CSV.
    #[arg(long, value_enum, default_value_t)]
    pub format: Machine,
    /// Write to this file instead of standard output; it is replaced only when all is written.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
