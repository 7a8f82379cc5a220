//! Writes figures in Prometheus' text format, version 0.0.4
//! (prometheus.io/docs/instrumenting/exposition_formats).

use std::fmt::{Display, Write};

/// The type of this format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a figure is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows, until it is reset.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How values spread.
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A label and its value.
pub type Label<'a> = (&'static str, &'a str);

/// The text, family by family.
#[derive(Default, Debug)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a family of figures that have a name in common.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        debug_assert!(!self.0.contains(&format!("# TYPE {name} ")), "{name} twice");
        // Writing to a string does not fail.
        let _ = writeln!(
            self.0,
            "# HELP {name} {help}\n# TYPE {name} {}",
            kind.name()
        );
        Family {
            name,
            text: &mut self.0,
        }
    }

    /// A family of one figure that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    /// A family of one figure that only grows.
    pub fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, Kind::Counter, help).sample(&[], value);
    }

    /// All that was written.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Figures that have a name in common and differ by their labels.
pub struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Family<'_> {
    /// One of them.
    pub fn sample(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// One histogram: what was counted up to each bound, all that was counted, and the
    /// sum.
    pub fn histogram(
        &mut self,
        labels: &[Label<'_>],
        buckets: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) {
        for (bound, below) in buckets {
            self.line("_bucket", labels, Some(&bound.to_string()), below);
        }
        self.line("_bucket", labels, Some("+Inf"), count);
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[Label<'_>],
        bound: Option<&str>,
        value: impl Display,
    ) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let all = labels
            .iter()
            .copied()
            .chain(bound.map(|bound| ("le", bound)));
        for (i, (name, value)) in all.enumerate() {
            self.text.push(if i == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    _ => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() || bound.is_some() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_says_what_it_is_before_its_figures() {
        let mut text = Exposition::default();
        text.gauge("up", "Whether it is up.", 1);
        let mut family = text.family("seen_total", Kind::Counter, "Seen.");
        family.sample(&[("by", "a\"b\\c\nd"), ("at", "")], 7u64);
        family.sample(&[("by", "x"), ("at", "y")], 0.5);
        let expected = "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n\
                        # HELP seen_total Seen.\n# TYPE seen_total counter\n\
                        seen_total{by=\"a\\\"b\\\\c\\nd\",at=\"\"} 7\n\
                        seen_total{by=\"x\",at=\"y\"} 0.5\n";
        assert_eq!(text.into_text(), expected);
    }

    #[test]
    fn a_histogram_ends_with_all_that_was_counted() {
        let mut text = Exposition::default();
        let mut family = text.family("age_seconds", Kind::Histogram, "Age.");
        family.histogram(&[("p", "a")], [(0.5, 1), (1.0, 3)].into_iter(), 4, 9.25);
        family.histogram(&[], std::iter::empty(), 0, 0.0);
        let text = text.into_text();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "age_seconds_bucket{p=\"a\",le=\"0.5\"} 1",
                "age_seconds_bucket{p=\"a\",le=\"1\"} 3",
                "age_seconds_bucket{p=\"a\",le=\"+Inf\"} 4",
                "age_seconds_sum{p=\"a\"} 9.25",
                "age_seconds_count{p=\"a\"} 4",
                "age_seconds_bucket{le=\"+Inf\"} 0",
                "age_seconds_sum 0",
                "age_seconds_count 0",
            ]
        );
    }
}
