//! IPv6 at each hook. The kernel forwards and masquerades it; here is looked at what it would believe, and kept apart what it would connect:
//! what the host does with its own IPv6 is its own affair.

use forwarder_common::{
    abi::Addr,
    decide::validate::{
        discovery,
        ipv6::{self as validate, Frame},
    },
    types::verdict::{Code, DropReason, PuntReason, Verdict},
    wire::{
        ethernet,
        ipv6::{self, field},
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        counters::{self, Amount},
        packet::{anywhere::Anywhere, bytes::Bytes, skb::Skb},
        records,
    },
    path::{
        apply::Action,
        at_ns::{count_here, deliver, refuse},
        at_uplink,
        networks::in_fwd_network_v6,
        route::{self, Resolution},
    },
};

/// Bytes that each segment repeats, of those of TCP without options.
const HEADERS: usize = ipv6::LEN + 20;

/// A packet that leaves a namespace: to a neighbour, or on to the bridge, if it is what it says. Who asks for the gateway is answered at once.
#[inline(always)]
pub(crate) fn from_ns(skb: Skb) -> Action {
    const VALID: Code = Verdict::Punted(PuntReason::KernelIpv6).code();
    let code = fwd_validate_ipv6(skb);
    if code != VALID {
        return refuse(skb, code);
    }
    if fwd_answer_solicitation(skb) {
        count_here(skb, code);
        return Action::device(skb.ifindex());
    }
    match route::ipv6::resolve(skb) {
        Resolution::Neighbour(peer) => deliver(skb, peer, HEADERS),
        Resolution::Refused(code) => refuse(skb, code),
        Resolution::Flow(_) => refuse(skb, DropReason::Contended.into()),
    }
}

global_fn! {
    /// See [`validate_frame`].
    fn fwd_validate_ipv6(skb: Skb) -> Code = validate_frame;
    /// See [`answer_solicitation`].
    fn fwd_answer_solicitation(skb: Skb) -> bool = answer_solicitation;
}

/// Validates a frame of a namespace: the code of a punt, or of the reason to drop it.
#[inline(always)]
fn validate_frame(skb: Skb) -> Code {
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return DropReason::NoEndpoint.into() };
    let frame = Frame { length: skb.len() as usize, is_segmented: skb.gso_size() != 0 };
    validate::outbound(&Anywhere(skb), frame, endpoint)
}

/// Makes of a solicitation for the gateway's hardware address the answer: the bridge would tell its own. Whether it did.
#[inline(always)]
fn answer_solicitation(skb: Skb) -> bool {
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return false };
    let Some(network) = records::network(endpoint.network) else { return false };
    let (mac, gateway) = (endpoint.gateway_mac, network.gateway_v6);
    if network.gateway_mac == mac {
        return false;
    }
    let Some(answer) = discovery::answer(&Anywhere(skb), mac, gateway) else { return false };
    let bytes = skb.all_headers();
    let stored = bytes.store(ethernet::field::DST, answer.to_mac).is_ok()
        && bytes.store(ethernet::field::SRC, mac).is_ok()
        && bytes.store(L3_OFF.wrapping_add(field::SRC), gateway).is_ok()
        && bytes.store(L3_OFF.wrapping_add(field::DST), answer.to).is_ok()
        && bytes.store(discovery::MESSAGE, answer.head).is_ok();
    stored && (!answer.has_option || bytes.store(discovery::OPTION, answer.option).is_ok())
}

/// A packet that arrives by an uplink, its network header at `L3`: the host's, unless it has the address of an endpoint at either end.
#[inline(always)]
pub(crate) fn from_uplink<const L3: usize>(skb: Skb, bytes: &Bytes) -> Action {
    let reason = if in_fwd_network_v6(address(bytes, L3, field::DST)) {
        DropReason::DirectToEndpoint
    } else if in_fwd_network_v6(address(bytes, L3, field::SRC)) {
        DropReason::Martian
    } else {
        return Action::NEXT;
    };
    at_uplink::drop(skb, L3, reason)
}

/// A packet on its way out by an uplink, its network header at `L3`: none of an endpoint leaves untranslated.
#[inline(always)]
pub(crate) fn to_uplink<const L3: usize>(skb: Skb, bytes: &Bytes) -> Action {
    if !in_fwd_network_v6(address(bytes, L3, field::SRC)) {
        return Action::NEXT;
    }
    let Amount { packets, bytes } = Amount::whole(skb, L3);
    counters::fwd_count_at_uplink(skb.ifindex(), true, DropReason::Untranslated.into(), packets, bytes);
    Action::DROP
}

/// Whether a packet that the kernel sends into a network, and that came in by `ingress`, is for an endpoint that is reached by that uplink.
/// Whether it answers what the endpoint has said, the kernel knows, which translated it.
#[inline(always)]
pub(crate) fn is_from_uplink(bytes: &Bytes, ingress: u32, network: u32) -> bool {
    let Some(host_veth) = records::host_veth_at(address(bytes, L3_OFF, field::DST)) else { return false };
    let Some(endpoint) = records::endpoint(host_veth) else { return false };
    endpoint.network == network && endpoint.uplink == ingress
}

/// An address in the header at `l3`. That of nobody, if it is not there: the kernel drops such a packet.
#[inline(always)]
fn address(bytes: &Bytes, l3: usize, off: usize) -> Addr {
    bytes.load::<16>(l3.wrapping_add(off)).unwrap_or_default()
}
