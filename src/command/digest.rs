//! Digests of data, as Valkey's DEBUG DIGEST makes them.

use sha1::{Digest, Sha1};

use crate::base::num::FloatText;
use crate::exec::txn::Txn;
use crate::store::entry::{Entry, Object, Value};
use crate::types::list::Side;
use crate::types::stream::Id;

type Sum = [u8; 20];

fn xor(sum: &mut Sum, bytes: &[u8]) {
    let hash = Sha1::digest(bytes);
    sum.iter_mut().zip(hash).for_each(|(a, b)| *a ^= b);
}

/// As [`xor`], but so that the order of several calls matters.
fn mix(sum: &mut Sum, bytes: &[u8]) {
    xor(sum, bytes);
    *sum = Sha1::digest(*sum).into();
}

fn add_value(sum: &mut Sum, entry: &Entry<'_>) {
    match entry.value() {
        Value::Object(object) => add_object(sum, &object.get()),
        value => {
            mix(sum, &0u32.to_be_bytes());
            value.with_bytes(|bytes| mix(sum, bytes));
        }
    }
    if entry.deadline().is_some() {
        xor(sum, b"!!expire!!");
    }
}

/// Each family begins with the number that Valkey has for it.
fn add_object(sum: &mut Sum, object: &Object) {
    match object {
        Object::List(list) => {
            mix(sum, &1u32.to_be_bytes());
            let mut walk = list.walk(0, Side::Right);
            while let Some(item) = walk.step() {
                item.with_bytes(|text| mix(sum, text));
            }
        }
        Object::Set(set) => {
            mix(sum, &2u32.to_be_bytes());
            for member in set.iter() {
                member.with_bytes(|text| xor(sum, text));
            }
        }
        Object::Hash(hash) => {
            mix(sum, &4u32.to_be_bytes());
            // Those whose time is over are still there.
            hash.each(0, |field, value| {
                let mut pair = Sum::default();
                field.with_bytes(|text| mix(&mut pair, text));
                value.with_bytes(|text| mix(&mut pair, text));
                xor(sum, &pair);
            });
        }
        Object::ZSet(zset) => {
            mix(sum, &3u32.to_be_bytes());
            for (member, score) in zset.iter() {
                let mut pair = Sum::default();
                member.with_bytes(|text| mix(&mut pair, text));
                mix(&mut pair, FloatText::new(score).as_bytes());
                xor(sum, &pair);
            }
        }
        Object::Stream(stream) => {
            mix(sum, &6u32.to_be_bytes());
            for entry in stream.log().range(Id::MIN, Id::MAX) {
                mix(sum, format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                for (name, value) in entry.iter() {
                    name.with_bytes(|text| mix(sum, text));
                    value.with_bytes(|text| mix(sum, text));
                }
            }
        }
    }
}

/// The same for the same data, whichever of Valkey and Larder holds it.
pub(super) fn of_all(txn: &mut Txn<'_>) -> String {
    let mut databases: Vec<u32> = (0..txn.shards())
        .flat_map(|i| {
            let tables = txn.shard(i).tables();
            tables
                .filter(|(_, _, t)| !t.is_empty())
                .map(|(db, _, _)| db)
                .collect::<Vec<_>>()
        })
        .collect();
    databases.sort_unstable();
    databases.dedup();
    let mut all = Sum::default();
    for db in databases {
        mix(&mut all, &db.to_be_bytes());
        for index in 0..txn.shards() {
            let mut cursor = Some(0);
            while let Some(at) = cursor {
                cursor = txn.shard(index).scan(
                    db,
                    |_| true,
                    at,
                    |_, entry| {
                        let mut sum = Sum::default();
                        mix(&mut sum, entry.key());
                        add_value(&mut sum, &entry);
                        xor(&mut all, &sum);
                    },
                );
            }
        }
    }
    hex(&all)
}

/// The digest of a value; zeros for none.
pub(super) fn of_value(entry: Option<Entry<'_>>) -> String {
    let mut sum = Sum::default();
    if let Some(entry) = entry {
        add_value(&mut sum, &entry);
    }
    hex(&sum)
}

fn hex(sum: &Sum) -> String {
    sum.iter().map(|b| format!("{b:02x}")).collect()
}
