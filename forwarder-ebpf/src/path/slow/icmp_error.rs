//! ICMP errors embed the packet that they are about, and belong to its flow (RFC 5508 §4): the outer and the embedded header are
//! translated. They neither refresh nor end the flow (REQ-6; RFC 4787 REQ-12).
//!
//! In steps that are global functions, because 512 bytes of stack do not hold two packets' headers. The hooks come here only when the
//! parser has found ICMP that is no query.

pub(crate) mod read;

use forwarder_common::{
    abi::{FlowVersion, Hook, Tuple, ZONE_MAIN},
    decide::{
        forward,
        rewrite::{HeaderRewrite, Side, Ttl},
        route,
    },
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason},
    },
    wire::{
        icmp, ipv4,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use self::read::{HEADER_ONLY, error, fwd_icmp_error_read};
use crate::{
    kernel::{
        maps::ICMP_ERROR,
        packet::{
            l3_off,
            skb::{Skb, ip_summed},
            verify_checksum::fwd_verify_checksum,
        },
        records,
        scratch::{IcmpError, scratch},
    },
    path::{
        apply::{self, Action},
        arrival, at_ns, at_uplink,
        networks::in_fwd_network,
        slow::{address_only, send::fwd_send, too_big},
        validate,
    },
    table::{
        fragments,
        lookup::{self, Hit},
        usage::host_has_flows,
    },
};

/// The slot of a flow and its version; or no version, and the code of the reason to drop the packet.
type Found = (u32, FlowVersion);

/// No flow, for the reason with this code.
#[inline(always)]
const fn none(code: Code) -> Found {
    (code.raw(), FlowVersion::NONE)
}

global_fn! {
    /// See [`flow`].
    fn fwd_icmp_error_flow(skb: Skb, hook: Hook) -> Found = flow;
    /// See [`verify`].
    fn fwd_icmp_error_verify(skb: Skb, l3: u32) -> bool = verify;
    /// See [`classify`].
    fn fwd_icmp_error_classify(skb: Skb, l3: u32, slot: u32, version: FlowVersion, hook: Hook) -> Code = classify;
    /// See [`change_embedded`].
    fn fwd_icmp_error_change_embedded(slot: u32, version: FlowVersion, direction: Direction) -> bool = change_embedded;
    /// See [`socket`].
    fn fwd_icmp_error_socket(slot: u32, version: FlowVersion, direction: Direction) -> u64 = socket;
    /// See [`unmask`].
    fn fwd_icmp_error_unmask(slot: u32, version: FlowVersion) -> bool = unmask;
    /// See [`write_embedded`].
    fn fwd_icmp_error_write_embedded(skb: Skb) -> bool = write_embedded;
    /// See [`rewrite_outer`].
    fn fwd_icmp_error_rewrite_outer(skb: Skb, l3: u32, slot: u32, version: FlowVersion, how: u32) -> bool = rewrite_outer;
    /// See [`flow_of_host`].
    fn fwd_icmp_error_flow_of_host(read: u32) -> Found = flow_of_host;
    /// See [`refuses`].
    fn fwd_icmp_error_refuses(zone: u32) -> bool = refuses;
    /// See [`refuses_protocol`].
    fn fwd_icmp_error_refuses_protocol(skb: Skb, l3: u32) -> () = refuses_protocol;
}

/// ICMP other than a query that leaves a namespace: an error about what was delivered into it is sent as its flow is.
/// Anything else may still go to a neighbour or to the host.
#[inline(always)]
pub(crate) fn outbound(skb: Skb, ip: &ipv4::Header) -> Action {
    let found = find(skb, L3_OFF, Hook::FromNs);
    let (slot, version) = found;
    if version.is_none() {
        return match validate::fwd_validate_icmp(skb) {
            Ok(()) => at_ns::without_ports(skb, ip, Code::from_raw(slot)),
            Err(refused) => at_ns::counted(skb, refused),
        };
    }
    let code = translate(skb, L3_OFF, found, Hook::FromNs);
    if code == Code::FORWARDED {
        return Action::from_tc_action(fwd_send(skb, L3_OFF as u32, slot, version, code.raw()));
    }
    if code == PuntReason::TooBig.into() {
        return too_big::outbound(skb, slot, version);
    }
    at_ns::refuse(skb, code)
}

/// ICMP other than the answer to a query that arrives by an uplink: an error about what a flow has sent, or the host's.
#[inline(always)]
pub(crate) fn inbound(skb: Skb, l3: usize) -> Action {
    let found = find(skb, l3, Hook::FromUplink);
    let (slot, version) = found;
    if version.is_none() {
        return Action::NEXT;
    }
    let code = translate(skb, l3, found, Hook::FromUplink);
    if code == Code::DELIVERED {
        return Action::from_tc_action(fwd_send(skb, l3 as u32, slot, version, code.raw()));
    }
    at_uplink::count_here(skb, l3, code);
    Action::unsent(code)
}

/// ICMP other than a query with a container's source, which the kernel forwarded to an uplink. Returns the code of the
/// verdict.
#[inline(always)]
pub(crate) fn forwarded(skb: Skb, l3: usize) -> Code {
    let found = find(skb, l3, Hook::ToUplink);
    match found {
        (code, version) if version.is_none() => Code::from_raw(code),
        _ => translate(skb, l3, found, Hook::ToUplink),
    }
}

/// An ICMP error of the host itself on its way out by an uplink: about a packet that was translated on its way in, the sender must
/// see the packet it sent. Returns the code of the verdict.
#[inline(always)]
pub(crate) fn of_host(skb: Skb, l3: usize) -> Code {
    let read = fwd_icmp_error_read(skb, l3 as u32);
    if read != 0 && read & HEADER_ONLY == 0 {
        return Code::PASS;
    }
    fwd_icmp_error_refuses_protocol(skb, l3 as u32);
    let (slot, version) = fwd_icmp_error_flow_of_host(read);
    if version.is_none() {
        let code = Code::from_raw(slot);
        let refuses = code == Code::PASS && read == 0 && fwd_icmp_error_refuses(ZONE_MAIN);
        return if refuses { PuntReason::AsymmetricReply.into() } else { code };
    }
    if rewrite_embedded(skb, slot, version, Direction::Outbound) {
        PuntReason::IcmpError.into()
    } else {
        DropReason::Contended.into()
    }
}

/// Finds the flow that an error is about; see [`Found`].
#[inline(always)]
fn find(skb: Skb, l3: usize, hook: Hook) -> Found {
    match fwd_icmp_error_read(skb, l3 as u32) {
        0 => fwd_icmp_error_flow(skb, hook),
        refused => none(Code::from_raw(refused & 0xff)),
    }
}

/// Finds the flow of the error that was read.
#[inline(always)]
fn flow(skb: Skb, hook: Hook) -> Found {
    match find_flow(skb, hook) {
        Ok(found) => found,
        Err(reason) => none(reason.into()),
    }
}

#[inline(always)]
fn find_flow(skb: Skb, hook: Hook) -> Result<Found, DropReason> {
    let IcmpError { ip, embedded, .. } = error().ok_or(DropReason::Contended)?;
    // What the flow has sent was a request, and what it was sent was a reply. The error is for who sent what it is about.
    if ip.dst != embedded.ip.src || !embedded.is_none_or(hook.direction().is_inbound()) {
        return Err(DropReason::IcmpType);
    }
    let ifindex = match hook {
        Hook::ToUplink => records::host_veth_of(ip.src).ok_or(DropReason::Untranslated)?,
        Hook::FromNs => skb.ifindex(),
        Hook::FromUplink => ZONE_MAIN,
    };
    let tuple = embedded.answer(ifindex);
    let hash = lookup::hash(&tuple);
    let (slot, version) = lookup::fwd_indexed(hook.direction(), &tuple, hash);
    if version.is_none() || matches!(hook, Hook::FromUplink) && !arrival::may_arrive(skb, slot) {
        return Err(DropReason::IcmpType);
    }
    Ok((slot, version))
}

/// Whether the endpoint behind `host_veth` may send from `addr`.
#[inline(always)]
fn may_send(host_veth: u32, addr: [u8; 4]) -> bool {
    records::endpoint(host_veth).is_some_and(|endpoint| route::may_send(addr, endpoint))
}

/// Translates an error by its flow. Returns the code of the verdict.
#[inline(always)]
fn translate(skb: Skb, l3: usize, found: Found, hook: Hook) -> Code {
    // No sender leaves the checksum of ICMP to a device, which would write over what is about to be looked at.
    if skb.ip_summed() == ip_summed::PARTIAL {
        return DropReason::ChecksumOffload.into();
    }
    if !fwd_icmp_error_verify(skb, l3 as u32) {
        return DropReason::Malformed.into();
    }
    let (slot, version) = found;
    // Outbound the kernel gets what it must answer as it was.
    let code = fwd_icmp_error_classify(skb, l3 as u32, slot, version, hook);
    if code.is_drop() || matches!(hook, Hook::FromNs) && code != Code::FORWARDED {
        return code;
    }
    let direction = hook.direction();
    let how = direction as u32 | u32::from(code.is_punt()) << 8;
    let done = rewrite_embedded(skb, slot, version, direction)
        & fwd_icmp_error_rewrite_outer(skb, l3 as u32, slot, version, how);
    if done { code } else { DropReason::Contended.into() }
}

/// Whether the error and the header of what it embeds sum up with their checksums (RFC 5508 REQ-3, REQ-3a).
#[inline(always)]
fn verify(skb: Skb, l3: u32) -> bool {
    let bytes = skb.all_headers();
    let Ok(ip) = ipv4::parse(&bytes, l3_off(l3)) else { return false };
    let off = ip.payload_off() as u32;
    let length = u32::from(ip.total_len).wrapping_sub(ip.len as u32);
    let embedded = off.wrapping_add(icmp::LEN as u32);
    let Ok([version_ihl]) = bytes.load::<1>(embedded as usize) else { return false };
    let embedded_len = u32::from(version_ihl & 0x0f) << 2;
    fwd_verify_checksum(skb, off, length, 0) && fwd_verify_checksum(skb, embedded, embedded_len, 0)
}

/// What becomes of an error: the code of the verdict.
#[inline(always)]
fn classify(skb: Skb, l3: u32, slot: u32, version: FlowVersion, hook: Hook) -> Code {
    let ip = match ipv4::parse(&skb.headers(), l3_off(l3)) {
        Ok(ip) => ip,
        Err(reason) => return reason.into(),
    };
    let Some(Hit { out_if, mtu, .. }) = lookup::copy(hook.direction(), slot, version) else {
        return DropReason::Contended.into();
    };
    let packet = forward::Packet { ttl_expires: ip.ttl_expires(), size: ip.total_len.into() };
    match hook {
        // What the kernel has forwarded comes from the address that the endpoint was found by.
        Hook::FromNs if !may_send(skb.ifindex(), ip.src) => DropReason::SpoofedSource.into(),
        // Of the host itself there is no error here: see `of_host`.
        Hook::ToUplink => forward::depart(skb.ifindex(), out_if, || false),
        Hook::FromNs => forward::send(hook.direction(), packet, forward::Target { out_if, mtu: mtu.into() }),
        // No error is too big for a namespace: whoever sends one keeps to 576 bytes (RFC 1812 §4.3.2.3).
        Hook::FromUplink => forward::send(hook.direction(), packet, forward::Target { out_if, mtu: u32::MAX }),
    }
}

/// Translates the packet that the error embeds; false if the flow has gone meanwhile.
#[inline(always)]
fn rewrite_embedded(skb: Skb, slot: u32, version: FlowVersion, direction: Direction) -> bool {
    fwd_icmp_error_change_embedded(slot, version, direction) && fwd_icmp_error_write_embedded(skb)
}

/// Finds what changes in the packet that the error embeds, and puts it into the map `ICMP_ERROR`: of what stands there the verifier knows
/// nothing, so that all changes are one behind it. False if the flow has gone.
#[inline(always)]
fn change_embedded(slot: u32, version: FlowVersion, direction: Direction) -> bool {
    let Some(IcmpError { embedded, change, .. }) = scratch(&ICMP_ERROR) else { return false };
    let to = fwd_icmp_error_socket(slot, version, direction);
    if to == GONE {
        return false;
    }
    // The embedded packet goes the other way.
    let side = Side::of(direction).opposite();
    *change = embedded.rewrite(side, (to as u32).to_ne_bytes(), ((to >> 32) as u16).to_ne_bytes());
    !direction.is_inbound() || fwd_icmp_error_unmask(slot, version)
}

/// What [`socket`] returns where the flow has gone: no such socket.
const GONE: u64 = u64::MAX;

/// The address that a flow translates to in `direction`, and above it the port, both as they stand in memory; or [`GONE`].
#[inline(always)]
fn socket(slot: u32, version: FlowVersion, direction: Direction) -> u64 {
    match lookup::copy(direction, slot, version) {
        Some(Hit { addr, port, .. }) => u64::from(u16::from_ne_bytes(port)) << 32 | u64::from(u32::from_ne_bytes(addr)),
        None => GONE,
    }
}

/// Shows in what an error embeds, which a flow's endpoint has sent, the identification that it gave the packet: see [`fragments::id_mask`].
#[inline(always)]
fn unmask(slot: u32, version: FlowVersion) -> bool {
    let Some(IcmpError { embedded, change, .. }) = scratch(&ICMP_ERROR) else { return false };
    let Some(Hit { addr, out_if, .. }) = lookup::copy(Direction::Inbound, slot, version) else { return false };
    let sent =
        Tuple { saddr: addr, daddr: embedded.ip.dst, ifindex: out_if, proto: embedded.ip.proto, ..Tuple::default() };
    *change = change.unmasked(&embedded.ip, fragments::id_mask(&sent));
    true
}

/// Writes it.
#[inline(always)]
fn write_embedded(skb: Skb) -> bool {
    error().is_some_and(|error| apply::rewrite_embedded(&skb.all_headers(), &error.change).is_ok())
}

/// Translates the outer header; a bit above the direction in `how` says that the TTL stays. False if the flow has gone meanwhile.
#[inline(always)]
fn rewrite_outer(skb: Skb, l3: u32, slot: u32, version: FlowVersion, how: u32) -> bool {
    let bytes = skb.all_headers();
    let ttl = if how >> 8 == 0 { Ttl::Decrement } else { Ttl::Keep };
    let direction = Direction::of(how & 0xff);
    let Some(Hit { addr, .. }) = lookup::copy(direction, slot, version) else { return false };
    let side = Side::of(direction);
    let done = ipv4::parse(&bytes, l3_off(l3))
        .and_then(|ip| apply::rewrite_header(&bytes, &HeaderRewrite::new(side, &ip, addr, ttl)));
    done.is_ok()
}

/// Finds the flow that an error of the host is about, for which [`fwd_icmp_error_read`] returned `read`; see [`Found`]. The code is that of
/// [`Verdict::Pass`] if it is about none of ours.
#[inline(always)]
fn flow_of_host(read: u32) -> Found {
    let Some(IcmpError { embedded, .. }) = error() else { return none(DropReason::Contended.into()) };
    let embedded_ip = embedded.ip;
    let host_veth = if in_fwd_network(embedded_ip.dst) {
        match records::host_veth_of(embedded_ip.dst) {
            Some(host_veth) => host_veth,
            None => return none(DropReason::Untranslated.into()),
        }
    } else if in_fwd_network(embedded_ip.src) {
        // What a container sent, and nobody translated: no business of anybody outside.
        return none(DropReason::Untranslated.into());
    } else if host_has_flows() {
        0
    } else {
        return none(Code::PASS);
    };
    // Of the host's own conversations most are not translated.
    let otherwise = |reason: Code| none(if host_veth == 0 { Code::PASS } else { reason });
    if read != 0 {
        return otherwise(Code::from_raw(read & 0xff));
    }
    let tuple = embedded.answer(host_veth);
    match lookup::fwd_indexed(Direction::Outbound, &tuple, lookup::hash(&tuple)) {
        (_, version) if version.is_none() => otherwise(DropReason::Untranslated.into()),
        found => found,
    }
}

/// An error of the host that was read, perhaps about a packet without ports: see [`address_only::refuses`].
#[inline(always)]
fn refuses_protocol(skb: Skb, l3: u32) {
    if let Some(IcmpError { embedded, .. }) = error() {
        address_only::refuses(skb, l3_off(l3), &embedded.ip);
    }
}

/// Whether an error of the host that was read is about a reply of an endpoint's flow, untranslated. It came in by an interface where it may
/// not, or it would have been delivered.
#[inline(always)]
fn refuses(zone: u32) -> bool {
    let Some(IcmpError { embedded, .. }) = error() else { return false };
    let reply = embedded.answer(zone).answer(zone);
    let hash = lookup::hash(&reply);
    if !lookup::is_known(hash) {
        return false;
    }
    let (slot, version) = lookup::fwd_indexed(Direction::Inbound, &reply, hash);
    let hit = if version.is_none() { None } else { lookup::copy(Direction::Inbound, slot, version) };
    matches!(hit, Some(Hit { out_if, .. }) if out_if != 0)
}
