//! Addresses of the host behind which an endpoint appears.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use forwarder_common::abi::SOURCES;
use serde::{Deserialize, Serialize};

/// Addresses of one family from the first to the last, as they are written: `192.0.2.7`, or `192.0.2.8-192.0.2.11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[serde(bound(serialize = "A: Address", deserialize = "A: Address"))]
pub struct SourceRange<A> {
    first: A,
    count: u16,
}

/// An address of a family.
pub trait Address: Copy + Eq + fmt::Display + FromStr + Into<IpAddr> {
    /// What the family is called.
    const FAMILY: &str;

    /// As a number.
    fn number(self) -> u128;

    /// The address that is so many after it.
    #[must_use]
    fn plus(self, more: u16) -> Self;
}

impl Address for Ipv4Addr {
    const FAMILY: &str = "IPv4";

    fn number(self) -> u128 {
        self.to_bits().into()
    }

    fn plus(self, more: u16) -> Self {
        Self::from_bits(self.to_bits().saturating_add(more.into()))
    }
}

impl Address for Ipv6Addr {
    const FAMILY: &str = "IPv6";

    fn number(self) -> u128 {
        self.to_bits()
    }

    fn plus(self, more: u16) -> Self {
        Self::from_bits(self.to_bits().saturating_add(more.into()))
    }
}

impl<A: Address> SourceRange<A> {
    /// From the first to the last, if these are some, and not more than there may be.
    ///
    /// # Errors
    /// In words.
    pub fn new(first: A, last: A) -> Result<Self, String> {
        let Some(more) = last.number().checked_sub(first.number()) else {
            return Err(format!("{first}-{last} ends before it begins"));
        };
        // Of IPv6 addresses the programs count in the last four bytes.
        if first.number() >> 32 != last.number() >> 32 {
            return Err(format!("{first}-{last} has more addresses than may be, which are {SOURCES}"));
        }
        match u16::try_from(more + 1) {
            Ok(count) if count <= SOURCES => Ok(Self { first, count }),
            _ => Err(format!("{first}-{last} has {} addresses, of which there may be {SOURCES}", more + 1)),
        }
    }

    /// So many addresses from the first one on.
    #[must_use]
    pub fn counted(first: A, count: u16) -> Self {
        Self { first, count: count.clamp(1, SOURCES) }
    }

    /// The first.
    #[must_use]
    pub fn first(self) -> A {
        self.first
    }

    /// The last.
    #[must_use]
    pub fn last(self) -> A {
        self.first.plus(self.count.saturating_sub(1))
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> u16 {
        self.count
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(self, address: A) -> bool {
        (self.first.number()..=self.last().number()).contains(&address.number())
    }

    /// Each of them.
    pub fn addresses(self) -> impl Iterator<Item = A> {
        (0..self.count).map(move |place| self.first.plus(place))
    }
}

impl<A: Address> From<A> for SourceRange<A> {
    fn from(address: A) -> Self {
        Self { first: address, count: 1 }
    }
}

impl<A: Address> fmt::Display for SourceRange<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 1 { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last()) }
    }
}

impl<A: Address> FromStr for SourceRange<A> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = |text: &str| text.parse().map_err(|_| format!("{text:?} is no address of {}", A::FAMILY));
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(address(first)?, address(last)?)
    }
}

impl<A: Address> TryFrom<String> for SourceRange<A> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl<A: Address> From<SourceRange<A>> for String {
    fn from(range: SourceRange<A>) -> Self {
        range.to_string()
    }
}

/// Those of each family, where some were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// Of IPv4.
    #[serde(default)]
    pub v4: Option<SourceRange<Ipv4Addr>>,
    /// Of IPv6.
    #[serde(default)]
    pub v6: Option<SourceRange<Ipv6Addr>>,
}

impl Sources {
    /// The option that asks for those of IPv4.
    pub const V4: &str = "--source";
    /// The same of IPv6.
    pub const V6: &str = "--source6";

    /// These, and of a family of which there are none the others.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self { v4: self.v4.or(others.v4), v6: self.v6.or(others.v6) }
    }

    /// Those of families in which they are not the same as the others.
    #[must_use]
    pub fn besides(self, others: Self) -> Self {
        Self { v4: self.v4.filter(|_| self.v4 != others.v4), v6: self.v6.filter(|_| self.v6 != others.v6) }
    }

    /// Those of the families that are announced.
    #[must_use]
    pub fn of(self, announced: Announced) -> Self {
        Self { v4: self.v4.filter(|_| announced.v4), v6: self.v6.filter(|_| announced.v6) }
    }

    /// Those of the other families.
    #[must_use]
    pub fn not_of(self, announced: Announced) -> Self {
        Self { v4: self.v4.filter(|_| !announced.v4), v6: self.v6.filter(|_| !announced.v6) }
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.is_some_and(|range| range.contains(address)),
            IpAddr::V6(address) => self.v6.is_some_and(|range| range.contains(address)),
        }
    }

    /// Each of them.
    pub fn addresses(self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.into_iter().flat_map(SourceRange::addresses).map(IpAddr::from);
        v4.chain(self.v6.into_iter().flat_map(SourceRange::addresses).map(IpAddr::from))
    }

    /// The options that ask for them, each with its value.
    pub fn options(self) -> impl Iterator<Item = (&'static str, String)> {
        let v4 = self.v4.map(|source| (Self::V4, source.to_string()));
        v4.into_iter().chain(self.v6.map(|source| (Self::V6, source.to_string())))
    }
}

/// Families of which the host answers for the addresses of an endpoint's [`Sources`], which it does not have (`--announce`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Those of IPv4.
    pub v4: bool,
    /// Those of IPv6.
    pub v6: bool,
}

impl Announced {
    /// What it means where sources are `asked` for, and that they be announced or not: all of them are.
    #[must_use]
    pub fn asked(announce: bool, asked: Sources) -> Self {
        Self { v4: announce && asked.v4.is_some(), v6: announce && asked.v6.is_some() }
    }

    /// Whether there is some family.
    #[must_use]
    pub fn any(self) -> bool {
        self.v4 || self.v6
    }

    /// These families and the others.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self { v4: self.v4 || others.v4, v6: self.v6 || others.v6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_they_are_written() {
        for (text, count) in [("192.0.2.7", 1), ("192.0.2.8-192.0.2.11", 4), ("192.0.2.0-192.0.2.255", 256)] {
            let range: SourceRange<Ipv4Addr> = text.parse().expect("a range");
            assert_eq!((range.to_string().as_str(), range.addresses().count()), (text, count));
        }
        let range: SourceRange<Ipv6Addr> = "2001:db8::ffff-2001:db8::1:1".parse().expect("a range");
        for (address, is_one) in [("fffe", false), ("ffff", true), ("1:1", true), ("1:2", false)] {
            let address = format!("2001:db8::{address}").parse().expect("an address");
            assert_eq!(range.contains(address), is_one, "{address}");
        }
        let all: Vec<String> = range.addresses().map(|it| it.to_string()).collect();
        assert_eq!(all, ["2001:db8::ffff", "2001:db8::1:0", "2001:db8::1:1"]);
    }

    #[test]
    fn what_is_no_range_is_refused_in_words() {
        for (text, why) in [
            ("192.0.2.8-192.0.2.7", "ends before it begins"),
            ("192.0.2.0-192.0.3.0", "257 addresses, of which there may be 256"),
            ("0.0.0.0-255.255.255.255", "4294967296 addresses"),
            ("192.0.2.8-", "no address"),
            ("2001:db8::1", "no address of IPv4"),
        ] {
            let said = text.parse::<SourceRange<Ipv4Addr>>().expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
        for (text, why) in [
            ("2001:db8::ffff:ffff-2001:db8::1:0:0", "more addresses than may be"),
            ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "more addresses than may be"),
            ("2001:db8::1-192.0.2.7", "no address of IPv6"),
        ] {
            let said = text.parse::<SourceRange<Ipv6Addr>>().expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
