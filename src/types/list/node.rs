//! A quicklist's node: a listpack, or one large element; compressed or not.

use std::borrow::Cow;

use crate::base::heap::usable_bytes;
use crate::base::lzf;
use crate::types::listpack::Listpack;
use crate::types::thin::{LENGTH_BYTES, Thin};

use super::{ELEMENT_OVERHEAD, Limits};

/// What a node holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body<'a> {
    /// Elements.
    Pack(Cow<'a, Listpack>),
    /// One large element.
    Plain(Cow<'a, [u8]>),
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Pack {
        count: u32,
        pack: Listpack,
    },
    /// Boxed twice: a node is as large as its smallest kind.
    Plain(Box<Box<[u8]>>),
    Squeezed {
        plain: bool,
        count: u32,
        /// The length, the bytes that it stands for (u32 LE), LZF.
        lzf: Thin,
    },
}

const _: () = assert!(size_of::<Node>() == 16);

/// Less is not worth compressing.
const SQUEEZED_BYTES_MIN: usize = 48;
/// What compressing must gain.
const GAIN_BYTES_MIN: usize = 9;
/// More is not compressed: it would stop everybody else for too long.
const SQUEEZED_BYTES_MAX: usize = 1 << 30;
const HEADER: usize = 2 * LENGTH_BYTES;

impl Node {
    pub fn new(text: &[u8], limits: Limits) -> Node {
        match limits.is_large(text.len()) {
            true => Node::Plain(Box::new(text.into())),
            false => Node::from([text].into_iter().collect::<Listpack>()),
        }
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        match self {
            Node::Pack { count, .. } | Node::Squeezed { count, .. } => *count as usize,
            Node::Plain(_) => 1,
        }
    }

    /// The bytes of what it holds, uncompressed.
    pub fn bytes(&self) -> usize {
        match self {
            Node::Pack { pack, .. } => pack.bytes(),
            Node::Plain(text) => text.len(),
            Node::Squeezed { lzf, .. } => squeezed_bytes(lzf),
        }
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Node::Pack { pack, .. } => pack.heap_bytes(),
            Node::Plain(text) => usable_bytes(size_of::<Box<[u8]>>()) + usable_bytes(text.len()),
            Node::Squeezed { lzf, .. } => lzf.heap_bytes(),
        }
    }

    pub fn is_plain(&self) -> bool {
        matches!(self, Node::Plain(_) | Node::Squeezed { plain: true, .. })
    }

    pub fn is_squeezed(&self) -> bool {
        matches!(self, Node::Squeezed { .. })
    }

    /// What it holds; opened, where it is compressed.
    pub fn body(&self) -> Body<'_> {
        match self {
            Node::Pack { pack, .. } => Body::Pack(Cow::Borrowed(pack)),
            Node::Plain(text) => Body::Plain(Cow::Borrowed(text)),
            Node::Squeezed { plain, lzf, .. } => {
                let bytes = lzf::decompress(&lzf[HEADER..], squeezed_bytes(lzf));
                let bytes = bytes.expect("a node compressed it");
                match plain {
                    true => Body::Plain(Cow::Owned(bytes)),
                    false => {
                        let pack = Listpack::from_bytes(&bytes);
                        Body::Pack(Cow::Owned(pack.expect("a node compressed it")))
                    }
                }
            }
        }
    }

    /// Changes the elements of a node that holds a listpack; it is uncompressed
    /// from then on.
    pub fn edit<R>(&mut self, f: impl FnOnce(&mut Listpack) -> R) -> R {
        self.open();
        let Node::Pack { count, pack } = self else {
            unreachable!("the node holds no listpack");
        };
        let result = f(pack);
        *count = pack.len() as u32;
        result
    }

    pub fn open(&mut self) {
        if self.is_squeezed() {
            *self = Node::from(self.body());
        }
    }

    /// Compresses it, if that is worth it.
    pub fn squeeze(&mut self) {
        let (raw, plain) = match self {
            Node::Pack { pack, .. } => (pack.as_bytes(), false),
            Node::Plain(text) => (&***text, true),
            Node::Squeezed { .. } => return,
        };
        if !(SQUEEZED_BYTES_MIN..=SQUEEZED_BYTES_MAX).contains(&raw.len()) {
            return;
        }
        let mut out = Vec::with_capacity(HEADER + raw.len() / 2);
        out.extend([0; LENGTH_BYTES]);
        out.extend((raw.len() as u32).to_le_bytes());
        if lzf::compress(raw, raw.len() - GAIN_BYTES_MIN, &mut out).is_some() {
            let length = out.len() as u32;
            out[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
            *self = Node::Squeezed {
                plain,
                count: self.count() as u32,
                lzf: Thin::new(&out),
            };
        }
    }

    /// Whether a text may be added to the listpack.
    pub fn has_room_for(&self, text: &[u8], limits: Limits) -> bool {
        let bytes = self.bytes() + text.len() + ELEMENT_OVERHEAD;
        !self.is_plain() && !limits.is_large(text.len()) && !limits.exceeds(bytes, self.count() + 1)
    }

    /// Whether the elements of the next node may be added to it.
    pub fn may_merge(&self, next: &Node, limits: Limits) -> bool {
        let frame = crate::types::listpack::EMPTY_BYTES;
        !self.is_plain()
            && !next.is_plain()
            && !limits.exceeds(
                self.bytes() + next.bytes() - frame,
                self.count() + next.count(),
            )
    }
}

fn squeezed_bytes(lzf: &Thin) -> usize {
    let field = lzf[LENGTH_BYTES..HEADER].try_into();
    u32::from_le_bytes(field.expect("four bytes")) as usize
}

impl From<Listpack> for Node {
    fn from(pack: Listpack) -> Node {
        Node::Pack {
            count: pack.len() as u32,
            pack,
        }
    }
}

impl From<Body<'_>> for Node {
    fn from(body: Body<'_>) -> Node {
        match body {
            Body::Pack(pack) => Node::from(pack.into_owned()),
            Body::Plain(text) => Node::Plain(Box::new(text.into_owned().into_boxed_slice())),
        }
    }
}
