//! ICMP errors embed the packet that they are about, and belong to its flow (RFC 5508 §4): the outer and the embedded header are
//! translated. They neither refresh nor end the flow (REQ-6; RFC 4787 REQ-12).
//!
//! In steps that are global functions: the verifier looks at each once, and each has a stack of its own, because 512 bytes for all
//! do not hold two packets' headers. The hooks come here only when the parser has found ICMP that is no query.

use aya_ebpf::bindings::__sk_buff;
use forwarder_common::{
    abi::{FlowVersion, Hook, endpoint_flags},
    decide::{
        icmp_error,
        rewrite::{HeaderRewrite, Side, Ttl},
    },
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason, Verdict},
    },
    wire::{
        icmp, ipv4,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        maps::ICMP_ERROR,
        packet::{
            skb::{Skb, ip_summed},
            verify_checksum::fwd_verify_checksum,
        },
        records,
        scratch::IcmpError,
    },
    path::{
        apply::{self, Action},
        at_ns, at_uplink,
        route::in_fwd_network,
        slow::send::fwd_send,
    },
    table::{
        lookup::{self, Hit},
        usage::host_has_flows,
    },
};

/// The slot of a flow and its version, or no version and the code of the reason to drop the packet, in one number.
#[derive(Clone, Copy)]
struct Found(u64);

impl Found {
    #[inline(always)]
    const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// Where there is no version.
    #[inline(always)]
    const fn code(self) -> Code {
        Code::from_raw(self.0 as u32)
    }

    #[inline(always)]
    const fn version(self) -> FlowVersion {
        FlowVersion::from_raw((self.0 >> 32) as u32)
    }
}

/// ICMP other than a query that leaves a namespace: an error about what was delivered into it is sent as its flow is.
/// Anything else may still go to a neighbour or to the host.
#[inline(always)]
pub(crate) fn outbound(skb: Skb, ip: &ipv4::Header) -> Action {
    let found = find(skb, L3_OFF, Hook::FromNs);
    if found.version().is_none() {
        return at_ns::without_ports(skb, ip, found.code());
    }
    let code = translate(skb, L3_OFF, found, Hook::FromNs);
    if code == Code::FORWARDED {
        return Action::from_tc_action(fwd_send(
            skb.ptr(),
            L3_OFF as u32,
            found.slot(),
            found.version().raw(),
            code.raw(),
        ));
    }
    at_ns::count_here(skb, code);
    Action::unsent(code)
}

/// ICMP other than the answer to a query that arrives by an uplink: an error about what a flow has sent, or the host's.
#[inline(always)]
pub(crate) fn inbound(skb: Skb, l3: usize) -> Action {
    let found = find(skb, l3, Hook::FromUplink);
    if found.version().is_none() {
        return Action::NEXT;
    }
    let code = translate(skb, l3, found, Hook::FromUplink);
    if code == Code::DELIVERED {
        return Action::from_tc_action(fwd_send(skb.ptr(), l3 as u32, found.slot(), found.version().raw(), code.raw()));
    }
    at_uplink::count_here(skb, l3, code);
    Action::unsent(code)
}

/// ICMP other than a query with a container's source, which the kernel forwarded to an uplink. Returns the code of the
/// verdict.
#[inline(always)]
pub(crate) fn forwarded(skb: Skb, l3: usize) -> Code {
    let found = find(skb, l3, Hook::ToUplink);
    if found.version().is_none() {
        return found.code();
    }
    translate(skb, l3, found, Hook::ToUplink)
}

/// An ICMP error of the host itself on its way out by an uplink: about a packet that was translated on its way in, the sender must
/// see the packet it sent. Returns the code of the verdict.
#[inline(always)]
pub(crate) fn of_host(skb: Skb, l3: usize) -> Code {
    let read = fwd_icmp_error_read(skb.ptr(), l3 as u32);
    if read != 0 && read & HEADER_ONLY == 0 {
        return Code::PASS;
    }
    let found = Found(fwd_icmp_error_flow_of_host(read));
    if found.version().is_none() {
        let refuses = found.code() == Code::PASS && read == 0 && fwd_icmp_error_refuses(skb.ifindex()) != 0;
        return if refuses { PuntReason::AsymmetricReply.into() } else { found.code() };
    }
    match fwd_icmp_error_rewrite_embedded(skb.ptr(), found.slot(), found.version().raw(), Direction::Outbound as u32) {
        0 => PuntReason::IcmpError.into(),
        _ => DropReason::Contended.into(),
    }
}

/// The offset of the network header, with a bound for the verifier.
#[inline(always)]
const fn known(l3: u32) -> usize {
    (l3 & 0xf) as usize
}

/// The error that [`fwd_icmp_error_read`] has read.
#[inline(always)]
fn error() -> Option<&'static IcmpError> {
    // SAFETY: this CPU's element, which lives as long as the programs; nobody writes it any more.
    ICMP_ERROR.get_ptr(0).map(|error| unsafe { &*error })
}

/// Above the reason in what [`fwd_icmp_error_read`] returns: the embedded header was read, but not what is behind it.
const HEADER_ONLY: u32 = 1 << 8;

/// Reads the error at `l3` into the map `ICMP_ERROR`. Returns 0, or the code of the reason for which it cannot be translated.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_icmp_error_read(skb: *mut __sk_buff, l3: u32) -> u32 {
    let Some(error) = ICMP_ERROR.get_ptr_mut(0) else { return DropReason::Contended as u32 };
    // SAFETY: this CPU's element; nobody else uses it while the program runs.
    let IcmpError { ip, embedded } = unsafe { &mut *error };
    let bytes = Skb::from_ptr(skb).all_headers();
    match ipv4::parse(&bytes, known(l3)) {
        Ok(header) => *ip = header,
        Err(reason) => return reason as u32,
    }
    match icmp_error::embedded_header(&bytes, ip) {
        Ok(header) => embedded.ip = header,
        Err(reason) => return reason as u32,
    }
    match icmp_error::parse(&bytes, ip, embedded.ip) {
        Ok(whole) => *embedded = whole,
        Err(reason) => return reason as u32 | HEADER_ONLY,
    }
    0
}

/// Finds the flow that an error is about; see [`Found`].
#[inline(always)]
fn find(skb: Skb, l3: usize, hook: Hook) -> Found {
    match fwd_icmp_error_read(skb.ptr(), l3 as u32) {
        0 => Found(fwd_icmp_error_flow(skb.ptr(), hook as u32)),
        refused => Found(u64::from(refused & 0xff)),
    }
}

/// Finds the flow of the error that was read; see [`Found`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_icmp_error_flow(skb: *mut __sk_buff, hook: u32) -> u64 {
    match flow(Skb::from_ptr(skb), Hook::of(hook)) {
        Ok(found) => lookup::packed(found),
        Err(reason) => reason as u64,
    }
}

#[inline(always)]
fn flow(skb: Skb, hook: Hook) -> Result<(u32, FlowVersion), DropReason> {
    let IcmpError { ip, embedded } = error().ok_or(DropReason::Contended)?;
    // What the flow has sent was a request, and what it was sent was a reply. The error is for who sent what it is about.
    if ip.dst != embedded.ip.src || !embedded.is_none_or(hook.direction().is_inbound()) {
        return Err(DropReason::IcmpType);
    }
    let ifindex = match hook {
        Hook::ToUplink => records::host_veth_of(ip.src).ok_or(DropReason::Untranslated)?,
        _ => skb.ifindex(),
    };
    let tuple = embedded.answer(ifindex);
    let hash = lookup::hash(&tuple);
    let (slot, version) = lookup::indexed(hook.direction(), &tuple, hash);
    if version.is_none() {
        return Err(DropReason::IcmpType);
    }
    Ok((slot, version))
}

/// Whether the endpoint behind `host_veth` may send from `addr`.
#[inline(always)]
fn may_send(host_veth: u32, addr: [u8; 4]) -> bool {
    let Some(endpoint) = records::endpoint(host_veth) else { return false };
    let (own, flags) = (endpoint.v4, endpoint.flags);
    addr == own || flags & endpoint_flags::ALLOW_SPOOF != 0
}

/// Translates an error by its flow. Returns the code of the verdict.
#[inline(always)]
fn translate(skb: Skb, l3: usize, found: Found, hook: Hook) -> Code {
    // No sender leaves the checksum of ICMP to a device, which would write over what is about to be looked at.
    if skb.ip_summed() == ip_summed::PARTIAL {
        return DropReason::ChecksumOffload.into();
    }
    if fwd_icmp_error_verify(skb.ptr(), l3 as u32) == 0 {
        return DropReason::Malformed.into();
    }
    let (slot, version) = (found.slot(), found.version().raw());
    // Outbound the kernel gets what it must answer as it was.
    let code = Code::from_raw(fwd_icmp_error_classify(skb.ptr(), l3 as u32, slot, version, hook as u32));
    if code.is_drop() || matches!(hook, Hook::FromNs) && code != Code::FORWARDED {
        return code;
    }
    let direction = hook.direction() as u32;
    let keep_ttl = u32::from(code.is_punt());
    let refused = fwd_icmp_error_rewrite_embedded(skb.ptr(), slot, version, direction)
        | fwd_icmp_error_rewrite_outer(skb.ptr(), l3 as u32, slot, version, direction | keep_ttl << 8);
    if refused == 0 { code } else { DropReason::Contended.into() }
}

/// Whether the error and the header of what it embeds sum up with their checksums (RFC 5508 REQ-3, REQ-3a): 1 if so.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_icmp_error_verify(skb: *mut __sk_buff, l3: u32) -> u32 {
    let bytes = Skb::from_ptr(skb).all_headers();
    let Ok(ip) = ipv4::parse(&bytes, known(l3)) else { return 0 };
    let off = ip.payload_off() as u32;
    let length = u32::from(ip.total_len).wrapping_sub(ip.len as u32);
    let embedded = off.wrapping_add(icmp::LEN as u32);
    let Ok([version_ihl]) = bytes.load::<1>(embedded as usize) else { return 0 };
    let embedded_len = u32::from(version_ihl & 0x0f) << 2;
    u32::from(fwd_verify_checksum(skb, off, length) != 0 && fwd_verify_checksum(skb, embedded, embedded_len) != 0)
}

/// What becomes of an error: the code of the verdict.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_icmp_error_classify(skb: *mut __sk_buff, l3: u32, slot: u32, version: u32, hook: u32) -> u32 {
    let skb = Skb::from_ptr(skb);
    let ip = match ipv4::parse(&skb.headers(), known(l3)) {
        Ok(ip) => ip,
        Err(reason) => return reason as u32,
    };
    let hook = Hook::of(hook);
    let hit = lookup::copy(hook.direction(), slot, FlowVersion::from_raw(version));
    let Some(Hit { out_if, mtu, .. }) = hit else {
        return DropReason::Contended as u32;
    };
    match hook {
        // What the kernel has forwarded comes from the address that the endpoint was found by.
        Hook::FromNs if !may_send(skb.ifindex(), ip.src) => Verdict::Dropped(DropReason::SpoofedSource),
        Hook::FromNs if ip.ttl_expires() => Verdict::Punted(PuntReason::TtlExceeded),
        Hook::FromNs if ip.total_len > mtu => Verdict::Punted(PuntReason::TooBig),
        Hook::FromNs => Verdict::Forwarded,
        Hook::ToUplink if out_if != skb.ifindex() => Verdict::Dropped(DropReason::RouteNotViaUplink),
        Hook::ToUplink => Verdict::Punted(PuntReason::Translated),
        Hook::FromUplink if out_if == 0 => Verdict::Punted(PuntReason::HostFlow),
        Hook::FromUplink if ip.ttl_expires() => Verdict::Punted(PuntReason::TtlExceeded),
        Hook::FromUplink => Verdict::Delivered,
    }
    .code()
    .raw()
}

/// Translates the packet that the error embeds. Returns 0, or 1 if the flow has gone meanwhile.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_icmp_error_rewrite_embedded(skb: *mut __sk_buff, slot: u32, version: u32, direction: u32) -> u32 {
    let bytes = Skb::from_ptr(skb).all_headers();
    let direction = Direction::of(direction);
    let Some(IcmpError { embedded, .. }) = error() else { return 1 };
    // The embedded packet goes the other way.
    let (hit, side) = (lookup::copy(direction, slot, FlowVersion::from_raw(version)), Side::of(direction).opposite());
    let Some(Hit { addr, port, .. }) = hit else { return 1 };
    u32::from(apply::rewrite_embedded(&bytes, &embedded.rewrite(side, addr, port)).is_err())
}

/// Translates the outer header; a bit above the direction in `how` says that the TTL stays. Returns 0, or 1 if the flow has gone meanwhile.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_icmp_error_rewrite_outer(skb: *mut __sk_buff, l3: u32, slot: u32, version: u32, how: u32) -> u32 {
    let bytes = Skb::from_ptr(skb).all_headers();
    let ttl = if how >> 8 == 0 { Ttl::Decrement } else { Ttl::Keep };
    let direction = Direction::of(how & 0xff);
    let hit = lookup::copy(direction, slot, FlowVersion::from_raw(version));
    let Some(Hit { addr, .. }) = hit else { return 1 };
    let side = Side::of(direction);
    let done = ipv4::parse(&bytes, known(l3))
        .and_then(|ip| apply::rewrite_header(&bytes, &HeaderRewrite::new(side, &ip, addr, ttl)));
    u32::from(done.is_err())
}

/// Finds the flow that an error of the host is about, for which [`fwd_icmp_error_read`] returned `read`; see [`Found`]. The code is that of
/// [`Verdict::Pass`] if it is about none of ours.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_icmp_error_flow_of_host(read: u32) -> u64 {
    let Some(IcmpError { embedded, .. }) = error() else { return DropReason::Contended as u64 };
    let embedded_ip = embedded.ip;
    let host_veth = if in_fwd_network(embedded_ip.dst) {
        match records::host_veth_of(embedded_ip.dst) {
            Some(host_veth) => host_veth,
            None => return DropReason::Untranslated as u64,
        }
    } else if in_fwd_network(embedded_ip.src) {
        // What a container sent, and nobody translated: no business of anybody outside.
        return DropReason::Untranslated as u64;
    } else if host_has_flows() {
        0
    } else {
        return Code::PASS.raw().into();
    };
    // Of the host's own conversations most are not translated.
    let otherwise = |reason: u32| u64::from(if host_veth == 0 { Code::PASS.raw() } else { reason });
    if read != 0 {
        return otherwise(read & 0xff);
    }
    let tuple = embedded.answer(host_veth);
    match lookup::indexed(Direction::Outbound, &tuple, lookup::hash(&tuple)) {
        (_, version) if version.is_none() => otherwise(DropReason::Untranslated as u32),
        found => lookup::packed(found),
    }
}

/// Whether an error of the host that was read is about a reply of an endpoint's flow by `uplink`, untranslated: 1 if so. It came in by
/// another interface, or it would have been delivered.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_icmp_error_refuses(uplink: u32) -> u32 {
    let Some(IcmpError { embedded, .. }) = error() else { return 0 };
    let reply = embedded.answer(uplink).answer(uplink);
    let hash = lookup::hash(&reply);
    if !lookup::is_known(hash) {
        return 0;
    }
    let (slot, version) = lookup::indexed(Direction::Inbound, &reply, hash);
    let hit = if version.is_none() { None } else { lookup::copy(Direction::Inbound, slot, version) };
    matches!(hit, Some(Hit { out_if, .. }) if out_if != 0).into()
}
