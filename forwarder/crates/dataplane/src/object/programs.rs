//! Every program, by the name of its pin: its type and who needs it, a row a program. A test compares them with the built-in object.

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Attached to a hook of traffic control, or where such a program goes on to.
    Hook,
    /// Run by the control plane.
    Control,
    /// At an uplink without link-layer header: loaded when there is one.
    L3Uplink,
    /// Of IPv6: loaded when a network has it.
    Ipv6,
    /// At a netkit pair: loaded when there is one.
    Netkit,
    /// Copies what is for a group: loaded when a network has multicast pass.
    Multicast,
    /// At a cgroup: loaded when a port is published.
    Host,
    /// XDP in front of the hooks: loaded when it is wanted.
    Xdp,
}

/// A program of the built-in object.
#[derive(Debug)]
struct Declared {
    name: &'static str,
    role: Role,
}

/// Declares a constant for each program, and the list of all.
macro_rules! programs {
    ($($role:ident { $($(#[doc = $doc:literal])* $constant:ident: $name:literal,)* })*) => {
        $($($(#[doc = $doc])* pub(crate) const $constant: &str = $name;)*)*

        /// Every program, in the order in which they are loaded.
        const DECLARED: &[Declared] = &[$($(Declared { name: $constant, role: Role::$role },)*)*];
    };
}

programs! {
    Hook {
        /// Ingress of a host-side veth.
        FROM_NS: "from_ns",
        /// Its slow path.
        FROM_NS_SLOW: "from_ns_slow",
        /// Ingress of an uplink.
        FROM_UPLINK: "from_uplink",
        /// Its slow path.
        FROM_UPLINK_SLOW: "from_uplink_slow",
        /// Egress of an uplink.
        TO_UPLINK: "to_uplink",
        /// Its slow path.
        TO_UPLINK_SLOW: "to_uplink_slow",
        /// Egress of a network's bridge.
        TO_NETWORK: "to_network",
    }
    Control {
        /// Starts the expiry timer.
        START_EXPIRY: "start_expiry",
        /// Tells the time of the flow table.
        READ_CLOCK: "read_clock",
        /// Ends the flows of an endpoint.
        FLUSH: "flush",
        /// Ends one flow.
        END_FLOW: "end_flow",
    }
    L3Uplink {
        /// Ingress of an uplink without link-layer header.
        FROM_UPLINK_L3: "from_uplink_l3",
        /// Its egress.
        TO_UPLINK_L3: "to_uplink_l3",
    }
    Ipv6 {
        /// Ingress of a host-side veth, of IPv6.
        FROM_NS_IPV6: "from_ns_ipv6",
        /// Its slow path.
        FROM_NS_IPV6_SLOW: "from_ns_ipv6_slow",
        /// Ingress of an uplink, of IPv6.
        FROM_UPLINK_IPV6: "from_uplink_ipv6",
        /// Its slow path.
        FROM_UPLINK_IPV6_SLOW: "from_uplink_ipv6_slow",
        /// Egress of an uplink, of IPv6.
        TO_UPLINK_IPV6: "to_uplink_ipv6",
    }
    Netkit {
        /// What the end inside of a netkit pair sends.
        FROM_NETKIT: "from_netkit",
    }
    Multicast {
        /// What goes on to it from the slow paths.
        MULTICAST: "multicast",
    }
    Host {
        /// A socket of the host connects over IPv4.
        HOST_CONNECT4: "host_connect4",
        /// It sends a datagram.
        HOST_SENDMSG4: "host_sendmsg4",
        /// It gets one.
        HOST_RECVMSG4: "host_recvmsg4",
        /// Somebody asks whom it is connected to.
        HOST_GETPEERNAME4: "host_getpeername4",
        /// A socket of IPv6 connects.
        HOST_CONNECT6: "host_connect6",
        /// It sends a datagram.
        HOST_SENDMSG6: "host_sendmsg6",
        /// It gets one.
        HOST_RECVMSG6: "host_recvmsg6",
        /// Somebody asks whom it is connected to.
        HOST_GETPEERNAME6: "host_getpeername6",
    }
    Xdp {
        /// XDP at a host-side veth.
        XDP_FROM_NS: "xdp_from_ns",
        /// The same where XDP is generic.
        XDP_FROM_NS_SKB: "xdp_from_ns_skb",
        /// XDP at an uplink.
        XDP_FROM_UPLINK: "xdp_from_uplink",
        /// The same where XDP is generic.
        XDP_FROM_UPLINK_SKB: "xdp_from_uplink_skb",
    }
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 8] =
        [Self::Hook, Self::Control, Self::L3Uplink, Self::Ipv6, Self::Netkit, Self::Multicast, Self::Host, Self::Xdp];

    /// Whether every host with an eBPF data path has its programs. Others are loaded when something needs them.
    const fn is_of_all(self) -> bool {
        match self {
            Self::Hook | Self::Control => true,
            Self::L3Uplink | Self::Ipv6 | Self::Netkit | Self::Multicast | Self::Host | Self::Xdp => false,
        }
    }
}

/// The names of the programs of a role.
pub(crate) fn of(role: Role) -> impl Iterator<Item = &'static str> {
    DECLARED.iter().filter(move |program| program.role == role).map(|program| program.name)
}

/// Whether there is a program of this name.
pub(crate) fn is_known(name: &str) -> bool {
    DECLARED.iter().any(|program| program.name == name)
}

/// The programs that every host with an eBPF data path has.
pub(crate) fn always() -> impl Iterator<Item = &'static str> {
    DECLARED.iter().filter(|program| program.role.is_of_all()).map(|program| program.name)
}

/// The others: they are there where something needs them.
pub(crate) fn further() -> impl Iterator<Item = &'static str> {
    DECLARED.iter().filter(|program| !program.role.is_of_all()).map(|program| program.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aya_obj::ProgramSection;

    use super::*;
    use crate::object::OBJECT;

    #[test]
    fn programs_are_those_of_the_object() {
        let object = aya_obj::Object::parse(OBJECT).unwrap();
        let kind = |section: &ProgramSection| match section {
            ProgramSection::Xdp { .. } => "xdp",
            ProgramSection::CgroupSockAddr { .. } => "cgroup",
            _ => "tc",
        };
        let found: BTreeMap<&str, &str> =
            object.programs.iter().map(|(name, program)| (name.as_str(), kind(&program.section))).collect();
        let declared_kind = |role: Role| match role {
            Role::Xdp => "xdp",
            Role::Host => "cgroup",
            Role::Hook | Role::Control | Role::L3Uplink | Role::Ipv6 | Role::Netkit | Role::Multicast => "tc",
        };
        let declared: BTreeMap<&str, &str> =
            DECLARED.iter().map(|program| (program.name, declared_kind(program.role))).collect();
        assert_eq!(declared, found);
        assert_eq!(declared.len(), DECLARED.len(), "each is declared once");
    }
}
