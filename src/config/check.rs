//! What a text parameter may hold beyond being text.
//!
//! The reasons are those that clients of Valkey see.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A check of a text; the reason where it fails.
pub(super) type Check = fn(&[u8]) -> Result<(), &'static str>;

pub(super) fn anything(_: &[u8]) -> Result<(), &'static str> {
    Ok(())
}

pub(super) fn schedule(text: &[u8]) -> Result<(), &'static str> {
    let is_schedule = |text: &str| text.is_empty() || text.parse::<croner::Cron>().is_ok();
    ensure(
        str::from_utf8(text).is_ok_and(is_schedule),
        "a schedule has five fields: minute, hour, day of the month, month, day of the week",
    )
}

pub(super) fn dbfilename(text: &[u8]) -> Result<(), &'static str> {
    ensure(!text.is_empty(), "dbfilename can't be empty")?;
    ensure(
        is_base_name(text),
        "dbfilename can't be a path, just a filename",
    )
}

pub(super) fn appendfilename(text: &[u8]) -> Result<(), &'static str> {
    ensure(!text.is_empty(), "appendfilename can't be empty")?;
    ensure(
        is_base_name(text),
        "appendfilename can't be a path, just a filename",
    )
}

pub(super) fn appenddirname(text: &[u8]) -> Result<(), &'static str> {
    ensure(!text.is_empty(), "appenddirname can't be empty")?;
    ensure(
        is_base_name(text),
        "appenddirname can't be a path, just a dirname",
    )
}

pub(super) fn cluster_config_file(text: &[u8]) -> Result<(), &'static str> {
    ensure(!text.is_empty(), "cluster-config-file can't be empty")
}

pub(super) fn announced_ip(text: &[u8]) -> Result<(), &'static str> {
    ensure(text.len() < 46, "cluster-announce-ip is too long")?;
    ensure(
        text.iter().all(fits_nodes_file),
        "cluster-announce-ip contains invalid character",
    )
}

pub(super) fn announced_nodename(text: &[u8]) -> Result<(), &'static str> {
    ensure(
        text.iter().all(fits_nodes_file),
        "Announced human node name contained invalid character",
    )
}

pub(super) fn announced_hostname(text: &[u8]) -> Result<(), &'static str> {
    ensure(
        text.len() < 256,
        "Hostnames must be less than 256 characters",
    )?;
    ensure(
        text.iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')),
        "Hostnames may only contain alphanumeric characters, hyphens or dots",
    )
}

pub(super) fn ipv4(text: &[u8]) -> Result<(), &'static str> {
    ensure(
        text.is_empty() || parses::<Ipv4Addr>(text),
        "Invalid IPv4 address",
    )
}

pub(super) fn ipv6(text: &[u8]) -> Result<(), &'static str> {
    ensure(
        text.is_empty() || parses::<Ipv6Addr>(text),
        "Invalid IPv6 address",
    )
}

pub(super) fn hash_seed(text: &[u8]) -> Result<(), &'static str> {
    ensure(
        text.len() <= 256,
        "hash-seed must be less than or equal to 256 characters",
    )
}

/// Text with `{variable}`s of a known name, `{{` for a brace itself, that would
/// not expand to blanks alone.
pub(super) fn proc_title_template(text: &[u8]) -> Result<(), &'static str> {
    const REASON: &str = "template format is invalid or contains unknown variables";
    // Which of these can expand to something when the title is not known yet.
    const VARIABLES: [(&[u8], bool); 7] = [
        (b"title", false),
        (b"listen-addr", true),
        (b"server-mode", false),
        (b"config-file", true),
        (b"port", true),
        (b"tls-port", true),
        (b"unixsocket", false),
    ];
    let mut rest = text;
    let mut visible = false;
    loop {
        rest = match rest {
            [] => return ensure(visible, REASON),
            [b'{', b'{', after @ ..] => {
                visible = true;
                after
            }
            [b'{', after @ ..] => {
                let end = after.iter().position(|&b| b == b'}').ok_or(REASON)?;
                let known = VARIABLES.iter().find(|(name, _)| *name == &after[..end]);
                visible |= known.ok_or(REASON)?.1;
                &after[end + 1..]
            }
            [byte, after @ ..] => {
                visible |= *byte != b' ';
                after
            }
        }
    }
}

fn ensure(holds: bool, reason: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(reason) }
}

fn is_base_name(text: &[u8]) -> bool {
    !text.iter().any(|b| matches!(b, b'/' | b'\\'))
}

/// Whether the byte can stand in the cluster's nodes file without ending a field.
fn fits_nodes_file(byte: &u8) -> bool {
    *byte > b',' && *byte != 0x7f && !b";<=>?@[]^{|}~\\".contains(byte)
}

fn parses<T: FromStr>(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<T>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_template_names_only_known_variables() {
        for good in [
            "{title} {listen-addr} {server-mode}",
            "--x--",
            "{{}",
            "{port}",
        ] {
            assert_eq!(proc_title_template(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in ["", "  ", "{title}", "{x}", "a{", "a{title"] {
            assert!(proc_title_template(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_addresses_are_held_to_their_alphabets() {
        assert!(dbfilename(b"dump.rdb").is_ok() && dbfilename(b"a/b").is_err());
        assert!(appendfilename(b"").is_err() && appenddirname(b"a\\b").is_err());
        assert!(cluster_config_file(b"").is_err() && hash_seed(&[b'x'; 257]).is_err());
        assert!(announced_ip(b"::1").is_ok() && announced_ip(&[b'1'; 46]).is_err());
        assert!(announced_nodename(b"a b").is_err() && announced_hostname(b"a.b-c").is_ok());
        assert!(announced_hostname(b"a_b").is_err());
        assert!(ipv4(b"").is_ok() && ipv4(b"1.2.3").is_err() && ipv6(b"::1").is_ok());
    }
}
