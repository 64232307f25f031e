//! Reads a map in a few system calls (`BPF_MAP_LOOKUP_BATCH`, Linux 5.6), which aya does not wrap.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{Pod, maps::MapData};

/// `BPF_MAP_LOOKUP_BATCH` of `enum bpf_cmd` (include/uapi/linux/bpf.h).
const LOOKUP_BATCH: libc::c_long = 24;
/// Entries of the first call, of large values fewer. The kernel refuses a batch smaller than a bucket's chain (`ENOSPC`); then it is doubled.
const FIRST: usize = 256;
const FEWEST: usize = 32;
/// What the values of the first call take: memory that is touched for the first time costs more than the call.
const FIRST_BYTES: usize = 256 << 10;
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
    let mut all = Vec::new();
    each(map, |key: &K, value: &V| all.push((*key, *value)))?;
    Ok(all)
}

/// As [`entries`], one after another: of large values no more are in memory at once than one call reads.
///
/// # Errors
/// As [`entries`]; of an `EINVAL` nothing was read before.
pub(crate) fn each<K: Pod, V: Pod>(map: &MapData, mut read: impl FnMut(&K, &V)) -> io::Result<()> {
    let info = map.info().map_err(io::Error::other)?;
    if (info.key_size() as usize, info.value_size() as usize) != (size_of::<K>(), size_of::<V>()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let first = (FIRST_BYTES / size_of::<V>().max(1)).clamp(FEWEST, FIRST);
    let (mut size, mut position) = (first.min(info.max_entries() as usize).max(1), None);
    let (mut keys, mut values): (Vec<K>, Vec<V>) = (Vec::new(), Vec::new());
    loop {
        keys.reserve(size);
        values.reserve(size);
        let room = (&mut keys.spare_capacity_mut()[..size], &mut values.spare_capacity_mut()[..size]);
        match batch(map, &mut position, room, &mut read) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && size < LARGEST => size *= 2,
            Err(error) => return Err(error),
        }
    }
}

/// Reads as many entries after `position` as there is room for; `position` then is where the next batch begins. Whether they were the last.
fn batch<K: Pod, V: Pod>(
    map: &MapData,
    position: &mut Option<Vec<u8>>,
    (keys, values): (&mut [MaybeUninit<K>], &mut [MaybeUninit<V>]),
    read: &mut impl FnMut(&K, &V),
) -> io::Result<bool> {
    let size = keys.len().min(values.len());
    // A hash map's position is the number of a bucket, 4 bytes (`__htab_map_lookup_and_delete_batch` in kernel/bpf/hashtab.c); that of
    // others a key (`generic_map_lookup_batch` in kernel/bpf/syscall.c).
    let mut to = vec![0_u8; size_of::<K>().max(size_of::<u32>())];
    let mut attributes = Batch {
        in_batch: position.as_ref().map_or(0, |from| from.as_ptr().expose_provenance() as u64),
        out_batch: to.as_mut_ptr().expose_provenance() as u64,
        keys: keys.as_mut_ptr().expose_provenance() as u64,
        values: values.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(size).unwrap_or(u32::MAX),
        map_fd: map.fd().as_fd().as_raw_fd().unsigned_abs(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `position` and `attributes`, and writes `attributes.count`, a position into `to`, and at most `size` keys and
    // values, whose sizes `each` has compared with the map's; all of them live until the call returns.
    let result = unsafe { libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut attributes, size_of::<Batch>()) };
    let error = (result < 0).then(io::Error::last_os_error);
    let last = match error {
        None => false,
        Some(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Some(error) => return Err(error),
    };
    *position = Some(to);
    for (key, value) in keys.iter().zip(values.iter()).take(attributes.count as usize) {
        // SAFETY: the kernel says that it has written this many keys and values; both are plain data.
        let (key, value) = unsafe { (key.assume_init_ref(), value.assume_init_ref()) };
        read(key, value);
    }
    Ok(last)
}
