//! Who may use a published port.

use std::{fmt, str::FromStr};

use ipnet::IpNet;

/// So many prefixes at most.
const MOST: usize = 16;

/// Prefixes of addresses that may use a published port; none: all may. As text: `192.0.2.0/24,10.0.0.0/8`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Senders {
    /// Sorted; what is not used is the default route's.
    prefixes: [IpNet; MOST],
    count: usize,
}

impl Senders {
    /// Those with these prefixes, in whatever order, each once. None if they are too many.
    pub(super) fn of(mut prefixes: Vec<IpNet>) -> Option<Self> {
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut senders = Self { count: prefixes.len(), ..Self::default() };
        senders.prefixes.get_mut(..prefixes.len())?.copy_from_slice(&prefixes);
        Some(senders)
    }

    /// The prefixes, sorted.
    #[must_use]
    pub fn prefixes(&self) -> &[IpNet] {
        &self.prefixes[..self.count]
    }

    /// Whether some of those who may use the port have an address of IPv4 (`v4`) or IPv6.
    #[must_use]
    pub fn have(&self, v4: bool) -> bool {
        self.are_all() || self.prefixes().iter().any(|prefix| prefix.addr().is_ipv4() == v4)
    }

    /// Whether all may use the port.
    #[must_use]
    pub const fn are_all(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefixes: Vec<String> = self.prefixes().iter().map(ToString::to_string).collect();
        f.write_str(&prefixes.join(","))
    }
}

/// Reads prefixes, or addresses, with commas between them.
impl FromStr for Senders {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let prefix = |text: &str| {
            let text = text.trim();
            let address = || text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
            let prefix = text.parse::<IpNet>().ok().or_else(|| address().ok());
            let prefix = prefix.filter(|prefix| prefix.addr().to_canonical() == prefix.addr());
            prefix.map(|prefix| prefix.trunc()).ok_or_else(|| format!("{text:?} is no prefix of addresses"))
        };
        let prefixes = text.split(',').map(prefix).collect::<Result<Vec<_>, _>>()?;
        Self::of(prefixes).ok_or_else(|| format!("there are more than {MOST} prefixes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_read_sorted_and_each_once() {
        let senders: Senders = "192.0.2.7/24, 10.0.0.1,192.0.2.0/24".parse().expect("prefixes");
        assert_eq!(senders.to_string(), "10.0.0.1/32,192.0.2.0/24");
        assert_eq!(senders, senders.to_string().parse().expect("prefixes"));
        assert!(!senders.are_all() && Senders::default().are_all());
        let both: Senders = "2001:db8:7::1/32,10.0.0.1".parse().expect("prefixes");
        assert_eq!(both.to_string(), "10.0.0.1/32,2001:db8::/32");
        assert!(both.have(true) && both.have(false) && senders.have(true) && !senders.have(false));
        assert!(Senders::default().have(false), "all may");
        assert_eq!("::/0".parse::<Senders>().expect("a prefix").prefixes().len(), 1);
    }

    #[test]
    fn what_is_no_prefix_is_refused_and_so_are_too_many() {
        for text in ["", "eth0", "192.0.2.0/33", "2001:db8::/129", "::ffff:10.0.0.1/104", "10.0.0.0/8,"] {
            assert!(text.parse::<Senders>().expect_err(text).contains("no prefix"), "{text}");
        }
        let many: Vec<String> = (0..=MOST).map(|number| format!("10.0.{number}.0/24")).collect();
        assert!(many.join(",").parse::<Senders>().expect_err("too many").contains("16"));
        assert!(many[1..].join(",").parse::<Senders>().is_ok());
    }
}
