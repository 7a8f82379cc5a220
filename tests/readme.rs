//! Holds the README to the truth: what it says of directives and commands.

use std::collections::BTreeSet;

use larder::config::{Settings, param};

const README: &str = include_str!("../README.md");

/// The words in backticks between two headings.
fn quoted(from: &str, to: &str) -> BTreeSet<String> {
    let begin = README.find(from).expect("the heading is there");
    let section = &README[begin..];
    let end = section.find(to).unwrap_or(section.len());
    section[..end]
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_directive_that_is_not_in_force_stands_in_the_table_and_no_other() {
    let said = quoted("### Directives that are kept", "\n### ");
    let all = Settings::default().get(&[b"*"]);
    let waiting: BTreeSet<String> = all
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
        .filter(|name| param::find(name.as_bytes()).is_some_and(|(_, p)| !p.is_in_force()))
        .collect();
    let missing: Vec<_> = waiting.difference(&said).collect();
    assert!(missing.is_empty(), "not in the README: {missing:?}");
    let in_force: Vec<_> = said
        .iter()
        .filter(|name| param::find(name.as_bytes()).is_none_or(|(_, p)| p.is_in_force()))
        .collect();
    assert!(in_force.is_empty(), "in force, or none: {in_force:?}");
}

#[test]
fn every_command_stands_in_the_table() {
    let said = quoted("### Commands", "\n### ");
    let table = larder::command::table();
    let missing: Vec<_> = table
        .all()
        .iter()
        .map(|spec| spec.name.to_uppercase())
        .filter(|name| !said.contains(name))
        .collect();
    assert!(missing.is_empty(), "not in the README: {missing:?}");
}
