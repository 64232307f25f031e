//! The bytes of a packet wherever they are, read by a helper: for headers that lie behind one another, of which the verifier would follow
//! every order.

use forwarder_common::{types::verdict::DropReason, wire::packet::PacketBytes};

use crate::kernel::packet::skb::Skb;

/// A packet, of which nothing has to be linear.
#[derive(Clone, Copy)]
pub(crate) struct Anywhere(pub(crate) Skb);

impl PacketBytes for Anywhere {
    #[inline(always)]
    fn load<const N: usize>(&self, off: usize) -> Result<[u8; N], DropReason> {
        let mut bytes = [0; N];
        if self.0.copy(off as u32, &mut bytes, N as u32) { Ok(bytes) } else { Err(DropReason::Truncated) }
    }
}
