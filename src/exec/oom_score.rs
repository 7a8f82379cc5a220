//! What the kernel's out-of-memory killer is told of the process.

use std::fs;
use std::io;

use parking_lot::Mutex;

use crate::config::{Settings, param};
use crate::warning;

const FILE: &str = "/proc/self/oom_score_adj";
const SCORE_MAX: i32 = 1000;

/// The score that the process had before it was changed, while it is.
#[derive(Default)]
pub struct OomScore(Mutex<Option<i32>>);

impl OomScore {
    /// Makes the settings take effect.
    ///
    /// # Errors
    /// What the system says, which is logged.
    pub fn configure(&self, settings: &Settings) -> io::Result<()> {
        let mut before = self.0.lock();
        let mode = settings.choice_name(param::OOM_SCORE_ADJ);
        let base = match *before {
            Some(base) => base,
            None if mode == "no" => return Ok(()),
            None => read().inspect_err(|e| warning!("Unable to read oom_score_adj: {e}"))?,
        };
        let own = settings.oom_scores()[0];
        let score = match mode {
            "no" => base,
            "absolute" => own,
            _ => base + own,
        };
        let score = score.clamp(-SCORE_MAX, SCORE_MAX);
        fs::write(FILE, score.to_string())
            .inspect_err(|e| warning!("Unable to write oom_score_adj: {e}"))?;
        *before = (mode != "no").then_some(base);
        Ok(())
    }
}

fn read() -> io::Result<i32> {
    let text = fs::read_to_string(FILE)?;
    text.trim()
        .parse()
        .map_err(|_| io::ErrorKind::InvalidData.into())
}
