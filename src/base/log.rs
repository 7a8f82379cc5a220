//! The log: `pid:role date * message`, as Valkey writes it, so that the tools
//! that read its log read this one.

use std::fmt::Arguments;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::RwLock;

/// How much a message matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// For whoever looks for a fault in Larder itself.
    Debug,
    /// Much, and rarely useful.
    Verbose,
    /// What an operator wants to know.
    Notice,
    /// What an operator must know.
    Warning,
    /// As a threshold: no message at all.
    Nothing,
}

impl Level {
    /// The threshold that `loglevel` names.
    pub fn named(name: &str) -> Level {
        match name {
            "debug" => Level::Debug,
            "verbose" => Level::Verbose,
            "notice" => Level::Notice,
            "warning" => Level::Warning,
            _ => Level::Nothing,
        }
    }
}

static THRESHOLD: AtomicU8 = AtomicU8::new(Level::Notice as u8);
static FILE: RwLock<Option<PathBuf>> = RwLock::new(None);

/// Drops messages below `level` from now on.
pub fn set_level(level: Level) {
    THRESHOLD.store(level as u8, Ordering::Relaxed);
}

/// Writes to this file from now on; `None`: to standard output.
pub fn set_file(file: Option<PathBuf>) {
    *FILE.write() = file;
}

/// Whether a message of this level would be written.
pub fn is_on(level: Level) -> bool {
    level as u8 >= THRESHOLD.load(Ordering::Relaxed)
}

/// Writes a message. A log that cannot be written is no reason to stop.
pub fn write(level: Level, message: Arguments<'_>) {
    if !is_on(level) {
        return;
    }
    let mark = match level {
        Level::Debug => '.',
        Level::Verbose => '-',
        Level::Notice => '*',
        Level::Warning | Level::Nothing => '#',
    };
    let now = chrono::Local::now().format("%d %b %Y %H:%M:%S%.3f");
    let line = format!("{}:M {now} {mark} {message}\n", std::process::id());
    write_raw(line.as_bytes());
}

/// Writes bytes as they are, for the banner.
pub fn write_raw(bytes: &[u8]) {
    let _ = match &*FILE.read() {
        // Opened each time, so that a log moved away is begun anew.
        Some(path) => OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut f| f.write_all(bytes)),
        None => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
    };
}

/// Logs what an operator wants to know.
#[macro_export]
macro_rules! notice {
    ($($arg:tt)*) => { $crate::base::log::write($crate::base::log::Level::Notice, format_args!($($arg)*)) };
}

/// Logs what an operator must know.
#[macro_export]
macro_rules! warning {
    ($($arg:tt)*) => { $crate::base::log::write($crate::base::log::Level::Warning, format_args!($($arg)*)) };
}

/// Logs what is rarely useful.
#[macro_export]
macro_rules! verbose {
    ($($arg:tt)*) => { $crate::base::log::write($crate::base::log::Level::Verbose, format_args!($($arg)*)) };
}
