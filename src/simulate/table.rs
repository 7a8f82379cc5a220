//! The outcome as a table for people, and as JSON for programs.

use std::fmt::Write;

use super::Report;
use super::figures::{Counts, Outcome};

/// A column: its head, its text for a variant, and whether it is always there or
/// only where it says something of a variant.
struct Column {
    head: &'static str,
    cell: fn(&Outcome) -> String,
    matters: Option<fn(&Outcome) -> bool>,
}

const COLUMNS: &[Column] = &[
    Column::new("hit ratio", |o| percent(o.total.hit_ratio())),
    Column::new("null hits", |o| count(o.total.null_hits)).if_any(|o| o.total.null_hits > 0),
    Column::new("origin loads", |o| count(o.total.loads)),
    Column::new("of one key at once", |o| count(o.total.duplicates))
        .if_any(|o| o.total.duplicates > 0),
    Column::new("for nothing", |o| count(o.total.null_loads)).if_any(|o| o.total.null_loads > 0),
    Column::new("from origin", |o| bytes(o.total.origin_bytes)),
    Column::new("stale reads", |o| count(o.total.stale)).if_any(|o| o.total.stale > 0),
    Column::new("stale", |o| percent(o.total.stale_share())).if_any(|o| o.total.stale > 0),
    Column::new("memory at end", |o| bytes(o.bytes)),
    Column::new("at most", |o| bytes(o.total.bytes_max)),
    Column::new("keys at end", |o| count(o.keys)),
    Column::new("evicted", |o| count(o.evicted)),
    Column::new("expired", |o| count(o.expired)),
    Column::new("refused", |o| count(o.total.refused)).if_any(|o| o.total.refused > 0),
    Column::new("errors", |o| count(o.total.errors)).if_any(|o| o.total.errors > 0),
];

impl Column {
    const fn new(head: &'static str, cell: fn(&Outcome) -> String) -> Column {
        Column {
            head,
            cell,
            matters: None,
        }
    }

    const fn if_any(self, matters: fn(&Outcome) -> bool) -> Column {
        Column {
            matters: Some(matters),
            ..self
        }
    }
}

/// A number with its thousands set apart.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share of 1 in percent.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// A size in the unit that suits it, of 1024 each.
pub fn bytes(n: u64) -> String {
    let mut size = n as f64;
    let mut unit = "B";
    for larger in ["KB", "MB", "GB", "TB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{n} B"),
        _ => format!("{size:.1} {unit}"),
    }
}

/// A time in the units that suit it, at most two.
pub fn duration(us: u64) -> String {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
    ];
    let Some(at) = UNITS.iter().position(|(_, unit)| us >= *unit) else {
        return format!("{us}us");
    };
    let (name, unit) = UNITS[at];
    let mut text = format!("{}{name}", us / unit);
    if let Some((name, smaller)) = UNITS.get(at + 1)
        && us % unit / smaller > 0
    {
        let _ = write!(text, "{}{name}", us % unit / smaller);
    }
    text
}

/// What was simulated, in lines.
pub fn summary(report: &Report<'_>) -> Vec<String> {
    let Report { options, trace, .. } = report;
    let span_us = trace.span_us();
    let accesses = trace.accesses.len() as u64;
    let mut first = format!(
        "{} accesses of {} keys in {}",
        count(accesses),
        count(trace.keys.len() as u64),
        duration(span_us)
    );
    if span_us > 1 {
        let rate = accesses as f64 / (span_us as f64 / 1e6);
        let _ = match rate {
            r if r < 10.0 => write!(first, ", {r:.2}/s"),
            r => write!(first, ", {}/s", count(r.round() as u64)),
        };
    }
    if trace.bad.count > 0 {
        let _ = write!(first, ", {} bad lines left out", count(trace.bad.count));
    }
    let mut rules: Vec<String> = Vec::new();
    for rule in &options.updates {
        let time = duration(rule.interval_us);
        rules.push(match &rule.pattern {
            Some(pattern) => format!("of {} every {time}", pattern.escape_ascii()),
            None => format!("every {time}"),
        });
    }
    let changes = match rules[..] {
        [] => "values never change by themselves".to_owned(),
        _ => format!("a value changes {} on average", rules.join(", ")),
    };
    let mut second = format!("origin: {} a load, {changes}", duration(options.latency_us));
    if options.absent > 0.0 {
        let _ = write!(second, ", {:.4}% of keys absent", options.absent * 100.0);
    }
    vec![first, second]
}

/// The table.
pub fn text(report: &Report<'_>) -> String {
    let mut text = summary(report).join("\n");
    text.push_str("\n\n");
    let outcomes = report.outcomes;
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|c| c.matters.is_none_or(|matters| outcomes.iter().any(matters)))
        .collect();
    let heads = columns.iter().map(|c| c.head.to_owned());
    let mut rows = vec![std::iter::once(String::new()).chain(heads).collect()];
    rows.extend(outcomes.iter().map(|outcome| {
        let cells = columns.iter().map(|c| (c.cell)(outcome));
        std::iter::once(outcome.name.clone())
            .chain(cells)
            .collect::<Vec<_>>()
    }));
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
    for row in &rows {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "  {cell:>width$}");
        }
        text.push_str(&line);
        text.push('\n');
    }
    for outcome in outcomes {
        if let Some(error) = &outcome.error {
            let _ = writeln!(text, "{}: the first error was: {error}", outcome.name);
        }
    }
    text
}

/// The figures with the names that they have in the code, and those of each piece
/// of time.
pub fn json(report: &Report<'_>) -> String {
    let Report { trace, options, .. } = report;
    let mut text = format!(
        "{{\n  \"accesses\": {}, \"keys\": {}, \"span_us\": {}, \"bad_lines\": {}, \"seed\": {},\n  \"variants\": [",
        trace.accesses.len(),
        trace.keys.len(),
        trace.span_us(),
        trace.bad.count,
        options.seed,
    );
    for (i, outcome) in report.outcomes.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(
            text,
            "{comma}\n    {{\n      \"name\": {}, \"evicted\": {}, \"expired\": {}, \"keys\": {}, \"bytes\": {},\n      \"total\": ",
            quoted(&outcome.name),
            outcome.evicted,
            outcome.expired,
            outcome.keys,
            outcome.bytes,
        );
        json_counts(&outcome.total, &mut text);
        text.push_str(",\n      \"pieces\": [");
        for (i, piece) in outcome.pieces.iter().enumerate() {
            text.push_str(if i > 0 { ",\n        " } else { "\n        " });
            json_counts(piece, &mut text);
        }
        text.push_str("\n      ]\n    }");
    }
    text.push_str("\n  ]\n}\n");
    text
}

fn json_counts(counts: &Counts, text: &mut String) {
    let Counts {
        reads,
        hits,
        null_hits,
        stale,
        loads,
        duplicates,
        null_loads,
        origin_bytes,
        writes,
        refused,
        errors,
        bytes_max,
    } = counts;
    let _ = write!(
        text,
        "{{\"reads\": {reads}, \"hits\": {hits}, \"null_hits\": {null_hits}, \"stale\": {stale}, \
         \"loads\": {loads}, \"duplicates\": {duplicates}, \"null_loads\": {null_loads}, \
         \"origin_bytes\": {origin_bytes}, \"writes\": {writes}, \"refused\": {refused}, \
         \"errors\": {errors}, \"bytes_max\": {bytes_max}}}"
    );
}

/// A string of JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let counts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        let sizes = [0, 1023, 1024, 1_572_864].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KB", "1.5 MB"]);
        let times = [0, 5_000, 60_000_000, 90_500_000, 90_000_000_000].map(duration);
        assert_eq!(times, ["0us", "5ms", "1m", "1m30s", "1d1h"]);
        assert_eq!(percent(0.51236), "51.24 %");
        assert_eq!(quoted("a\"b\\\n"), "\"a\\\"b\\\\\\u000a\"");
    }
}
