//! The title that `ps` shows for the process.
//!
//! It lies where the words of the command line were, and goes on over the
//! environment behind them: Linux shows both where the words do not end with a
//! zero any more. The file of the process's own memory is written to rather than
//! the memory itself.
//!
//! **Unsafe:** `std::env::set_var` alone, which copies each variable out of that
//! place; sound while no other thread reads the environment, as at start.

#![allow(unsafe_code)]

use std::env;
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;

use crate::config::{Settings, param};

/// The place of a title, and the name that the process was started by.
pub struct Title {
    place: Range<u64>,
    program: Vec<u8>,
}

impl Title {
    /// Makes the place free. To be called while there is one thread.
    ///
    /// # Errors
    /// The system does not say where it is.
    pub fn take() -> io::Result<Title> {
        let program = env::args_os().next().unwrap_or_default().into_vec();
        for (name, value) in env::vars_os() {
            // SAFETY: there is no other thread yet.
            unsafe { env::set_var(name, value) };
        }
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The name, in brackets, may hold spaces. Behind it, fields 48 to 51 of
        // proc_pid_stat(5) say where the words and the environment lie.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let field = |n: usize| -> Option<u64> { fields.split(' ').nth(n - 3)?.trim().parse().ok() };
        match (field(48), field(49), field(50), field(51)) {
            (Some(begin), Some(end), Some(env_begin), Some(env_end)) if begin > 0 => Ok(Title {
                // Not all systems lay one behind the other.
                place: begin..if env_begin == end { env_end } else { end },
                program,
            }),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Shows what the settings describe.
    ///
    /// # Errors
    /// The memory cannot be written to.
    pub fn show(&self, settings: &Settings) -> io::Result<()> {
        let room = (self.place.end - self.place.start) as usize;
        let mut title = expand(settings, &self.program);
        // The last byte ends it.
        title.truncate(room.saturating_sub(1));
        title.resize(room, 0);
        let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
        memory.write_all_at(&title, self.place.start)
    }
}

/// The template with its variables replaced; that they are known was made sure of
/// when it was set.
fn expand(settings: &Settings, program: &[u8]) -> Vec<u8> {
    let template = settings.text(param::PROC_TITLE_TEMPLATE);
    let mut rest = &template[..];
    let mut title = Vec::new();
    loop {
        rest = match rest {
            [] => break,
            [b'{', b'{', after @ ..] => {
                title.push(b'{');
                after
            }
            [b'{', after @ ..] => {
                let end = after.iter().position(|&b| b == b'}').unwrap_or(after.len());
                title.extend(variable(settings, program, &after[..end]));
                after.get(end + 1..).unwrap_or_default()
            }
            [byte, after @ ..] => {
                title.push(*byte);
                after
            }
        }
    }
    title.trim_ascii().to_vec()
}

fn variable(settings: &Settings, program: &[u8], name: &[u8]) -> Vec<u8> {
    let port = settings.int(param::PORT);
    match name {
        b"title" => program.to_vec(),
        b"listen-addr" if port == 0 => {
            [b"unixsocket:", &*settings.text(param::UNIXSOCKET)].concat()
        }
        b"listen-addr" => {
            let first = settings.bind().first().map_or(b"*".into(), |a| a.to_vec());
            [first, format!(":{port}").into_bytes()].concat()
        }
        b"config-file" => match settings.file() {
            Some(file) => file.as_os_str().as_bytes().to_vec(),
            None => b"-".into(),
        },
        b"port" => port.to_string().into_bytes(),
        b"tls-port" => settings.int(param::TLS_PORT).to_string().into_bytes(),
        b"unixsocket" => settings.text(param::UNIXSOCKET).to_vec(),
        b"server-mode" if settings.flag(param::CLUSTER_ENABLED) => b"[cluster]".into(),
        // The other mode goes without saying.
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Caller;

    #[test]
    fn a_template_is_filled_in() {
        let settings = Settings::default();
        let show = |template: &str| {
            let caller = Caller {
                is_local: true,
                is_loading: false,
            };
            let pairs = [(&b"proc-title-template"[..], template.as_bytes())];
            assert!(settings.set(&pairs, caller, &mut |_| Ok(())).is_ok());
            String::from_utf8(expand(&settings, b"/bin/larder")).expect("a text")
        };
        for (template, title) in [
            (
                "{title} {listen-addr} {server-mode}",
                "/bin/larder 127.0.0.1:6379",
            ),
            (" {port}/{tls-port} {{x} {config-file}", "6379/0 {x} -"),
            ("a {unixsocket}", "a"),
        ] {
            assert_eq!(show(template), title);
        }
    }
}
