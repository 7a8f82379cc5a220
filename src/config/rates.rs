//! `rate-limit`: how many requests a user or an address may make.
//!
//! ```text
//! rate-limit anonymous 100/h
//! rate-limit user NAME 1000/h burst 50
//! rate-limit address 10.0.0.0/8 50/s
//! ```
//!
//! Lines add up; a second one for the same target takes the place of the first.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::grammar;
use super::kind::Reason;
use crate::base::num;

/// Whose requests a limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateTarget {
    /// Those of each address from which clients have not authenticated.
    Anonymous,
    /// Those of one user, over all its connections.
    User(Arc<[u8]>),
    /// Those of each address of a network.
    Address(Network),
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The lowest of them.
    address: IpAddr,
    /// How many bits they share.
    prefix: u8,
}

/// A limit on requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Whose.
    pub target: RateTarget,
    /// How many in a period; at least 1.
    pub count: u64,
    /// The period in seconds: one of a unit.
    pub period_s: u64,
    /// How many at once; at least 1. All of a period's where nobody says.
    pub burst: u64,
}

/// The units of a rate, with their seconds.
const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// Most requests in a period, and at once.
const COUNT_MAX: u64 = 1_000_000_000;
/// Longest time that a burst may take to be earned anew.
const EARNED_DAYS_MAX: u64 = 366;
/// Most limits: a client is held against each network.
const LIMITS_MAX: usize = 1000;

impl Network {
    /// Reads an address, or one with `/` and a number of bits behind it.
    fn parse(word: &[u8]) -> Result<Network, Reason> {
        let shown = String::from_utf8_lossy(word);
        let none = || Reason::from(format!("'{shown}' is neither an address nor a network"));
        let (host, bits) = match shown.split_once('/') {
            Some((host, bits)) => (host, Some(bits)),
            None => (&*shown, None),
        };
        let address: IpAddr = host.parse().map_err(|_| none())?;
        let width = width(address);
        let prefix = match bits {
            None => width,
            Some(bits) => num::parse_u64(bits.as_bytes())
                .and_then(|n| u8::try_from(n).ok())
                .filter(|n| *n <= width)
                .ok_or_else(none)?,
        };
        let network = Network {
            address: masked(address, prefix),
            prefix,
        };
        match network.address == address {
            true => Ok(network),
            false => Err(format!(
                "'{shown}' has bits behind its prefix that are set; its network is {network}"
            )
            .into()),
        }
    }

    /// Whether an address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }

    /// How many bits they share.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// An address without the bits behind the first `prefix`.
pub fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let behind = u32::from(width(address).saturating_sub(prefix));
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix == width(self.address) {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

impl RateLimit {
    /// `anonymous`, `user NAME` or `address NETWORK`; a name as `quote` writes it.
    fn target(&self, quote: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        match &self.target {
            RateTarget::Anonymous => b"anonymous".to_vec(),
            RateTarget::User(name) => [b"user ", &*quote(name)].concat(),
            RateTarget::Address(network) => format!("address {network}").into_bytes(),
        }
    }

    fn words(&self, quote: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let unit = UNITS.iter().find(|(_, seconds)| *seconds == self.period_s);
        let unit = unit.map_or('s', |(letter, _)| *letter);
        let mut words = self.target(quote);
        words.extend(format!(" {}/{unit}", self.count).bytes());
        if self.burst != self.count {
            words.extend(format!(" burst {}", self.burst).bytes());
        }
        words
    }

    /// As CONFIG GET shows it.
    pub fn show(&self) -> Vec<u8> {
        self.words(<[u8]>::to_vec)
    }

    /// The words that set it in a config file.
    pub(super) fn written(&self) -> Vec<u8> {
        self.words(|name| {
            let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-.:@".contains(b);
            let mut quoted = Vec::new();
            match name.iter().all(is_plain) {
                true => quoted.extend(name),
                false => grammar::quote(name, &mut quoted),
            }
            quoted
        })
    }
}

/// Reads limits, which add to those of `base`; a single empty word drops them all.
pub(super) fn read(words: &[&[u8]], base: &[RateLimit]) -> Result<Vec<RateLimit>, Reason> {
    if words == [b""] {
        return Ok(Vec::new());
    }
    let mut limits = base.to_vec();
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        let target = read_target(word, &mut words)?;
        let rate = words
            .next()
            .ok_or("a rate limit lacks its rate, as in 100/h")?;
        let (count, period_s) = read_rate(rate)?;
        let mut limit = RateLimit {
            target,
            count,
            period_s,
            burst: count,
        };
        if words
            .next_if(|w| w.eq_ignore_ascii_case(b"burst"))
            .is_some()
        {
            limit.burst = read_burst(words.next().unwrap_or_default(), &limit)?;
        }
        match limits.iter_mut().find(|old| old.target == limit.target) {
            Some(old) => *old = limit,
            None => limits.push(limit),
        }
    }
    match limits.len() {
        0..=LIMITS_MAX => Ok(limits),
        n => Err(format!("{n} rate limits are more than {LIMITS_MAX}").into()),
    }
}

fn read_target<'a>(
    word: &[u8],
    words: &mut impl Iterator<Item = &'a [u8]>,
) -> Result<RateTarget, Reason> {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("anonymous") {
        return Ok(RateTarget::Anonymous);
    }
    if is("user") {
        let name = words.next().unwrap_or_default();
        // Names of users have no blanks, and CONFIG GET could not show any.
        return match name.is_empty() || name.iter().any(|b| b.is_ascii_whitespace() || *b == 0) {
            true => Err("a rate limit's user has a name without blanks".into()),
            false => Ok(RateTarget::User(name.into())),
        };
    }
    if is("address") {
        let network = Network::parse(words.next().unwrap_or_default())?;
        return Ok(RateTarget::Address(network));
    }
    let shown = String::from_utf8_lossy(word);
    let reason =
        format!("'{shown}' is no rate limit: anonymous, user NAME or address NETWORK, and a rate");
    Err(reason.into())
}

fn read_rate(word: &[u8]) -> Result<(u64, u64), Reason> {
    let read = || {
        let (digits, unit) = match word {
            [digits @ .., b'/', unit] => (digits, char::from(unit.to_ascii_lowercase())),
            _ => return None,
        };
        let count = num::parse_u64(digits).filter(|n| (1..=COUNT_MAX).contains(n))?;
        let (_, seconds) = UNITS.iter().find(|(letter, _)| *letter == unit)?;
        Some((count, *seconds))
    };
    read().ok_or_else(|| {
        let shown = String::from_utf8_lossy(word);
        format!("'{shown}' is no rate: a number from 1 to {COUNT_MAX}, and /s, /m, /h or /d").into()
    })
}

fn read_burst(word: &[u8], limit: &RateLimit) -> Result<u64, Reason> {
    let burst = num::parse_u64(word)
        .filter(|n| (1..=COUNT_MAX).contains(n))
        .ok_or_else(|| Reason::from(format!("burst must be a number from 1 to {COUNT_MAX}")))?;
    let earned_s = u128::from(burst) * u128::from(limit.period_s) / u128::from(limit.count);
    match earned_s <= u128::from(EARNED_DAYS_MAX * 86_400) {
        true => Ok(burst),
        false => Err(format!(
            "a burst of {burst} would take more than {EARNED_DAYS_MAX} days to be earned anew"
        )
        .into()),
    }
}

/// All limits on one line.
pub(super) fn show(limits: &[RateLimit]) -> Vec<u8> {
    let shown: Vec<_> = limits.iter().map(RateLimit::show).collect();
    shown.join(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(text: &str, base: &[RateLimit]) -> Result<Vec<RateLimit>, Reason> {
        let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        read(&words, base)
    }

    fn shown(text: &str) -> String {
        let limits = read_line(text, &[]).expect(text);
        String::from_utf8(show(&limits)).expect("text")
    }

    #[test]
    fn limits_are_shown_in_words_that_read_back() {
        for (given, expected) in [
            ("anonymous 100/h", "anonymous 100/h"),
            ("Anonymous 100/H BURST 100", "anonymous 100/h"),
            ("user alice 5/s burst 7", "user alice 5/s burst 7"),
            (
                "user burst 1/d address ::1/128 2/m burst 1",
                "user burst 1/d address ::1 2/m burst 1",
            ),
            (
                "address 10.0.0.0/8 50/s address 0.0.0.0/0 1/s",
                "address 10.0.0.0/8 50/s address 0.0.0.0/0 1/s",
            ),
            ("user a 1/s user b 2/s user a 3/s", "user a 3/s user b 2/s"),
        ] {
            assert_eq!(shown(given), expected);
            assert_eq!(shown(expected), expected);
        }
    }

    #[test]
    fn lines_add_up_until_an_empty_word_drops_them() {
        let one = read_line("anonymous 1/s", &[]).expect("a limit");
        let two = read_line("user a 1/s", &one).expect("a limit");
        assert_eq!(two.len(), 2);
        let same = read_line("anonymous 9/h", &two).expect("a limit");
        assert_eq!(show(&same), b"anonymous 9/h user a 1/s");
        assert_eq!(read(&[b""], &two), Ok(vec![]));
    }

    #[test]
    fn a_wrong_limit_is_refused_with_the_word_that_is_wrong() {
        for (line, reason) in [
            ("everybody 1/s", "'everybody' is no rate limit"),
            ("anonymous", "lacks its rate"),
            ("anonymous 1", "'1' is no rate"),
            ("anonymous 0/s", "'0/s' is no rate"),
            ("anonymous 1/w", "'1/w' is no rate"),
            ("anonymous -1/s", "'-1/s' is no rate"),
            ("anonymous 1000000001/s", "is no rate"),
            ("anonymous 1/s burst", "burst must be"),
            ("anonymous 1/s burst 0", "burst must be"),
            ("anonymous 1/d burst 367", "more than 366 days"),
            ("anonymous 1/s 5", "'5' is no rate limit"),
            ("anonymous  1/s", "'' is no rate"),
            ("user", "without blanks"),
            ("address", "'' is neither"),
            ("address localhost 1/s", "'localhost' is neither"),
            ("address 1.2.3.4/33 1/s", "'1.2.3.4/33' is neither"),
            ("address 1.2.3.4/ 1/s", "is neither"),
            ("address 10.1.2.3/8 1/s", "its network is 10.0.0.0/8"),
        ] {
            let refused = read_line(line, &[]).expect_err(line);
            assert!(refused.contains(reason), "{line}: {refused}");
        }
        let blanks: [&[u8]; 3] = [b"user", b"a b", b"1/s"];
        assert!(read(&blanks, &[]).is_err());
        let many: Vec<String> = (0..=LIMITS_MAX).map(|i| format!("user u{i} 1/s")).collect();
        let refused = read_line(&many.join(" "), &[]).expect_err("too many");
        assert_eq!(refused, "1001 rate limits are more than 1000");
    }

    #[test]
    fn a_name_with_quotes_in_it_is_quoted_in_a_file() {
        let words: [&[u8]; 3] = [b"user", b"a\"b", b"1/s"];
        let limits = read(&words, &[]).expect("a limit");
        assert_eq!(limits[0].written(), br#"user "a\"b" 1/s"#);
        assert_eq!(limits[0].show(), br#"user a"b 1/s"#);
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_as_it_does() {
        let network = |text: &str| Network::parse(text.as_bytes()).expect(text);
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("0.0.0.0/0", "255.1.1.1", "::1"),
            ("fd00::/8", "fdff::1", "fe00::"),
            ("::/0", "1::1", "1.1.1.1"),
        ] {
            assert!(network(text).contains(address(inside)), "{text}");
            assert!(!network(text).contains(address(outside)), "{text}");
        }
    }
}
