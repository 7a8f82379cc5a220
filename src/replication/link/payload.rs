//! A snapshot from the leader: on its way, and into the keyspace.
//!
//! By default it is kept in a file until it is whole, and the old data until then. Where
//! `repl-diskless-load` has it so, it is read as it comes, by a thread of its own; what
//! has come and is not read yet is bounded.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};

use super::wire::Wire;
use super::{Attempt, End, Loaded};
use crate::base::clock;
use crate::config::param;
use crate::exec::engine::Engine;

/// Length of the mark behind a snapshot whose size nobody knew before.
const MARK_BYTES: usize = 40;
/// Pieces that have come and are not read yet, at most.
const PIECES: usize = 8;
/// How often the leader is told that this server lives, while it reads.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Where a snapshot ends.
enum Extent {
    /// Behind so many bytes more.
    Left(u64),
    /// Before this mark; what has come and may be a part of it.
    Mark([u8; MARK_BYTES], Vec<u8>),
}

impl Extent {
    /// What the line in front of a snapshot says.
    fn parse(line: &str) -> Option<Extent> {
        let text = line.strip_prefix('$')?;
        match text.strip_prefix("EOF:") {
            Some(mark) => {
                let mark = mark.as_bytes().get(..MARK_BYTES)?;
                Some(Extent::Mark(mark.try_into().ok()?, Vec::new()))
            }
            None => text.parse().ok().map(Extent::Left),
        }
    }

    /// Takes of what has come what is the snapshot's; says how much it took, what is
    /// the next piece, and whether that was all.
    fn cut(&mut self, input: &[u8]) -> (usize, Vec<u8>, bool) {
        match self {
            Extent::Left(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let piece = &input[..input.len().min(most)];
                *left -= piece.len() as u64;
                (piece.len(), piece.to_vec(), *left == 0)
            }
            Extent::Mark(mark, held) => {
                held.extend_from_slice(input);
                let sure = held.len().saturating_sub(MARK_BYTES);
                // Nothing comes behind it before this server says that it is ready.
                let is_all = held[sure..] == mark[..];
                let piece = held.drain(..sure).collect();
                (input.len(), piece, is_all)
            }
        }
    }
}

/// Where a snapshot goes as it comes.
enum Sink {
    /// To a file, which goes when this does.
    File(Spool),
    /// To who reads it.
    Reader(
        mpsc::Sender<Vec<u8>>,
        oneshot::Receiver<Result<Loaded, String>>,
    ),
}

/// A file that is removed in the end.
struct Spool {
    file: File,
    path: PathBuf,
}

impl Spool {
    fn new(engine: &Engine) -> io::Result<Spool> {
        let dir = engine.settings.text(param::DIR);
        let dir = String::from_utf8_lossy(&dir).into_owned();
        let name = format!(
            "temp-{}.{}.rdb",
            clock::unix_ms() / 1000,
            std::process::id()
        );
        let path = Path::new(&dir).join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Spool { file, path })
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What comes by a channel, as a source; it ends where the sender goes.
struct Pieces {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            match self.receiver.blocking_recv() {
                Some(piece) => (self.piece, self.at) = (piece, 0),
                None => return Ok(0),
            }
        }
        let left = &self.piece[self.at..];
        let bytes = left.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&left[..bytes]);
        self.at += bytes;
        Ok(bytes)
    }
}

impl Attempt {
    /// Takes a snapshot in.
    pub(super) async fn take_snapshot(&self, wire: &mut Wire) -> Result<Loaded, End> {
        let following = &self.engine.following;
        let transfer = &following.transfer;
        transfer.total.store(0, Relaxed);
        transfer.read.store(0, Relaxed);
        transfer.active_ms.store(clock::unix_ms(), Relaxed);
        let mut extent = self.extent(wire).await?;
        let total = match &extent {
            Extent::Left(bytes) => *bytes,
            Extent::Mark(..) => 0,
        };
        transfer.total.store(total, Relaxed);
        let goes_to_file = match self.engine.settings.choice_name(param::REPL_DISKLESS_LOAD) {
            "flush-before-load" => false,
            "on-empty-db" => !self.is_empty(),
            _ => true,
        };
        let how = if goes_to_file { "disk" } else { "parser" };
        match &extent {
            Extent::Left(bytes) => crate::notice!(
                "PRIMARY <-> REPLICA sync: receiving {bytes} bytes from primary to {how}"
            ),
            Extent::Mark(..) => crate::notice!(
                "PRIMARY <-> REPLICA sync: receiving streamed RDB from primary with EOF to {how}"
            ),
        }
        let mut sink = match goes_to_file {
            true => match Spool::new(&self.engine) {
                Ok(spool) => Sink::File(spool),
                Err(error) => {
                    crate::warning!(
                        "Opening the temp file needed for PRIMARY <-> REPLICA synchronization: \
                         {error}"
                    );
                    return Err(End::Failed);
                }
            },
            false => {
                self.make_room()?;
                let (sender, receiver) = mpsc::channel(PIECES);
                let pieces = Pieces {
                    receiver,
                    piece: Vec::new(),
                    at: 0,
                };
                Sink::Reader(sender, self.read(Box::new(pieces)))
            }
        };
        let received = self.receive(wire, &mut extent, &mut sink).await;
        let outcome = match (received, sink) {
            (Ok(()), Sink::Reader(sender, outcome)) => {
                drop(sender);
                outcome
            }
            (Err(end), Sink::Reader(sender, outcome)) => {
                drop(sender);
                // It comes to its end for want of more.
                let _ = outcome.await;
                self.discard();
                return Err(end);
            }
            (Err(end), Sink::File(_)) => return Err(end),
            (Ok(()), Sink::File(mut spool)) => {
                let again = spool.file.seek(SeekFrom::Start(0));
                let file = again.and_then(|_| spool.file.try_clone());
                let file = file.map_err(|error| {
                    crate::warning!(
                        "Failed trying to load the PRIMARY synchronization DB: {error}"
                    );
                    End::Failed
                })?;
                self.make_room()?;
                self.read(Box::new(io::BufReader::with_capacity(1 << 18, file)))
            }
        };
        match self.wait_for(outcome, wire).await {
            Ok(loaded) => Ok(loaded),
            Err(why) => {
                crate::warning!(
                    "Failed trying to load the PRIMARY synchronization DB, check server logs: {why}"
                );
                self.discard();
                Err(End::Failed)
            }
        }
    }

    /// What the leader says of the snapshot.
    async fn extent(&self, wire: &mut Wire) -> Result<Extent, End> {
        loop {
            let line = match timeout(self.patience(), wire.line()).await {
                Ok(Ok(line)) => line,
                Ok(Err(trouble)) => {
                    crate::warning!("I/O error reading bulk count from PRIMARY: {trouble}");
                    return Err(End::Failed);
                }
                Err(_) => {
                    warn_of_silence();
                    return Err(End::Failed);
                }
            };
            let active_ms = &self.engine.following.transfer.active_ms;
            active_ms.store(clock::unix_ms(), Relaxed);
            if line.is_empty() {
                // It lives.
                continue;
            }
            if let Some(error) = line.strip_prefix('-') {
                crate::warning!("PRIMARY aborted replication with an error: {error}");
                return Err(End::Failed);
            }
            match Extent::parse(&line) {
                Some(extent) => return Ok(extent),
                None => {
                    crate::warning!(
                        "Bad protocol from PRIMARY, the first byte is not '$' (we received \
                         '{line}'), are you sure the host and port are right?"
                    );
                    return Err(End::Failed);
                }
            }
        }
    }

    /// Hands the snapshot on as it comes.
    async fn receive(
        &self,
        wire: &mut Wire,
        extent: &mut Extent,
        sink: &mut Sink,
    ) -> Result<(), End> {
        let transfer = &self.engine.following.transfer;
        loop {
            let (taken, piece, is_all) = extent.cut(wire.input());
            wire.take(taken);
            transfer.read.fetch_add(taken as u64, Relaxed);
            let received = &self.engine.following.received;
            received.fetch_add(taken as u64, Relaxed);
            if !piece.is_empty() {
                let is_good = match sink {
                    Sink::File(spool) => spool.file.write_all(&piece).map_err(|error| {
                        crate::warning!(
                            "Write error or short write writing to the DB dump file needed for \
                             PRIMARY <-> REPLICA synchronization: {error}"
                        );
                    }),
                    // Who reads has had enough: it says why.
                    Sink::Reader(sender, _) => match sender.send(piece).await {
                        Ok(()) => Ok(()),
                        Err(_) => return Ok(()),
                    },
                };
                is_good.map_err(|()| End::Failed)?;
            }
            if is_all {
                return Ok(());
            }
            match timeout(self.patience(), wire.fill()).await {
                Ok(Ok(_)) => transfer.active_ms.store(clock::unix_ms(), Relaxed),
                Ok(Err(error)) => {
                    crate::warning!("I/O error trying to sync with PRIMARY: {error}");
                    return Err(End::Failed);
                }
                Err(_) => {
                    warn_of_silence();
                    return Err(End::Failed);
                }
            }
        }
    }

    /// Whether there is no data.
    fn is_empty(&self) -> bool {
        let keyspace = &self.engine.keyspace;
        (0..keyspace.len()).all(|index| keyspace.lock(index).len() == 0)
    }

    /// Forgets the old data.
    fn make_room(&self) -> Result<(), End> {
        crate::notice!("PRIMARY <-> REPLICA sync: Flushing old data");
        match self.leader.empty(&self.engine, self.worker, self.turn) {
            true => {
                crate::notice!("PRIMARY <-> REPLICA sync: Loading DB in memory");
                Ok(())
            }
            false => Err(End::Unwanted),
        }
    }

    /// Forgets what was read of a snapshot.
    fn discard(&self) {
        crate::notice!("PRIMARY <-> REPLICA sync: Discarding the half-loaded data");
        if self.leader.empty(&self.engine, self.worker, self.turn) {
            self.engine.following.set_loading(false);
        }
    }

    /// Reads a snapshot on a thread of its own.
    fn read(&self, source: Box<dyn Read + Send>) -> oneshot::Receiver<Result<Loaded, String>> {
        let (sender, receiver) = oneshot::channel();
        let (engine, load): (Arc<Engine>, _) = (self.engine.clone(), self.load);
        let thread = std::thread::Builder::new().name("load".into());
        let spawned = thread.spawn(move || {
            // Nobody waits for it where the process ends.
            let _ = sender.send(load(&engine, source));
        });
        if let Err(error) = spawned {
            crate::warning!("No thread to be had: {error}");
        }
        receiver
    }

    /// Waits for what comes of that; the leader hears that this server lives.
    async fn wait_for(
        &self,
        mut outcome: oneshot::Receiver<Result<Loaded, String>>,
        wire: &Wire,
    ) -> Result<Loaded, String> {
        let mut ticks = interval(SIGN_OF_LIFE);
        loop {
            tokio::select! {
                outcome = &mut outcome => {
                    return outcome.unwrap_or_else(|_| Err("nobody reads it".into()));
                }
                _ = ticks.tick() => {
                    // One byte, which the leader may have no time for: no matter.
                    let _ = wire.stream().try_write(b"\n");
                }
            }
        }
    }
}

fn warn_of_silence() {
    crate::warning!(
        "Timeout receiving bulk data from PRIMARY... If the problem persists try to set the \
         'repl-timeout' parameter in larder.conf to a larger value."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(line: &str, bytes: &[u8], step: usize) -> (Vec<u8>, usize) {
        let mut extent = Extent::parse(line).expect("an extent");
        let (mut all, mut at) = (Vec::new(), 0);
        loop {
            let end = (at + step).min(bytes.len());
            let (taken, piece, is_all) = extent.cut(&bytes[at..end]);
            all.extend(piece);
            at += taken;
            if is_all {
                return (all, at);
            }
        }
    }

    #[test]
    fn a_snapshot_ends_where_its_size_or_its_mark_says_however_it_comes() {
        for step in 1..80 {
            let (all, at) = pieces("$5", b"12345*1\r\n", step);
            assert_eq!((&all[..], at), (&b"12345"[..], 5));
            let mark = "a".repeat(MARK_BYTES);
            let bytes = format!("payload with {} in it{mark}", "a".repeat(39));
            let (all, at) = pieces(&format!("$EOF:{mark}"), bytes.as_bytes(), step);
            assert_eq!(all.len(), bytes.len() - MARK_BYTES);
            assert_eq!(at, bytes.len());
        }
        let (all, _) = pieces("$0", b"", 1);
        assert!(all.is_empty());
        for line in ["", "+OK", "$", "$x", "$-1", "$EOF:short"] {
            assert!(Extent::parse(line).is_none(), "{line}");
        }
    }
}
