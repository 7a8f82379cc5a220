//! Reading a value.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::io::Read;

use super::legacy::{each_of_ziplist, each_of_zipmap};
use super::{Input, LoadError, Loaded, NO_DEADLINE, Rules, container, kind};
use crate::base::num;
use crate::types::dict::Dict;
use crate::types::hash::{Expiry, Hash, Limits, SetResult};
use crate::types::intset::Intset;
use crate::types::list::{Body, List, Side};
use crate::types::listpack::{Item, Listpack};
use crate::types::object::Family;
use crate::types::set::Set;
use crate::types::zset::ZSet;

const NO_LISTPACK: LoadError = LoadError::Corrupt("Listpack integrity check failed");
const NO_ZIPLIST: LoadError = LoadError::Corrupt("Ziplist integrity check failed");
const TWICE: LoadError = LoadError::Corrupt("integrity check failed: an element is there twice");

/// Reads a value of a type that [`Input::kind`] told.
pub fn load<R: Read>(kind: u8, input: &mut Input<R>, rules: &Rules) -> Result<Loaded, LoadError> {
    let object = match kind {
        kind::STRING => return Ok(Loaded::Str(input.string()?)),
        kind::LIST => list(input, rules)?.into(),
        kind::LIST_ZIPLIST => list_of_ziplist(input, rules)?.into(),
        kind::LIST_ZIPLISTS => {
            list_of_nodes(input, rules, |_| Ok(container::PACKED), unzip)?.into()
        }
        kind::LIST_LISTPACKS => list_of_nodes(input, rules, Input::length, listpack)?.into(),
        kind::HASH => hash(input, rules, false)?.into(),
        kind::HASH_WITH_DEADLINES => hash(input, rules, true)?.into(),
        kind::HASH_ZIPMAP => packed_hash(unmap(&input.string()?)?, rules.hash)?.into(),
        kind::HASH_ZIPLIST => packed_hash(unzip(&input.string()?)?, of_any_length(rules))?.into(),
        kind::HASH_LISTPACK => {
            packed_hash(listpack(&input.string()?)?, of_any_length(rules))?.into()
        }
        kind::SET => set(input, rules)?.into(),
        kind::SET_INTSET => set_of_integers(input, rules)?.into(),
        kind::SET_LISTPACK => set_of_listpack(input, rules)?.into(),
        kind::ZSET => zset(input, rules, Input::double)?.into(),
        kind::ZSET_TEXT => zset(input, rules, Input::double_as_text)?.into(),
        kind::ZSET_ZIPLIST => zset_of_ziplist(input, rules)?.into(),
        kind::ZSET_LISTPACK => packed_zset(listpack(&input.string()?)?, rules)?.into(),
        kind::STREAM_1 | kind::STREAM_2 | kind::STREAM => super::stream::load(kind, input)?.into(),
        unknown => return Err(LoadError::UnknownType(unknown)),
    };
    Ok(Loaded::Object(object))
}

// ----- packed values --------------------------------------------------------------

fn listpack(bytes: &[u8]) -> Result<Listpack, LoadError> {
    let pack = Listpack::from_bytes(bytes).ok_or(NO_LISTPACK)?;
    // Searches count on integers being kept as such.
    let is_canonical = |item| match item {
        Item::Int(_) => true,
        Item::Str(text) => num::parse_i64(text).is_none(),
    };
    if pack.iter().all(is_canonical) {
        return Ok(pack);
    }
    let mut canonical = Listpack::new();
    pack.iter()
        .try_for_each(|item| push(&mut canonical, item))
        .ok_or(NO_LISTPACK)?;
    Ok(canonical)
}

/// A ziplist's entries as a listpack.
fn unzip(bytes: &[u8]) -> Result<Listpack, LoadError> {
    let mut pack = Listpack::new();
    each_of_ziplist(bytes, |item| push(&mut pack, item)).ok_or(NO_ZIPLIST)?;
    Ok(pack)
}

/// A zipmap's fields and values as a listpack.
fn unmap(bytes: &[u8]) -> Result<Listpack, LoadError> {
    let mut pack = Listpack::new();
    each_of_zipmap(bytes, |text| push(&mut pack, Item::Str(text)))
        .ok_or(LoadError::Corrupt("Zipmap integrity check failed"))?;
    Ok(pack)
}

/// Adds an element; `None` where there is no room for it.
fn push(pack: &mut Listpack, item: Item<'_>) -> Option<()> {
    match item {
        Item::Int(n) => pack.push_back_int(n),
        Item::Str(text) if pack.has_room_for(text.len()) => pack.push_back(text),
        Item::Str(_) => return None,
    }
    Some(())
}

/// Refuses a listpack in which one of every `step` elements is there twice, or
/// whose elements do not come in so many.
fn check_unique(pack: &Listpack, step: usize) -> Result<(), LoadError> {
    let mut seen = HashSet::new();
    let mut count = 0;
    for item in pack.iter() {
        let is_key = count % step == 0;
        count += 1;
        if !is_key {
            continue;
        }
        let text = match item {
            Item::Str(text) => Cow::Borrowed(text),
            Item::Int(_) => Cow::Owned(item.to_vec()),
        };
        if !seen.insert(text) {
            return Err(TWICE);
        }
    }
    match count {
        0 => Err(LoadError::Empty),
        n if n % step == 0 => Ok(()),
        _ => Err(LoadError::Corrupt(
            "integrity check failed: an element without its pair",
        )),
    }
}

// ----- lists ----------------------------------------------------------------------

fn list<R: Read>(input: &mut Input<R>, rules: &Rules) -> Result<List, LoadError> {
    let mut list = List::new();
    for _ in 0..input.count()? {
        let text = input.string()?;
        list.push(Side::Right, &[&text], rules.list);
    }
    Ok(list)
}

fn list_of_ziplist<R: Read>(input: &mut Input<R>, rules: &Rules) -> Result<List, LoadError> {
    let mut list = List::new();
    let bytes = input.string()?;
    each_of_ziplist(&bytes, |item| {
        item.with_bytes(|text| list.push(Side::Right, &[text], rules.list));
        Some(())
    })
    .ok_or(NO_ZIPLIST)?;
    match list.end(Side::Left) {
        Some(_) => Ok(list),
        None => Err(LoadError::Empty),
    }
}

/// A list of nodes, before each of which may stand how it lies.
fn list_of_nodes<R: Read>(
    input: &mut Input<R>,
    rules: &Rules,
    how: impl Fn(&mut Input<R>) -> Result<u64, LoadError>,
    unpack: impl Fn(&[u8]) -> Result<Listpack, LoadError>,
) -> Result<List, LoadError> {
    let mut bodies = Vec::new();
    for _ in 0..input.count()? {
        let how = how(input)?;
        let bytes = input.string()?;
        match how {
            _ if bytes.is_empty() => {
                return Err(LoadError::Corrupt(
                    "Quicklist integrity check failed: an empty node",
                ));
            }
            container::PLAIN => bodies.push(Body::Plain(Cow::Owned(bytes))),
            container::PACKED => {
                let pack = unpack(&bytes)?;
                if !pack.is_empty() {
                    bodies.push(Body::Pack(Cow::Owned(pack)));
                }
            }
            _ => {
                return Err(LoadError::Corrupt(
                    "Quicklist integrity check failed: a node of no known kind",
                ));
            }
        }
    }
    match bodies.is_empty() {
        true => Err(LoadError::Empty),
        false => Ok(List::from_bodies(bodies, rules.list)),
    }
}

// ----- hashes ---------------------------------------------------------------------

/// A hash of fields and values, behind each of which there may be a deadline.
fn hash<R: Read>(
    input: &mut Input<R>,
    rules: &Rules,
    with_deadlines: bool,
) -> Result<Hash, LoadError> {
    let count = input.count()?;
    let is_small = usize::try_from(count).is_ok_and(|n| n <= rules.hash.fields);
    let mut hash = match is_small && !with_deadlines {
        true => Hash::new(),
        false => Hash::Table(Box::default()),
    };
    for _ in 0..count {
        let (field, value) = (input.string()?, input.string()?);
        let deadline = match with_deadlines {
            true => input.signed()?,
            false => NO_DEADLINE,
        };
        let expiry = match deadline {
            NO_DEADLINE => Expiry::Never,
            ms => Expiry::At(
                u64::try_from(ms)
                    .map_err(|_| LoadError::Corrupt("a field with a deadline before all time"))?,
            ),
        };
        if hash.set(&field, &value, expiry, 0, rules.hash) != SetResult::Added {
            return Err(TWICE);
        }
    }
    Ok(hash)
}

/// The limits of what was packed already: only the number of its fields matters.
fn of_any_length(rules: &Rules) -> Limits {
    Limits {
        bytes: usize::MAX,
        ..rules.hash
    }
}

fn packed_hash(pack: Listpack, limits: Limits) -> Result<Hash, LoadError> {
    check_unique(&pack, 2)?;
    Ok(Hash::from_packed(pack, limits))
}

// ----- sets -----------------------------------------------------------------------

fn table<'a>(members: impl Iterator<Item = Item<'a>>) -> Set {
    let mut dict = Box::<Dict<()>>::default();
    members.for_each(|member| {
        member.with_bytes(|text| dict.insert(text, ()));
    });
    Set::Table(dict)
}

fn set<R: Read>(input: &mut Input<R>, rules: &Rules) -> Result<Set, LoadError> {
    let count = input.count()?;
    let is_large = usize::try_from(count).is_ok_and(|n| n <= rules.set.intset_entries);
    let mut set = match is_large {
        true => Set::Ints(Intset::new()),
        false => table([].into_iter()),
    };
    for _ in 0..count {
        let text = input.string()?;
        let member = match num::parse_i64(&text) {
            Some(n) => Item::Int(n),
            None => Item::Str(&text),
        };
        if !set.insert(member, &rules.set) {
            return Err(TWICE);
        }
    }
    Ok(set)
}

fn set_of_integers<R: Read>(input: &mut Input<R>, rules: &Rules) -> Result<Set, LoadError> {
    let ints = Intset::from_bytes(&input.string()?)
        .ok_or(LoadError::Corrupt("Intset integrity check failed"))?;
    match ints.len() <= rules.set.intset_entries {
        true => Ok(Set::Ints(ints)),
        false => Ok(table(ints.iter().map(Item::Int))),
    }
}

fn set_of_listpack<R: Read>(input: &mut Input<R>, rules: &Rules) -> Result<Set, LoadError> {
    let pack = listpack(&input.string()?)?;
    check_unique(&pack, 1)?;
    match pack.len() <= rules.set.listpack_entries {
        true => Ok(Set::Packed(pack)),
        false => Ok(table(pack.iter())),
    }
}

// ----- sorted sets ----------------------------------------------------------------

fn zset<R: Read>(
    input: &mut Input<R>,
    rules: &Rules,
    score: impl Fn(&mut Input<R>) -> Result<f64, LoadError>,
) -> Result<ZSet, LoadError> {
    let mut members = Vec::new();
    for _ in 0..input.count()? {
        let member = input.string()?;
        let score = score(input)?;
        if score.is_nan() {
            return Err(LoadError::Corrupt("Zset with NAN score detected"));
        }
        members.push((score, member));
    }
    let longest = members.iter().map(|(_, member)| member.len()).max();
    sorted_zset(members, longest.unwrap_or(0), rules)
}

/// A sorted set of members in any order, the longest of which has so many bytes.
fn sorted_zset(
    mut members: Vec<(f64, Vec<u8>)>,
    member_bytes: usize,
    rules: &Rules,
) -> Result<ZSet, LoadError> {
    members.sort_unstable_by(|(_, a), (_, b)| a.cmp(b));
    if members.windows(2).any(|pair| pair[0].1 == pair[1].1) {
        return Err(TWICE);
    }
    // By equal scores they stay in the order of their bytes.
    members.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let mut zset = ZSet::default();
    zset.expect(members.len(), member_bytes, rules.zset);
    for (score, member) in members {
        zset.push(&member, score, rules.zset);
    }
    Ok(zset)
}

fn zset_of_ziplist<R: Read>(input: &mut Input<R>, rules: &Rules) -> Result<ZSet, LoadError> {
    const NO_ZSET: LoadError = LoadError::Corrupt("Zset ziplist integrity check failed");
    let pack = unzip(&input.string()?).map_err(|_| NO_ZSET)?;
    packed_zset(pack, rules)
}

/// A sorted set that is packed, whatever the length of its members, unless there
/// are too many.
fn packed_zset(pack: Listpack, rules: &Rules) -> Result<ZSet, LoadError> {
    check_unique(&pack, 2)?;
    let is_number = |item| match item {
        Item::Int(_) => true,
        Item::Str(text) => num::parse_f64_saturating(text).is_some(),
    };
    if !pack.iter().skip(1).step_by(2).all(is_number) {
        return Err(LoadError::Corrupt("Zset with NAN score detected"));
    }
    let zset = ZSet::Packed(pack);
    let rises = |a: &(Item<'_>, f64), b: &(Item<'_>, f64)| {
        a.1 < b.1 || a.1 == b.1 && a.0.with_bytes(|a| b.0.with_bytes(|b| a < b))
    };
    let is_sorted = zset.iter().is_sorted_by(rises);
    if is_sorted && Family::len(&zset) <= rules.zset.members_max {
        return Ok(zset);
    }
    let members = zset.iter().map(|(member, score)| (score, member.to_vec()));
    sorted_zset(members.collect(), 0, rules)
}
