//! The objects of the programs that were built into `fwd`.

pub(crate) mod kernel_fields;
pub(crate) mod kernel_types;
pub(crate) mod maps;
pub(crate) mod programs;

pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fwd-datapath"));
/// The same programs, which tell of each packet: see [`trace`](crate::load::trace).
pub(crate) static TRACED_OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fwd-datapath-traced"));

/// Tells the programs of this build from those of others.
pub(crate) const OBJECT_HASH: u64 = hash(env!("FWD_OBJECT"));
/// The same of the traced ones.
pub(crate) const TRACED_HASH: u64 = hash(env!("FWD_TRACED_OBJECT"));

const fn hash(hexadecimal: &str) -> u64 {
    match u64::from_str_radix(hexadecimal, 16) {
        Ok(hash) => hash,
        Err(_) => panic!("the build script writes a hexadecimal number"),
    }
}
