//! The program: command line, configuration, threads and the only clock of Wardwatch.
#![warn(clippy::unwrap_used, clippy::expect_used)]

mod baselines;
pub mod cli;
mod config;
mod decide;
mod docs;
mod files;
mod find;
mod findings;
mod memory;
mod merged;
mod mute;
mod pipeline;
mod quality;
mod replay;
mod rules;
mod show;
mod site;
mod text;
mod triage;
mod visibility;

pub use config::{Config, ConfigError, Prefix};
pub use pipeline::{Outcome, run as run_pipeline};

use cli::{Cli, Command, ConfigCommand};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// What ends the program with exit code 2: one sentence that names the file, field or option.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input cannot be read.
    #[error(transparent)]
    Capture(#[from] capture::CaptureError),
    /// A database cannot be used.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// An option's value is wrong.
    #[error("{0}")]
    Usage(String),
    /// Standard output cannot be written.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

/// Does what the command line says.
pub fn run(cli: Cli) -> Result<ExitCode, Error> {
    match cli.command {
        Command::Replay(args) => return replay::replay(&args),
        Command::Devices(args) => show::devices(&args)?,
        Command::Device(args) => show::device(&args)?,
        Command::Flows(args) => show::flows(&args)?,
        Command::Findings(args) => findings::list(&args)?,
        Command::Finding(args) => findings::one(&args)?,
        Command::Acknowledge(args) => decide::acknowledge(&args)?,
        Command::Resolve(args) => decide::resolve(&args)?,
        Command::Mute(args) => mute::mute(&args)?,
        Command::Unmute(args) => mute::unmute(&args)?,
        Command::Mutes(args) => mute::list(&args)?,
        Command::Rules(args) => rules::rules(&args)?,
        Command::Baseline(args) => baselines::run(&args)?,
        Command::Journal(args) => return decide::journal(&args),
        Command::Export(args) => files::export(&args)?,
        Command::Protocols(args) => docs::protocols(args.format)?,
        Command::Config(config) => match config.command {
            ConfigCommand::Check { file } => {
                Config::read(&file)?;
                text::line(&format!("{}: fine", file.display()))?;
            }
            ConfigCommand::Default => text::raw(config::DEFAULT)?,
        },
        Command::Man => docs::man()?,
        Command::Completions { shell } => docs::completions(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}
