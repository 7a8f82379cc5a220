//! The libraries of functions: data like the keys, kept as the texts that they came in.
//! Who runs functions makes them of these.

use std::sync::Arc;

use parking_lot::Mutex;

/// See the head of this file.
#[derive(Default)]
pub struct Libraries(Mutex<Texts>);

/// The texts, in the order in which they came.
#[derive(Clone, Default)]
pub struct Texts {
    /// They are others with every new number.
    pub version: u64,
    /// The text of each.
    pub all: Vec<Arc<[u8]>>,
}

impl Libraries {
    /// All of them.
    pub fn texts(&self) -> Texts {
        self.0.lock().clone()
    }

    /// Which ones they are.
    pub fn version(&self) -> u64 {
        self.0.lock().version
    }

    /// Puts others in their place, and returns the new number.
    pub fn replace(&self, all: Vec<Arc<[u8]>>) -> u64 {
        let mut texts = self.0.lock();
        texts.version += 1;
        texts.all = all;
        texts.version
    }

    /// Adds one, in the place of one of its name where it `replaces`; false where it does
    /// not and there is one.
    pub fn add(&self, text: &[u8], replaces: bool) -> bool {
        let mut texts = self.0.lock();
        let name = name_of(text);
        if replaces {
            texts.all.retain(|other| name_of(other) != name);
        } else if texts.all.iter().any(|other| name_of(other) == name) {
            return false;
        }
        texts.version += 1;
        texts.all.push(text.into());
        true
    }
}

/// The name that a library's first line gives it: `#!lua name=…`.
fn name_of(text: &[u8]) -> &[u8] {
    let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace);
    let name = words.find_map(|word| {
        let (key, name) = word.split_at_checked(5)?;
        key.eq_ignore_ascii_case(b"name=").then_some(name)
    });
    name.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_twice_only_in_the_place_of_the_first() {
        let libraries = Libraries::default();
        assert!(libraries.add(b"#!lua name=a\nfirst", false));
        assert!(libraries.add(b"#!lua  NAME=b\nother", false));
        assert!(!libraries.add(b"#!lua name=a\nsecond", false));
        assert!(libraries.add(b"#!lua name=a\nthird", true));
        let texts = libraries.texts();
        assert_eq!(texts.version, 3);
        let texts: Vec<&[u8]> = texts.all.iter().map(|text| &**text).collect();
        assert_eq!(
            texts,
            [&b"#!lua  NAME=b\nother"[..], b"#!lua name=a\nthird"]
        );
    }
}
