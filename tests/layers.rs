//! Keeps house: reads the source and fails where a layer imports what it must
//! not know, or where a habit that the whole rests on is broken.
//!
//! Modules under `cfg(test)` may import what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const BASE: &[&str] = &["base"];
const STORE: &[&str] = &["types", "config", "base"];
const EXEC: &[&str] = &["store", "protocol", "config", "base"];
const CACHE: &[&str] = &["exec", "store", "config", "base"];
/// For services, which never know each other.
const SERVICE: &[&str] = &[
    "cache", "exec", "store", "types", "protocol", "config", "base",
];
const COMMAND: &[&str] = &[
    "acl",
    "pubsub",
    "script",
    "persist",
    "replication",
    "cluster",
    "observe",
    "cache",
    "exec",
    "store",
    "types",
    "protocol",
    "config",
    "base",
];

/// For what wires the layers and is more than a file.
const WIRING: &[&str] = &[
    "command",
    "acl",
    "pubsub",
    "script",
    "persist",
    "replication",
    "cluster",
    "observe",
    "cache",
    "exec",
    "store",
    "types",
    "protocol",
    "config",
    "base",
];

/// What each folder of `src/` may import, from the ground up. Files beside them
/// wire everything together.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("config", BASE),
    ("protocol", BASE),
    ("types", BASE),
    ("store", STORE),
    ("exec", EXEC),
    ("cache", CACHE),
    ("acl", SERVICE),
    ("pubsub", SERVICE),
    ("script", SERVICE),
    ("persist", SERVICE),
    ("replication", SERVICE),
    ("cluster", SERVICE),
    ("observe", SERVICE),
    ("command", COMMAND),
    ("net", &["exec", "protocol", "config", "base"]),
    ("simulate", WIRING),
];

/// Where lines without tests end.
const LINES_MAX: usize = 1000;

/// Time and randomness, and the only files where each may be had: the server's
/// own loop measures how long its work takes.
const SOURCES: &[(&str, &[&str])] = &[
    ("SystemTime::now", &["base/clock.rs"]),
    ("Instant::now", &["base/clock.rs", "server.rs"]),
    ("RandomState", &["base/clock.rs"]),
    ("rand::", &[]),
    ("getrandom", &[]),
];

/// A file of `src/`.
struct Source {
    /// Its path below `src`.
    path: String,
    /// Its text, without comments, and without what stands in quotes.
    code: String,
    /// The same, without its modules under `cfg(test)`; empty where it is one.
    shipped: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let below = |p: &Path| p.strip_prefix(&root).expect("below it").to_path_buf();
    let mut tests = BTreeSet::new();
    let mut sources = Vec::new();
    for file in &files {
        let code = stripped(&fs::read_to_string(file).expect("a text"));
        let folder = match file.file_stem().and_then(|s| s.to_str()) {
            Some("mod" | "lib" | "main") => file.parent().expect("a folder").to_path_buf(),
            _ => file.with_extension(""),
        };
        let (shipped, elsewhere) = without_tests(&code);
        tests.extend(elsewhere.iter().map(|name| below(&folder.join(name))));
        let path = below(file).to_string_lossy().into_owned();
        sources.push(Source {
            path,
            code,
            shipped,
        });
    }
    for source in &mut sources {
        let path = Path::new(&source.path).with_extension("");
        if tests.iter().any(|test| path.starts_with(test)) {
            source.shipped.clear();
        }
    }
    assert!(sources.len() > 20 && !tests.is_empty());
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// Code without comments and without what is quoted; lines stay where they are.
fn stripped(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let before = code.chars().last();
        let is_raw =
            before.is_none_or(|b| !b.is_alphanumeric() && b != '_' || b == 'b' || b == 'c');
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if c == 'r' && is_raw && rest[1..].trim_start_matches('#').starts_with('"') {
            let hashes = rest[1..].find('"').expect("just seen");
            let end = format!("\"{}", "#".repeat(hashes));
            let start = hashes + 2;
            rest[start..]
                .find(&end)
                .map_or(rest.len(), |at| start + at + end.len())
        } else if c == '"' {
            quoted(rest, '"').unwrap_or(rest.len())
        } else if c == '\'' {
            // A lifetime has no second quote so near.
            quoted(rest, '\'')
                .filter(|&n| rest[1..].starts_with('\\') || n <= 6)
                .map_or(0, |n| {
                    let inner = &rest[1..n - 1];
                    if inner.starts_with('\\') || inner.chars().count() == 1 {
                        n
                    } else {
                        0
                    }
                })
        } else {
            0
        };
        let taken = skipped.max(c.len_utf8());
        if skipped == 0 {
            code.push(c);
        } else {
            code.extend(rest[..taken].chars().filter(|&c| c == '\n'));
        }
        rest = &rest[taken..];
    }
    code
}

/// How long what begins with a quote is.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let ends = |(_, c): &(usize, char)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    };
    text.char_indices().skip(1).find(ends).map(|(at, _)| at + 1)
}

/// Code without its inline modules under `cfg(test)`, and the names of those
/// that are files of their own.
fn without_tests(code: &str) -> (String, Vec<String>) {
    let (mut shipped, mut elsewhere) = (String::new(), Vec::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            shipped.push_str(line);
            shipped.push('\n');
            continue;
        }
        // rustfmt closes an item at the indent at which it began.
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        let item = lines.by_ref().find(|l| !l.trim_start().starts_with("#["));
        let item = item.expect("an item behind its attribute").trim_end();
        match item.strip_suffix(';') {
            Some(declared) => {
                let name = declared
                    .split_once("mod ")
                    .map(|(_, name)| name.to_string());
                elsewhere.extend(name);
            }
            None if item.ends_with('{') => {
                lines.by_ref().find(|l| *l == closing);
            }
            None => {}
        }
    }
    (shipped, elsewhere)
}

/// The word that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The first words of a list in braces, of which `text` begins with the first.
fn words(text: &str) -> Vec<&str> {
    let mut found = vec![word(text.trim_start())];
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.push(word(text[at + 1..].trim_start())),
            _ => {}
        }
    }
    found.retain(|w| !w.is_empty());
    found
}

/// What a file imports from the root of the crate: by `crate::`, or by `super::`
/// as often as it takes.
fn imports(source: &Source) -> BTreeSet<&str> {
    let depth = Path::new(&source.path).components().count();
    let is_root = source.path.ends_with("/mod.rs");
    let up = "super::".repeat(depth - usize::from(is_root));
    let code = &source.shipped;
    let mut found = BTreeSet::new();
    for prefix in ["crate::", up.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let behind = &code[at + prefix.len()..];
            let is_part = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if is_part || behind.starts_with("super::") {
                continue;
            }
            match behind.strip_prefix('{') {
                Some(list) => found.extend(words(list)),
                None => found.extend([word(behind)]),
            }
        }
    }
    found
}

/// The macros that lie at the root of the crate, and the layer of each.
fn macros(sources: &[Source]) -> BTreeMap<&str, &str> {
    let mut found = BTreeMap::new();
    for source in sources {
        let layer = source.path.split('/').next().expect("a first part");
        for (at, text) in source
            .shipped
            .match_indices("#[macro_export]\nmacro_rules! ")
        {
            found.insert(word(&source.shipped[at + text.len()..]), layer);
        }
    }
    found
}

#[test]
fn no_layer_imports_what_stands_below_it() {
    let sources = sources();
    let macros = macros(&sources);
    let mut wrong = Vec::new();
    for source in &sources {
        let Some((folder, _)) = source.path.split_once('/') else {
            continue;
        };
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == folder) else {
            wrong.push(format!("{folder} is no layer"));
            continue;
        };
        for import in imports(source) {
            let layer = macros.get(import).copied().unwrap_or(import);
            if layer != folder && !allowed.contains(&layer) {
                wrong.push(format!("{} imports {layer}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_longer_than_a_thousand_lines_without_its_tests() {
    for source in sources() {
        let lines = source.shipped.lines().count();
        assert!(lines <= LINES_MAX, "{}: {lines} lines", source.path);
    }
}

#[test]
fn nothing_is_left_to_be_done_or_looked_at() {
    for source in sources() {
        for left in ["todo!", "unimplemented!", "dbg!"] {
            assert!(!source.code.contains(left), "{}: {left}", source.path);
        }
    }
}

#[test]
fn unsafe_code_is_only_where_the_file_says_so() {
    for source in sources() {
        let is_unsafe = source
            .code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|w| w == "unsafe");
        let says_so = source.code.contains("#![allow(unsafe_code)]");
        assert_eq!(is_unsafe, says_so, "{}", source.path);
    }
}

#[test]
fn time_and_randomness_come_from_the_clock() {
    for source in sources() {
        for (call, allowed) in SOURCES {
            let is_there = source.code.match_indices(call).any(|(at, _)| {
                !source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
            });
            let may = allowed.contains(&source.path.as_str()) || source.shipped.is_empty();
            assert!(!is_there || may, "{}: {call}", source.path);
        }
    }
}

#[test]
fn what_is_read_here_is_read_well() {
    let text = r##"
use crate::{base::{clock, hash}, store};
use super::super::net; // crate::server
fn f<'a>(c: &'a str) -> bool { "crate::\"config" == c && '"' != '\'' && r#"crate::"exec"# != c }
#[cfg(test)]
mod tests {
    use crate::command;
}
#[cfg(test)]
mod others;
"##;
    let code = stripped(text);
    let (shipped, elsewhere) = without_tests(&code);
    assert_eq!(elsewhere, ["others"]);
    let path = "exec/some.rs".to_string();
    let source = Source {
        path,
        code,
        shipped,
    };
    assert_eq!(
        imports(&source).into_iter().collect::<Vec<_>>(),
        ["base", "net", "store"]
    );
}
