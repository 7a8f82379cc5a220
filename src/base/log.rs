//! The log: `pid:role date * message`, as Valkey writes it, so that the tools
//! that read its log read this one; or, as Valkey does where it is told to, as
//! logfmt or JSON, and to the system's log as well.

use std::fmt::Arguments;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::{DateTime, Local};
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

impl Level {
    const fn mark(self) -> char {
        match self {
            Level::Debug => '.',
            Level::Verbose => '-',
            Level::Notice => '*',
            Level::Warning | Level::Nothing => '#',
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Verbose => "info",
            Level::Notice => "notice",
            Level::Warning | Level::Nothing => "warning",
        }
    }

    /// The severity that RFC 3164 gives it.
    const fn severity(self) -> u8 {
        match self {
            Level::Debug => 7,
            Level::Verbose => 6,
            Level::Notice => 5,
            Level::Warning | Level::Nothing => 4,
        }
    }
}

/// How a message is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Format {
    /// `pid:role date * message`.
    Legacy,
    /// `key=value` pairs.
    Logfmt,
    /// An object.
    Json,
}

impl Format {
    /// The format that `log-format` names.
    pub fn named(name: &str) -> Format {
        match name {
            "logfmt" => Format::Logfmt,
            "json" => Format::Json,
            _ => Format::Legacy,
        }
    }
}

/// How the time of a message is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Times {
    /// `20 Nov 2026 17:02:11.123`.
    Legacy,
    /// `2026-11-20T17:02:11.123+00:00`.
    Iso8601,
    /// Unix milliseconds.
    Milliseconds,
}

impl Times {
    /// The form that `log-timestamp-format` names.
    pub fn named(name: &str) -> Times {
        match name {
            "iso8601" => Times::Iso8601,
            "milliseconds" => Times::Milliseconds,
            _ => Times::Legacy,
        }
    }
}

/// The system's log, which takes messages at a socket (RFC 3164).
#[derive(Debug)]
pub struct Syslog {
    socket: UnixDatagram,
    ident: String,
    facility: u8,
}

impl Syslog {
    /// Where the system's log listens.
    pub const PATH: &str = "/dev/log";

    /// Speaks to the log at `path` as `ident`; `facility` by its number in the RFC.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(path: &Path, ident: String, facility: u8) -> io::Result<Syslog> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // A log that does not keep up must not stop the server.
        socket.set_nonblocking(true)?;
        Ok(Syslog {
            socket,
            ident,
            facility,
        })
    }

    fn send(&self, level: Level, at: DateTime<Local>, message: &str) {
        let priority = self.facility * 8 + level.severity();
        let date = at.format("%b %e %H:%M:%S");
        let (ident, pid) = (&self.ident, std::process::id());
        let text = format!("<{priority}>{date} {ident}[{pid}]: {message}");
        let _ = self.socket.send(text.as_bytes());
    }
}

static THRESHOLD: AtomicU8 = AtomicU8::new(Level::Notice as u8);
static FORMAT: AtomicU8 = AtomicU8::new(Format::Legacy as u8);
static TIMES: AtomicU8 = AtomicU8::new(Times::Legacy as u8);
static FILE: RwLock<Option<PathBuf>> = RwLock::new(None);
static SYSLOG: RwLock<Option<Syslog>> = RwLock::new(None);

/// Writes messages and their times like this from now on.
pub fn set_form(format: Format, times: Times) {
    FORMAT.store(format as u8, Ordering::Relaxed);
    TIMES.store(times as u8, Ordering::Relaxed);
}

/// Tells the system's log as well from now on.
pub fn set_syslog(syslog: Syslog) {
    *SYSLOG.write() = Some(syslog);
}

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
    let now = Local::now();
    let format = match FORMAT.load(Ordering::Relaxed) {
        n if n == Format::Logfmt as u8 => Format::Logfmt,
        n if n == Format::Json as u8 => Format::Json,
        _ => Format::Legacy,
    };
    let times = match TIMES.load(Ordering::Relaxed) {
        n if n == Times::Iso8601 as u8 => Times::Iso8601,
        n if n == Times::Milliseconds as u8 => Times::Milliseconds,
        _ => Times::Legacy,
    };
    let message = message.to_string();
    write_raw(line(format, times, now, level, &message).as_bytes());
    if let Some(syslog) = &*SYSLOG.read() {
        syslog.send(level, now, &message);
    }
}

fn line(format: Format, times: Times, at: DateTime<Local>, level: Level, message: &str) -> String {
    let pid = std::process::id();
    let time = match times {
        Times::Legacy => at.format("%d %b %Y %H:%M:%S%.3f").to_string(),
        Times::Iso8601 => at.format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        Times::Milliseconds => at.timestamp_millis().to_string(),
    };
    match format {
        Format::Legacy => format!("{pid}:M {time} {} {message}\n", level.mark()),
        Format::Logfmt => {
            let plain = message.replace('"', "'").replace(['\n', '\r'], " ");
            format!(
                "pid={pid} role=primary timestamp=\"{time}\" level={} message=\"{plain}\"\n",
                level.name()
            )
        }
        Format::Json => format!(
            "{{\"pid\":{pid},\"role\":\"primary\",\"timestamp\":\"{time}\",\"level\":\"{}\",\
             \"message\":{}}}\n",
            level.name(),
            json(message)
        ),
    }
}

/// A text as JSON writes it.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' | '"' => out.extend(['\\', c]),
            '\n' => out += "\\n",
            '\x0c' => out += "\\f",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\x08' => out += "\\b",
            '\0'..'\x20' => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
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

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> DateTime<Local> {
        DateTime::from_timestamp_millis(1_700_000_000_123)
            .expect("a time")
            .into()
    }

    #[test]
    fn a_line_is_what_the_format_says() {
        let pid = std::process::id();
        let show = |format, message| {
            line(
                format,
                Times::Milliseconds,
                moment(),
                Level::Verbose,
                message,
            )
        };
        assert_eq!(
            show(Format::Legacy, "hello"),
            format!("{pid}:M 1700000000123 - hello\n")
        );
        assert_eq!(
            show(Format::Logfmt, "say \"a\nb\""),
            format!(
                "pid={pid} role=primary timestamp=\"1700000000123\" level=info message=\"say 'a b'\"\n"
            )
        );
        assert_eq!(
            show(Format::Json, "\\ \"\t\x01"),
            format!(
                "{{\"pid\":{pid},\"role\":\"primary\",\"timestamp\":\"1700000000123\",\
                 \"level\":\"info\",\"message\":\"\\\\ \\\"\\t\\u0001\"}}\n"
            )
        );
    }

    #[test]
    fn a_time_is_what_its_form_says() {
        let show = |times| line(Format::Legacy, times, moment(), Level::Notice, "x");
        assert!(show(Times::Legacy).contains(" Nov 2023 "));
        let iso = show(Times::Iso8601);
        assert!(iso.contains("M 2023-11-1") && iso.contains(".123"), "{iso}");
    }

    #[test]
    fn the_systems_log_is_told_in_its_own_form() {
        let path = std::env::temp_dir().join(format!("larder-syslog-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixDatagram::bind(&path).expect("a socket");
        let syslog = Syslog::open(&path, "larder".into(), 16).expect("a log");
        syslog.send(Level::Warning, moment(), "hello");
        let mut bytes = [0; 200];
        let n = listener.recv(&mut bytes).expect("a message");
        let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
        assert!(text.starts_with("<132>Nov 1"), "{text}");
        let end = format!(" larder[{}]: hello", std::process::id());
        assert!(text.ends_with(&end), "{text}");
        let _ = std::fs::remove_file(&path);
    }
}
