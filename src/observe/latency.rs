//! LATENCY GRAPH and LATENCY DOCTOR: what the latency monitor noted, for people.

use crate::config::{Settings, param};
use crate::exec::latency::{Event, Series};
use crate::observe::process;

/// Samples side by side.
const COLUMNS: usize = 80;
/// Lines of a column.
const ROWS: usize = 4;
/// What fills a line, by how much of it.
const FILLED: [char; 3] = ['_', 'o', '#'];

/// The samples as columns, each with its age below, from top to bottom.
pub fn graph(event: Event, series: &Series, now_s: u64) -> String {
    let samples = series.samples();
    let high = samples.iter().map(|s| s.ms).max().unwrap_or(0);
    let low = samples.iter().map(|s| s.ms).min().unwrap_or(0);
    let mut text = format!(
        "{} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.name(),
        series.max_ms,
        "-".repeat(COLUMNS)
    );
    let steps = ROWS * FILLED.len();
    for (i, part) in samples.chunks(COLUMNS).enumerate() {
        if i > 0 {
            text.push('\n');
        }
        for row in (0..ROWS).rev() {
            let line = part.iter().map(|sample| {
                let step = (sample.ms - low) as usize * steps / (high - low).max(1) as usize;
                let step = step.min(steps - 1);
                match step.checked_sub(row * FILLED.len()) {
                    None => ' ',
                    Some(more) => FILLED.get(more).copied().unwrap_or('|'),
                }
            });
            text.extend(line);
            text.push('\n');
        }
        text += &" ".repeat(part.len());
        text.push('\n');
        let ages: Vec<String> = part
            .iter()
            .map(|s| age(now_s.saturating_sub(s.at_s)))
            .collect();
        let letters = ages.iter().map(String::len).max().unwrap_or(0);
        for at in 0..letters {
            text.extend(
                ages.iter()
                    .map(|age| age[at..].chars().next().unwrap_or(' ')),
            );
            text.push('\n');
        }
    }
    text
}

/// A time for people, in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..86_400 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// What to do about an event.
fn advice(settings: &Settings, event: Event) -> Vec<&'static str> {
    const SLOW_LOG_OFF: &str = "The slow log is off. Set slowlog-log-slower-than to the \
        microseconds of latency-monitor-threshold, and it shows which commands are slow.";
    const SLOW_LOG_HIGH: &str = "The slow log keeps only what is slower than the latency monitor's \
        threshold: lower slowlog-log-slower-than to the same time.";
    const SLOW_LOG: &str = "SLOWLOG GET shows which commands took long.";
    const LARGE: &str = "Freeing a large value takes its time. Cut values that are often removed, \
        expired or evicted into several, or let lazyfree-lazy-* free them in the background.";
    const SYSTEM: &str = "Commands that take a moment took long: the process did not get the \
        processor. Look for load on the machine, noisy neighbours, swapping, and measure with \
        redis-cli --intrinsic-latency 100.";
    const MANY: &str = "Many keys had to go at once: maxmemory was lowered, or a large value came. \
        A larger maxmemory, or smaller steps, spread this out.";
    match event {
        Event::Command => {
            let slow_us = settings.int(param::COMMANDLOG_EXECUTION_SLOWER_THAN);
            let len = settings.int(param::COMMANDLOG_SLOW_EXECUTION_MAX_LEN);
            let monitor_ms = settings.int(param::LATENCY_MONITOR_THRESHOLD);
            let log = match slow_us {
                _ if slow_us < 0 || len == 0 => Some(SLOW_LOG_OFF),
                us if us / 1_000 > monitor_ms => Some(SLOW_LOG_HIGH),
                _ => None,
            };
            log.into_iter().chain([SLOW_LOG, LARGE]).collect()
        }
        Event::CommandUnblocking => vec![SLOW_LOG],
        Event::FastCommand => vec![SYSTEM],
        Event::ExpireCycle | Event::EvictionDel => vec![LARGE],
        Event::EvictionCycle => vec![MANY],
    }
}

/// What happened, and what could be done about it.
pub fn report(settings: &Settings, all: &[(Event, Series)], now_s: u64) -> String {
    if all.is_empty() && settings.int(param::LATENCY_MONITOR_THRESHOLD) == 0 {
        return "Nothing is known: the latency monitor is off. CONFIG SET \
                latency-monitor-threshold <milliseconds> turns it on.\n"
            .into();
    }
    let mut text = String::new();
    let mut advices: Vec<&str> = Vec::new();
    for (i, (event, series)) in all.iter().enumerate() {
        let samples = series.samples().len();
        let analysis = series.analysis(now_s);
        text += &format!(
            "{}. {}: {samples} latency spikes (average {}ms, mean deviation {}ms, period {:.2} sec). \
             Worst all time event {}ms.\n",
            i + 1,
            event.name(),
            analysis.mean_ms,
            analysis.deviation_ms,
            analysis.period_s,
            series.max_ms,
        );
        advices.extend(advice(settings, *event));
    }
    if process::huge_page_bytes() > 0 {
        advices.push(
            "The process uses transparent huge pages, which makes single operations slow: echo \
             never > /sys/kernel/mm/transparent_hugepage/enabled, and start the server anew.",
        );
    }
    let head = match all.is_empty() {
        true => "No latency event happened.\n",
        false => "The server was slow at times:\n\n",
    };
    let mut seen = Vec::new();
    advices.retain(|advice| {
        let is_new = !seen.contains(advice);
        seen.push(*advice);
        is_new
    });
    let advices: String = advices
        .iter()
        .map(|advice| format!("- {advice}\n"))
        .collect();
    match advices.is_empty() {
        true => format!("{head}{text}"),
        false => format!("{head}{text}\nWhat could help:\n\n{advices}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::latency::LatencyMonitor;

    #[test]
    fn ages_are_in_their_largest_unit() {
        assert_eq!([59, 60, 7200, 172_800].map(age), ["59s", "1m", "2h", "2d"]);
    }

    #[test]
    fn a_graph_has_a_column_for_each_sample() {
        let series = Series::of(&[(100, 10), (101, 22), (163, 16)]);
        let drawn = graph(Event::Command, &series, 163);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(
            lines[0],
            "command - high 22 ms, low 10 ms (all time high 22 ms)"
        );
        assert_eq!(lines[2..6], [" # ", " |_", " ||", "_||"]);
        assert_eq!(lines[6..], ["   ", "110", "mms"]);
    }

    #[test]
    fn advice_comes_once() {
        let settings = Settings::default();
        let monitor = LatencyMonitor::default();
        assert!(report(&settings, &monitor.all(), 0).contains("is off"));
        let series = Series::of(&[(1, 20)]);
        let all = [
            (Event::Command, series.clone()),
            (Event::ExpireCycle, series),
        ];
        let text = report(&settings, &all, 2);
        assert!(
            text.contains("2. expire-cycle: 1 latency spikes (average 20ms"),
            "{text}"
        );
        assert_eq!(text.matches("Freeing a large value").count(), 1);
    }
}
