//! JSON's text as Lua's values.

use super::number;
use super::{Config, Result};
use crate::script::modules::STACK_SLOTS_MAX;
use crate::script::modules::frames::{Frame, Frames};
use crate::script::modules::raising::Raise;
use mlua::{Lua, Value};
use std::borrow::Cow;

/// The value of a text.
pub(super) fn decode(lua: &Lua, config: &Config, text: &[u8]) -> Result<Value> {
    if let [0, _, ..] | [_, 0, ..] = text {
        return Err(Raise::text("JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut decoder = Decoder {
        lua,
        config,
        tokens: Tokens {
            text,
            at: 0,
            token_at: 0,
            invalid_numbers: config.decode_invalid,
        },
        frames: Frames::new(lua),
        depth: 0,
        slots: 1,
    };
    decoder.run()
}

enum Token<'t> {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Cow<'t, [u8]>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    /// No token, and what is wrong.
    Bad(&'static str),
}

impl Token<'_> {
    /// What an error says that was found.
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Text(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Bad(what) => what,
        }
    }
}

/// A text cut into tokens. A zero byte ends it, as it ends a C string.
struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
    /// Where the last token begins, or is wrong.
    token_at: usize,
    invalid_numbers: bool,
}

impl<'t> Tokens<'t> {
    fn rest(&self) -> &'t [u8] {
        &self.text[self.at.min(self.text.len())..]
    }

    fn next(&mut self) -> Token<'t> {
        let spaces = self
            .rest()
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.at += spaces.count();
        self.token_at = self.at;
        let rest = self.rest();
        let token = match rest.first() {
            None | Some(0) => return Token::End,
            Some(b'{') => Token::ObjectBegin,
            Some(b'}') => Token::ObjectEnd,
            Some(b'[') => Token::ArrayBegin,
            Some(b']') => Token::ArrayEnd,
            Some(b',') => Token::Comma,
            Some(b':') => Token::Colon,
            Some(b'"') => return self.quoted(),
            Some(b'-' | b'0'..=b'9') => {
                if !self.invalid_numbers && beyond_json(rest) {
                    return self.bad("invalid number");
                }
                return self.number();
            }
            _ if rest.starts_with(b"true") => return self.word(4, Token::Boolean(true)),
            _ if rest.starts_with(b"false") => return self.word(5, Token::Boolean(false)),
            _ if rest.starts_with(b"null") => return self.word(4, Token::Null),
            Some(b'+' | b'i' | b'I' | b'n' | b'N') if self.invalid_numbers && beyond_json(rest) => {
                return self.number();
            }
            _ => return self.bad("invalid token"),
        };
        self.at += 1;
        token
    }

    fn bad(&mut self, what: &'static str) -> Token<'t> {
        self.token_at = self.at;
        Token::Bad(what)
    }

    fn word(&mut self, bytes: usize, token: Token<'t>) -> Token<'t> {
        self.at += bytes;
        token
    }

    fn number(&mut self) -> Token<'t> {
        match number::read(self.rest()) {
            (_, 0) => self.bad("invalid number"),
            (n, bytes) => {
                self.at += bytes;
                Token::Number(n)
            }
        }
    }

    fn quoted(&mut self) -> Token<'t> {
        self.at += 1;
        let mut unescaped = Vec::new();
        loop {
            let rest = self.rest();
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0));
            let (plain, rest) = rest.split_at(plain.unwrap_or(rest.len()));
            self.at += plain.len();
            match rest.first() {
                Some(b'"') => {
                    self.at += 1;
                    if unescaped.is_empty() {
                        return Token::Text(Cow::Borrowed(plain));
                    }
                    unescaped.extend_from_slice(plain);
                    return Token::Text(Cow::Owned(unescaped));
                }
                Some(b'\\') => {}
                _ => return self.bad("unexpected end of string"),
            }
            unescaped.extend_from_slice(plain);
            let byte = match rest.get(1) {
                Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
                Some(b'b') => 0x08,
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'f') => 0x0c,
                Some(b'r') => b'\r',
                Some(b'u') => {
                    let Some((character, bytes)) = escaped(rest) else {
                        return self.bad("invalid unicode escape code");
                    };
                    self.at += bytes;
                    unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    continue;
                }
                _ => return self.bad("invalid escape code"),
            };
            self.at += 2;
            unescaped.push(byte);
        }
    }
}

/// The character of an escape `\u` of one or of a surrogate pair, and its length.
fn escaped(text: &[u8]) -> Option<(char, usize)> {
    let unit = |text: &[u8]| -> Option<u32> {
        let digits = text.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().try_fold(0, |unit, &digit| {
            Some(unit << 4 | char::from(digit).to_digit(16)?)
        })
    };
    let first = unit(text)?;
    if first & 0xf800 != 0xd800 {
        return Some((char::from_u32(first)?, 6));
    }
    let second = unit(text.get(6..)?)?;
    if first & 0x400 != 0 || second & 0xfc00 != 0xdc00 {
        return None;
    }
    let character = 0x1_0000 + ((first & 0x3ff) << 10 | second & 0x3ff);
    Some((char::from_u32(character)?, 12))
}

/// Whether a number is written as JSON does not allow, though C does.
fn beyond_json(text: &[u8]) -> bool {
    let begins = |text: &[u8], word: &[u8]| {
        text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word)
    };
    match text.strip_prefix(b"-").unwrap_or(text) {
        [b'+', ..] => text[0] == b'+',
        [b'0', next, ..] => next.is_ascii_digit() || next.eq_ignore_ascii_case(&b'x'),
        unsigned => begins(unsigned, b"inf") || begins(unsigned, b"nan"),
    }
}

/// How far the reading of a table is.
#[derive(Clone, Copy)]
enum State {
    Array { read: u32 },
    Object,
}

struct Decoder<'a> {
    lua: &'a Lua,
    config: &'a Config,
    tokens: Tokens<'a>,
    frames: Frames<'a, State>,
    depth: i32,
    /// How much of Lua's stack the bundled module would have in use.
    slots: usize,
}

impl<'a> Decoder<'a> {
    fn run(&mut self) -> Result<Value> {
        let mut inside: Option<Frame<State>> = None;
        let mut token = self.tokens.next();
        loop {
            let mut value = match token {
                Token::Text(text) => Value::String(self.lua.create_string(text)?),
                Token::Number(n) => Value::Number(n),
                Token::Boolean(is) => Value::Boolean(is),
                Token::Null => Value::NULL,
                Token::ObjectBegin => {
                    let mut frame = self.descend(State::Object, 3)?;
                    token = self.tokens.next();
                    if !matches!(token, Token::ObjectEnd) {
                        frame.key = self.key(token)?;
                        self.enter(&mut inside, frame)?;
                        token = self.tokens.next();
                        continue;
                    }
                    self.depth -= 1;
                    Value::Table(frame.table)
                }
                Token::ArrayBegin => {
                    let frame = self.descend(State::Array { read: 0 }, 2)?;
                    token = self.tokens.next();
                    if !matches!(token, Token::ArrayEnd) {
                        self.enter(&mut inside, frame)?;
                        continue;
                    }
                    self.depth -= 1;
                    Value::Table(frame.table)
                }
                other => return Err(self.expected("value", &other)),
            };
            // Into what it stands in, and as many ends as follow.
            loop {
                let Some(mut frame) = inside.take() else {
                    return match self.tokens.next() {
                        Token::End => Ok(value),
                        other => Err(self.expected("the end", &other)),
                    };
                };
                let after = match &mut frame.state {
                    State::Array { read } => {
                        *read += 1;
                        frame.table.raw_set(*read, value)?;
                        "comma or array end"
                    }
                    State::Object => {
                        frame.table.raw_set(&frame.key, value)?;
                        "comma or object end"
                    }
                };
                token = self.tokens.next();
                match (&token, frame.state) {
                    (Token::Comma, State::Array { .. }) => token = self.tokens.next(),
                    (Token::Comma, State::Object) => {
                        token = self.tokens.next();
                        frame.key = self.key(token)?;
                        token = self.tokens.next();
                    }
                    (Token::ArrayEnd, State::Array { .. }) | (Token::ObjectEnd, State::Object) => {
                        self.depth -= 1;
                        self.slots -= slots_of(frame.state);
                        value = Value::Table(frame.table);
                        inside = self.frames.pop()?;
                        continue;
                    }
                    (other, _) => return Err(self.expected(after, other)),
                }
                inside = Some(frame);
                break;
            }
        }
    }

    /// A new table, unless it would be too deep: with this many values on Lua's stack.
    fn descend(&mut self, state: State, slots: usize) -> Result<Frame<State>> {
        self.depth += 1;
        if self.depth > self.config.decode_depth_max || self.slots + slots > STACK_SLOTS_MAX {
            return Err(Raise::text(format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.tokens.at
            )));
        }
        Ok(Frame {
            table: self.lua.create_table()?,
            key: Value::Nil,
            state,
        })
    }

    fn enter(&mut self, inside: &mut Option<Frame<State>>, frame: Frame<State>) -> Result<()> {
        self.slots += slots_of(frame.state);
        if let Some(outer) = inside.replace(frame) {
            self.frames.push(outer)?;
        }
        Ok(())
    }

    /// The key that a token is, and the colon after it.
    fn key(&mut self, token: Token) -> Result<Value> {
        let Token::Text(key) = token else {
            return Err(self.expected("object key string", &token));
        };
        let key = self.lua.create_string(key)?;
        match self.tokens.next() {
            Token::Colon => Ok(Value::String(key)),
            other => Err(self.expected("colon", &other)),
        }
    }

    fn expected(&self, what: &str, found: &Token) -> Raise {
        let (found, character) = (found.name(), self.tokens.token_at + 1);
        Raise::text(format!(
            "Expected {what} but found {found} at character {character}"
        ))
    }
}

/// How much of Lua's stack a table takes while what it holds is read: itself, and an
/// object's key.
fn slots_of(state: State) -> usize {
    match state {
        State::Array { .. } => 1,
        State::Object => 2,
    }
}
