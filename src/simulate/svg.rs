//! The outcome as a picture: figures over virtual time as lines, and in all as bars.
//!
//! ```text
//!  title, what was simulated, legend
//!  ┌ hit ratio ──────┐ ┌ origin loads ───┐
//!  └─────────────────┘ └─────────────────┘     a line a variant
//!  ┌ stale reads ────┐ ┌ memory ─────────┐
//!  └─────────────────┘ └─────────────────┘
//!  hit ratio ▇▇▇▇▇     origin loads ▇▇▇        a bar a variant
//! ```
//!
//! Colours are such as can be told apart by the colour-blind and read on white and
//! on black; beyond eight variants, dashes tell them apart as well.

use std::fmt::Write;

use super::Report;
use super::figures::{Counts, Outcome, PIECES};
use super::table::{self, bytes, count, percent};

const WIDTH: f64 = 980.0;
const MARGIN: f64 = 24.0;
/// Room for the names of ticks, left of a plot.
const TICKS: f64 = 62.0;
const GAP: f64 = 28.0;
const PANEL_WIDTH: f64 = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
const PLOT_HEIGHT: f64 = 150.0;
/// A plot with its title and its axis.
const PANEL_HEIGHT: f64 = PLOT_HEIGHT + 72.0;
const LINE: f64 = 20.0;
const BAR: f64 = 22.0;
/// Characters of a name in the legend and at a bar.
const NAME_WIDTH: f64 = 7.4;

const COLOURS: [&str; 8] = [
    "#2f80d0", "#d9730d", "#1f9a6b", "#c44a9c", "#8a6be0", "#a98500", "#d0453c", "#1f9fb0",
];

const STYLE: &str = "\
  svg { background: #ffffff; }
  .page { fill: #ffffff; }
  text { font: 12px system-ui, 'DejaVu Sans', sans-serif; fill: #1c2228; }
  .title { font-size: 18px; font-weight: 600; }
  .head { font-size: 13px; font-weight: 600; }
  .soft { fill: #5b6670; }
  .end { text-anchor: end; }
  .middle { text-anchor: middle; }
  .grid { stroke: #d8dde2; stroke-width: 1; }
  .axis { stroke: #87919b; stroke-width: 1; }
  .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
  @media (prefers-color-scheme: dark) {
    svg { background: #14181d; }
    .page { fill: #14181d; }
    text { fill: #e4e8ec; }
    .soft { fill: #9aa5af; }
    .grid { stroke: #2c343c; }
    .axis { stroke: #7d8893; }
  }
";

/// A figure that is drawn.
struct Figure {
    title: &'static str,
    /// At a piece of time of so many seconds; `None` where there is nothing to say.
    at: fn(&Counts, f64) -> Option<f64>,
    /// Of a whole run, with its text; `None` where no bar is drawn.
    of: fn(&Outcome) -> (f64, String),
    /// A value of the axis.
    tick: fn(f64) -> String,
    /// The least that the axis reaches.
    reach: f64,
    /// The most that it may.
    most: f64,
    /// Whether its ticks are multiples of powers of 1024 rather than of 1000.
    is_binary: bool,
}

const FIGURES: [Figure; 4] = [
    Figure {
        title: "Hit ratio",
        at: |c, _| (c.reads > 0).then(|| c.hit_ratio() * 100.0),
        of: |o| (o.total.hit_ratio(), percent(o.total.hit_ratio())),
        tick: |v| format!("{} %", plain(v)),
        reach: 1.0,
        most: 100.0,
        is_binary: false,
    },
    Figure {
        title: "Origin loads a second",
        at: |c, seconds| Some(c.loads as f64 / seconds),
        of: |o| {
            (
                o.total.loads as f64,
                format!("{} loads", count(o.total.loads)),
            )
        },
        tick: plain,
        reach: 0.0,
        most: f64::INFINITY,
        is_binary: false,
    },
    Figure {
        title: "Stale reads",
        at: |c, _| (c.reads > 0).then(|| c.stale_share() * 100.0),
        of: |o| (o.total.stale_share(), percent(o.total.stale_share())),
        tick: |v| format!("{} %", plain(v)),
        reach: 0.1,
        most: 100.0,
        is_binary: false,
    },
    Figure {
        title: "Memory in use",
        at: |c, _| Some(c.bytes_max as f64),
        of: |o| {
            let most = o.total.bytes_max;
            (most as f64, format!("{} at most", bytes(most)))
        },
        tick: |v| bytes(v as u64).replace(".0 ", " "),
        reach: 1024.0,
        most: f64::INFINITY,
        is_binary: true,
    },
];

/// A number with thousands, or with as many digits as it needs.
fn plain(value: f64) -> String {
    if value >= 1000.0 && value.fract() == 0.0 {
        return count(value as u64);
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The distance of about four ticks up to `reach`: 1, 2, 2.5 or 5 times a power
/// of ten.
fn step(reach: f64, is_binary: bool) -> f64 {
    let mut unit = 1.0;
    while is_binary && reach / unit >= 2048.0 {
        unit *= 1024.0;
    }
    let rough = (reach / unit / 4.0).max(f64::MIN_POSITIVE);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|n| n * power)
        .into_iter()
        .find(|&s| s >= rough * 0.999);
    unit * step.unwrap_or(rough)
}

/// The distance of ticks on the time axis, in seconds.
fn time_step(span: f64) -> f64 {
    const STEPS: [f64; 22] = [
        1.0,
        2.0,
        5.0,
        10.0,
        15.0,
        30.0,
        60.0,
        120.0,
        300.0,
        600.0,
        900.0,
        1800.0,
        3600.0,
        7200.0,
        10_800.0,
        21_600.0,
        43_200.0,
        86_400.0,
        172_800.0,
        604_800.0,
        2_592_000.0,
        7_776_000.0,
    ];
    let rough = span / 6.0;
    match STEPS.into_iter().find(|&s| s >= rough) {
        Some(step) if rough > 0.5 => step,
        _ => step(span * 4.0 / 6.0, false),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// How a variant's line looks.
fn stroke(variant: usize) -> String {
    let colour = COLOURS[variant % COLOURS.len()];
    let dashes = ["", "6 3", "2 3", "8 3 2 3"][variant / COLOURS.len() % 4];
    match dashes {
        "" => format!("stroke=\"{colour}\""),
        dashes => format!("stroke=\"{colour}\" stroke-dasharray=\"{dashes}\""),
    }
}

struct Picture<'a> {
    report: &'a Report<'a>,
    /// What is drawn so far.
    body: String,
    /// How far down it reaches.
    y: f64,
}

/// The picture.
pub fn picture(report: &Report<'_>) -> String {
    let mut picture = Picture {
        report,
        body: String::new(),
        y: MARGIN,
    };
    picture.head();
    for pair in FIGURES.chunks(2) {
        for (i, figure) in pair.iter().enumerate() {
            picture.lines(figure, MARGIN + i as f64 * (PANEL_WIDTH + GAP));
        }
        picture.y += PANEL_HEIGHT;
    }
    for pair in FIGURES.chunks(2) {
        for (i, figure) in pair.iter().enumerate() {
            picture.bars(figure, MARGIN + i as f64 * (PANEL_WIDTH + GAP));
        }
        picture.y += report.outcomes.len() as f64 * BAR + 44.0;
    }
    let height = picture.y;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"larder simulate\">\n\
         <style>\n{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n{}</svg>\n",
        picture.body
    )
}

impl Picture<'_> {
    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = escape(text);
        let _ = writeln!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        );
    }

    fn segment(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = writeln!(
            self.body,
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// Title, summary and legend.
    fn head(&mut self) {
        self.y += 14.0;
        self.text("title", MARGIN, self.y, "larder simulate");
        for line in table::summary(self.report) {
            self.y += LINE;
            self.text("soft", MARGIN, self.y, &line);
        }
        self.y += LINE * 1.5;
        let mut x = MARGIN;
        for (i, outcome) in self.report.outcomes.iter().enumerate() {
            let width = 42.0 + outcome.name.chars().count() as f64 * NAME_WIDTH;
            if x + width > WIDTH - MARGIN && x > MARGIN {
                x = MARGIN;
                self.y += LINE;
            }
            let y = self.y - 4.0;
            let stroke = stroke(i);
            let to = x + 24.0;
            let _ = writeln!(
                self.body,
                "<path class=\"line\" {stroke} d=\"M{x:.1} {y:.1}H{to:.1}\"/>"
            );
            self.text("", x + 30.0, self.y, &outcome.name);
            x += width + 12.0;
        }
        self.y += LINE;
    }

    /// A figure over time.
    fn lines(&mut self, figure: &Figure, x: f64) {
        let span = self.report.trace.span_us() as f64 / 1e6;
        let seconds = (span / PIECES as f64).max(1e-6);
        let outcomes = self.report.outcomes;
        let series: Vec<Vec<Option<f64>>> = outcomes
            .iter()
            .map(|o| o.pieces.iter().map(|c| (figure.at)(c, seconds)).collect())
            .collect();
        let highest = series
            .iter()
            .flatten()
            .flatten()
            .fold(0.0, |a: f64, &b| a.max(b));
        let reach = highest.max(figure.reach).max(f64::MIN_POSITIVE);
        let step = step(reach, figure.is_binary);
        let reach = ((reach / step).ceil() * step).min(figure.most);
        let (left, top) = (x + TICKS, self.y + 30.0);
        let (right, bottom) = (x + PANEL_WIDTH, top + PLOT_HEIGHT);
        self.text("head", x, self.y + 14.0, figure.title);
        let mut i = 0.0;
        while i * step <= reach * 1.001 {
            let y = bottom - i * step / reach * PLOT_HEIGHT;
            self.segment(
                if i == 0.0 { "axis" } else { "grid" },
                (left, y),
                (right, y),
            );
            self.text("soft end", left - 8.0, y + 4.0, &(figure.tick)(i * step));
            i += 1.0;
        }
        let time_step = time_step(span);
        let mut at = 0.0;
        while at <= span * 1.001 && span > 0.0 {
            let x = left + at / span * (right - left);
            self.segment("axis", (x, bottom), (x, bottom + 4.0));
            self.text("soft middle", x, bottom + 17.0, &clock_text(at));
            at += time_step;
        }
        self.text("soft end", right, bottom + 32.0, "virtual time");
        for (i, points) in series.iter().enumerate() {
            let mut path = String::new();
            let mut is_down = false;
            for (piece, point) in points.iter().enumerate() {
                if let Some(value) = point {
                    let x = left + (piece as f64 + 0.5) / PIECES as f64 * (right - left);
                    let y = bottom - value.min(reach) / reach * PLOT_HEIGHT;
                    let _ = write!(path, "{}{x:.1} {y:.1}", if is_down { 'L' } else { 'M' });
                }
                is_down = point.is_some();
            }
            let stroke = stroke(i);
            let name = escape(&outcomes[i].name);
            let _ = writeln!(
                self.body,
                "<path class=\"line\" {stroke} d=\"{path}\"><title>{name}</title></path>"
            );
        }
    }

    /// A figure in all.
    fn bars(&mut self, figure: &Figure, x: f64) {
        let outcomes = self.report.outcomes;
        let title = figure.title.trim_end_matches(" a second");
        self.text("head", x, self.y + 14.0, &format!("{title} in all"));
        let bars: Vec<_> = outcomes.iter().map(|o| (figure.of)(o)).collect();
        let highest = bars.iter().map(|b| b.0).fold(f64::MIN_POSITIVE, f64::max);
        let names = outcomes.iter().map(|o| o.name.chars().count());
        let name_width = (names.max().unwrap_or(0) as f64 * NAME_WIDTH).min(PANEL_WIDTH / 2.5);
        let left = x + name_width + 8.0;
        let room = x + PANEL_WIDTH - left - 110.0;
        for (i, (value, text)) in bars.iter().enumerate() {
            let y = self.y + 26.0 + i as f64 * BAR;
            let width = (value / highest * room).max(1.0);
            let colour = COLOURS[i % COLOURS.len()];
            self.text(
                "end",
                left - 8.0,
                y + 12.0,
                &shortened(&outcomes[i].name, name_width),
            );
            let _ = writeln!(
                self.body,
                "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"16\" rx=\"2\" fill=\"{colour}\"/>"
            );
            self.text("", left + width + 6.0, y + 12.0, text);
        }
    }
}

fn shortened(name: &str, width: f64) -> String {
    let most = (width / NAME_WIDTH).ceil() as usize;
    match name.chars().count() > most {
        true => name
            .chars()
            .take(most.saturating_sub(1))
            .chain(['…'])
            .collect(),
        false => name.to_owned(),
    }
}

/// A moment on the time axis.
fn clock_text(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
        s => table::duration((s * 1e6).round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_about_four() {
        for reach in [0.013, 0.9, 1.0, 7.0, 99.0, 100.0, 12_345.0] {
            let step = step(reach, false);
            assert!((1.9..=4.1).contains(&(reach / step)), "{reach}: {step}");
        }
        assert_eq!(
            [step(100.0, false), step(0.1, false)].map(plain),
            ["25", "0.025"]
        );
        assert_eq!(step(10.0 * 1_048_576.0, true), 2.5 * 1_048_576.0);
        let spans = [0.5, 10.0, 76.0, 3600.0, 86_400.0, 1e9].map(time_step);
        assert_eq!(&spans[1..5], [2.0, 15.0, 600.0, 21_600.0]);
        assert!(spans[0] > 0.05 && spans[5] >= 1e8, "{spans:?}");
    }

    #[test]
    fn names_cannot_break_out_of_the_picture() {
        assert_eq!(escape("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
        assert_eq!(shortened("abcdef", 3.9 * NAME_WIDTH), "abc…");
    }
}
