//! What the user names, and the files that it stands for.

use crate::error::{CaptureError, Warning};
use crate::source::Source;
use crate::stored::Reader;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Something to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A capture file; a directory, whose files are taken in the order of their names; or a pipe.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

impl Input {
    /// Reads a command-line argument: `-` is standard input.
    pub fn from_arg(arg: &OsStr) -> Self {
        if arg == "-" { Self::Stdin } else { Self::Path(arg.into()) }
    }
}

/// A file just opened.
pub(crate) struct Candidate {
    /// Where a regular file can be opened again; `None` for what can be read only once.
    pub(crate) path: Option<PathBuf>,
    /// Size as it is stored; `None` for what has no size.
    pub(crate) size: Option<u64>,
    pub(crate) source: Source,
}

impl Candidate {
    pub(crate) fn from_reader(name: String, reader: Reader) -> Result<Self, CaptureError> {
        Ok(Self { path: None, size: None, source: Source::open(name, reader)? })
    }

    pub(crate) fn from_path(path: &Path) -> Result<Self, CaptureError> {
        let name = path.display().to_string();
        let (file, metadata) = File::open(path)
            .and_then(|file| file.metadata().map(|metadata| (file, metadata)))
            .map_err(|source| CaptureError::Open { name: name.clone(), source })?;
        let source = Source::open(name, Box::new(file))?;
        let regular = metadata.is_file();
        Ok(Self { path: regular.then(|| path.to_owned()), size: regular.then_some(metadata.len()), source })
    }
}

/// Opens every file that `inputs` stand for, one at a time, and gives each to `take`, in order. What is no capture is an
/// error when it was named, and a warning when it lay in a directory that was named.
pub(crate) fn open_all(
    inputs: &[Input],
    warnings: &mut Vec<Warning>,
    mut take: impl FnMut(Candidate) -> Result<(), CaptureError>,
) -> Result<(), CaptureError> {
    let mut stdin_taken = false;
    for input in inputs {
        match input {
            Input::Stdin if stdin_taken => return Err(CaptureError::StdinTwice),
            Input::Stdin => {
                stdin_taken = true;
                take(Candidate::from_reader("standard input".to_owned(), Box::new(io::stdin()))?)?;
            }
            Input::Path(path) if path.is_dir() => open_directory(path, warnings, &mut take)?,
            Input::Path(path) => take(Candidate::from_path(path)?)?,
        }
    }
    Ok(())
}

fn open_directory(
    directory: &Path,
    warnings: &mut Vec<Warning>,
    take: &mut impl FnMut(Candidate) -> Result<(), CaptureError>,
) -> Result<(), CaptureError> {
    let name = directory.display().to_string();
    let entries: io::Result<Vec<_>> = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(source) => return Err(CaptureError::Open { name, source }),
    };
    entries.sort();
    let mut captures = 0_usize;
    for path in &entries {
        // Pipes and devices are never opened unasked: that could wait for ever.
        let opened = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err("is a directory; name it to replay it".to_owned()),
            Ok(metadata) if !metadata.is_file() => Err("is not a regular file".to_owned()),
            _ => Candidate::from_path(path).map_err(|error| error.about()),
        };
        match opened {
            Ok(candidate) => {
                captures = captures.saturating_add(1);
                take(candidate)?;
            }
            Err(why) => warnings.push(Warning::Skipped { name: path.display().to_string(), why }),
        }
    }
    if captures == 0 {
        return Err(CaptureError::NoCaptures { name, skipped: entries.len() });
    }
    Ok(())
}
