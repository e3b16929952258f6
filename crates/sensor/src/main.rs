//! The program `wardwatch`: reads the command line, does what it says, and ends with 0 (fine), 1 (findings one asked to
//! fail on, or a journal whose chain is broken) or 2 (usage or input error).

use clap::Parser;
use std::io::ErrorKind;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A dissector's panic is caught, counted and reported by the flow stage. Its text may quote what it was reading,
    // and what it was reading may be a patient's: nothing of it is printed but the place in our code.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        anstream::eprintln!("wardwatch: internal error{place}; the session it concerns was dropped");
    }));
    match sensor::run(sensor::cli::Cli::parse()) {
        Ok(code) => code,
        Err(sensor::Error::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("wardwatch: {error}");
            ExitCode::from(2)
        }
    }
}
