//! Writing a value.

use super::{NO_DEADLINE, Output, container, kind};
use crate::store::entry::Value;
use crate::types::hash::Hash;
use crate::types::list::{Body, List};
use crate::types::object::{Family, Object};
use crate::types::set::Set;
use crate::types::zset::ZSet;

/// The first version whose sets may be listpacks.
const WITH_PACKED_SETS: u16 = 11;
/// The first version whose fields of hashes may have deadlines.
const WITH_DEADLINES: u16 = 80;

/// Writes a value behind its type.
pub fn save(value: Value<'_>, out: &mut Output) {
    match value {
        Value::Int(n) => {
            out.kind(kind::STRING);
            out.int(n);
        }
        Value::Str(text) => {
            out.kind(kind::STRING);
            out.string(text);
        }
        Value::Blob(blob) => {
            out.kind(kind::STRING);
            out.string(blob);
        }
        Value::Object(object) => save_object(&object.get(), out),
    }
}

/// Writes an object behind its type.
pub fn save_object(object: &Object, out: &mut Output) {
    match object {
        Object::List(list) => save_list(list, out),
        Object::Hash(hash) => save_hash(hash, out),
        Object::Set(set) => save_set(set, out),
        Object::ZSet(zset) => save_zset(zset, out),
        Object::Stream(stream) => super::stream::save(stream, out),
    }
}

fn save_list(list: &List, out: &mut Output) {
    out.kind(kind::LIST_LISTPACKS);
    out.length(list.bodies().count() as u64);
    for body in list.bodies() {
        match body {
            Body::Pack(pack) => {
                out.length(container::PACKED);
                out.string(pack.as_bytes());
            }
            Body::Plain(text) => {
                out.length(container::PLAIN);
                out.string(&text);
            }
        }
    }
}

fn save_hash(hash: &Hash, out: &mut Output) {
    let table = match hash {
        Hash::Packed(pack) => {
            out.kind(kind::HASH_LISTPACK);
            out.string(pack.as_bytes());
            return;
        }
        Hash::Table(table) => table,
    };
    let with_deadlines = table.due_ms().is_some();
    if with_deadlines && out.version() < WITH_DEADLINES {
        out.go_beyond();
    }
    out.kind(match with_deadlines {
        true => kind::HASH_WITH_DEADLINES,
        false => kind::HASH,
    });
    out.length(table.len() as u64);
    for field in table.iter() {
        out.string(field.name);
        out.string(field.value);
        if with_deadlines {
            let deadline = field.deadline.map_or(NO_DEADLINE, |ms| ms as i64);
            out.raw(&deadline.to_le_bytes());
        }
    }
}

fn save_set(set: &Set, out: &mut Output) {
    match set {
        Set::Ints(ints) => {
            out.kind(kind::SET_INTSET);
            out.string(ints.as_bytes());
        }
        Set::Packed(pack) if out.version() < WITH_PACKED_SETS => {
            out.kind(kind::SET);
            out.length(pack.len() as u64);
            let members = pack.iter();
            members.for_each(|member| member.with_bytes(|text| out.string(text)));
        }
        Set::Packed(pack) => {
            out.kind(kind::SET_LISTPACK);
            out.string(pack.as_bytes());
        }
        Set::Table(dict) => {
            out.kind(kind::SET);
            out.length(dict.len() as u64);
            dict.iter().for_each(|member| out.string(member.key()));
        }
    }
}

fn save_zset(zset: &ZSet, out: &mut Output) {
    if let ZSet::Packed(pack) = zset {
        out.kind(kind::ZSET_LISTPACK);
        out.string(pack.as_bytes());
        return;
    }
    out.kind(kind::ZSET);
    out.length(Family::len(zset) as u64);
    // The highest first: Valkey's lists take each at their head at once.
    for (member, score) in zset.iter().rev() {
        member.with_bytes(|member| out.string(member));
        out.raw(&score.to_le_bytes());
    }
}
