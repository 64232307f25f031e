//! Reads a map in a few system calls (`BPF_MAP_LOOKUP_BATCH`, Linux 5.6), which aya does not wrap.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{Pod, maps::MapData};

/// `BPF_MAP_LOOKUP_BATCH` of `enum bpf_cmd` (include/uapi/linux/bpf.h).
const LOOKUP_BATCH: libc::c_long = 24;
/// Entries of the first call. The kernel refuses a batch smaller than a bucket's chain (`ENOSPC`); then it is doubled.
const FIRST: usize = 256;
/// More than any chain of a map of ours.
const LARGEST: usize = 1 << 20;

/// `struct { … } batch` of `union bpf_attr`.
#[repr(C)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// All entries of the hash map or trie `map`, in no order; its keys must have the size of `K`, its values that of `V`. An entry that
/// comes or goes meanwhile may be missing or there twice.
///
/// # Errors
/// `EINVAL` before Linux 5.6, of a trie before 5.17; that the sizes differ, or what else the kernel says.
pub(crate) fn entries<K: Pod, V: Pod>(map: &MapData) -> io::Result<Vec<(K, V)>> {
    let info = map.info().map_err(io::Error::other)?;
    if (info.key_size() as usize, info.value_size() as usize) != (size_of::<K>(), size_of::<V>()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut all = Vec::new();
    let (mut size, mut position) = (FIRST.min(info.max_entries() as usize).max(1), None);
    loop {
        match batch(map, &mut position, size, &mut all) {
            Ok(true) => return Ok(all),
            Ok(false) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && size < LARGEST => size *= 2,
            Err(error) => return Err(error),
        }
    }
}

/// Reads up to `size` entries after `position`, which then is where the next batch begins. Whether they were the last.
fn batch<K: Pod, V: Pod>(
    map: &MapData,
    position: &mut Option<Vec<u8>>,
    size: usize,
    all: &mut Vec<(K, V)>,
) -> io::Result<bool> {
    let mut keys: Vec<MaybeUninit<K>> = vec![const { MaybeUninit::uninit() }; size];
    let mut values: Vec<MaybeUninit<V>> = vec![const { MaybeUninit::uninit() }; size];
    // A hash map's position is the number of a bucket, 4 bytes (`__htab_map_lookup_and_delete_batch` in kernel/bpf/hashtab.c); that of
    // others a key (`generic_map_lookup_batch` in kernel/bpf/syscall.c).
    let (from, mut to) = (position.take(), vec![0_u8; size_of::<K>().max(size_of::<u32>())]);
    let mut attributes = Batch {
        in_batch: from.as_ref().map_or(0, |from| from.as_ptr().expose_provenance() as u64),
        out_batch: to.as_mut_ptr().expose_provenance() as u64,
        keys: keys.as_mut_ptr().expose_provenance() as u64,
        values: values.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(size).unwrap_or(u32::MAX),
        map_fd: map.fd().as_fd().as_raw_fd().unsigned_abs(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `from` and `attributes`, and writes `attributes.count`, a position into `to`, and at most `size` keys and
    // values, whose sizes `entries` has compared with the map's; all of them live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut attributes, size_of::<Batch>()) };
    let error = (result < 0).then(io::Error::last_os_error);
    let last = match error {
        None => false,
        Some(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Some(error) => return Err(error),
    };
    *position = Some(to);
    let read = (attributes.count as usize).min(size);
    all.extend(keys.iter().zip(&values).take(read).map(|(key, value)| {
        // SAFETY: the kernel says that it has written this many keys and values; both are plain data.
        unsafe { (key.assume_init(), value.assume_init()) }
    }));
    Ok(last)
}
