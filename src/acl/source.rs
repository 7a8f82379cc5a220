//! Where users come from: the `user` lines of the configuration, or the file that
//! `aclfile` names, never both.
//!
//! Nothing of what is refused shows a password.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::selector::Terms;
use super::user::{DEFAULT, Error, User, is_name, join_selectors};
use super::wrong::Wrong;
use super::{Users, terms};
use crate::config::{Directive, LoadError, Settings, param};
use crate::exec::spec::CommandTable;

/// The users of the configuration.
///
/// # Errors
///
/// The first line of it that is wrong; of a file of users, all that is wrong with it.
pub fn users_of(settings: &Settings, table: &CommandTable) -> Result<Users, LoadError> {
    let terms = terms(settings, table);
    let password = settings.text(param::REQUIREPASS);
    let mut users = Users::new();
    let default = User::default_user(&password, terms);
    users.insert(DEFAULT.into(), default.into());
    let Some(path) = settings.acl_file() else {
        let mut seen: Vec<&[u8]> = Vec::new();
        for line in settings.directives("user") {
            let user = user_of(line, terms)?;
            if seen.contains(&&user.name[..]) {
                return Err(refuse(line, &user.name, Wrong::Duplicate));
            }
            seen.push(&line.args[0]);
            if !user.is_on {
                crate::notice!(
                    "The user '{}' is disabled (there is no 'on' modifier in the user \
                     description). Make sure this is not a configuration error.",
                    String::from_utf8_lossy(&user.name)
                );
            }
            users.insert(user.name.clone(), user.into());
        }
        return Ok(users);
    };
    if let Some(line) = settings.directives("user").next() {
        return Err(redacted(line).refuse(
            "an ACL file (aclfile) and users in the configuration exclude each other: declare \
             users in one place alone",
        ));
    }
    users.extend(read_file(&path, terms).map_err(|why| LoadError::Refused {
        place: None,
        reason: format!("Aborting Larder startup because of ACL errors: {why}"),
    })?);
    Ok(users)
}

/// The user of a line of the configuration.
fn user_of(line: &Directive, terms: Terms<'_>) -> Result<User, LoadError> {
    let (name, rules) = match &line.args[..] {
        [name, rules @ ..] if is_name(name) => (name, rules),
        _ => return Err(redacted(line).refuse("Spaces not allowed in ACL usernames")),
    };
    User::new(name, terms)
        .with(rules, terms)
        .map_err(|error| match error {
            Error::Refused(refused) => refuse(line, &refused.rule, refused.why),
            Error::Open(rule) => refuse(line, &rule, Wrong::Syntax),
        })
}

fn refuse(line: &Directive, rule: &[u8], why: Wrong) -> LoadError {
    let rule = without_password(rule);
    let reason = format!("Error in user declaration '{rule}': {why}");
    redacted(line).refuse(&reason)
}

/// The line without its passwords.
fn redacted(line: &Directive) -> Directive {
    let mut line = line.clone();
    let words = line.args.iter().map(|word| without_password(word));
    let words: Vec<String> = words.collect();
    line.place.text = format!("{} {}", line.name, words.join(" ")).into_bytes();
    line
}

/// A rule as it may be shown.
fn without_password(rule: &[u8]) -> String {
    match rule.first() {
        Some(sign @ (b'>' | b'<' | b'#' | b'!')) => format!("{}(redacted)", char::from(*sign)),
        _ => String::from_utf8_lossy(rule).into_owned(),
    }
}

/// The users of a file, all or none.
///
/// # Errors
///
/// All that is wrong with it, in one line.
pub fn read_file(path: &Path, terms: Terms<'_>) -> Result<Users, String> {
    let file = path.display();
    let text = fs::read(path).map_err(|error| {
        let why = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0));
        format!("Error loading ACLs, opening file '{file}': {}", why.desc())
    })?;
    let (mut users, mut errors) = (Users::new(), String::new());
    for (number, line) in (1..).zip(text.split(|&b| b == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        // Writing to a string cannot fail, here and below.
        let mut add = |error: std::fmt::Arguments<'_>| {
            let _ = errors.write_fmt(error);
        };
        let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
        let (name, rules) = match &words[..] {
            [b"user", name, rules @ ..] if !name.is_empty() => (*name, rules),
            _ => {
                add(format_args!(
                    "{file}:{number} should start with user keyword followed by the username. "
                ));
                continue;
            }
        };
        let shown = String::from_utf8_lossy(name);
        if !is_name(name) {
            add(format_args!(
                "{file}:{number}: username '{shown}' contains invalid characters. "
            ));
            continue;
        }
        if users.contains_key(name) {
            add(format_args!(
                "WARNING: Duplicate user '{shown}' found on line {number}. "
            ));
            continue;
        }
        let Ok(rules) = join_selectors(rules) else {
            add(format_args!(
                "{file}:{number}: Unmatched parenthesis in selector definition. "
            ));
            continue;
        };
        let mut user = User::new(name, terms);
        let mut is_told = false;
        for rule in rules {
            match user.apply(rule.trim_ascii(), terms) {
                Ok(()) => {}
                // There is no secret in a command's name; what else is wrong may follow
                // from what was wrong before.
                Err(why @ Wrong::UnknownCommand) => {
                    let rule = String::from_utf8_lossy(&rule);
                    add(format_args!(
                        "{file}:{number}: Error in applying operation '{rule}': {why}. "
                    ));
                }
                Err(why) if !is_told => {
                    is_told = true;
                    add(format_args!("{file}:{number}: {why}. "));
                }
                Err(_) => {}
            }
        }
        users.insert(name.into(), user.into());
    }
    match errors.is_empty() {
        true => Ok(users),
        false => Err(errors),
    }
}
