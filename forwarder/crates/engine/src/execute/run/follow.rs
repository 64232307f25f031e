//! What others are told once something has changed: the programs of routes and addresses, the name server, the link. That one could not be told is no
//! failure.

use std::{collections::BTreeSet, mem, net::IpAddr, time::Duration};

use super::Runner;
use crate::execute::{
    announce::{self, Speaker},
    names, surroundings,
};
use fwd_base::Result;

/// How long a new carrier may take: the kernel looks once a second where it is in no hurry (net/core/link_watch.c).
const CARRIER: Duration = Duration::from_secs(5);

impl Runner<'_> {
    /// Waits until the kernel has seen the carrier of what was connected, and of the bridges that it is connected to: until then a bridge drops what
    /// comes to that port, and the host what it sends to the bridge.
    pub(super) fn await_carriers(&mut self) {
        for host_if in mem::take(&mut self.connected) {
            let awaited = self.number(&host_if).and_then(|index| {
                self.netlink.await_carrier(index, CARRIER)?;
                let bridge = self.netlink.link_by_index(index)?.and_then(|link| link.controller);
                bridge.map_or(Ok(()), |bridge| self.netlink.await_carrier(bridge, CARRIER))
            });
            if let Err(error) = awaited {
                self.warnings.push(format!("first packets may be lost: {error}"));
            }
        }
    }

    /// Notes addresses that are answered for at an uplink from now on, of which the link is told once all stands: what is undone would be told to nobody
    /// again, and who knew them elsewhere would send there in vain.
    pub(super) fn announce(&mut self, uplink: u32, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            self.announced.entry(uplink).or_default().insert(address);
        }
    }

    /// Tells the link of an uplink of addresses that are answered for there. That it could not be told is no failure: who asks for them is answered.
    fn tell(&mut self, uplink: u32, addresses: impl IntoIterator<Item = IpAddr>) {
        let mut addresses = addresses.into_iter().peekable();
        let Some(first) = addresses.peek().copied() else { return };
        let told = self.speaker(uplink).and_then(|it| it.map_or(Ok(()), |it| announce::tell(&it, addresses)));
        if let Err(error) = told {
            self.warnings
                .push(format!("who knew {first} elsewhere goes on to send there until he asks again: {error}"));
        }
    }

    /// Who tells it; none where the uplink has gone, or has no hardware address.
    fn speaker(&self, uplink: u32) -> Result<Option<Speaker>> {
        let Some(mac) = self.netlink.link_by_index(uplink)?.and_then(|link| link.mac) else { return Ok(None) };
        let of_link = self.netlink.addresses(Some(uplink))?.into_iter().find_map(|(_, it)| match it.addr() {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
            _ => None,
        });
        Ok(Some(Speaker { index: uplink, mac, link: of_link }))
    }

    /// What the programs or the host answer for at an uplink.
    fn answered_for(&self, uplink: u32) -> Result<Vec<IpAddr>> {
        let announced = self.plane.as_ref().map_or(Ok(Vec::new()), |plane| plane.announced_at(uplink))?;
        let proxies = self.netlink.proxies()?.into_iter().filter(|(at, _)| *at == uplink);
        let all: BTreeSet<IpAddr> = announced.into_iter().chain(proxies.map(|(_, address)| address.into())).collect();
        Ok(all.into_iter().collect())
    }

    /// Tells it of what is announced there, and is `new`; of all where the uplink has another hardware address now.
    fn tell_of(&mut self, uplink: u32, new: impl Fn(&IpAddr) -> bool) {
        match self.answered_for(uplink) {
            Ok(addresses) => self.tell(uplink, addresses.into_iter().filter(new)),
            Err(error) => {
                self.warnings.push(format!("nobody was told who has the addresses that are announced: {error}"))
            }
        }
    }

    /// Tells the programs the MTUs that routes ask for, and the link what has come to be announced there. That nothing could be told is no failure:
    /// everything else stands.
    pub(in super::super) fn follow_routes(&mut self) {
        let mut announced = mem::take(&mut self.announced);
        match surroundings::follow_routes(self.plane.as_ref(), &self.netlink, &self.log) {
            Ok(changed) => changed.into_iter().for_each(|uplink| {
                announced.remove(&uplink);
                self.tell_of(uplink, |_| true);
            }),
            Err(error) => {
                self.warnings.push(format!("packets may be larger than a route of this host allows: {error}"));
            }
        }
        // Of endpoints that have failed nothing is announced by now.
        announced.into_iter().for_each(|(uplink, new)| self.tell_of(uplink, |address| new.contains(address)));
        self.follow_addresses();
    }

    /// The same of the addresses that the host has.
    pub(in super::super) fn follow_addresses(&mut self) {
        if let Err(error) = surroundings::follow_addresses(self.plane.as_ref(), &self.netlink) {
            self.warnings.push(format!(
                "published ports may not be reached by every address of this host, and what it says to groups itself may come back to namespaces: {error}"
            ));
        }
    }

    /// Tells the name server who is there now. That it could not be told is no failure: only names are not resolved.
    pub(in super::super) fn follow_names(&mut self) {
        let followed = self.plane.as_ref().map_or(Ok(()), |plane| names::follow(self.context, self.cookie, plane));
        if let Err(error) = followed {
            self.warnings.push(format!("names may not be resolved in networks with a name server: {error}"));
        }
    }
}
