//! What the fuzz targets do with their bytes, as plain functions: a fuzzer
//! drives them with what it has learnt, and the test below with random bytes.
//!
//!     cargo +nightly fuzz run parse
//!     cargo +nightly fuzz run commands
//!     cargo +nightly fuzz run payload
//!     cargo test --manifest-path fuzz/Cargo.toml

pub mod commands;
pub mod parse;
pub mod payload;
pub mod reply;

/// Takes choices out of a fuzzer's bytes; where they end, every choice is 0.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Choices from these bytes.
    pub fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices(bytes)
    }

    /// Whether there are none left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    /// A number below `n`, which is at least 1 and at most 65,536.
    pub fn below(&mut self, n: usize) -> usize {
        let low = usize::from(self.byte());
        match n {
            ..=256 => low % n,
            _ => (usize::from(self.byte()) << 8 | low) % n,
        }
    }

    /// One of several.
    pub fn of<T: Copy>(&mut self, several: &[T]) -> T {
        several[self.below(several.len())]
    }

    /// So many bytes as they are, or what is left of them.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use larder::base::clock;

    /// Random bytes, some of which mean something to the protocol.
    fn random_bytes() -> Vec<u8> {
        let len = clock::random_below(600);
        let meant = b"\r\n*$-0123456789 \"'\\";
        let byte = |_| match clock::random_below(2) {
            0 => clock::random() as u8,
            _ => meant[clock::random_below(meant.len() as u64) as usize],
        };
        (0..len).map(byte).collect()
    }

    fn run(target: fn(&[u8]), rounds: u64) {
        for seed in 0..rounds {
            clock::reseed(seed);
            let bytes = random_bytes();
            println!("seed {seed}");
            target(&bytes);
        }
    }

    #[test]
    fn random_bytes_do_no_harm_to_the_parser() {
        run(super::parse::run, 20_000);
    }

    #[test]
    fn random_payloads_do_no_harm() {
        run(super::payload::run, 5_000);
    }

    #[test]
    fn random_commands_are_answered_one_by_one() {
        run(super::commands::run, 2_000);
    }
}
