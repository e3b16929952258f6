//! Words, numbers and tables for people.

use crate::Error;
use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use model::Timestamp;
use std::io::Write;
use std::time::Duration;

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Prints one line; colours go away where they are not wanted (no terminal, NO_COLOR).
pub(crate) fn line(text: &str) -> Result<(), Error> {
    Ok(writeln!(anstream::stdout(), "{text}")?)
}

/// Prints text as it is.
pub(crate) fn raw(text: &str) -> Result<(), Error> {
    Ok(write!(anstream::stdout(), "{text}")?)
}

fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A heading.
pub(crate) fn strong(text: &str) -> String {
    styled(Style::new().bold(), text)
}

/// What is beside the point.
pub(crate) fn faint(text: &str) -> String {
    styled(Style::new().dimmed(), text)
}

/// What should be looked at.
pub(crate) fn warn(text: &str) -> String {
    styled(AnsiColor::Yellow.on_default(), text)
}

/// What should be looked at now.
pub(crate) fn alarm(text: &str) -> String {
    styled(AnsiColor::Red.on_default().bold(), text)
}

/// Words that a person typed, or that a stranger may have put into a database: without line breaks, control characters
/// and what else moves or hides the text around it.
pub(crate) fn words(text: &str) -> String {
    let clean = |word| model::Text::from_str_lossy(word).map(|word| word.to_string());
    text.split_whitespace().filter_map(clean).collect::<Vec<_>>().join(" ")
}

/// `48,211`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 packet`, `48,211 packets`.
pub(crate) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `31 MB`: three significant digits at most, decimal units.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 9.995);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `0.03 s`, `4.1 s`, `2 min 5 s`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
    }
}

/// Nanoseconds: `12 µs`, `4.1 s`.
pub(crate) fn nanos(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} ns"),
        1_000..1_000_000 => format!("{} µs", n / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", n / 1_000_000),
        _ => duration(Duration::from_nanos(n)),
    }
}

/// `2 Mar 2026 08:00:04`.
pub(crate) fn moment(t: Timestamp) -> String {
    let (year, month, day) = t.date();
    let (hour, minute, second) = t.clock();
    let month = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
    format!("{day} {month} {year} {hour:02}:{minute:02}:{second:02}")
}

/// `Mon 2 Mar 2026 08:00:04 – 09:12:40 UTC`; the second date only where it differs.
pub(crate) fn span(first: Timestamp, last: Timestamp) -> String {
    let weekday = WEEKDAYS.get(first.weekday() as usize).copied().unwrap_or_default();
    let end = moment(last);
    let end = if first.date() == last.date() { end.rsplit(' ').next().unwrap_or_default() } else { &end };
    format!("{weekday} {} – {end} UTC", moment(first))
}

/// Aligned columns under faint headings, as wide as they need be, and no wider than the terminal.
pub(crate) fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    // Piped into a file or a pager, lines are as long as they are: nothing is cut.
    match terminal_size::terminal_size() {
        Some((terminal_size::Width(width), _)) => drop(table.set_width(width.max(60))),
        None => drop(table.set_content_arrangement(ContentArrangement::Disabled)),
    }
    table.set_header(headings);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    let mut lines = text.lines().map(str::trim_end);
    let head = lines.next().map(faint).unwrap_or_default();
    std::iter::once(head).chain(lines.map(str::to_owned)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            ["0", "999", "1,000", "48,211", "1,234,567"],
            [0, 999, 1_000, 48_211, 1_234_567].map(count).each_ref().map(String::as_str)
        );
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (31_200_000, "31 MB"),
            (999_600, "1.0 MB"),
            (u64::MAX, "18447 PB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(
            [500, 12_345, 4_100_000_000, 125_000_000_000].map(nanos),
            ["500 ns", "12 µs", "4.1 s", "2 min 5 s"]
        );
        assert_eq!([plural(1, "flow", "flows"), plural(2_000, "flow", "flows")], ["1 flow", "2,000 flows"]);
    }

    #[test]
    fn times_name_the_second_day_only_if_there_is_one() {
        let t = |text| Timestamp::parse(text).unwrap();
        let (a, b, c) = (t("2026-03-02T08:00:04.5Z"), t("2026-03-02T09:12:40Z"), t("2026-03-03T00:00:00Z"));
        assert_eq!(span(a, b), "Mon 2 Mar 2026 08:00:04 – 09:12:40 UTC");
        assert_eq!(span(a, c), "Mon 2 Mar 2026 08:00:04 – 3 Mar 2026 00:00:00 UTC");
    }

    #[test]
    fn words_are_one_line_that_hides_nothing() {
        assert_eq!(words(" a\n\tb\u{1b}[2J  \u{202e}c "), "a b [2J c");
        assert_eq!((words(" \n\u{7}"), words("über 4711")), (String::new(), "über 4711".into()));
    }

    #[test]
    fn tables_align_and_have_no_trailing_space() {
        let text = table(
            &["A", "LONG"],
            vec![vec!["long cell".into(), "x".into()], vec!["y".into(), String::new()]],
        );
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "A          LONG\nlong cell  x\ny");
    }
}
