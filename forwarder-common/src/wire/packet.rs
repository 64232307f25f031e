//! Access to the bytes of a packet, the same for slices and for packets in the kernel.

use crate::types::verdict::DropReason;

/// Offset of the network header behind an Ethernet header, bytes.
pub const L3_OFF: usize = crate::wire::ethernet::LEN;

/// Reads from a packet.
pub trait PacketBytes {
    /// `N` bytes at `off` bytes from the start of the packet.
    ///
    /// # Errors
    /// [`DropReason::Truncated`] if the packet ends before.
    fn load<const N: usize>(&self, off: usize) -> Result<[u8; N], DropReason>;
}

impl PacketBytes for &[u8] {
    #[inline(always)]
    fn load<const N: usize>(&self, off: usize) -> Result<[u8; N], DropReason> {
        self.get(off..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(DropReason::Truncated)
    }
}
