//! The scripts that are known, by their digests.

use std::collections::HashMap;
use std::sync::Arc;

use super::DIGEST_BYTES;
use super::flags::{Flags, Shebang};
use super::running::Running;
use super::vm::{Kept, Vm, sha1_hex};
use crate::protocol::error::Error;

/// Scripts that came by EVAL alone, of which clients do not expect that they stay: no
/// more are kept.
const EVALUATED_MAX: usize = 500;
/// Bytes that it takes to know a script, beside its text.
const SCRIPT_BYTES: u64 = 128;

/// See the head of this file.
#[derive(Default)]
pub struct Scripts {
    vm: Option<Vm>,
    known: HashMap<[u8; DIGEST_BYTES], Script>,
    /// Of all uses.
    uses: u64,
    /// How many may go.
    evaluated: usize,
}

struct Script {
    text: Vec<u8>,
    function: Kept,
    flags: Flags,
    /// It stays until all go.
    stays: bool,
    /// The number of its last use.
    used: u64,
}

/// The digest of a text.
pub fn digest_of(text: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(sha1_hex(text).as_bytes());
    digest
}

/// A digest that a client wrote, in any case.
pub fn digest_from(text: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    let digest: [u8; DIGEST_BYTES] = text.try_into().ok()?;
    Some(digest.map(|b| b.to_ascii_lowercase()))
}

impl Scripts {
    /// Notes that a script is used; false where it is not known.
    pub fn use_known(&mut self, digest: &[u8; DIGEST_BYTES]) -> bool {
        self.uses += 1;
        let known = self.known.get_mut(digest);
        known.map(|script| script.used = self.uses).is_some()
    }

    /// The interpreter, and a script for it.
    pub fn get(&mut self, digest: &[u8; DIGEST_BYTES]) -> Option<(&mut Vm, Kept, Flags)> {
        let script = self.known.get(digest)?;
        Some((self.vm.as_mut()?, script.function, script.flags))
    }

    /// The text of a script.
    pub fn text(&self, digest: &[u8; DIGEST_BYTES]) -> Option<Vec<u8>> {
        self.known.get(digest).map(|script| script.text.clone())
    }

    /// Learns a script, or that one `stays`; how many went for it.
    pub fn learn(
        &mut self,
        running: &Arc<Running>,
        digest: [u8; DIGEST_BYTES],
        text: &[u8],
        stays: bool,
    ) -> Result<u64, Error> {
        if let Some(script) = self.known.get_mut(&digest) {
            self.evaluated -= usize::from(stays && !script.stays);
            script.stays |= stays;
            return Ok(0);
        }
        let (flags, body) = head(text).map_err(|why| Error::new(format!("ERR {why}")))?;
        let vm = match &mut self.vm {
            Some(vm) => vm,
            none => none.insert(Vm::new(running).map_err(|e| Error::new(format!("ERR {e}")))?),
        };
        let function = vm
            .compile(body, "@user_script")
            .map_err(|e| Error::new(format!("ERR Error compiling script (new function): {e}")))?;
        let mut evicted = 0;
        while !stays && self.evaluated >= EVALUATED_MAX {
            let may_go = self.known.iter().filter(|(_, script)| !script.stays);
            let oldest = may_go.min_by_key(|(_, script)| script.used);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else {
                break;
            };
            if let Some(script) = self.known.remove(&oldest) {
                vm.forget(script.function);
            }
            self.evaluated -= 1;
            evicted += 1;
        }
        self.evaluated += usize::from(!stays);
        let script = Script {
            text: text.to_vec(),
            function,
            flags,
            stays,
            used: self.uses,
        };
        self.known.insert(digest, script);
        Ok(evicted)
    }

    /// How many there are, and their bytes.
    pub fn figures(&self) -> (u64, u64) {
        let bytes = self.known.values().map(|script| script.text.len() as u64);
        (
            self.known.len() as u64,
            bytes.map(|n| n + SCRIPT_BYTES).sum(),
        )
    }

    /// Bytes that the interpreter holds.
    pub fn vm_bytes(&self) -> u64 {
        self.vm.as_ref().map_or(0, |vm| vm.used_bytes() as u64)
    }
}

/// What a script's first line says of it, and the rest, whose lines count from there.
fn head(text: &[u8]) -> Result<(Flags, &[u8]), String> {
    if !text.starts_with(b"#!") {
        return Ok((Flags::UNSAID, text));
    }
    if !text.contains(&b'\n') {
        return Err("Invalid script shebang".into());
    }
    let shebang = Shebang::of(text).ok_or("Invalid engine in script shebang")?;
    let mut flags = Flags::default();
    for option in &shebang.options {
        let Some(names) = option.strip_prefix(b"flags=") else {
            let option = String::from_utf8_lossy(option);
            return Err(format!("Unknown lua shebang option: {option}"));
        };
        for name in names.split(|&b| b == b',').filter(|_| !names.is_empty()) {
            if !flags.add(name) {
                let name = String::from_utf8_lossy(name);
                return Err(format!("Unexpected flag in script shebang: {name}"));
            }
        }
    }
    if !shebang.is_lua() {
        let engine = String::from_utf8_lossy(&shebang.engine);
        return Err(format!("Could not find scripting engine '{engine}'"));
    }
    Ok((flags, &text[shebang.end..]))
}
