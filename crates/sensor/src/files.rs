//! `wardwatch export`: what a database holds, to standard output or a file.

use crate::cli::{Export, Machine, What};
use crate::{Error, baselines, findings, show};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use store::Store;

pub(crate) fn export(args: &Export) -> Result<(), Error> {
    if args.what != What::Baselines && (args.level.is_some() || args.config.is_some()) {
        return Err(Error::Usage("export: --level and --config go with baselines".into()));
    }
    let store = Store::open_read_only(&args.db.db)?;
    let (reader, output) = (store.reader(), args.output.as_deref());
    match args.what {
        What::Inventory => written(output, |out| show::write_devices(&reader, &[], args.format, out)),
        What::Baselines => {
            let config = baselines::configured(args.config.as_deref())?;
            let level = args.level.unwrap_or_default();
            baselines::export(&reader, baselines::NOW, level, &config, args.format, output)
        }
        What::Findings => {
            let all = findings::all(&reader)?;
            written(output, |out| {
                Ok(match args.format {
                    Machine::Jsonl => findings::write_jsonl(&all, out),
                    Machine::Csv => findings::write_csv(&all, out),
                }?)
            })
        }
    }
}

/// Writes to a file, or to standard output.
pub(crate) fn written(
    output: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(path) = output else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        write(&mut out)?;
        return Ok(out.flush()?);
    };
    // Written beside it and then put in its place: who reads it sees the old one or the new one, never a half.
    let fail = |error| Error::File { path: path.into(), error };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let file = File::create(&beside).map_err(fail)?;
    let mut out = BufWriter::new(file);
    let written =
        write(&mut out).and_then(|()| Ok(out.into_inner().map_err(|e| e.into_error())?.sync_all()?));
    let result = written.and_then(|()| Ok(std::fs::rename(&beside, path)?)).map_err(|error| match error {
        Error::Output(error) => fail(error),
        other => other,
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    result
}
