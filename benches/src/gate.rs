//! The gate: instructions a packet, which no noise disturbs, against the table in `benches/instructions.txt`.
//!
//! Valgrind shows every program the same processor, so that which routines are chosen, and the count, are the same on
//! any machine with AVX2. A count is the difference between a long and a short capture, of which the short one is the
//! beginning: starting, and the first sight of the devices, cancel out.

use crate::callgrind::{end, start};
use crate::traffic::{Traffic, write};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

/// Packets of the two captures.
const SIZES: [u32; 2] = [50_000, 350_000];

/// A count may be this much higher than the table's.
const MAY_RISE: f64 = 0.10;

/// The budget of every kind of traffic, in instructions a packet.
pub const BUDGET: f64 = 1_200.0;

/// Instructions a packet, by kind.
pub type Counts = [(Traffic, f64); Traffic::ALL.len()];

/// Counts all kinds: `program replay CAPTURE` under callgrind. All at once, as they do not disturb one another's counts.
pub fn measure(program: &Path) -> io::Result<Counts> {
    let folder = tempfile::tempdir()?;
    let begin = |traffic: Traffic, packets: u32| {
        let capture = folder.path().join(format!("{}-{packets}.pcap", traffic.name()));
        let mut out = BufWriter::new(File::create(&capture)?);
        write(traffic, packets, &mut out)?;
        drop(out.into_inner()?);
        let counted = capture.with_extension("callgrind");
        Ok((start(program, &["replay".as_ref(), capture.as_os_str()], &counted)?, counted))
    };
    let mut runs = Vec::new();
    for (traffic, packets) in Traffic::ALL.into_iter().flat_map(|traffic| SIZES.map(|n| (traffic, n))) {
        runs.push(begin(traffic, packets));
    }
    // Every run that began is waited for, whatever became of the others.
    let totals: Vec<io::Result<u64>> =
        runs.into_iter().map(|run| run.and_then(|(child, counted)| end(child, &counted))).collect();
    let mut totals = totals.into_iter();
    let mut total = || totals.next().unwrap_or_else(|| Err(io::Error::other("a run is missing")));
    let mut counts = Traffic::ALL.map(|traffic| (traffic, 0.0));
    for (_, count) in &mut counts {
        let (short, long) = (total()?, total()?);
        *count = long.saturating_sub(short) as f64 / f64::from(SIZES[1] - SIZES[0]);
    }
    Ok(counts)
}

/// The table as it is kept.
pub fn table(counts: &Counts) -> String {
    let mut out = "# Instructions a packet, end to end into SQLite: callgrind, 300,000 packets after the first 50,000.\n\
                   # `benches/gate` fails when one has risen by more than 10 %; `benches/gate --bless` writes this anew.\n"
        .to_owned();
    for (traffic, count) in counts {
        out += &format!("{:<8}{count:>7.0}\n", traffic.name());
    }
    out
}

/// Reads a table.
///
/// # Errors
/// Names the line that is wrong, or the kind that is missing.
pub fn parse(table: &str) -> Result<Counts, String> {
    let mut found = [None; Traffic::ALL.len()];
    for line in table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let traffic = words.next().and_then(Traffic::parse);
        let count = words.next().and_then(|word| word.parse::<f64>().ok()).filter(|count| *count > 0.0);
        match (traffic, count, words.next()) {
            (Some(traffic), Some(count), None) => found[traffic as usize] = Some(count),
            _ => return Err(format!("not a kind of traffic and a count: {line}")),
        }
    }
    let mut counts = Traffic::ALL.map(|traffic| (traffic, 0.0));
    for (traffic, count) in &mut counts {
        *count = found[*traffic as usize].ok_or_else(|| format!("no count for {}", traffic.name()))?;
    }
    Ok(counts)
}

/// What was and what is, for people, and whether the gate holds.
pub fn compare(was: &Counts, is: &Counts) -> (String, bool) {
    let mut text = format!("{:<8}{:>8}{:>8}{:>10}{:>10}\n", "traffic", "was", "is", "change", "budget");
    let mut holds = true;
    for ((traffic, was), (_, is)) in was.iter().zip(is) {
        let change = is / was - 1.0;
        let risen = change > MAY_RISE;
        holds &= !risen;
        let within = if *is <= BUDGET { "within" } else { "over" };
        let note = if risen { "   risen by more than 10 %" } else { "" };
        text +=
            &format!("{:<8}{was:>8.0}{is:>8.0}{:>9.1}%{within:>10}{note}\n", traffic.name(), change * 100.0);
    }
    text += &format!("instructions a packet, end to end; the budget is {BUDGET:.0}\n");
    (text, holds)
}

#[cfg(test)]
mod tests {
    use super::{Counts, compare, parse, table};
    use crate::Traffic;

    const KEPT: Counts = [(Traffic::Mix, 1_000.0), (Traffic::Small, 2_000.0), (Traffic::Flows, 3_000.0)];

    fn times(factor: f64) -> Counts {
        KEPT.map(|(traffic, count)| (traffic, count * factor))
    }

    #[test]
    fn a_rise_of_more_than_a_tenth_of_any_kind_fails() {
        assert!(compare(&KEPT, &KEPT).1);
        assert!(compare(&KEPT, &times(1.09)).1);
        assert!(compare(&KEPT, &times(0.5)).1);
        for n in 0..KEPT.len() {
            let mut is = KEPT;
            is[n].1 *= 1.12;
            let (text, holds) = compare(&KEPT, &is);
            assert!(!holds && text.contains("risen by more than 10 %"), "{text}");
        }
    }

    /// The table that is kept would not hold if it were lower by what the gate is to notice.
    #[test]
    fn the_kept_table_is_sharp() {
        let kept = parse(include_str!("../instructions.txt")).unwrap();
        assert!(compare(&kept, &kept).1);
        let lower = kept.map(|(traffic, count)| (traffic, count * 0.88));
        assert!(!compare(&lower, &kept).1);
    }

    #[test]
    fn a_table_is_read_as_it_was_written_and_a_damaged_one_is_refused() {
        assert_eq!(parse(&table(&KEPT)), Ok(KEPT));
        assert_eq!(parse("mix 1\nsmall 2\n"), Err("no count for flows".to_owned()));
        assert!(parse("mix 1\nsmall 2\nflows none\n").is_err_and(|error| error.ends_with("flows none")));
        assert!(parse("mix 1 2\n").is_err() && parse("mixed 1\n").is_err() && parse("mix 0\n").is_err());
    }
}
