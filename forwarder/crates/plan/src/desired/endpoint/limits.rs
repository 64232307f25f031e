//! What an endpoint may send and get in a second.

use serde::{Deserialize, Serialize};

use crate::Datapath;
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::TBF;
use fwd_kernel::netlink::{Shaper, nft::ByteRate};

/// A limit of one direction. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Bits of IP packets a second; 0 for no limit.
    pub rate: u64,
    /// Bytes that may come at once.
    pub burst: u64,
}

impl RateLimit {
    /// The slowest and the fastest, bits a second.
    pub const RATES: [u64; 2] = [8_000, 1_000_000_000_000];
    /// The smallest burst, bytes: a packet of Ethernet.
    pub const LEAST_BURST: u64 = 1_500;
    /// The longest, seconds: with more it is no limit.
    const LONGEST_BURST: u64 = 10;

    /// A limit with a burst that suits TCP: what comes in 50 ms, or one packet of the largest; of a very slow one as much as may be.
    #[must_use]
    pub fn of_rate(rate: u64) -> Self {
        const LARGEST: u64 = 65_536;
        let limit = Self { rate, burst: (rate / 8 / 20).max(LARGEST) };
        Self { burst: limit.burst.min(limit.most_burst()), ..limit }
    }

    /// The largest burst at this rate, bytes.
    #[must_use]
    pub const fn most_burst(self) -> u64 {
        self.rate / 8 * Self::LONGEST_BURST
    }

    /// `100 Mbit/s`, or `none`; without the space it is what the command line takes.
    #[must_use]
    pub fn text(self) -> String {
        let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
        match units.into_iter().find(|(unit, _)| self.rate != 0 && self.rate.is_multiple_of(*unit)) {
            Some((unit, letter)) => format!("{}{letter}", self.rate / unit),
            None if self.rate == 0 => "none".into(),
            None => self.rate.to_string(),
        }
    }

    /// The queue that keeps to it, of an interface with this MTU: a little slower for what is as large as that, so that nothing is dropped
    /// behind it, and with a burst that suits its timer. It takes what comes in 50 ms.
    #[must_use]
    pub fn shaper(self, mtu: u32) -> Option<Shaper> {
        // Of an Ethernet header, which counts there, all but one.
        const HEADER: u64 = 13;
        let (mtu, bytes) = (u64::from(mtu.max(1)), self.rate / 8);
        let largest = mtu + 64;
        let number = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        (self.rate != 0).then(|| Shaper {
            rate: self.rate + self.rate / mtu * HEADER,
            burst: number((bytes / 250).clamp(largest, self.burst.max(largest))),
            limit: number((bytes / 20).max(32 * largest)),
        })
    }

    fn check(self, option: &str) -> Result<()> {
        let Self { rate, burst } = self;
        let [least, most] = Self::RATES;
        let refuse = |object: String, why: String| Error::new(Kind::Usage, "use", object, why);
        if rate == 0 {
            return Ok(());
        }
        if rate < least || rate > most {
            let why = format!("a limit is {least} to {most} bits a second");
            return Err(refuse(format!("{option} {}", self.text()), why)
                .remedy(format!("give bits a second, such as {option} 100M")));
        }
        if burst < Self::LEAST_BURST || burst > self.most_burst() {
            let why = format!(
                "at {}bit/s a burst is {} to {} bytes: {} seconds at most",
                self.text(),
                Self::LEAST_BURST,
                self.most_burst(),
                Self::LONGEST_BURST
            );
            let usual = Self::of_rate(rate).burst;
            return Err(
                refuse(format!("--burst {burst}"), why).remedy(format!("leave it out: {usual} bytes are taken"))
            );
        }
        Ok(())
    }
}

/// The limits of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of what leaves the namespace.
    pub outbound: RateLimit,
    /// Of what is delivered into it.
    pub inbound: RateLimit,
}

impl Limits {
    /// The options that ask for them.
    #[must_use]
    pub fn options(self) -> Vec<String> {
        let sides = [("--rate-out", self.outbound), ("--rate-in", self.inbound)];
        let limited = sides.into_iter().filter(|(_, limit)| limit.rate != 0);
        limited.map(|(option, limit)| format!("{option} {} --burst {}", limit.text(), limit.burst)).collect()
    }
}

/// Limits as they are asked for. What is `None` is as it is, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AskedLimits {
    /// Of what leaves the namespace.
    pub outbound: Option<RateLimit>,
    /// Of what is delivered into it.
    pub inbound: Option<RateLimit>,
}

impl AskedLimits {
    /// Whether less may pass than by those that are found.
    pub(crate) fn lower(self, found: Limits) -> bool {
        let sides = [(self.outbound, found.outbound), (self.inbound, found.inbound)];
        let is_lower =
            |asked: RateLimit, found: RateLimit| asked.rate != 0 && (found.rate == 0 || asked.rate < found.rate);
        sides.into_iter().any(|(asked, found)| asked.is_some_and(|asked| is_lower(asked, found)))
    }

    /// Whether any is asked for.
    #[must_use]
    pub fn limit_something(self) -> bool {
        [self.outbound, self.inbound].into_iter().flatten().any(|limit| limit.rate != 0)
    }

    /// With what is not said as in `found`.
    ///
    /// # Errors
    /// A limit is out of range, or the kernel has no queue that keeps to it (`no_shaper`).
    pub(crate) fn over(self, found: Limits, datapath: Datapath, no_shaper: bool) -> Result<Limits> {
        let Self { outbound, inbound } = self;
        for (option, limit) in [("--rate-out", outbound), ("--rate-in", inbound)] {
            let Some(limit) = limit.filter(|limit| limit.rate != 0) else { continue };
            limit.check(option)?;
            if no_shaper {
                return Err(Error::new(Kind::Unsupported, "use", format!("{option} {}", limit.text()), TBF.absence())
                    .remedy("leave it out, or build the kernel with CONFIG_NET_SCH_TBF"));
            }
            if !datapath.is_ebpf() && option == "--rate-out" && limit.rate / 8 > ByteRate::FASTEST {
                let why = "datapath kernel: nftables keeps to 100 Gbit/s at most";
                return Err(Error::new(Kind::Unsupported, "use", format!("{option} {}", limit.text()), why)
                    .remedy("leave it out, or use --datapath tc"));
            }
        }
        Ok(Limits { outbound: outbound.unwrap_or(found.outbound), inbound: inbound.unwrap_or(found.inbound) })
    }
}
