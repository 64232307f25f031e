//! The object of the programs that was built into `fwd`.

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fwd-datapath"));

/// Tells the programs of this build from those of others.
pub(super) const OBJECT_HASH: u64 = match u64::from_str_radix(env!("FWD_OBJECT"), 16) {
    Ok(hash) => hash,
    Err(_) => panic!("the build script writes a hexadecimal number"),
};
