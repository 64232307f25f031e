//! What others are told once something has changed: the programs of routes and addresses, the name server, the link. That one could not be told is no
//! failure.

use std::net::IpAddr;

use super::Runner;
use crate::execute::{announce, names, surroundings};

impl Runner<'_> {
    /// Tells the link of an uplink of addresses that are answered for there from now on. That it could not be told is no failure: who asks for them is
    /// answered.
    pub(super) fn tell(&mut self, uplink: u32, addresses: impl IntoIterator<Item = IpAddr>) {
        let mut addresses = addresses.into_iter().peekable();
        let Some(first) = addresses.peek().copied() else { return };
        let mac = self.netlink.link_by_index(uplink).map(|link| link.and_then(|link| link.mac));
        if let Err(error) = mac.and_then(|mac| mac.map_or(Ok(()), |mac| announce::tell(uplink, mac, addresses))) {
            self.warnings
                .push(format!("who knew {first} elsewhere goes on to send there until he asks again: {error}"));
        }
    }

    /// The same of all that is announced at an uplink, which has another hardware address now.
    fn tell_all(&mut self, uplink: u32) {
        let announced = self.plane.as_ref().map_or(Ok(Vec::new()), |plane| plane.announced_at(uplink));
        match announced {
            Ok(addresses) => self.tell(uplink, addresses),
            Err(error) => {
                self.warnings.push(format!("nobody was told who has the addresses that are announced: {error}"))
            }
        }
    }

    /// Tells the programs the MTUs that routes ask for. That nothing could be told is no failure: everything else stands.
    pub(in super::super) fn follow_routes(&mut self) {
        match surroundings::follow_routes(self.plane.as_ref(), &self.netlink, &self.log) {
            Ok(changed) => changed.into_iter().for_each(|uplink| self.tell_all(uplink)),
            Err(error) => {
                self.warnings.push(format!("packets may be larger than a route of this host allows: {error}"));
            }
        }
        self.follow_addresses();
    }

    /// The same of the addresses that the host has.
    pub(in super::super) fn follow_addresses(&mut self) {
        if let Err(error) = surroundings::follow_addresses(self.plane.as_ref(), &self.netlink) {
            self.warnings.push(format!("published ports may not be reached by every address of this host: {error}"));
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
