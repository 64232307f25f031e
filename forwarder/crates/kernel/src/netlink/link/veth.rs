//! Veth pairs.

use std::os::fd::{AsFd, AsRawFd};

use rtnetlink::{
    LinkMessageBuilder, LinkUnspec, LinkVeth,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoData, InfoVeth, LinkAttribute},
    },
};

use super::group_of;
use crate::netlink::{Mac, Netlink};
use crate::netns::Netns;
use fwd_base::{Error, Kind, Result};

/// A veth pair to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VethSpec {
    /// Name of the end that stays, at most 15 bytes.
    pub host_if: String,
    /// Name of the end inside the target namespace, at most 15 bytes.
    pub ns_if: String,
    /// Hardware address of the end that stays; the kernel makes one up if none is given.
    pub host_mac: Option<Mac>,
    /// Hardware address of the end inside.
    pub ns_mac: Mac,
    /// Largest IP packet, bytes, both ends.
    pub mtu: u32,
    /// Who owns the end that stays; see [`Link::group`](super::Link::group).
    pub alias: String,
}

impl Netlink {
    /// Creates a veth pair with its other end directly inside `target`: it never appears under a passing name here.
    ///
    /// The end that stays gets no IPv6 address and is up when this returns, and gone again when this fails. The end inside is
    /// down: the pair carries nothing yet. Returns the index of the end that stays.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if an interface has one of the names, the error says which.
    pub fn create_veth(&self, spec: &VethSpec, target: &Netns) -> Result<u32> {
        // `.up()` on the peer fails with ENOTCONN: veth_open runs before the pair is linked.
        let peer = LinkUnspec::new_with_name(&spec.ns_if)
            .mtu(spec.mtu)
            .address(spec.ns_mac.to_vec())
            .setns_by_fd(target.as_fd().as_raw_fd())
            .build();
        let mut message = LinkMessageBuilder::<LinkVeth>::new(&spec.host_if, &spec.ns_if)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .mtu(spec.mtu)
            .append_extra_attribute(LinkAttribute::Group(group_of(&spec.alias)));
        if let Some(mac) = spec.host_mac {
            message = message.address(mac.to_vec());
        }
        let message = RouteNetlinkMessage::NewLink(message.build());
        if let Err(failure) = self.change(message, NLM_F_CREATE | NLM_F_EXCL) {
            if failure.errno() == Some(libc::EEXIST) {
                return Err(self.name_taken(spec)?.caused_by(failure));
            }
            return Err(failure.doing("create", format!("veth pair {} – {}", spec.host_if, spec.ns_if)));
        }
        let index = self.created(&spec.host_if)?;
        self.or_delete(index, || {
            self.name_owner(index, &spec.alias)?;
            self.disable_addrgen(index)?;
            self.set_up(index)
        })
    }

    /// The kernel says that a name is taken, but not which.
    fn name_taken(&self, spec: &VethSpec) -> Result<Error> {
        let (name, place) = match self.link(&spec.host_if)? {
            Some(_) => (&spec.host_if, "here"),
            None => (&spec.ns_if, "inside the target namespace"),
        };
        Ok(Error::new(Kind::Conflict, "create", format!("interface {name} {place}"), "an interface has that name"))
    }
}
