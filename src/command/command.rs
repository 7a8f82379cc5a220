//! COMMAND: what commands there are, derived from their specs.

use super::help;
use crate::base::glob::{self, Case};
use crate::exec::context::Ctx;
use crate::exec::spec::{
    Arg, ArgKind, Begin, Find, Group, KeySpec, Spec, category, flag, flag::*, key_flag,
};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("command", -1, all)
    .flags(LOADING | STALE)
    .category(category::CONNECTION)
    .tips(&["nondeterministic_output_order"])
    .doc(
        Group::Server,
        "2.8.13",
        "O(N) where N is the total number of commands",
        "Returns details of all commands.",
    )
    .subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("count", 2, count)
        .flags(LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Server,
            "2.8.13",
            "O(1)",
            "Returns the number of commands.",
        ),
    Spec::new("info", -2, info)
        .flags(LOADING | STALE)
        .category(category::CONNECTION)
        .tips(&["nondeterministic_output_order"])
        .doc(
            Group::Server,
            "2.8.13",
            "O(N) where N is the number of commands to look up",
            "Returns details of one command, of several, or of all.",
        )
        .history(&[(
            "7.0.0",
            "Allowed to be called with no argument to get info on all \
             commands.",
        )])
        .args(&[Arg::new("command-name", ArgKind::String)
            .optional()
            .multiple()]),
    Spec::new("docs", -2, docs)
        .flags(LOADING | STALE)
        .category(category::CONNECTION)
        .tips(&["nondeterministic_output_order"])
        .doc(
            Group::Server,
            "7.0.0",
            "O(N) where N is the number of commands to look up",
            "Returns the documentation of one command, of several, or of all.",
        )
        .args(&[Arg::new("command-name", ArgKind::String)
            .optional()
            .multiple()]),
    Spec::new("list", -2, list)
        .flags(LOADING | STALE)
        .category(category::CONNECTION)
        .tips(&["nondeterministic_output_order"])
        .doc(
            Group::Server,
            "7.0.0",
            "O(N) where N is the total number of commands",
            "Returns the names of commands.",
        )
        .args(&[Arg::one_of(
            "filterby",
            &[
                Arg::new("module-name", ArgKind::String).token("MODULE"),
                Arg::new("category", ArgKind::String).token("ACLCAT"),
                Arg::new("pattern", ArgKind::Pattern).token("PATTERN"),
            ],
        )
        .token("FILTERBY")
        .optional()]),
    Spec::new("getkeys", -3, keys)
        .flags(LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Server,
            "2.8.13",
            "O(N) where N is the number of arguments to the command",
            "Picks the keys out of a command's words.",
        )
        .args(&[
            Arg::new("command", ArgKind::String),
            Arg::new("arg", ArgKind::String).optional().multiple(),
        ]),
    Spec::new("getkeysandflags", -3, keys_and_flags)
        .flags(LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Server,
            "7.0.0",
            "O(N) where N is the number of arguments to the command",
            "Picks the keys out of a command's words, and says how each is \
             used.",
        )
        .args(&[
            Arg::new("command", ArgKind::String),
            Arg::new("arg", ArgKind::String).optional().multiple(),
        ]),
    Spec::new("help", 2, help)
        .flags(LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Server,
            "5.0.0",
            "O(1)",
            "Returns a text that explains the subcommands.",
        ),
];

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "(no subcommand)",
            "    Return details of all commands.",
            "COUNT",
            "    Return how many commands there are.",
            "LIST",
            "    Return the names of all commands.",
            "INFO [<command-name> ...]",
            "    Return details of these commands, or of all.",
            "DOCS [<command-name> ...]",
            "    Return the documentation of these commands, or of all.",
            "GETKEYS <full-command>",
            "    Return which words of a command are keys.",
            "GETKEYSANDFLAGS <full-command>",
            "    Return which words of a command are keys, and how each is used.",
        ],
    );
    Ok(())
}

fn all(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let specs = ctx.engine.commands.all();
    ctx.reply.array(specs.len());
    for spec in specs {
        write_info(&mut ctx.reply, spec, None);
    }
    Ok(())
}

fn count(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.size(ctx.engine.commands.all().len());
    Ok(())
}

fn info(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if ctx.args.is_empty() {
        return all(ctx);
    }
    let names = ctx.args.rest();
    ctx.reply.array(names.len());
    for name in names {
        match ctx.engine.commands.find_full(name) {
            Some((spec, container)) => write_info(&mut ctx.reply, spec, container),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn docs(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let table = &ctx.engine.commands;
    let found: Vec<(&Spec, Option<&Spec>)> = match ctx.args.rest() {
        [] => table.all().iter().map(|spec| (*spec, None)).collect(),
        names => {
            let all = names.iter().filter_map(|name| table.find_full(name));
            all.map(|(spec, container)| (spec, container as Option<&Spec>))
                .collect()
        }
    };
    ctx.reply.map(found.len());
    for (spec, container) in found {
        ctx.reply.bulk(full_name(spec, container).as_bytes());
        write_docs(&mut ctx.reply, spec);
    }
    Ok(())
}

/// Which commands COMMAND LIST names.
enum Wanted<'a> {
    All,
    /// Those of a category, where there is one of this name.
    Category(Option<u32>),
    Pattern(&'a [u8]),
    /// Those of a module: there are none.
    Module,
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let wanted = match ctx.args.rest() {
        [] => Wanted::All,
        [word, kind, text] if word.eq_ignore_ascii_case(b"filterby") => {
            match &kind.to_ascii_lowercase()[..] {
                b"module" => Wanted::Module,
                b"pattern" => Wanted::Pattern(text),
                b"aclcat" => {
                    let is_named = |name: &str| name.as_bytes().eq_ignore_ascii_case(text);
                    let place = category::NAMES.iter().position(|n| is_named(n));
                    Wanted::Category(place.map(|at| 1 << at))
                }
                _ => return Err(Error::SYNTAX),
            }
        }
        _ => return Err(Error::SYNTAX),
    };
    let mut names = Vec::new();
    let mut visit = |spec: &Spec, container: Option<&Spec>| {
        let name = full_name(spec, container);
        let is_wanted = match wanted {
            Wanted::All => true,
            Wanted::Category(category) => category.is_some_and(|c| spec.categories() & c != 0),
            Wanted::Pattern(pattern) => glob::matches(pattern, name.as_bytes(), Case::Ignore),
            Wanted::Module => false,
        };
        if is_wanted {
            names.push(name);
        }
    };
    for spec in ctx.engine.commands.all() {
        visit(spec, None);
        spec.subcommands.iter().for_each(|s| visit(s, Some(spec)));
    }
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(())
}

fn keys(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    write_keys(ctx, false)
}

fn keys_and_flags(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    write_keys(ctx, true)
}

fn write_keys(ctx: &mut Ctx<'_, '_>, with_flags: bool) -> Result<(), Error> {
    let words = ctx.args.rest();
    let spec = command_of(ctx, words).ok_or(Error::new("ERR Invalid command specified"))?;
    if !spec.has_keys() {
        return Err(Error::new("ERR The command has no key arguments"));
    }
    if !spec.takes(words.len()) {
        return Err(Error::new(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let mut keys = Vec::new();
    let found = spec.each_key(words, |at, flags| {
        if flags & key_flag::NOT_KEY == 0 {
            keys.push((at, spec.use_of(flags, words)));
        }
    });
    if found.is_err() || keys.is_empty() {
        if !spec.has(NO_MANDATORY_KEYS) {
            return Err(Error::new("ERR Invalid arguments specified for command"));
        }
        keys.clear();
    }
    ctx.reply.array(keys.len());
    for (at, flags) in keys {
        if with_flags {
            ctx.reply.array(2);
        }
        ctx.reply.bulk(words[at]);
        if with_flags {
            write_names(&mut ctx.reply, flags.into(), key_flag_names());
        }
    }
    Ok(())
}

/// The command, or its subcommand, that begins with these words.
fn command_of(ctx: &Ctx<'_, '_>, words: &[&[u8]]) -> Option<&'static Spec> {
    let (_, spec) = ctx.engine.commands.find(words.first()?)?;
    match spec.subcommands {
        [] => Some(spec),
        _ if words.len() == 1 => Some(spec),
        _ => crate::exec::dispatch::subcommand(spec, words).map(|(_, sub)| sub),
    }
}

fn full_name(spec: &Spec, container: Option<&Spec>) -> String {
    match container {
        Some(container) => format!("{}|{}", container.name, spec.name),
        None => spec.name.into(),
    }
}

/// A set of the names whose bits are set.
fn write_names(
    reply: &mut Reply<'_>,
    bits: u32,
    names: impl Iterator<Item = (u32, &'static str)> + Clone,
) {
    let set = names.filter(|(bit, _)| bits & bit != 0);
    reply.set(set.clone().count());
    set.for_each(|(_, name)| reply.simple(name));
}

fn key_flag_names() -> impl Iterator<Item = (u32, &'static str)> + Clone {
    key_flag::NAMES.iter().map(|(bit, n)| (u32::from(*bit), *n))
}

/// First key, last key and step, as clients older than key specs know them.
struct Range {
    first: i64,
    last: i64,
    step: i64,
    /// Not all keys lie within the range.
    is_partial: bool,
}

fn range(spec: &Spec) -> Range {
    let plain = |key: &KeySpec| match (key.begin, key.find) {
        (Begin::Index(first), Find::Range { last, step, .. }) => {
            let first = first as i64;
            let last = last as i64;
            let last = if last < 0 { last } else { first + last };
            Some((first, last, step as i64))
        }
        _ => None,
    };
    let is_incomplete = |key: &KeySpec| key.flags & key_flag::INCOMPLETE != 0;
    let none = Range {
        first: 0,
        last: 0,
        step: 0,
        is_partial: !spec.keys.is_empty(),
    };
    if let [key] = spec.keys {
        return plain(key).map_or(none, |(first, last, step)| Range {
            first,
            last,
            step,
            is_partial: is_incomplete(key),
        });
    }
    // Ranges of step 1 that follow one another are joined.
    let mut joined: Option<(i64, i64)> = None;
    let mut is_partial = false;
    for key in spec.keys {
        let Some((first, last, 1)) = plain(key) else {
            is_partial = true;
            continue;
        };
        joined = match joined {
            Some((_, end)) if end != first - 1 => {
                is_partial = true;
                joined
            }
            Some((begin, _)) => Some((begin, last)),
            None => Some((first, last)),
        };
        is_partial |= is_incomplete(key);
    }
    joined.map_or(none, |(first, last)| Range {
        first,
        last,
        step: 1,
        is_partial,
    })
}

fn write_info(reply: &mut Reply<'_>, spec: &Spec, container: Option<&Spec>) {
    let range = range(spec);
    let movable = if range.is_partial { MOVABLE_KEYS } else { 0 };
    reply.array(10);
    reply.bulk(full_name(spec, container).as_bytes());
    reply.int(spec.arity.into());
    write_names(reply, spec.flags | movable, flag::NAMES.iter().copied());
    reply.int(range.first);
    reply.int(range.last);
    reply.int(range.step);
    let categories = spec.categories();
    let names: Vec<String> = category::NAMES
        .iter()
        .enumerate()
        .filter(|(i, _)| categories >> i & 1 != 0)
        .map(|(_, name)| format!("@{name}"))
        .collect();
    reply.set(names.len());
    names.iter().for_each(|name| reply.simple(name));
    reply.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|key| write_key(reply, key));
    reply.array(spec.subcommands.len());
    for sub in spec.subcommands {
        write_info(reply, sub, Some(spec));
    }
}

fn write_key(reply: &mut Reply<'_>, key: &KeySpec) {
    let has_notes = !key.notes.is_empty();
    reply.map(3 + usize::from(has_notes));
    if has_notes {
        field(reply, "notes", key.notes);
    }
    reply.bulk(b"flags");
    write_names(reply, key.flags.into(), key_flag_names());
    reply.bulk(b"begin_search");
    match key.begin {
        Begin::Index(at) => {
            write_search(reply, "index", 1);
            number(reply, "index", at as i64);
        }
        Begin::Keyword(word, from) => {
            write_search(reply, "keyword", 2);
            field(reply, "keyword", word);
            number(reply, "startfrom", from as i64);
        }
        Begin::LastOf(word, from, _) => {
            write_search(reply, "keyword", 2);
            field(reply, "keyword", word);
            number(reply, "startfrom", from as i64);
        }
        Begin::LastOption(..) | Begin::Unknown => write_search(reply, "unknown", 0),
    }
    reply.bulk(b"find_keys");
    match key.find {
        _ if matches!(key.begin, Begin::LastOption(..)) => write_search(reply, "unknown", 0),
        Find::Range { last, step, limit } => {
            write_search(reply, "range", 3);
            number(reply, "lastkey", last as i64);
            number(reply, "keystep", step as i64);
            number(reply, "limit", limit as i64);
        }
        Find::Keynum { at, first, step } => {
            write_search(reply, "keynum", 3);
            number(reply, "keynumidx", at as i64);
            number(reply, "firstkey", first as i64);
            number(reply, "keystep", step as i64);
        }
        Find::Unknown => write_search(reply, "unknown", 0),
    }
}

/// The head of a search: its type, and a map of `n` fields, which follow.
fn write_search(reply: &mut Reply<'_>, kind: &str, n: usize) {
    reply.map(2);
    field(reply, "type", kind);
    reply.bulk(b"spec");
    reply.map(n);
}

fn field(reply: &mut Reply<'_>, name: &str, text: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(text.as_bytes());
}

fn number(reply: &mut Reply<'_>, name: &str, n: i64) {
    reply.bulk(name.as_bytes());
    reply.int(n);
}

fn write_docs(reply: &mut Reply<'_>, spec: &Spec) {
    let doc = &spec.doc;
    let is_marked = doc.system || doc.deprecated.is_some();
    let fields = 3
        + usize::from(!doc.complexity.is_empty())
        + usize::from(is_marked)
        + 2 * usize::from(doc.deprecated.is_some())
        + usize::from(!doc.history.is_empty())
        + usize::from(!doc.args.is_empty())
        + usize::from(!spec.subcommands.is_empty());
    reply.map(fields);
    field(reply, "summary", doc.summary);
    field(reply, "since", doc.since);
    field(reply, "group", doc.group.name());
    if !doc.complexity.is_empty() {
        field(reply, "complexity", doc.complexity);
    }
    if is_marked {
        reply.bulk(b"doc_flags");
        let bits = u32::from(doc.deprecated.is_some()) | u32::from(doc.system) << 1;
        let names = [(1, "deprecated"), (2, "syscmd")];
        write_names(reply, bits, names.into_iter());
    }
    if let Some((since, replaced_by)) = doc.deprecated {
        field(reply, "deprecated_since", since);
        field(reply, "replaced_by", replaced_by);
    }
    if !doc.history.is_empty() {
        reply.bulk(b"history");
        reply.set(doc.history.len());
        for (version, change) in doc.history {
            reply.array(2);
            reply.bulk(version.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    if !doc.args.is_empty() {
        reply.bulk(b"arguments");
        write_args(reply, doc.args);
    }
    if !spec.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(spec.subcommands.len());
        for sub in spec.subcommands {
            reply.bulk(full_name(sub, Some(spec)).as_bytes());
            write_docs(reply, sub);
        }
    }
}

fn write_args(reply: &mut Reply<'_>, args: &[Arg]) {
    const OPTIONAL: u32 = 1;
    const MULTIPLE: u32 = 2;
    const MULTIPLE_TOKEN: u32 = 4;
    reply.array(args.len());
    for arg in args {
        let is_leaf = !matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
        let key_spec = match arg.kind {
            ArgKind::Key(at) | ArgKind::KeyPattern(at) => Some(at),
            _ => None,
        };
        let flags = (if arg.optional { OPTIONAL } else { 0 })
            | (if arg.multiple { MULTIPLE } else { 0 })
            | (if arg.multiple_token {
                MULTIPLE_TOKEN
            } else {
                0
            });
        // Name, type, and a text to display or arguments.
        let fields = 3
            + usize::from(key_spec.is_some())
            + usize::from(arg.token.is_some())
            + usize::from(!arg.since.is_empty())
            + usize::from(!arg.deprecated_since.is_empty())
            + usize::from(flags != 0);
        reply.map(fields);
        field(reply, "name", arg.name);
        field(reply, "type", kind_name(arg.kind));
        if is_leaf {
            field(reply, "display_text", arg.shown_as.unwrap_or(arg.name));
        }
        if let Some(at) = key_spec {
            number(reply, "key_spec_index", at as i64);
        }
        if let Some(token) = arg.token {
            field(reply, "token", token);
        }
        if !arg.since.is_empty() {
            field(reply, "since", arg.since);
        }
        if !arg.deprecated_since.is_empty() {
            field(reply, "deprecated_since", arg.deprecated_since);
        }
        if flags != 0 {
            reply.bulk(b"flags");
            let names = [
                (OPTIONAL, "optional"),
                (MULTIPLE, "multiple"),
                (MULTIPLE_TOKEN, "multiple_token"),
            ];
            write_names(reply, flags, names.into_iter());
        }
        if !is_leaf {
            reply.bulk(b"arguments");
            write_args(reply, arg.args);
        }
    }
}

fn kind_name(kind: ArgKind) -> &'static str {
    match kind {
        ArgKind::String => "string",
        ArgKind::Integer => "integer",
        ArgKind::Double => "double",
        ArgKind::Key(_) => "key",
        ArgKind::Pattern | ArgKind::KeyPattern(_) => "pattern",
        ArgKind::UnixTime => "unix-time",
        ArgKind::PureToken => "pure-token",
        ArgKind::OneOf => "oneof",
        ArgKind::Block => "block",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;

    /// As valkey-server 9.1.2 replies.
    #[test]
    fn the_details_of_a_command_are_those_of_valkey() {
        let mut kit = Kit::new();
        let memory_usage = "*1\r\n*10\r\n$12\r\nmemory|usage\r\n:-3\r\n*1\r\n+readonly\r\n:2\r\n:2\r\n:1\r\n*2\r\n\
                            +@read\r\n+@slow\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*1\r\n+RO\r\n\
                            $12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n\
                            $5\r\nindex\r\n:2\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n\
                            *6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n";
        assert_eq!(kit.run("command info memory|usage"), memory_usage);
        assert_eq!(kit.run("command info nosuch"), "*1\r\n$-1\r\n");
        kit.run("hello 3");
        let ping = "*1\r\n*10\r\n$4\r\nping\r\n:-1\r\n~1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n~2\r\n+@fast\r\n\
                    +@connection\r\n~2\r\n$25\r\nrequest_policy:all_shards\r\n\
                    $29\r\nresponse_policy:all_succeeded\r\n~0\r\n*0\r\n";
        assert_eq!(kit.run("command info PING"), ping);
    }

    #[test]
    fn documentation_is_had_by_name_or_whole() {
        let mut kit = Kit::new();
        let reply = kit.run("command docs select nosuch");
        assert!(
            reply.starts_with("*2\r\n$6\r\nselect\r\n*10\r\n$7\r\nsummary\r\n"),
            "{reply}"
        );
        assert!(reply.ends_with(
            "$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$10\r\nconnection\r\n$10\r\ncomplexity\r\n\
             $4\r\nO(1)\r\n$9\r\narguments\r\n*1\r\n*6\r\n$4\r\nname\r\n$5\r\nindex\r\n$4\r\ntype\r\n\
             $7\r\ninteger\r\n$12\r\ndisplay_text\r\n$5\r\nindex\r\n"
        ));
        let count = kit.engine.commands.all().len();
        assert_eq!(kit.run("command count"), format!(":{count}\r\n"));
        assert!(
            kit.run("command docs")
                .starts_with(&format!("*{}\r\n", 2 * count))
        );
        assert!(
            kit.run("command")
                .starts_with(&format!("*{count}\r\n*10\r\n"))
        );
        assert!(
            kit.run("command info")
                .starts_with(&format!("*{count}\r\n*10\r\n"))
        );
    }

    #[test]
    fn names_can_be_filtered() {
        let mut kit = Kit::new();
        assert_eq!(
            kit.run("command list filterby pattern memory|d*"),
            "*1\r\n$13\r\nmemory|doctor\r\n"
        );
        assert_eq!(
            kit.run("command list filterby aclcat TRANSACTION"),
            "*5\r\n$5\r\nmulti\r\n$4\r\nexec\r\n$7\r\ndiscard\r\n$5\r\nwatch\r\n$7\r\nunwatch\r\n"
        );
        for line in ["filterby aclcat nosuch", "filterby module nosuch"] {
            assert_eq!(kit.run(&format!("command list {line}")), "*0\r\n");
        }
        for line in ["x", "filterby x", "filterby x y"] {
            assert_eq!(
                kit.run(&format!("command list {line}")),
                "-ERR syntax error\r\n"
            );
        }
        assert!(kit.run("command list").contains("client|kill"));
    }

    #[test]
    fn keys_are_picked_out_of_a_command() {
        let mut kit = Kit::new();
        for (words, reply) in [
            ("watch a b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
            ("memory usage a", "*1\r\n$1\r\na\r\n"),
            ("nosuch a", "-ERR Invalid command specified\r\n"),
            ("memory nosuch a", "-ERR Invalid command specified\r\n"),
            ("ping", "-ERR The command has no key arguments\r\n"),
            (
                "get a b",
                "-ERR Invalid number of arguments specified for command\r\n",
            ),
        ] {
            assert_eq!(kit.run(&format!("command getkeys {words}")), reply);
        }
        assert_eq!(
            kit.run("command getkeysandflags get a"),
            "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RO\r\n+access\r\n"
        );
        assert!(
            kit.run("command getkeysandflags georadius a 1 1 1 m store b")
                .ends_with("$1\r\nb\r\n*2\r\n+OW\r\n+update\r\n")
        );
        assert!(
            kit.run("command help")
                .contains("+GETKEYSANDFLAGS <full-command>\r\n")
        );
    }

    #[test]
    fn tokens_are_documented_in_capitals_and_names_in_small_letters() {
        let mut kit = Kit::new();
        for (command, shown) in [
            ("geodist", "$5\r\ntoken\r\n$2\r\nKM\r\n"),
            ("commandlog|len", "$5\r\ntoken\r\n$13\r\nLARGE-REQUEST\r\n"),
            ("client|tracking", "$4\r\nname\r\n$5\r\nbcast\r\n"),
            ("latency|histogram", "$4\r\nname\r\n$7\r\ncommand\r\n"),
            // The word stands before the block, not within it.
            ("failover", "$5\r\nblock\r\n$5\r\ntoken\r\n$2\r\nTO\r\n"),
        ] {
            let docs = kit.run(&format!("command docs {command}"));
            assert!(docs.contains(shown), "{command}: {docs}");
        }
        assert!(
            !kit.run("command info client|tracking")
                .contains("allow_busy")
        );
    }
}
