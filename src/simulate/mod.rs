//! `larder simulate`: tries policies on a trace before they are used.
//!
//! A trace is replayed through the server's own commands, policies and eviction,
//! without sockets and on a virtual clock, with a simulated application in front
//! and a simulated origin behind; for several variants one after the other, so that
//! their figures can be compared.
//!
//! `options` reads the command line, `trace` and `monitor` the accesses, `origin`
//! says what lies behind the cache, `replay` runs a variant and `figures` counts;
//! `table` and `svg` show the outcome.
//!
//! **Invariant:** nothing that is shown depends on real time, on the number of
//! cores or on chance that the seed does not fix. **Knows no** socket; wires the
//! layers as `server.rs` does.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::Path;

mod figures;
mod monitor;
mod options;
mod origin;
mod replay;
mod svg;
mod table;
#[cfg(test)]
mod tests;
mod trace;

use figures::Outcome;
use options::{Options, Wish};
use origin::Origin;
use replay::Application;
use trace::Trace;

use crate::base::clock;

const USAGE: &str = include_str!("usage.txt");

/// Everything that a simulation says.
struct Report<'a> {
    options: &'a Options,
    trace: &'a Trace,
    outcomes: &'a [Outcome],
}

/// Runs the command line behind `simulate`; returns the exit code.
pub fn run(args: &[OsString]) -> i32 {
    let options = match Options::parse(args) {
        Ok(Wish::Help) => {
            print!("{USAGE}");
            return 0;
        }
        Ok(Wish::Run(options)) => options,
        Err(wrong) => {
            eprintln!("larder simulate: {wrong}");
            eprintln!("'larder simulate --help' explains the options.");
            return 1;
        }
    };
    match simulate(&options) {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("larder simulate: {message}");
            1
        }
    }
}

fn simulate(options: &Options) -> Result<(), String> {
    // Before any key has a digest: where keys lie must repeat, too.
    clock::reseed(options.seed);
    let mut trace = read_trace(options)?;
    complain(&trace);
    if trace.accesses.is_empty() {
        return Err("the trace holds no access".into());
    }
    trace.size_values(options.value_bytes, replay::VERSION_BYTES as u32);
    let outcomes = run_all(options, &trace)?;
    let report = Report {
        options,
        trace: &trace,
        outcomes: &outcomes,
    };
    let mut stdout = io::stdout().lock();
    // Whoever has closed it does not want to read.
    let _ = stdout.write_all(table::text(&report).as_bytes());
    let _ = stdout.flush();
    if let Some(path) = &options.json {
        write(path, &table::json(&report))?;
    }
    if let Some(path) = &options.svg {
        write(path, &svg::picture(&report))?;
    }
    Ok(())
}

fn run_all(options: &Options, trace: &Trace) -> Result<Vec<Outcome>, String> {
    let origin = Origin::new(options, &trace.keys);
    let mut outcomes = Vec::new();
    for variant in &options.variants {
        let settings = variant.settings(trace.keys.databases());
        let settings = settings.map_err(|wrong| wrong.to_string())?;
        let application = Application {
            ttl_ms: variant.ttl_ms,
            sentinel: variant.sentinel(&settings),
            clients: options.clients,
        };
        let began_ns = clock::mono_ns();
        let name = &variant.name;
        let outcome = replay::run(name, trace, &origin, settings, &application, options.seed);
        let outcome = outcome.map_err(|error| format!("variant '{name}': {error}"))?;
        let took_ns = clock::mono_ns() - began_ns;
        let rate = trace.accesses.len() as f64 / (took_ns.max(1) as f64 / 1e9);
        eprintln!(
            "{name}: {} s, {} accesses/s",
            took_ns as f64 / 1e9,
            rate as u64
        );
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn read_trace(options: &Options) -> Result<Trace, String> {
    let read = match &options.trace {
        None => Trace::read(&mut io::stdin().lock(), options.rate),
        Some(path) => {
            File::open(path).and_then(|file| Trace::read(&mut BufReader::new(file), options.rate))
        }
    };
    let name = options.trace.as_deref().unwrap_or(Path::new("-"));
    read.map_err(|error| format!("can't read the trace '{}': {error}", name.display()))
}

/// Says on standard error what of the trace is left out.
fn complain(trace: &Trace) {
    for (number, why, text) in &trace.bad.first {
        eprintln!("line {number}: {why}: {text}");
    }
    if trace.bad.count > 0 {
        eprintln!("{} bad lines in all, left out", trace.bad.count);
    }
    if trace.unordered > 0 {
        eprintln!(
            "{} lines of a time before the line above: put in order",
            trace.unordered
        );
    }
    let mut ignored: Vec<_> = trace.ignored.iter().collect();
    ignored.sort_by_key(|(name, count)| (u64::MAX - **count, *name));
    if !ignored.is_empty() {
        let shown = ignored
            .iter()
            .take(8)
            .map(|(name, count)| format!("{name} {count}"));
        let shown: Vec<_> = shown.collect();
        let more = if ignored.len() > 8 { ", …" } else { "" };
        eprintln!("commands left out: {}{more}", shown.join(", "));
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let error = |error| format!("can't write '{}': {error}", path.display());
    fs::write(path, text).map_err(error)
}
