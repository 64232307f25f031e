//! Packets of a namespace that the host would send by an interface that no program guards: the kernel must not see them, and would send
//! them untranslated. Their sender is told here: see [`forwarder_common::decide::icmp_error::notice`].

use forwarder_common::{
    decide::icmp_error::notice::{self, Ends, Told},
    wire::packet::L3_OFF,
};

use crate::{
    kernel::{maps::NOTICE, packet::skb::Skb, records, scratch::scratch},
    path::apply::Action,
};

/// Who is told about a packet that came in by a host-side veth, and by whom.
#[inline(always)]
pub(crate) fn ends(skb: Skb) -> Option<Ends> {
    let endpoint = records::endpoint(skb.ifindex())?;
    let network = records::network(endpoint.network)?;
    Some(Ends { mac: endpoint.mac, gateway_mac: endpoint.gateway_mac, gateway: network.gateway_v4 })
}

/// Tells its sender, who may not be told about every packet; it is not sent in any case.
#[inline(always)]
pub(crate) fn refuse(skb: Skb) -> Action {
    if fwd_tell_prohibited(skb) { Action::device(skb.ifindex()) } else { Action::DROP }
}

global_fn! {
    /// See [`tell`].
    fn fwd_tell_prohibited(skb: Skb) -> bool = tell;
}

/// Makes of the packet what its sender is to be told. Whether it is that now.
#[inline(always)]
fn tell(skb: Skb) -> bool {
    let (Some(notice), Some(ends)) = (scratch(&NOTICE), ends(skb)) else { return false };
    notice.embedded = [0; notice::EMBEDDED];
    let copied = skb.copy(L3_OFF as u32, &mut notice.embedded, notice::EMBEDDED_SHORT as u32);
    if !copied || !notice::may_tell_short(&notice.embedded) {
        return false;
    }
    notice.complete(&ends, Told::Prohibited);
    let Some(frame) = notice.as_short_frame() else { return false };
    skb.cut(notice::LEN_SHORT as u32) && skb.write(0, frame)
}
