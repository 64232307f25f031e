//! Pairs of interfaces: what goes into one end comes out of the other.

use std::os::fd::{AsFd, AsRawFd};

use rtnetlink::{
    LinkMessageBuilder, LinkUnspec,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoData, InfoKind, InfoNetkit, InfoVeth, LinkAttribute, LinkMessage, NetkitMode, NetkitPolicy},
    },
};

use super::{Link, group_of};
use crate::netlink::{Mac, Netlink};
use crate::netns::Netns;
use fwd_base::{Error, Kind, Result};

/// What kind of pair it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PairKind {
    /// Two equal ends.
    #[default]
    Veth,
    /// One end is the primary one: that which stays. By it alone the pair is set up, and programs are attached to either end. Its frames
    /// have Ethernet headers. What the end inside sends is dropped while no program is attached.
    Netkit,
}

impl PairKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Veth, Self::Netkit];

    /// As `ip link` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Netkit => "netkit",
        }
    }

    /// What `ip link add` takes after `type`, up to the name of the end inside.
    #[must_use]
    pub const fn ip_words(self) -> &'static str {
        match self {
            Self::Veth => "veth peer",
            Self::Netkit => "netkit mode l2 forward peer blackhole",
        }
    }

    /// The pair whose other end is `peer`, for the kernel.
    fn message(self, peer: LinkMessage) -> (InfoKind, InfoData) {
        match self {
            Self::Veth => (InfoKind::Veth, InfoData::Veth(InfoVeth::Peer(peer))),
            Self::Netkit => {
                // What does not want a mode or a policy is as the kernel has it: marks and priorities do not cross namespaces.
                let (mode, policy) = (InfoNetkit::Mode(NetkitMode::L2), InfoNetkit::PeerPolicy(NetkitPolicy::Drop));
                (InfoKind::Netkit, InfoData::Netkit(vec![InfoNetkit::Peer(peer), mode, policy]))
            }
        }
    }
}

impl Link {
    /// Whether it is an end of a veth or netkit pair.
    #[must_use]
    pub fn is_of_pair(&self) -> bool {
        self.pair().is_some()
    }

    /// Whether it is an end of a netkit pair.
    #[must_use]
    pub fn is_netkit(&self) -> bool {
        self.pair() == Some(PairKind::Netkit)
    }

    /// Of what kind of pair it is an end, if it is one.
    #[must_use]
    pub fn pair(&self) -> Option<PairKind> {
        PairKind::ALL.into_iter().find(|kind| self.kind.as_deref() == Some(kind.name()))
    }
}

/// A pair to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairSpec {
    /// What kind of pair.
    pub kind: PairKind,
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
    /// Creates a pair with its other end directly inside `target`: it never appears under a passing name here.
    ///
    /// The end that stays gets no IPv6 address and is up when this returns, and gone again when this fails. The end inside is
    /// down: the pair carries nothing yet. Returns the index of the end that stays.
    ///
    /// # Errors
    /// [`Kind::Conflict`] if an interface has one of the names, the error says which; [`Kind::Unsupported`] if the kernel has no such pairs.
    pub fn create_pair(&self, spec: &PairSpec, target: &Netns) -> Result<u32> {
        // `.up()` on the peer fails with ENOTCONN: veth_open runs before the pair is linked.
        let peer = LinkUnspec::new_with_name(&spec.ns_if)
            .mtu(spec.mtu)
            .address(spec.ns_mac.to_vec())
            .setns_by_fd(target.as_fd().as_raw_fd())
            .build();
        let (kind, data) = spec.kind.message(peer);
        let mut message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind)
            .name(spec.host_if.clone())
            .set_info_data(data)
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
            return Err(failure.doing("create", format!("{} pair {} – {}", spec.kind.name(), spec.host_if, spec.ns_if)));
        }
        let index = self.created(&spec.host_if)?;
        self.or_delete(index, || {
            self.name_owner(index, &spec.alias)?;
            self.disable_addrgen(index)?;
            self.set_up(index)
        })
    }

    /// The kernel says that a name is taken, but not which.
    fn name_taken(&self, spec: &PairSpec) -> Result<Error> {
        let (name, place) = match self.link(&spec.host_if)? {
            Some(_) => (&spec.host_if, "here"),
            None => (&spec.ns_if, "inside the target namespace"),
        };
        Ok(Error::new(Kind::Conflict, "create", format!("interface {name} {place}"), "an interface has that name"))
    }
}
