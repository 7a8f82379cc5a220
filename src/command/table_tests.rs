//! Walks the table of commands: what every row must keep to, so that routing,
//! ACL and the documentation can be derived from it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::exec::spec::{
    Arg, ArgKind, Begin, CommandTable, Find, KeySpec, Spec, category, flag, key_flag,
};

/// Every command and subcommand, under the name by which it is known.
fn rows(table: &CommandTable) -> Vec<(String, &'static Spec)> {
    let mut rows = Vec::new();
    for (number, spec) in table.all().iter().enumerate() {
        rows.push((table.full_name(number, None), *spec));
        for (at, sub) in spec.subcommands.iter().enumerate() {
            rows.push((table.full_name(number, Some(at)), sub));
        }
    }
    rows
}

#[test]
fn no_two_commands_share_a_name_and_each_is_found() {
    let table = super::table();
    let mut seen = BTreeSet::new();
    for (name, spec) in rows(&table) {
        assert_eq!(name, name.to_lowercase());
        let (found, _) = table
            .find_full(name.to_uppercase().as_bytes())
            .expect(&name);
        assert!(std::ptr::eq(found, spec), "{name}");
        assert!(seen.insert(name.clone()), "{name} twice");
    }
    assert_eq!(table.counters(), seen.len());
}

#[test]
fn flags_agree_with_categories_and_with_each_other() {
    for (name, spec) in rows(&super::table()) {
        let categories = spec.categories();
        let both = |flag, category| spec.has(flag) == (categories & category != 0);
        assert!(both(flag::WRITE, category::WRITE), "{name}");
        assert!(
            !(spec.has(flag::WRITE) && spec.has(flag::READONLY)),
            "{name}"
        );
        assert!(!spec.has(flag::DENYOOM) || spec.has(flag::WRITE), "{name}");
        let is_fast = categories & category::FAST != 0;
        assert_eq!(is_fast, categories & category::SLOW == 0, "{name}");
        if spec.has(flag::ADMIN) {
            assert!(categories & category::DANGEROUS != 0, "{name}");
        }
    }
}

fn is_open_ended(key: &KeySpec) -> bool {
    matches!(key.find, Find::Range { last: -1, .. })
}

#[test]
fn keys_lie_within_the_arguments_that_a_command_must_have() {
    for (name, spec) in rows(&super::table()) {
        let least = usize::from(spec.arity.unsigned_abs());
        let is_key = |k: &&KeySpec| k.flags & key_flag::NOT_KEY == 0;
        for key in spec.keys.iter().filter(is_key) {
            if let Begin::Index(at) = key.begin {
                // Those up to the end may all be left out.
                let least = least + usize::from(is_open_ended(key));
                assert!((1..least).contains(&at), "{name}: key at {at}");
                if let Find::Range { last, step, .. } = key.find {
                    assert!(step > 0, "{name}");
                    let last = usize::try_from(last).unwrap_or(0);
                    assert!(at + last < least, "{name}: last key at {}", at + last);
                }
            }
            let uses = key_flag::RO | key_flag::RW | key_flag::OW | key_flag::RM;
            assert_eq!(
                (key.flags & uses).count_ones(),
                1,
                "{name}: one kind of use"
            );
            let writes = key.flags & (key_flag::RW | key_flag::OW | key_flag::RM) != 0;
            assert!(
                !writes || !spec.has(flag::READONLY) || spec.has(flag::MAY_REPLICATE),
                "{name}: a reader writes"
            );
        }
    }
}

#[test]
fn every_command_is_documented() {
    for (name, spec) in rows(&super::table()) {
        let doc = &spec.doc;
        assert!(doc.summary.ends_with('.'), "{name}: summary");
        assert!(
            doc.summary.starts_with(char::is_uppercase),
            "{name}: summary"
        );
        let parts: Vec<&str> = doc.since.split('.').collect();
        let is_number = |p: &&str| p.parse::<u32>().is_ok();
        assert!(
            parts.len() == 3 && parts.iter().all(is_number),
            "{name}: since"
        );
        assert!(!doc.group.name().is_empty(), "{name}: group");
        check_args(&name, spec, doc.args);
    }
}

fn check_args(name: &str, spec: &Spec, args: &[Arg]) {
    for arg in args {
        assert!(!arg.name.is_empty(), "{name}: an argument without a name");
        let has_parts = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
        assert_eq!(has_parts, !arg.args.is_empty(), "{name}: {}", arg.name);
        if let ArgKind::Key(at) | ArgKind::KeyPattern(at) = arg.kind {
            assert!(at < spec.keys.len(), "{name}: {} has no key spec", arg.name);
        }
        if let ArgKind::PureToken = arg.kind {
            assert!(arg.token.is_some(), "{name}: {} is no word", arg.name);
        }
        check_args(name, spec, arg.args);
    }
}

/// The text of all tests: the test modules of `src`, and whatever is in `tests`.
fn test_text() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    let mut folders: Vec<PathBuf> = vec![root.join("src"), root.join("tests")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.filter_map(|e| Some(e.ok()?.path())) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(file) = fs::read_to_string(&path) else {
                continue;
            };
            let is_test_file = path.starts_with(root.join("tests"))
                || path
                    .file_stem()
                    .is_some_and(|s| s.to_string_lossy().contains("test"));
            let tests = match is_test_file {
                true => file.as_str(),
                false => file
                    .split_once("#[cfg(test)]")
                    .map_or("", |(_, tests)| tests),
            };
            text += &tests.to_lowercase();
        }
    }
    text
}

#[test]
fn every_command_is_called_in_some_test() {
    let text = test_text();
    let words: BTreeSet<&str> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .collect();
    let missing: Vec<String> = rows(&super::table())
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| match name.split_once('|') {
            Some((container, sub)) => !text.contains(&format!("{container} {sub}")),
            None => !words.contains(name.as_str()),
        })
        .collect();
    assert!(missing.is_empty(), "no test calls {missing:?}");
}

#[test]
fn only_what_takes_a_moment_shares_a_look_at_the_clock() {
    let table = super::table();
    let is_brief = |name: &str, args: usize| {
        let (spec, _) = table.find_full(name.as_bytes()).expect(name);
        spec.is_brief(args)
    };
    for name in [
        "get", "set", "incr", "hset", "sadd", "zadd", "expire", "ping",
    ] {
        assert!(is_brief(name, 4), "{name}");
        assert!(!is_brief(name, 1000), "{name}");
    }
    for name in [
        "keys", "del", "mget", "lrange", "blpop", "exec", "debug", "info", "flushall", "config",
        "lpop", "spop", "zpopmin", "dbsize", "blmove",
    ] {
        assert!(!is_brief(name, 4), "{name}");
    }
}

#[test]
fn a_command_is_found_by_the_name_that_it_was_given() {
    let mut table = super::table();
    let number = |table: &CommandTable, name: &str| Some(table.find(name.as_bytes())?.0);
    let (get, set) = (number(&table, "get"), number(&table, "set"));
    let refused = |result| assert_eq!(result, Err("Target command name already exists"));
    assert_eq!(table.rename(b"GET", b"Fetch"), Ok(()));
    assert_eq!(number(&table, "get"), None);
    assert_eq!(number(&table, "FETCH"), get);
    assert_eq!(
        table.rename(b"get", b"x"),
        Err("No such command in rename-command")
    );
    refused(table.rename(b"set", b"fetch"));
    assert_eq!(number(&table, "set"), set);
    assert_eq!(table.rename(b"set", b"get"), Ok(()));
    assert_eq!(number(&table, "get"), set);
    assert_eq!(table.rename(b"get", b""), Ok(()));
    assert_eq!(number(&table, "get"), None);
}
