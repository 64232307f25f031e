//! Who has the addresses that are to be announced: the link is asked before anything is done, as RFC 5227 §2.1 and RFC 4862 §5.4 want it, and before the
//! lock is taken, so that nobody waits for the silence of others.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{HostContext, gather, gathered::Gathered};
use fwd_base::{Kind, Result};
use fwd_kernel::netlink::{Mac, Netlink};
use fwd_plan::{Desired, Sources, UpRequest, to_be_announced};

/// How long an answer is waited for. The kernel asks again after a second, so that one lost frame does not matter.
const WAITS: Duration = Duration::from_millis(1_500);
/// How often it is looked for.
const LOOKS: Duration = Duration::from_millis(10);

/// Addresses that somebody on a link has, with the hardware address of that.
#[derive(Debug, Default)]
pub(super) struct Taken(BTreeMap<IpAddr, Mac>);

impl Taken {
    /// Asks who has what is to be announced by a request.
    ///
    /// # Errors
    /// The host cannot be read, or asks nobody.
    pub(super) fn for_up(context: &HostContext, request: &UpRequest) -> Result<Self> {
        Self::ask(context, if request.endpoint.announce { vec![request.endpoint.source] } else { Vec::new() })
    }

    /// The same of what is desired.
    ///
    /// # Errors
    /// As [`Self::for_up`].
    pub(super) fn for_whole(context: &HostContext, desired: &Desired) -> Result<Self> {
        Self::ask(
            context,
            desired.endpoints.iter().map(|it| &it.options).filter(|it| it.announce).map(|it| it.source).collect(),
        )
    }

    /// Asks who has those of the `asked` addresses that nobody announces yet. The host asks as for any neighbour, from its own address.
    fn ask(context: &HostContext, asked: Vec<Sources>) -> Result<Self> {
        let mut taken = Self::default();
        if asked.is_empty() {
            return Ok(taken);
        }
        let mut open = to_be_announced(asked.into_iter().flat_map(Sources::addresses), &gather::recorded(context)?);
        let netlink = Netlink::here()?;
        for (index, address) in &open {
            // What is known may be of long ago, and the kernel would not ask for it; but for what the administrator has said.
            if netlink.neighbour(*index, *address)?.is_some_and(|known| !known.permanent) {
                forget(&netlink, *index, *address)?;
            }
            netlink.ask_for_neighbour(*index, *address)?;
        }
        let until = Instant::now() + WAITS;
        while !open.is_empty() && Instant::now() < until {
            sleep(LOOKS);
            let mut silent = Vec::new();
            for (index, address) in open {
                match netlink.neighbour(index, address)?.and_then(|found| found.mac) {
                    Some(mac) => drop(taken.0.insert(address, mac)),
                    None => silent.push((index, address)),
                }
            }
            open = silent;
        }
        // What nobody has is no neighbour.
        open.into_iter().try_for_each(|(index, address)| forget(&netlink, index, address))?;
        Ok(taken)
    }
}

impl Gathered {
    /// With what the links have told.
    pub(super) fn knowing(mut self, taken: &Taken) -> Self {
        self.actual.host.taken.clone_from(&taken.0);
        self
    }
}

/// Takes a neighbour out, which may be gone already.
fn forget(netlink: &Netlink, index: u32, address: IpAddr) -> Result<()> {
    match netlink.del_neighbour(index, address) {
        Err(error) if error.kind != Kind::NotFound => Err(error),
        _ => Ok(()),
    }
}
