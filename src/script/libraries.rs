//! The libraries that are loaded, and their functions by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::flags::{Flags, Shebang};
use super::running::Running;
use super::vm::{Kept, Vm};
use crate::store::libraries::Texts;

/// Bytes that it takes to know a function or a library, beside their texts.
const MEMBER_BYTES: u64 = 128;

/// What becomes of libraries that are there when others are restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// They stay; one of the same name is in the way.
    Append,
    /// They stay, but for those of the same names.
    Replace,
    /// They go.
    Flush,
}

/// A library.
pub struct Library {
    /// Its name.
    pub name: Vec<u8>,
    /// Its text, the first line included.
    pub text: Arc<[u8]>,
    /// Its functions, by name.
    pub members: BTreeMap<Vec<u8>, Member>,
}

/// A function of a library.
pub struct Member {
    /// What it says of itself.
    pub description: Option<Vec<u8>>,
    /// What it may do.
    pub flags: Flags,
    callback: Kept,
}

/// See the head of this file.
#[derive(Default)]
pub struct Libraries {
    vm: Option<Vm>,
    all: BTreeMap<Vec<u8>, Arc<Library>>,
    /// Of the texts that they were made of.
    version: u64,
    /// The libraries of all functions, by their names in lower case: any case will do.
    homes: HashMap<Vec<u8>, (Vec<u8>, Vec<u8>)>,
}

impl Libraries {
    /// The interpreter, and a function for it.
    pub fn get(&mut self, name: &[u8]) -> Option<(&mut Vm, Kept, Flags)> {
        let (library, name) = self.homes.get(&name.to_ascii_lowercase())?;
        let member = self.all.get(library)?.members.get(name)?;
        Some((self.vm.as_mut()?, member.callback, member.flags))
    }

    /// Which texts they were made of.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Notes which texts they are.
    pub fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    /// Their texts.
    pub fn texts(&self) -> Vec<Arc<[u8]>> {
        let text = |library: &Arc<Library>| library.text.clone();
        self.all.values().map(text).collect()
    }

    /// Makes them anew, of texts that were libraries elsewhere.
    pub fn remake(&mut self, running: &Arc<Running>, texts: &Texts) {
        *self = Libraries {
            version: texts.version,
            ..Libraries::default()
        };
        for text in &texts.all {
            if let Err(why) = self.load(running, text, false) {
                crate::warning!("A library that was loaded cannot be: {why}");
            }
        }
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Arc<Library>> {
        self.all.values().cloned().collect()
    }

    /// How many libraries and functions there are, and their bytes.
    pub fn figures(&self) -> (u64, u64, u64) {
        let bytes = |library: &Arc<Library>| {
            let members = library.members.len() as u64;
            library.text.len() as u64 + MEMBER_BYTES * (1 + members)
        };
        let all = self.all.values().map(bytes).sum();
        (self.all.len() as u64, self.homes.len() as u64, all)
    }

    /// Bytes that the interpreter holds.
    pub fn vm_bytes(&self) -> u64 {
        self.vm.as_ref().map_or(0, |vm| vm.used_bytes() as u64)
    }

    /// Loads one, and returns its name; on an error everything is as it was.
    pub fn load(
        &mut self,
        running: &Arc<Running>,
        text: &[u8],
        replaces: bool,
    ) -> Result<Vec<u8>, String> {
        let library = self.compile(running, text)?;
        let name = library.name.clone();
        if !replaces && self.all.contains_key(&name) {
            let name = String::from_utf8_lossy(&name);
            return Err(format!("Library '{name}' already exists"));
        }
        self.join(vec![library])?;
        Ok(name)
    }

    /// Loads several, all or none.
    pub fn restore(
        &mut self,
        running: &Arc<Running>,
        texts: &[Vec<u8>],
        policy: Policy,
    ) -> Result<(), String> {
        let mut fresh = Libraries::default();
        if policy != Policy::Flush {
            // They go to the interpreter that is there.
            std::mem::swap(&mut fresh.vm, &mut self.vm);
        }
        let compiled = texts.iter().try_for_each(|text| {
            let library = fresh.compile(running, text)?;
            match fresh.all.contains_key(&library.name) {
                true => {
                    let name = String::from_utf8_lossy(&library.name);
                    Err(format!("Library '{name}' already exists"))
                }
                false => fresh.join(vec![library]),
            }
        });
        if policy == Policy::Flush {
            compiled?;
            fresh.version = self.version;
            *self = fresh;
            return Ok(());
        }
        std::mem::swap(&mut fresh.vm, &mut self.vm);
        compiled?;
        if policy == Policy::Append
            && let Some(name) = fresh.all.keys().find(|name| self.all.contains_key(*name))
        {
            let name = String::from_utf8_lossy(name);
            return Err(format!("Library {name} already exists"));
        }
        let libraries = fresh.all.into_values();
        self.join(libraries.filter_map(Arc::into_inner).collect())
    }

    /// Forgets one; false where there is none.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.homes.retain(|_, (library, _)| library != name);
        let Some(library) = self.all.remove(name) else {
            return false;
        };
        if let Some(vm) = &self.vm {
            let kept = library.members.values().map(|member| member.callback);
            kept.for_each(|callback| vm.forget(callback));
        }
        true
    }

    fn compile(&mut self, running: &Arc<Running>, text: &[u8]) -> Result<Library, String> {
        let (name, body) = head(text)?;
        let vm = match &mut self.vm {
            Some(vm) => vm,
            none => none.insert(Vm::new(running).map_err(|e| e.to_string())?),
        };
        let mut members = BTreeMap::new();
        for one in vm.load(body)? {
            if !is_name(&one.name) {
                return Err("Function names can only contain letters, numbers, or underscores(_) and must be at least one character long".into());
            }
            let member = Member {
                description: one.description,
                flags: one.flags,
                callback: one.callback,
            };
            if members.insert(one.name, member).is_some() {
                return Err("Function already exists in the library".into());
            }
        }
        if members.is_empty() {
            return Err("No functions registered".into());
        }
        Ok(Library {
            name,
            text: text.into(),
            members,
        })
    }

    /// Adds libraries, each in the place of one of its name, unless a function of
    /// theirs has the name of another's.
    fn join(&mut self, libraries: Vec<Library>) -> Result<(), String> {
        let is_replaced = |name: &[u8]| libraries.iter().any(|l| l.name == name);
        let mut names = libraries.iter().flat_map(|l| l.members.keys());
        let taken = names.find(|name| {
            let home = self.homes.get(&name.to_ascii_lowercase());
            home.is_some_and(|(library, _)| !is_replaced(library))
        });
        if let Some(name) = taken {
            let name = String::from_utf8_lossy(name);
            return Err(format!("Function {name} already exists"));
        }
        for library in libraries {
            self.remove(&library.name);
            for name in library.members.keys() {
                let home = (library.name.clone(), name.clone());
                self.homes.insert(name.to_ascii_lowercase(), home);
            }
            self.all.insert(library.name.clone(), Arc::new(library));
        }
        Ok(())
    }
}

fn is_name(name: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    !name.is_empty() && name.iter().all(fits)
}

/// A library's name, by its first line, and the rest.
fn head(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    if !text.starts_with(b"#!") {
        return Err("Missing library metadata".into());
    }
    let shebang = Shebang::of(text).ok_or("Invalid library metadata")?;
    let mut name = None;
    for option in &shebang.options {
        let (key, value) = option.split_at_checked(5).unwrap_or((option, b""));
        if !key.eq_ignore_ascii_case(b"name=") {
            let option = String::from_utf8_lossy(option);
            return Err(format!("Invalid metadata value given: {option}"));
        }
        if name.replace(value.to_vec()).is_some() {
            return Err("Invalid metadata value, name argument was given multiple times".into());
        }
    }
    let name = name.ok_or("Library name was not given")?;
    if !is_name(&name) {
        return Err("Library names can only contain letters, numbers, or underscores(_) and must be at least one character long".into());
    }
    if !shebang.is_lua() {
        let engine = String::from_utf8_lossy(&shebang.engine);
        return Err(format!("Engine '{engine}' not found"));
    }
    Ok((name, &text[shebang.end..]))
}
