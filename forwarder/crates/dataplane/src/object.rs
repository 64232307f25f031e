//! The objects of the programs that were built into `fwd`.

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fwd-datapath"));
/// The same programs, which tell of each packet: see [`trace`](super::trace).
pub(super) static TRACED_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fwd-datapath-traced"));

/// Tells the programs of this build from those of others.
pub(super) const OBJECT_HASH: u64 = hash(env!("FWD_OBJECT"));
/// The same of the traced ones.
pub(super) const TRACED_HASH: u64 = hash(env!("FWD_TRACED_OBJECT"));

const fn hash(hexadecimal: &str) -> u64 {
    match u64::from_str_radix(hexadecimal, 16) {
        Ok(hash) => hash,
        Err(_) => panic!("the build script writes a hexadecimal number"),
    }
}
