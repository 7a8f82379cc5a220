//! The nodes file on the disk: locked against other processes, and replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::base::clock;

/// Between two complaints that the file cannot be written, in milliseconds.
const COMPLAIN_EVERY_MS: u64 = 30_000;

/// See the head of this file. Without a file nothing is written.
#[derive(Default)]
pub struct Disk {
    path: PathBuf,
    /// Whoever has the lock has the file.
    locked: Option<Flock<File>>,
    complained_ms: u64,
}

impl Disk {
    /// Locks the file, which is made where there is none, and reads it.
    pub fn open(name: &str) -> Result<(Disk, String), String> {
        let path = std::path::absolute(name).unwrap_or_else(|_| name.into());
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file =
            opened.map_err(|e| format!("Can't open {name} in order to acquire a lock: {e}"))?;
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let mut locked = locked.map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => format!(
                "Sorry, the cluster configuration file {name} is already used by a different \
                 Cluster node. Please make sure that different nodes use different cluster \
                 configuration files."
            ),
            error => format!("Impossible to lock {name}: {}", error.desc()),
        })?;
        let mut text = String::new();
        locked
            .read_to_string(&mut text)
            .map_err(|e| format!("Loading the cluster node config from {name}: {e}"))?;
        let disk = Disk {
            path,
            locked: Some(locked),
            complained_ms: 0,
        };
        Ok((disk, text))
    }

    /// Whether there is a file.
    pub fn is_open(&self) -> bool {
        self.locked.is_some()
    }

    /// Writes the file, which is the old one or the new one at any time; false where
    /// that fails, which is logged.
    pub fn save(&mut self, text: &str) -> bool {
        if self.locked.is_none() {
            return true;
        }
        let number = format!("{}-{}", std::process::id(), clock::unix_ms());
        let mut fresh = self.path.clone().into_os_string();
        fresh.push(format!(".tmp-{number}"));
        let fresh = PathBuf::from(fresh);
        match replace(&self.path, &fresh, text) {
            Ok(locked) => {
                self.locked = Some(locked);
                true
            }
            Err((what, error)) => {
                crate::warning!("Could not {what} cluster config file: {error}");
                let _ = fs::remove_file(&fresh);
                false
            }
        }
    }

    /// Says in the log, now and then, that the file is behind.
    pub fn complain(&mut self) {
        let now_ms = clock::unix_ms();
        if now_ms.saturating_sub(self.complained_ms) > COMPLAIN_EVERY_MS {
            self.complained_ms = now_ms;
            crate::warning!(
                "Cluster config updated even though writing the cluster config file to disk \
                 failed."
            );
        }
    }
}

/// Puts a new file in the place of the old one: locked before anybody can see it, so
/// that nobody else gets hold of it in between.
fn replace(
    path: &Path,
    fresh: &Path,
    text: &str,
) -> Result<Flock<File>, (&'static str, io::Error)> {
    let opened = OpenOptions::new().write(true).create_new(true).open(fresh);
    let file = opened.map_err(|e| ("open temp", e))?;
    let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    let mut file = locked.map_err(|(_, e)| ("lock temp", e.into()))?;
    file.write_all(text.as_bytes())
        .map_err(|e| ("write tmp", e))?;
    file.sync_all().map_err(|e| ("sync tmp", e))?;
    fs::rename(fresh, path).map_err(|e| ("rename tmp", e))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| ("sync the folder of the", e))?;
    Ok(file)
}
