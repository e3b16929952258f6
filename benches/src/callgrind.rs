//! Instructions that a program executes, which no noise disturbs: callgrind counts them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Starts a program under callgrind, which writes to `counted` in the end.
///
/// # Errors
/// When valgrind cannot be run.
pub fn start(program: &Path, args: &[&OsStr], counted: &Path) -> io::Result<Child> {
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", counted.display()));
    command
        .arg(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("valgrind cannot be run: {error}")))
}

/// Waits for it; gives how many instructions it took.
///
/// # Errors
/// When the program or callgrind failed; with what they said.
pub fn end(child: Child, counted: &Path) -> io::Result<u64> {
    let output = child.wait_with_output()?;
    let wrong = |what: &str| {
        io::Error::other(format!("callgrind: {what}\n{}", String::from_utf8_lossy(&output.stderr)))
    };
    if !output.status.success() {
        return Err(wrong(&output.status.to_string()));
    }
    let text = fs::read_to_string(counted)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.ok_or_else(|| wrong("no total in its output"))
}
