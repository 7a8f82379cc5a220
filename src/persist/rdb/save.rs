//! Writing a value.

use super::{NO_DEADLINE, Output, container, kind};
use crate::store::entry::Value;
use crate::types::hash::Hash;
use crate::types::list::{Body, List};
use crate::types::object::{Family, Object};
use crate::types::set::Set;
use crate::types::zset::ZSet;

/// Writes a value behind its type.
pub fn save(value: Value<'_>, out: &mut Output) {
    match value {
        Value::Int(n) => {
            out.raw(&[kind::STRING]);
            out.int(n);
        }
        Value::Str(text) => {
            out.raw(&[kind::STRING]);
            out.string(text);
        }
        Value::Blob(blob) => {
            out.raw(&[kind::STRING]);
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
    out.raw(&[kind::LIST_LISTPACKS]);
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
            out.raw(&[kind::HASH_LISTPACK]);
            out.string(pack.as_bytes());
            return;
        }
        Hash::Table(table) => table,
    };
    let with_deadlines = table.due_ms().is_some();
    out.raw(&[match with_deadlines {
        true => kind::HASH_WITH_DEADLINES,
        false => kind::HASH,
    }]);
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
            out.raw(&[kind::SET_INTSET]);
            out.string(ints.as_bytes());
        }
        Set::Packed(pack) => {
            out.raw(&[kind::SET_LISTPACK]);
            out.string(pack.as_bytes());
        }
        Set::Table(dict) => {
            out.raw(&[kind::SET]);
            out.length(dict.len() as u64);
            dict.iter().for_each(|member| out.string(member.key()));
        }
    }
}

fn save_zset(zset: &ZSet, out: &mut Output) {
    if let ZSet::Packed(pack) = zset {
        out.raw(&[kind::ZSET_LISTPACK]);
        out.string(pack.as_bytes());
        return;
    }
    out.raw(&[kind::ZSET]);
    out.length(Family::len(zset) as u64);
    // The highest first: Valkey's lists take each at their head at once.
    for (member, score) in zset.iter().rev() {
        member.with_bytes(|member| out.string(member));
        out.raw(&score.to_le_bytes());
    }
}
