//! Commands of every kind and size, cut into reads at random: they must come out
//! as they went in, and damage must come to an error or to other commands.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    bulk_bytes: 512 << 20,
    authenticated: true,
};

/// What a connection keeps between reads, and the commands that came out.
#[derive(Default)]
struct Reader {
    rest: Vec<u8>,
    partial: Option<Partial>,
    commands: Vec<Vec<Vec<u8>>>,
}

struct Gathering<'a, 'r> {
    argv: Vec<&'a [u8]>,
    ends: Vec<usize>,
    commands: &'r mut Vec<Vec<Vec<u8>>>,
    spare: Vec<u8>,
}

impl<'a> Sink<'a> for Gathering<'a, '_> {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn is_open(&self) -> bool {
        true
    }

    fn is_stopped(&self) -> bool {
        false
    }

    fn argv(&mut self) -> &mut Vec<&'a [u8]> {
        &mut self.argv
    }

    fn end_command(&mut self, first: usize) {
        assert!(first == self.ends.last().copied().unwrap_or(0) && first < self.argv.len());
        self.ends.push(self.argv.len());
    }

    fn gathered(&self) -> usize {
        self.ends.len()
    }

    fn spare(&mut self) -> &mut Vec<u8> {
        &mut self.spare
    }

    fn run_batch(&mut self) {
        // Words of a command that turned out to be wrong may lie behind.
        assert!(self.ends.last().is_some_and(|&end| end <= self.argv.len()));
        let mut first = 0;
        for end in self.ends.drain(..) {
            let words = self.argv[first..end].iter();
            self.commands.push(words.map(|w| w.to_vec()).collect());
            first = end;
        }
        self.argv.clear();
    }

    fn run_owned(&mut self, words: Vec<Vec<u8>>) {
        assert!(self.ends.is_empty(), "commands stay in order");
        self.commands.push(words);
    }
}

impl Reader {
    /// Takes what one read brings, as `net::connection` does: where a large
    /// argument is coming in, straight into it, and in that case not more.
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let mut input = std::mem::take(&mut self.rest);
            if let Some((into, room)) = self.partial.as_mut().and_then(Partial::wants) {
                assert!(input.is_empty(), "nothing lies before an argument");
                let room = (into.capacity() - into.len()).min(room);
                let (now, later) = bytes.split_at(room.min(bytes.len()));
                into.extend_from_slice(now);
                bytes = later;
            } else {
                input.extend_from_slice(std::mem::take(&mut bytes));
            }
            let mut sink = Gathering {
                spare: Vec::new(),
                argv: Vec::new(),
                ends: Vec::new(),
                commands: &mut self.commands,
            };
            let used = run(&input, &mut self.partial, &mut sink)?;
            self.rest = input.split_off(used);
        }
        Ok(())
    }

    /// Takes a stream, in reads of these sizes, over and over.
    fn read_in(&mut self, mut stream: &[u8], sizes: &[usize]) -> Result<(), Error> {
        for size in sizes.iter().cycle() {
            if stream.is_empty() {
                break;
            }
            let (now, later) = stream.split_at((*size).min(stream.len()));
            self.read(now)?;
            stream = later;
        }
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.rest.len() + self.partial.as_ref().map_or(0, Partial::held_bytes)
    }
}

#[derive(Clone, Debug)]
enum Sent {
    /// An array of bulk strings.
    Array(Vec<Vec<u8>>),
    /// A line of words, each quoted in one of three ways.
    Inline(Vec<(Vec<u8>, u8)>),
    /// What is no command: an empty array, a null one, an empty line.
    Nothing(&'static str),
}

impl Sent {
    fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Sent::Array(words) => {
                to.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
                for word in words {
                    to.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                    to.extend_from_slice(word);
                    to.extend_from_slice(b"\r\n");
                }
            }
            Sent::Inline(words) => {
                let ends: [&[u8]; 2] = [b"\r\n", b"\n"];
                words.iter().for_each(|(word, how)| quote(word, *how, to));
                to.extend_from_slice(ends[words.len() % 2]);
            }
            Sent::Nothing(text) => to.extend_from_slice(text.as_bytes()),
        }
    }

    fn words(&self) -> Option<Vec<Vec<u8>>> {
        match self {
            Sent::Array(words) => Some(words.clone()),
            Sent::Inline(words) => Some(words.iter().map(|(w, _)| w.clone()).collect()),
            Sent::Nothing(_) => None,
        }
    }
}

fn quote(word: &[u8], how: u8, to: &mut Vec<u8>) {
    let plain = |b: &u8| b.is_ascii_alphanumeric();
    match how {
        0 if !word.is_empty() && word.iter().all(plain) => to.extend_from_slice(word),
        1 if word.iter().all(plain) => {
            to.push(b'\'');
            to.extend_from_slice(word);
            to.push(b'\'');
        }
        _ => {
            to.push(b'"');
            for b in word {
                match b {
                    b'a'..=b'z' => to.push(*b),
                    b'\n' => to.extend_from_slice(b"\\n"),
                    b'"' | b'\\' => to.extend_from_slice(&[b'\\', *b]),
                    _ => to.extend_from_slice(format!("\\x{b:02x}").as_bytes()),
                }
            }
            to.push(b'"');
        }
    }
    to.push(b' ');
}

/// Any bytes, and often such as mean something to the protocol.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => any::<u8>(),
        2 => prop::sample::select(b"\r\n*$ 0123456789".to_vec()),
    ];
    prop::collection::vec(byte, 0..most)
}

/// Bytes by the thousand, without drawing each.
fn large() -> impl Strategy<Value = Vec<u8>> {
    (bytes(40), 0usize..70_000).prop_map(|(some, len)| {
        let pattern = if some.is_empty() { &b"\r\n"[..] } else { &some };
        pattern.iter().copied().cycle().take(len).collect()
    })
}

fn sent(word: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Sent> {
    let inline = prop::collection::vec((bytes(20), 0u8..3), 1..5);
    let nothing = ["*0\r\n", "*-1\r\n", "\r\n", "\n", "  \t\r\n"];
    prop_oneof![
        6 => prop::collection::vec(word, 1..6).prop_map(Sent::Array),
        2 => inline.prop_map(Sent::Inline),
        1 => prop::sample::select(nothing.to_vec()).prop_map(Sent::Nothing),
    ]
}

fn any_size() -> impl Strategy<Value = Vec<Sent>> {
    prop::collection::vec(
        sent(prop_oneof![8 => bytes(40).boxed(), 2 => large().boxed()]),
        1..20,
    )
}

fn small() -> impl Strategy<Value = Vec<Sent>> {
    prop::collection::vec(sent(bytes(20)), 1..12)
}

fn reads() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![1usize..4, 1usize..200, 10_000usize..80_000];
    prop::collection::vec(size, 1..20)
}

/// The stream, where each of its parts ends, and the commands in it.
fn encode(parts: &[Sent]) -> (Vec<u8>, Vec<usize>, Vec<Vec<Vec<u8>>>) {
    let (mut stream, mut ends, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        part.encode(&mut stream);
        if let Some(words) = part.words() {
            ends.push(stream.len());
            commands.push(words);
        }
    }
    (stream, ends, commands)
}

/// Reads a damaged stream: whatever comes of it, nothing is made up, and cuts
/// make no difference.
fn read_damaged(stream: &[u8], sizes: &[usize]) {
    let mut reader = Reader::default();
    let result = reader.read_in(stream, sizes);
    let mut at_once = Reader::default();
    // But for a line that is only too long as long as its end is not in sight.
    if at_once.read(stream) == result {
        assert!(at_once.commands == reader.commands);
    } else {
        assert!(stream.len() > 64 * 1024);
    }
    let words = reader.commands.iter().flatten();
    let bytes: usize = words.map(Vec::len).sum();
    assert!(bytes <= stream.len(), "{bytes} bytes of words");
    // Room for an argument is made ahead, but by no more than this.
    let most = 2 * stream.len() + 2 * 1024 * 1024;
    assert!(reader.held_bytes() <= most, "{}", reader.held_bytes());
}

proptest! {
    #[test]
    fn commands_come_out_as_they_went_in_wherever_reads_cut(
        parts in any_size(),
        sizes in reads(),
    ) {
        let (stream, _, commands) = encode(&parts);
        let mut reader = Reader::default();
        prop_assert_eq!(reader.read_in(&stream, &sizes), Ok(()));
        prop_assert!(reader.commands == commands);
        prop_assert_eq!(reader.held_bytes(), 0);
    }

    #[test]
    fn a_stream_that_breaks_off_anywhere_gives_the_commands_before_and_no_error(
        parts in small(),
        more in any_size(),
        at in any::<prop::sample::Index>(),
    ) {
        let (stream, ends, commands) = encode(&parts);
        let complete = |ends: &[usize], cut| ends.iter().filter(|&&end| end <= cut).count();
        let mut byte_by_byte = Reader::default();
        for cut in 0..=stream.len() {
            let mut at_once = Reader::default();
            prop_assert_eq!(at_once.read(&stream[..cut]), Ok(()));
            prop_assert_eq!(&at_once.commands[..], &commands[..complete(&ends, cut)]);
            prop_assert_eq!(&at_once.commands, &byte_by_byte.commands);
            prop_assert_eq!(byte_by_byte.read(&stream[cut..(cut + 1).min(stream.len())]), Ok(()));
        }
        let (stream, ends, commands) = encode(&more);
        let cut = at.index(stream.len());
        let mut reader = Reader::default();
        prop_assert_eq!(reader.read(&stream[..cut]), Ok(()));
        prop_assert!(reader.commands[..] == commands[..complete(&ends, cut)]);
    }

    #[test]
    fn a_byte_that_was_changed_gives_an_error_or_commands(
        parts in small(),
        more in any_size(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 8),
        sizes in reads(),
        change in prop_oneof![
            (1u8..=255).prop_map(|x| (true, x)),
            prop::sample::select(b"\r\n*$-019 '\"\\\0".to_vec()).prop_map(|b| (false, b)),
        ],
    ) {
        let damage = |b: &mut u8| match change {
            (true, mask) => *b ^= mask,
            (false, other) => *b = other,
        };
        let (stream, _, _) = encode(&parts);
        for at in 0..stream.len() {
            let mut stream = stream.clone();
            damage(&mut stream[at]);
            read_damaged(&stream, &sizes);
        }
        let (stream, _, _) = encode(&more);
        for place in places {
            let mut stream = stream.clone();
            let at = place.index(stream.len());
            damage(&mut stream[at]);
            read_damaged(&stream, &sizes);
        }
    }
}

#[test]
fn what_only_announces_much_is_given_little() {
    for stream in [&b"*1\r\n$536870912\r\n"[..], b"*2147483647\r\n$1\r\na\r\n"] {
        let mut reader = Reader::default();
        assert_eq!(reader.read(stream), Ok(()));
        assert!(reader.held_bytes() <= 1024 * 1024 + 2);
        assert!(reader.commands.is_empty());
    }
}

#[test]
fn a_line_without_an_end_is_an_error_before_it_fills_the_heap() {
    for start in [&b"*"[..], b"*1\r\n$", b"get "] {
        let mut reader = Reader::default();
        assert_eq!(reader.read(start), Ok(()));
        let reads = (0..).find(|_| reader.read(&[b'1'; 1000]).is_err());
        assert!(reads.is_some_and(|n| n < 70), "{reads:?} reads");
    }
}
