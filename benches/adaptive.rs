//! What the adaptive TTL saves: origin loads against stale reads, on access traces with a
//! simulated origin, beside fixed TTLs. Shares are of all reads.
//!
//! Traces are the files of the folder `LARDER_TRACES`, else of `../shared/traces`: an
//! object's number at the start of each line, plain or gzip; without any, a synthetic one.
//! Of a trace longer than [`LAP_READS`] a part of the objects is taken, all accesses of each:
//! no object's TTL depends on another but by what is typical.
//!
//! Two ways to give the accesses times, both at random with a constant rate:
//! * **steady**: a lap of the trace an hour, for 24 hours, of which the first is not
//!   counted. What is measured are refills: no TTL saves an object's first load.
//! * **cold**: the trace once, over 24 hours, from an empty cache: first loads count, too.
//!
//! Each object has its own origin, drawn once, the same for all policies. A read is stale
//! where the object changed since its value was loaded. The cache holds everything: what
//! eviction costs is another bench's question.
//!
//! Both curves come from the same sweep of `ttl`; the adaptive policy keeps within 1 second
//! and 24 hours. Both have 10% of jitter. At equal stale shares, loads are read off the
//! curves, straight between points on logarithmic scales.
//!
//! The means of four traces and five stale shares, in % of loads saved:
//!
//! | origin | steady | with rates known | cold |
//! |---|---|---|---|
//! | log-uniform, 10 s to 10 days | 34 | 38 | 13 |
//! | log-normal around 1 hour | 23 | 26 | 6 |
//! | mixed: some never, some by the clock | 38 | 46 | 13 |
//! | shifting | 17 | - | 4 |
//! | what is hot changes more | 22 | 25 | 4 |
//! | all alike | 4 | 8 | -5 |

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use larder::base::clock;
use larder::store::adaptive::{Bounds, History, Refill, Typical, decide};

const HOUR_MS: f64 = 3_600_000.0;
const LAPS: usize = 24;
/// Reads in a lap.
const LAP_READS: usize = 120_000;
/// Stale shares at which loads are compared.
const STALE: [f64; 5] = [0.005, 0.01, 0.02, 0.05, 0.1];
const SWEEP_START_MS: f64 = 1000.0;
const SWEEP_STEP: f64 = 1.7;
const JITTER_PERCENT: u8 = 10;
const SEED: u64 = 42;

/// How an origin's objects change. Rates of objects are independent of how much they
/// are read, but for the last.
#[derive(Clone, Copy, PartialEq)]
enum Origin {
    /// At random (Poisson); mean interval between 10 s and 10 days, each octave alike.
    LogUniform,
    /// At random; mean intervals around 1 hour, a standard deviation of e² to either side.
    LogNormal,
    /// A quarter never, a quarter by the clock (each of 1, 5, 15, 60, 360, 1440 minutes),
    /// half as `LogNormal`.
    Mixed,
    /// As `LogNormal`, and after half of the time each object gets another rate.
    Shifting,
    /// All at random with the same mean of 1 hour: there is nothing to be learned but reads.
    Alike,
    /// As `LogNormal` with e^1.5, times the root of how often the object is read.
    HotChangeMore,
}

const ORIGINS: [(Origin, &str); 6] = [
    (Origin::LogUniform, "log-uniform 10 s-10 d"),
    (Origin::LogNormal, "log-normal 1 h"),
    (Origin::Mixed, "mixed, never, by clock"),
    (Origin::Shifting, "shifting"),
    (Origin::HotChangeMore, "hot change more"),
    (Origin::Alike, "all alike 1 h"),
];

/// Between 0 and 1, neither of them.
fn uniform() -> f64 {
    ((clock::random() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

fn exponential() -> f64 {
    -uniform().ln()
}

fn normal() -> f64 {
    (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

/// One object's origin.
#[derive(Clone, Copy)]
struct Object {
    /// Mean time from change to change; infinite where there is none.
    every_ms: f64,
    /// Where in its period it starts, if it changes by the clock.
    phase: Option<f64>,
    seen_ms: f64,
    version: u32,
}

impl Object {
    /// `popularity`: its reads, by the mean of all objects.
    fn draw(origin: Origin, popularity: f64) -> Self {
        let log_normal = |deviation: f64| HOUR_MS * (deviation * normal()).exp();
        let mut phase = None;
        let every_ms = match origin {
            Origin::LogUniform => 10_000.0 * 86_400f64.powf(uniform()),
            Origin::LogNormal | Origin::Shifting => log_normal(2.0),
            Origin::Alike => HOUR_MS,
            Origin::HotChangeMore => log_normal(1.5) / popularity.sqrt(),
            Origin::Mixed => match (4.0 * uniform()) as u8 {
                0 => f64::INFINITY,
                1 => {
                    phase = Some(uniform());
                    let minutes = [1.0, 5.0, 15.0, 60.0, 360.0, 1440.0];
                    60_000.0 * minutes[(6.0 * uniform()) as usize]
                }
                _ => log_normal(2.0),
            },
        };
        Self {
            every_ms,
            phase,
            seen_ms: 0.0,
            version: 0,
        }
    }

    /// Its version at a time, not before the last one asked for. Several changes since
    /// then count as one: nobody saw those between.
    fn at(&mut self, now_ms: f64) -> u32 {
        let since_ms = now_ms - self.seen_ms;
        self.seen_ms = now_ms;
        match self.phase {
            Some(phase) => self.version = (now_ms / self.every_ms + phase) as u32,
            None => self.version += u32::from(uniform() > (-since_ms / self.every_ms).exp()),
        }
        self.version
    }
}

/// One read: when, of what, and which version the origin had then.
#[derive(Clone, Copy)]
struct Access {
    at_ms: u64,
    object: u32,
    version: u32,
}

struct World {
    accesses: Vec<Access>,
    /// Of each object, for [`known`]: from change to change, and from read to read. Those
    /// from the start, where they shift.
    every_ms: Vec<(f64, f64)>,
    objects: usize,
    /// So many accesses are not counted.
    warm: usize,
}

impl World {
    fn new(trace: &Trace, origin: Origin, laps: usize, lap_ms: f64, warm_laps: usize) -> Self {
        clock::reseed(SEED);
        let reads = trace.keys.len();
        let mut counts = vec![0.0; trace.objects];
        trace.keys.iter().for_each(|&k| counts[k as usize] += 1.0);
        let mean = reads as f64 / trace.objects as f64;
        let draw = || -> Vec<Object> {
            let object = |n: &f64| Object::draw(origin, n / mean);
            counts.iter().map(object).collect()
        };
        let (mut objects, later) = (draw(), draw());
        let changes_ms = objects.clone().into_iter().map(|o| o.every_ms);
        let (mut now_ms, half) = (0.0, laps * reads / 2);
        let mut accesses = Vec::with_capacity(laps * reads);
        for n in 0..laps * reads {
            if n == half && origin == Origin::Shifting {
                let all = objects.iter_mut().zip(&later);
                all.for_each(|(object, later)| object.every_ms = later.every_ms);
            }
            now_ms += exponential() * lap_ms / reads as f64;
            let object = trace.keys[n % reads];
            accesses.push(Access {
                at_ms: now_ms as u64,
                object,
                version: objects[object as usize].at(now_ms),
            });
        }
        let every_ms = changes_ms.zip(&counts);
        let every_ms = every_ms.map(|(change_ms, n)| (change_ms, lap_ms / n));
        Self {
            accesses,
            every_ms: every_ms.collect(),
            objects: trace.objects,
            warm: warm_laps * reads,
        }
    }
}

/// A point of a curve: shares of all reads.
#[derive(Clone, Copy)]
struct Point {
    ttl_ms: f64,
    loads: f64,
    stale: f64,
}

/// What a cache holds of an object.
#[derive(Clone, Copy, Default)]
struct Held {
    filled_ms: u64,
    expires_ms: u64,
    version: u32,
    reads: u32,
    history: u64,
}

/// Plays a world. `ttl` decides at each load, given what was held (its history 0 at first),
/// the version and the time.
fn play(world: &World, mut ttl: impl FnMut(&mut Held, Access) -> u64) -> (f64, f64) {
    let mut cache = vec![Held::default(); world.objects];
    let (mut loads, mut stale) = (0u64, 0u64);
    for (n, access) in world.accesses.iter().enumerate() {
        let held = &mut cache[access.object as usize];
        let counts = u64::from(n >= world.warm);
        if access.at_ms < held.expires_ms {
            held.reads += 1;
            stale += counts * u64::from(held.version != access.version);
            continue;
        }
        loads += counts;
        let ttl_ms = ttl(held, *access);
        *held = Held {
            filled_ms: access.at_ms,
            expires_ms: access.at_ms + ttl_ms,
            version: access.version,
            reads: 0,
            history: held.history,
        };
    }
    let counted = (world.accesses.len() - world.warm) as f64;
    (loads as f64 / counted, stale as f64 / counted)
}

fn bounds(ttl_ms: f64) -> Bounds {
    Bounds {
        ttl_ms: ttl_ms as u64,
        ttl_min_ms: 1000,
        ttl_max_ms: 24 * HOUR_MS as u64,
        jitter_percent: JITTER_PERCENT,
    }
}

fn fixed(world: &World, ttl_ms: f64) -> (f64, f64) {
    let unbound = Bounds {
        ttl_max_ms: u64::MAX,
        ..bounds(ttl_ms)
    };
    play(world, |_, _| {
        unbound.jittered(unbound.ttl_ms, clock::random())
    })
}

/// `lost`: the share of histories that are lost before their refill, as a full table of
/// ghosts loses them.
fn adaptive(world: &World, ttl_ms: f64, lost: f64) -> (f64, f64) {
    let bounds = bounds(ttl_ms);
    let typical = Typical::new(bounds.ttl_ms);
    play(world, |held, access| {
        let history = History::from_bits(held.history).filter(|_| lost == 0.0 || uniform() > lost);
        let refill = Refill {
            value_digest: access.version,
            reads: held.reads,
            age_ms: access.at_ms - held.filled_ms,
        };
        let decision = decide(history, &bounds, &typical, refill);
        held.history = decision.history.to_bits();
        bounds.jittered(decision.ttl_ms, clock::random())
    })
}

/// What could be had at best, or nearly so: the best TTL for each object whose rates are
/// known. `ttl_ms` is that of an object that changes every hour and is read every hour.
fn known(world: &World, ttl_ms: f64) -> (f64, f64) {
    let x = ttl_ms / HOUR_MS;
    play(world, |_, access| {
        let (change_ms, read_ms) = world.every_ms[access.object as usize];
        let y = x * (x + 2.0) * change_ms / read_ms;
        (read_ms * y / ((1.0 + y).sqrt() + 1.0)).min(1e12) as u64
    })
}

/// Points for rising TTLs, until reads are staler than is asked for.
fn sweep(run: impl Fn(f64) -> (f64, f64)) -> Vec<Point> {
    let mut curve = Vec::new();
    let mut ttl_ms = SWEEP_START_MS;
    while ttl_ms < 60.0 * 24.0 * HOUR_MS {
        let (loads, stale) = run(ttl_ms);
        curve.push(Point {
            ttl_ms,
            loads,
            stale,
        });
        if stale > STALE[STALE.len() - 1] * 1.2 {
            break;
        }
        ttl_ms *= SWEEP_STEP;
    }
    curve
}

/// The least loads at a stale share; `None` where the curve does not reach it.
fn loads_at(curve: &[Point], stale: f64) -> Option<f64> {
    let between = curve.windows(2).filter_map(|pair| {
        let (a, b) = (pair[0], pair[1]);
        if a.stale <= 0.0 || a.stale > stale || b.stale < stale || a.stale == b.stale {
            return None;
        }
        let part = (stale / a.stale).ln() / (b.stale / a.stale).ln();
        Some((a.loads.ln() * (1.0 - part) + b.loads.ln() * part).exp())
    });
    between.reduce(f64::min)
}

/// Loads that the second saves against the first, at each of [`STALE`].
fn savings(fixed: &[Point], adaptive: &[Point]) -> Vec<Option<f64>> {
    let saving = |&stale: &f64| Some(1.0 - loads_at(adaptive, stale)? / loads_at(fixed, stale)?);
    STALE.iter().map(saving).collect()
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

fn seconds(ms: f64) -> String {
    format!("{:.1} s", ms / 1000.0)
}

fn print_curves(title: &str, fixed: &[Point], adaptive: &[Point]) {
    println!("\n{title}");
    println!("{:>14} | {:^21} | {:^21}", "", "fixed", "adaptive");
    println!(
        "{:>14} | {:>10} {:>10} | {:>10} {:>10}",
        "ttl", "loads, %", "stale, %", "loads, %", "stale, %"
    );
    for n in 0..fixed.len().max(adaptive.len()) {
        let cell = |curve: &[Point]| match curve.get(n) {
            Some(p) => format!("{:>10.2} {:>10.3}", 100.0 * p.loads, 100.0 * p.stale),
            None => format!("{:>10} {:>10}", "-", "-"),
        };
        let ttl_ms = fixed
            .get(n)
            .or(adaptive.get(n))
            .expect("one of them")
            .ttl_ms;
        let ttl = seconds(ttl_ms);
        println!("{ttl:>14} | {} | {}", cell(fixed), cell(adaptive));
    }
}

fn print_head(title: &str) {
    println!("\n{title}: loads saved at the same share of stale reads, %");
    print!("{:<14}{:<24}", "trace", "origin");
    STALE
        .iter()
        .for_each(|s| print!("{:>8}", format!("{:.1}%", 100.0 * s)));
    println!("{:>8}", "mean");
}

/// Prints a row, and answers its mean.
fn print_savings(trace: &str, origin: &str, savings: &[Option<f64>]) -> Option<f64> {
    print!("{trace:<14}{origin:<24}");
    for saving in savings {
        match saving {
            Some(saving) => print!("{:>8.1}", 100.0 * saving),
            None => print!("{:>8}", "-"),
        }
    }
    let there: Vec<f64> = savings.iter().flatten().copied().collect();
    let mean = (!there.is_empty()).then(|| mean(&there));
    match mean {
        Some(mean) => println!("{:>8.1}", 100.0 * mean),
        None => println!("{:>8}", "-"),
    }
    mean
}

struct Trace {
    name: String,
    keys: Vec<u32>,
    objects: usize,
}

impl Trace {
    /// Numbers the objects anew. Of too many accesses, takes those of a part of the objects.
    fn new(name: &str, all: &[u64], reads_max: usize) -> Self {
        let part = reads_max as f64 / all.len() as f64;
        let mut numbers = HashMap::new();
        let is_taken = |&&key: &&u64| {
            let mixed = (key ^ SEED).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ mixed >> 31).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed >> 11) as f64) < part * (1u64 << 53) as f64
        };
        let keys = all.iter().filter(is_taken).map(|&key| {
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        });
        let keys = keys.collect();
        Self {
            name: name.to_string(),
            keys,
            objects: numbers.len(),
        }
    }

    fn read(path: &Path) -> Option<Self> {
        let name = path.file_stem()?.to_str()?;
        let mut child = None;
        let input: Box<dyn Read> = match path.extension().and_then(|e| e.to_str()) {
            Some("gz") => {
                let run = Command::new("zcat")
                    .arg(path)
                    .stdout(Stdio::piped())
                    .spawn()
                    .ok()?;
                Box::new(child.insert(run).stdout.take()?)
            }
            Some("md") => return None,
            _ => Box::new(File::open(path).ok()?),
        };
        let lines = BufReader::new(input).lines();
        let key = |line: String| line.split(' ').next()?.parse().ok();
        let keys: Vec<u64> = lines.map_while(Result::ok).filter_map(key).collect();
        if let Some(mut child) = child {
            child.wait().ok()?;
        }
        (!keys.is_empty()).then(|| Self::new(name, &keys, LAP_READS))
    }

    /// Popularity by Zipf's law with an exponent of 0.9.
    fn synthetic(reads: usize, objects: u32) -> Self {
        clock::reseed(SEED);
        let mut sum = 0.0;
        let below: Vec<f64> = (1..=objects)
            .map(|rank| {
                sum += f64::from(rank).powf(-0.9);
                sum
            })
            .collect();
        let draw = |_| {
            let at = sum * uniform();
            below.partition_point(|&s| s < at) as u64
        };
        let keys: Vec<u64> = (0..reads).map(draw).collect();
        Self::new("zipf 0.9", &keys, reads)
    }
}

fn traces() -> Vec<Trace> {
    let folder = std::env::var_os("LARDER_TRACES").map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces"));
    let files = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = files.map(|f| f.path()).collect();
    paths.sort();
    let traces: Vec<Trace> = paths.iter().filter_map(|p| Trace::read(p)).collect();
    if traces.is_empty() {
        println!("no traces in {}: a synthetic one", folder.display());
        return vec![Trace::synthetic(LAP_READS, 20_000)];
    }
    traces
}

fn main() {
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let (traces, origins, laps) = if is_bench {
        (traces(), &ORIGINS[..], LAPS)
    } else {
        (vec![Trace::synthetic(4000, 400)], &ORIGINS[..1], 6)
    };
    let (mut steady, mut bests, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    for trace in &traces {
        let (name, reads) = (&trace.name, trace.keys.len());
        for &(origin, title) in origins {
            let world = World::new(trace, origin, laps, HOUR_MS, 1);
            let fixed = sweep(|ttl_ms| fixed(&world, ttl_ms));
            let adaptive_curve = sweep(|ttl_ms| adaptive(&world, ttl_ms, 0.0));
            let head = format!(
                "{name}, {reads} reads an hour of {} objects, {laps} hours; origin {title}",
                trace.objects
            );
            print_curves(&head, &fixed, &adaptive_curve);
            let known = sweep(|ttl_ms| known(&world, ttl_ms));
            bests.push((name, title, savings(&fixed, &known)));
            if origin == Origin::Mixed {
                let lossy = sweep(|ttl_ms| adaptive(&world, ttl_ms, 0.25));
                losses.push((name, title, savings(&fixed, &lossy)));
            }
            steady.push((name, title, savings(&fixed, &adaptive_curve)));
        }
    }
    print_rows("steady", &steady, origins);
    print_rows("steady, rates known", &bests, origins);
    print_rows(
        "steady, a quarter of the histories lost at each refill",
        &losses,
        origins,
    );
    let mut cold = Vec::new();
    for trace in &traces {
        for &(origin, title) in origins {
            let world = World::new(trace, origin, 1, 24.0 * HOUR_MS, 0);
            let fixed = sweep(|ttl_ms| fixed(&world, ttl_ms));
            let adaptive = sweep(|ttl_ms| adaptive(&world, ttl_ms, 0.0));
            cold.push((&trace.name, title, savings(&fixed, &adaptive)));
        }
    }
    print_rows("cold", &cold, origins);
}

type Row<'a> = (&'a String, &'a str, Vec<Option<f64>>);

/// A row for each trace and origin, and the means by origin and of all.
fn print_rows(title: &str, rows: &[Row<'_>], origins: &[(Origin, &str)]) {
    if rows.is_empty() {
        return;
    }
    print_head(title);
    let mut means = Vec::new();
    for (trace, origin, savings) in rows {
        means.extend(print_savings(trace, origin, savings).map(|mean| (*origin, mean)));
    }
    let print_mean = |title: &str, means: Vec<f64>| {
        if !means.is_empty() {
            println!("{:<14}{title:<64}{:>8.1}", "all", 100.0 * mean(&means));
        }
    };
    for (_, title) in origins {
        let of_it = means.iter().filter(|m| m.0 == *title).map(|m| m.1);
        print_mean(title, of_it.collect());
    }
    print_mean("all", means.iter().map(|m| m.1).collect());
}
