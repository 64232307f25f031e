//! What becomes of a packet, why, and how it is counted.
//!
//! A verdict stays a [`Verdict`], or the [`Code`] of one, until the last line of an entry point. A code below [`CODES`] is
//! the index of its counter: 0 forwarded, 1 delivered, 2–15 punts, 16–79 drops.

/// Codes are below this: counters in a block.
pub const CODES: usize = 80;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None of ours: left to the kernel as it is, and not counted.
    Pass,
    /// Translated and sent by the uplink.
    Forwarded,
    /// Delivered into a namespace.
    Delivered,
    /// Left to the kernel.
    Punted(PuntReason),
    /// Thrown away.
    Dropped(DropReason),
}

impl Verdict {
    /// Its code.
    #[inline(always)]
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Pass => Code::PASS,
            Self::Forwarded => Code::FORWARDED,
            Self::Delivered => Code::DELIVERED,
            Self::Punted(reason) => Code(reason as u32),
            Self::Dropped(reason) => Code(reason as u32),
        }
    }
}

/// A [`Verdict`] as a number. What LLVM makes of an enum with fields has registers that are never written, which the verifier rejects
/// where they are spilled; and a global function takes and returns integers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Code(u32);

impl Code {
    /// Of [`Verdict::Forwarded`].
    pub const FORWARDED: Self = Self(0);
    /// Of [`Verdict::Delivered`].
    pub const DELIVERED: Self = Self(1);
    /// Of [`Verdict::Pass`]: behind all that are counted.
    pub const PASS: Self = Self(CODES as u32);

    /// The number.
    #[inline(always)]
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// From the number that a global function returned.
    #[inline(always)]
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// What a check said that is a global function: 0 for no objection, or the code for which the packet is refused.
    ///
    /// # Errors
    /// The code. No reason has the code 0.
    #[inline(always)]
    pub const fn checked(raw: u32) -> Result<(), Self> {
        if raw == 0 { Ok(()) } else { Err(Self(raw)) }
    }

    /// Whether the packet is thrown away.
    #[inline(always)]
    #[must_use]
    pub const fn is_drop(self) -> bool {
        self.0 >= FIRST_DROP && self.0 < CODES as u32
    }

    /// Whether the packet is left to the kernel for a reason.
    #[inline(always)]
    #[must_use]
    pub const fn is_punt(self) -> bool {
        self.0 > Self::DELIVERED.0 && self.0 < FIRST_DROP
    }
}

/// Codes of drops begin here.
const FIRST_DROP: u32 = 16;

impl From<DropReason> for Code {
    #[inline(always)]
    fn from(reason: DropReason) -> Self {
        Self(reason as u32)
    }
}

impl From<PuntReason> for Code {
    #[inline(always)]
    fn from(reason: PuntReason) -> Self {
        Self(reason as u32)
    }
}

/// Declares an enum of reasons with their stable names. The documentation of a reason says what it means, to users too; behind `=>`
/// stands what they can do about it, or that nothing needs to be done; a reason without it does not compile.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $code:literal => $advice:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $doc])* $variant = $code,)* }

        impl $name {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name shown by `fwd stats`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*),)* }
            }

            /// What can be done about it, or that nothing needs to be.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

reasons! {
    /// Why a packet is left to the kernel, unmodified unless said otherwise.
    PuntReason {
        /// ARP: the kernel answers for the gateway, and its bridge carries the rest.
        Arp = 2 => "Nothing: every namespace asks now and then.",
        /// Broadcast or multicast: the kernel gives it to the host and to the namespaces of the same network.
        Multicast = 3 => "Nothing, if programs look for each other there (mDNS, DHCP): no uplink sends it on without `--multicast`.",
        /// Addressed to the host itself (the gateway, or another of its addresses), or to where the host has no route at all.
        ToHost = 4 => "Nothing, if the host is meant; its firewall judges it (INPUT). `ip route get DESTINATION` there tells.",
        /// TTL at its end: the kernel answers with time exceeded. Inbound: already translated.
        TtlExceeded = 6 => "Nothing, if somebody traces the way (`traceroute`). Otherwise routers send it round: trace it yourself.",
        /// Larger than the MTU of the way out: the kernel fragments it or answers; where the kernel would send it another way, the program
        /// answers. Inbound: already translated.
        TooBig = 7 => "Lower the MTU inside, or let TCP know it: `fwd up --clamp-mss`.",
        /// No route, or one that forbids: the kernel answers.
        Unreachable = 8 => "`ip route get DESTINATION` on the host shows what the kernel makes of it.",
        /// Translated for a socket of the host itself, or of a conversation that the kernel's own NAT translates: ports are shared with
        /// them.
        HostFlow = 9 => "Nothing: the host and its namespaces share the ports of the uplink, and are kept out of each other's way.",
        /// A namespace's packet that the kernel forwarded, translated on its way out.
        Translated = 10 => "Nothing: it was left to the kernel before, for another reason; that one tells more.",
        /// An ICMP error of the host, in which a namespace's address was replaced.
        IcmpError = 11 => "Nothing: the host tells a sender outside that a packet was too big, or its TTL at its end.",
        /// To an address of the own network that no endpoint has: perhaps something else at the bridge does.
        OwnNetwork = 12 => "`fwd ls` shows who has which address. If nobody should be there, a program inside has the wrong one.",
        /// Nobody has answered for the next hop within a second: the kernel asks on, and tells the sender in the end.
        Unresolved = 13 => "`ip neigh` on the host shows the next hop as FAILED or INCOMPLETE: it is down, or the route names a wrong one.",
        /// An answer of the host itself, a reset or an ICMP error, to a reply that is of an endpoint's flow, but came in by another
        /// interface than the flow's uplink: one that is no uplink of `fwd`, or that checks sources strictly (`rp_filter` 1).
        AsymmetricReply = 14 => "Have the replies routed back by the uplink, or make the interface where they come in one (`fwd uplink add`), with `rp_filter` 0 or 2.",
        /// IPv6 of a namespace that no flow is for: fragments, protocols without ports, neighbour discovery. The kernel forwards and masquerades it, and knows the neighbours.
        KernelIpv6 = 15 => "Nothing: `ip -6 route get DESTINATION` on the host shows the way it takes.",
    }
}

reasons! {
    /// Why a packet is thrown away.
    DropReason {
        /// Ends before its headers do.
        Truncated = 16 => "A program inside sends broken packets: `tcpdump -e` at the interface shows them.",
        /// Neither IPv4 nor IPv6, wrong header length, or wrong total length.
        Malformed = 17 => "A program inside sends broken packets: `tcpdump -e` at the interface shows them.",
        /// IPv6 of an endpoint that has no address of it.
        Ipv6 = 18 => "Nothing: every namespace sends some by itself when its interface comes up.",
        /// An Ethernet type other than IPv4, IPv6 and ARP; or, at a netkit pair, another than the sender has told the kernel.
        EtherType = 19 => "Nothing but IPv4 and ARP is forwarded; programs that speak over Ethernet itself need a bridge of their own.",
        /// The source is not the endpoint's address.
        SpoofedSource = 20 => "A router inside needs `fwd up --allow-spoof`; anything else there should use the address that it was given.",
        /// A fragment, whose ports are not known.
        Fragment = 21 => "Send smaller packets.",
        /// A protocol that cannot be translated.
        Protocol = 22 => "Only TCP, UDP, ICMP and protocols that need no ports are translated.",
        /// ICMP that is neither a query with an identifier nor an error about a known flow; or an error about what another was sent.
        IcmpType = 23 => "Only queries with an identifier, such as echo, and errors about known flows are translated.",
        /// The only uplink by which it may leave has no route there: that to which the network is bound, or by which the question came that it
        /// answers. Or the host's route goes by a tunnel of its own (lightweight tunnels).
        RouteNotViaUplink = 24 => "`ip route get DESTINATION` on the host shows the way it takes; leave out `--uplink`, or give the uplink a route: `ip route add default via ROUTER dev UPLINK metric 200`.",
        /// The uplink has no address to appear behind.
        NoUplinkAddress = 25 => "Give the uplink an IPv4 address, then `fwd up` again.",
        /// No free port towards this destination.
        PortsExhausted = 26 => "Widen `--nat-ports` when the first network comes up; `fwd stats --nat` shows how full the ports are.",
        /// No slot of the flow table is free, and no flow has to make room.
        TableFull = 27 => "Raise `--max-flows` when the first network comes up; `fwd stats --nat` shows how full the table is.",
        /// From outside straight to the address of an endpoint.
        DirectToEndpoint = 28 => "Nothing: addresses of namespaces are not reached from outside. Let the namespace open the conversation.",
        /// A namespace's packet on its way out that cannot be translated.
        Untranslated = 29 => "It would leave with an inner address. Send smaller packets, without a tag, of protocols that can be translated.",
        /// The interface is not (or no longer) an endpoint.
        NoEndpoint = 30 => "`fwd up` for the namespace makes its records anew.",
        /// A helper of the kernel refused to change the packet.
        Rewrite = 31 => "The kernel had no memory for the packet, or it was cut meanwhile: `free` and `dmesg` on the host tell, if there are many.",
        /// A reset or an answer that belongs to no flow.
        NoFlow = 32 => "The flow ended before, or never was: see `fwd up --timeout` if it was idle for long.",
        /// Another CPU ended or made the same flow at this moment.
        Contended = 33 => "Nothing: the next packet of the flow gets through.",
        /// The Ethernet source is not the endpoint's, on a frame that the bridge would see.
        SpoofedMac = 34 => "A bridge or VM inside needs `fwd up --allow-spoof`.",
        /// ARP that speaks for another address or another MAC than the endpoint's.
        ArpSpoof = 35 => "Something inside claims an address that is not its own; a router or bridge there needs `fwd up --allow-spoof`.",
        /// An address that no packet on the wire may have there (RFC 1812 §5.3.7, RFC 4291 §2.5); from outside, a source in a network of `fwd`.
        Martian = 36 => "Something sends to or from an address that no packet may have, such as 127.0.0.1 or 0.0.0.0: `tcpdump` at the interface shows it.",
        /// Source routing is asked for (RFC 791 §3.1; refused by RFC 7126 §4.3; of IPv6 by RFC 5095).
        SourceRoute = 37 => "Refused by everybody for security; send without that option.",
        /// A later fragment that came before the first, whose ports would name its flow.
        FragmentUnknown = 38 => "Fragments came in another order, or the first was lost. Send smaller packets.",
        /// Fragments that overlap (refused as by RFC 5722), reach beyond 65,535 bytes, or would get further than the first of their packet.
        FragmentOverlap = 39 => "Somebody may try to pass by a filter: `tcpdump 'ip[6:2] & 0x3fff != 0'` at the interface shows who.",
        /// A fragment so small that the transport header is cut (RFC 1858, RFC 3128).
        FragmentTiny = 40 => "Somebody may try to pass by a filter: `tcpdump 'ip[6:2] & 0x3fff != 0'` at the interface shows who.",
        /// A protocol without ports that another endpoint or the host speaks with the same destination, or that it hears from there.
        Ambiguous = 41 => "One namespace, or the host, at a time speaks such a protocol with one destination: wait until the other is idle (`--timeout other=TIME`).",
        /// The endpoint has as many flows as it may.
        EndpointFull = 42 => "Raise `--max-flows-per-ns` when the first network comes up.",
        /// A frame with a VLAN tag.
        Vlan = 43 => "Send without a tag: the namespace's interface is no trunk.",
        /// Has the address of an endpoint, but did not come from the endpoint's network: another interface of the host, or a program
        /// on the host, speaks in its name.
        NotFromNetwork = 44 => "Look for another bridge or program of the host that uses addresses of a network of fwd.",
        /// To or from another network of `fwd`: they are isolated from each other.
        OtherNetwork = 45 => "Put both namespaces on one network (`fwd up --network NAME`), or let each network allow the other: `fwd network add NAME --allow-network OTHER`.",
        /// Forwarded by the kernel into a network of `fwd` from another interface of the host, and of no flow.
        FromOtherInterface = 46 => "Nothing: namespaces are reached from the host and their own network only. Let the namespace open the conversation.",
        /// Leaves a checksum to a device, to be written where no checksum is: over a port, or over an address.
        ChecksumOffload = 47 => "A program inside forges offload requests (virtio headers of raw sockets): find out which, and end it.",
        /// The checksum of the IPv4 header is wrong.
        HeaderChecksum = 48 => "A program inside sends broken packets: `tcpdump -e` at the interface shows them.",
        /// Addressed to bridges themselves (01:80:c2:00:00:0X, IEEE 802.1D): it would reach the host past the rules for its bridge.
        BridgeGroup = 49 => "Nothing, if a program inside speaks to its switch (LLDP, STP). IPv4 and ARP so addressed are forged.",
        /// To an address that is announced for a namespace (`--announce`), and of no flow: the host itself does not have it.
        Announced = 50 => "Nothing: only answers and published ports get to a namespace. Let it open the conversation, or publish a port.",
        /// Multicast that the host would route out of a network or into one from outside: groups stay in their network. Or, with `--multicast`, of a namespace
        /// by a port that a socket of the host has.
        MulticastOutside = 51 => "`ip mroute` on the host shows what it routes. For names (mDNS) make the network with `--multicast`, or run a reflector on the host. With it, have the program inside speak by another port (`ss -ulnp` on the host shows whose it is).",
        /// The host's route leaves by an interface that is no uplink of `fwd` yet: no program would see that nothing leaves untranslated. The
        /// sender is told that it is prohibited (RFC 1812 §5.2.7.1, RFC 4443 §3.1).
        UplinkUnguarded = 52 => "`fwd uplink add INTERFACE`, or any `fwd up`: it takes in what the routes of the host lead by. `ip route get DESTINATION` on the host names the interface.",
        /// To a published port that this sender may not use (`--publish-from`).
        NotPublishedTo = 53 => "Nothing, if that is meant. Otherwise publish the port anew, with the sender's address in `--publish-from`.",
        /// Begins a conversation that a rule of the namespace forbids (`--allow-out`, `--deny-out`).
        DeniedOut = 54 => "Nothing, if that is meant. `fwd inspect` shows the rules and what each has refused; `fwd up --allow-out` gives others.",
        /// Begins a conversation that a rule of the namespace forbids which it is for (`--allow-in`, `--deny-in`).
        DeniedIn = 55 => "Nothing, if that is meant. `fwd inspect` shows the rules and what each has refused; `fwd up --allow-in` gives others.",
        /// Would leave an internal network, which has no way out.
        Internal = 56 => "Nothing, if that is meant. Otherwise put the namespace on a network that was made without `--internal`.",
        /// To or from another endpoint of a network whose endpoints do not reach each other.
        PeerIsolated = 57 => "Nothing, if that is meant. Otherwise put the namespaces on a network that was made without `--no-icc`.",
        /// Neighbour discovery of IPv6 that speaks for another address or another MAC than the endpoint's.
        NdSpoof = 58 => "Something inside claims an address that is not its own; a router or bridge there needs `fwd up --allow-spoof`.",
        /// What only a router says to its link: a router advertisement, a redirect, or the question who listens to a group of multicast.
        NdRouter = 59 => "A namespace is no router of its network: stop radvd, or whatever else advertises there.",
        /// Extension headers of IPv6 that hide what kind of packet it is: too many, too long, or cut by a fragment (RFC 7112).
        ExtensionHeaders = 60 => "Somebody may try to pass by a filter: `tcpdump -v ip6` at the interface shows who.",
        /// More than a limit lets through: sent past the queue inside that keeps to it, or come for a namespace (`to_ns`) whose queue is full; at an uplink,
        /// more to groups of multicast than one namespace may send, or than may come in.
        RateExceeded = 61 => "Nothing, if the limit is meant. `fwd up --rate-out` and `--rate-in` set another, or `none`, and the queue inside anew.",
        /// Would be forwarded by the host for somebody else: it forwards what comes in there for namespaces alone, since `fwd` has switched that
        /// on. Nobody but the programs that listen to the interface itself sees it.
        Transit = 62 => "Nothing, if the host is to be no router. Otherwise `sysctl -w net.ipv4.ip_forward=1`, then any `fwd up`.",
        /// The address behind which it is to appear (`--source`, `--source6`) is none of the host's any more.
        SourceGone = 63 => "Give the host the address again (`ip addr add`; `fwd inspect` names it), or take the namespace out and attach it with another `--source`.",
        /// In a network without a bridge (`--bridge none`): to a group or a broadcast, or to a hardware address that neither the gateway nor, of what the
        /// host sends, an endpoint has.
        NoBridge = 68 => "Nothing, if it is what interfaces send by themselves when they come up. Programs that look for each other by multicast (mDNS, DHCP) need a network that was made without `--bridge none`.",
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, DropReason, PuntReason};

    #[test]
    fn every_reason_says_what_it_means_and_what_to_do() {
        let punts = PuntReason::ALL.iter().map(|punt| (punt.name(), punt.meaning(), punt.advice()));
        let drops = DropReason::ALL.iter().map(|drop| (drop.name(), drop.meaning(), drop.advice()));
        for (name, meaning, advice) in punts.chain(drops) {
            for said in [meaning.trim(), advice] {
                let is_sentence = said.ends_with('.') && said.contains(' ') && !said.contains("  ");
                assert!(is_sentence, "{name}: {said:?}");
            }
            assert_ne!(meaning.trim(), advice, "{name}");
        }
    }

    #[test]
    fn what_is_passed_is_not_counted_and_neither_a_punt_nor_a_drop() {
        assert!(Code::PASS.raw() >= super::CODES as u32 && !Code::PASS.is_punt() && !Code::PASS.is_drop());
        for code in [Code::FORWARDED, Code::DELIVERED] {
            assert!(!code.is_punt() && !code.is_drop());
        }
    }

    #[test]
    fn codes_and_names_are_used_once_and_stand_where_they_belong() {
        let punts = PuntReason::ALL.iter().map(|punt| (*punt as u32, punt.name()));
        let drops = DropReason::ALL.iter().map(|drop| (*drop as u32, drop.name()));
        let all = || punts.clone().chain(drops.clone());
        assert!(
            punts.clone().all(|(code, _)| Code::from_raw(code).is_punt())
                && drops.clone().all(|(code, _)| Code::from_raw(code).is_drop())
        );
        for (code, name) in all() {
            assert_eq!(all().filter(|other| other.0 == code || other.1 == name).count(), 1, "{name}");
        }
    }
}
