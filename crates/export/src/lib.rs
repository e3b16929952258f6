//! What a machine reads. Formats are pure: rows in, text out; where the text goes is the caller's affair.
//!
//! The records are stable: fields are added, never renamed, and a field is absent when it is unknown — never null, never
//! empty. They are documented in the README's reference sections.

mod baselines;
mod findings;
mod inventory;

pub use baselines::{BASELINE_CSV_COLUMNS, BaselineEdge, BaselineRecord, baseline_csv_row, baseline_record};
pub use findings::{FINDING_CSV_COLUMNS, FindingRecord, finding_csv_row, finding_record};
pub use inventory::{CSV_COLUMNS, Record, Visibility, csv_row, plain_evidence, record};

/// Writes rows as CSV (RFC 4180) with a header line. A cell that a spreadsheet would run as a formula is quoted with an
/// apostrophe, as names on a network are chosen by strangers.
pub fn csv(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    out: &mut impl std::io::Write,
) -> std::io::Result<()> {
    let mut csv = Csv::new(header, out)?;
    rows.into_iter().try_for_each(|row| csv.row(&row))?;
    csv.end()
}

/// As [`csv()`], for rows that come one after the other.
#[derive(Debug)]
pub struct Csv<W: std::io::Write>(csv::Writer<W>);

impl<W: std::io::Write> Csv<W> {
    /// Begins with the header line.
    pub fn new(header: &[&str], out: W) -> std::io::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(header)?;
        Ok(Self(writer))
    }

    /// Writes a row, of as many cells as the header has.
    pub fn row(&mut self, cells: &[String]) -> std::io::Result<()> {
        self.0.write_record(cells.iter().map(|cell| match cell.as_bytes().first() {
            Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r') => format!("'{cell}"),
            _ => cell.clone(),
        }))?;
        Ok(())
    }

    /// There are no more.
    pub fn end(mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
