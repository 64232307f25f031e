//! Queues that keep to a rate: the token bucket filter of traffic control (`tbf`).

use std::collections::BTreeMap;

use rtnetlink::{
    packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcHandle, TcMessage, TcOption, TcStats2},
    },
};

use crate::netlink::Netlink;
use fwd_base::{Error, Kind, Result};

/// The name of the queueing discipline.
const TBF: &str = "tbf";
// `TCA_TBF_*` (include/uapi/linux/pkt_sched.h).
const PARAMETERS: u16 = 1;
const RATE_64: u16 = 4;
const BURST: u16 = 6;
/// `TC_LINKLAYER_ETHERNET`.
const LINKLAYER_ETHERNET: u8 = 1;

/// A queue that keeps to a rate. Bytes are those of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shaper {
    /// Bits a second.
    pub rate: u64,
    /// Bytes that may leave at once.
    pub burst: u32,
    /// Bytes that may wait.
    pub limit: u32,
}

impl Shaper {
    /// As tc(8) has it.
    #[must_use]
    pub fn words(self) -> String {
        let Self { rate, burst, limit } = self;
        format!("tbf rate {rate}bit burst {burst} limit {limit}")
    }

    /// `struct tc_tbf_qopt`: rate and no peak rate (`struct tc_ratespec`), limit, and burst and MTU, in whose place other attributes stand.
    fn parameters(self) -> Vec<u8> {
        const RATE: usize = 12;
        let rate = u32::try_from(self.bytes_per_second()).unwrap_or(u32::MAX);
        let mut parameters = vec![0, LINKLAYER_ETHERNET, 0, 0, 0, 0, 0, 0];
        parameters.extend(rate.to_ne_bytes());
        parameters.extend([0; RATE]);
        parameters.extend(self.limit.to_ne_bytes());
        parameters.extend([0; 8]);
        parameters
    }

    const fn bytes_per_second(self) -> u64 {
        self.rate / 8
    }

    fn options(self) -> Vec<TcOption> {
        let option = |kind, value: &[u8]| TcOption::Other(DefaultNla::new(kind, value.to_vec()));
        vec![
            option(PARAMETERS, &self.parameters()),
            option(RATE_64, &self.bytes_per_second().to_ne_bytes()),
            option(BURST, &self.burst.to_ne_bytes()),
        ]
    }
}

impl Netlink {
    /// How many packets such queues have dropped because they were full, by the ifindexes of their interfaces.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn dropped_by_shapers(&self) -> Result<BTreeMap<u32, u64>> {
        let queues = self.dump(&RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()));
        let queues = queues.map_err(|failure| failure.doing("list", "the queues of interfaces"))?;
        Ok(queues.into_iter().filter_map(drops).collect())
    }

    /// Lets what an interface sends wait in such a queue; in none if there is to be none. Its own queueing discipline goes.
    ///
    /// # Errors
    /// [`Unsupported`](Kind::Unsupported) where the kernel has no such queue.
    pub fn shape(&self, index: u32, shaper: Option<Shaper>) -> Result<()> {
        let mut message = TcMessage::with_index(index.cast_signed());
        message.header.parent = TcHandle::ROOT;
        let Some(shaper) = shaper else {
            return match self.change(RouteNetlinkMessage::DelQueueDiscipline(message), 0) {
                // It has none of its own.
                Err(failure) if failure.is_absence() || failure.errno() == Some(libc::EINVAL) => Ok(()),
                result => result.map_err(|failure| failure.doing("remove the queue of", self.label(index))),
            };
        };
        message.attributes = vec![TcAttribute::Kind(TBF.into()), TcAttribute::Options(shaper.options())];
        let replace = NLM_F_CREATE | NLM_F_REPLACE;
        self.change(RouteNetlinkMessage::NewQueueDiscipline(message), replace).map_err(|failure| {
            match failure.errno() {
                Some(libc::ENOENT) => {
                    let why = "this kernel has no token bucket filter (CONFIG_NET_SCH_TBF)";
                    Error::new(Kind::Unsupported, "limit the rate of", self.label(index), why)
                        .remedy("leave out --rate-out and --rate-in, or load the module: modprobe sch_tbf")
                }
                _ => failure.doing("limit the rate of", self.label(index)),
            }
        })
    }
}

/// The interface of a token bucket filter, and what that has dropped.
fn drops(message: RouteNetlinkMessage) -> Option<(u32, u64)> {
    let RouteNetlinkMessage::NewQueueDiscipline(TcMessage { header, attributes, .. }) = message else { return None };
    let is_shaper = attributes.iter().any(|attribute| matches!(attribute, TcAttribute::Kind(kind) if kind == TBF));
    let statistics = attributes.iter().filter_map(|attribute| match attribute {
        TcAttribute::Stats2(statistics) => Some(statistics),
        _ => None,
    });
    let drops = statistics.flatten().find_map(|statistic| match statistic {
        TcStats2::Queue(queue) => Some(queue.drops.into()),
        _ => None,
    });
    drops.filter(|_| is_shaper).map(|drops| (header.index.cast_unsigned(), drops))
}
