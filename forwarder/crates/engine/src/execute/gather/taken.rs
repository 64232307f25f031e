//! Who has the addresses that are to be announced: the link is asked before anything is done, as RFC 5227 §2.1 wants it.

use std::{
    net::Ipv4Addr,
    thread::sleep,
    time::{Duration, Instant},
};

use super::Gathered;
use fwd_base::{Kind, Result};
use fwd_kernel::netlink::Netlink;
use fwd_plan::to_be_announced;

/// How long an answer is waited for. The kernel asks again after a second, so that one lost frame does not matter.
const WAITS: Duration = Duration::from_millis(1_500);
/// How often it is looked for.
const LOOKS: Duration = Duration::from_millis(10);

impl Gathered {
    /// Asks who has those of the `asked` addresses that nobody announces yet. The host asks as for any neighbour, from its own address.
    pub(super) fn look_who_has(&mut self, asked: impl Iterator<Item = Ipv4Addr>) -> Result<()> {
        let mut open = to_be_announced(asked, &self.actual);
        if open.is_empty() {
            return Ok(());
        }
        let netlink = Netlink::here()?;
        for (index, address) in &open {
            // What is known may be of long ago, and the kernel would not ask for it; but for what the administrator has said.
            if netlink.neighbour(*index, (*address).into())?.is_some_and(|known| !known.permanent) {
                forget(&netlink, *index, *address)?;
            }
            netlink.ask_for_neighbour(*index, (*address).into())?;
        }
        let until = Instant::now() + WAITS;
        while !open.is_empty() && Instant::now() < until {
            sleep(LOOKS);
            let mut silent = Vec::new();
            for (index, address) in open {
                match netlink.neighbour(index, address.into())?.and_then(|found| found.mac) {
                    Some(mac) => drop(self.actual.host.taken.insert(address, mac)),
                    None => silent.push((index, address)),
                }
            }
            open = silent;
        }
        // What nobody has is no neighbour.
        open.into_iter().try_for_each(|(index, address)| forget(&netlink, index, address))
    }
}

/// Takes a neighbour out, which may be gone already.
fn forget(netlink: &Netlink, index: u32, address: Ipv4Addr) -> Result<()> {
    match netlink.del_neighbour(index, address.into()) {
        Err(error) if error.kind != Kind::NotFound => Err(error),
        _ => Ok(()),
    }
}
