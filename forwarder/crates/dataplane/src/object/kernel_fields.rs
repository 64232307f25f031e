//! Lets the programs read fields of the packet that the kernel does not show them: whether a transport checksum is whole or will be
//! finished by a device (`skb->ip_summed`), and where that device is going to write. And lets them ask conntrack.
//!
//! With them the programs update checksums themselves, and drop what would have a device write over an address or a port; without
//! they ask `bpf_l4_csum_replace`, twice a packet. The function `bpf_cast_to_kern_ctx` (Linux 6.2) turns the context into the
//! packet, and the kernel's BTF tells where the fields stand. rustc describes no functions that are only declared (there is no BTF
//! of them, by which aya would link them), nor does it relocate fields, so the few instructions are put into the object here, in the
//! place of those that `forwarder-ebpf/src/skb.rs` leaves for them.

use std::{borrow::Cow, fs, sync::OnceLock};

use crate::object::{OBJECT, TRACED_OBJECT, kernel_types::KernelTypes};

/// The kernel's types.
pub(crate) const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// The function that turns the context into the packet.
const CAST: &str = "bpf_cast_to_kern_ctx";

/// Instructions in a place.
const INSTRUCTIONS: usize = 4;
type Code = [u8; 8 * INSTRUCTIONS];

/// What stands in the object: three moves that do nothing, and one of a value.
const SUMMED: Code = place(*b"1MUS", *b"2MUS", *b"3MUS", 4);
const CSUM: Code = place(*b"1MSC", *b"2MSC", *b"3MSC", 0);
const HEADROOM: Code = place(*b"1MOR", *b"2MOR", *b"3MOR", 0);

const fn place(first: [u8; 4], second: [u8; 4], third: [u8; 4], otherwise: u8) -> Code {
    let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) = (first, second, third);
    [
        0xb7, 0, 0, 0, a, b, c, d, //
        0xb7, 0, 0, 0, e, f, g, h, //
        0xb7, 0, 0, 0, i, j, k, l, //
        0xb7, 0, 0, 0, otherwise, 0, 0, 0,
    ]
}

/// The object of the programs, made to fit the running kernel; as it is where the kernel does not tell.
pub(crate) fn object() -> &'static [u8] {
    fitted().unwrap_or(OBJECT)
}

/// The same of the traced programs.
pub(crate) fn traced_object() -> Cow<'static, [u8]> {
    let fit = || Some(put(TRACED_OBJECT, &replacements(&fs::read(KERNEL_TYPES).ok()?)?));
    fit().map_or(Cow::Borrowed(TRACED_OBJECT), Cow::Owned)
}

/// Whether the running kernel lets the programs see what a sender has left to a device.
#[must_use]
pub fn sees_offloads() -> bool {
    fitted().is_some()
}

/// The number of the function that turns the context of a program into the kernel's own, where the kernel has it.
pub(crate) fn cast_function() -> Option<u32> {
    KernelTypes::parse(&fs::read(KERNEL_TYPES).ok()?)?.function(CAST)
}

/// Whether the programs can ask the running kernel's conntrack.
#[must_use]
pub fn asks_conntrack() -> bool {
    fs::read(KERNEL_TYPES)
        .is_ok_and(|types| KernelTypes::parse(&types).is_some_and(|types| conntrack(&types).is_some()))
}

fn fitted() -> Option<&'static [u8]> {
    static FITTED: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let fit = || {
        let types = fs::read(KERNEL_TYPES).ok()?;
        Some(put(OBJECT, &replacements(&types)?))
    };
    FITTED.get_or_init(fit).as_deref()
}

/// One instruction: operation, registers (source, destination), offset, immediate value.
struct Instruction(u8, u8, i16, u32);

/// `r0 = r0`.
const NOTHING: Instruction = Instruction(0xbf, 0x00, 0, 0);

fn code(instructions: impl IntoIterator<Item = Instruction>) -> Vec<u8> {
    let bytes = |Instruction(operation, registers, offset, immediate)| {
        let ([o0, o1], [i0, i1, i2, i3]) = (i16::to_le_bytes(offset), u32::to_le_bytes(immediate));
        [operation, registers, o0, o1, i0, i1, i2, i3]
    };
    instructions.into_iter().flat_map(bytes).collect()
}

/// What is in the object, and what takes its place on a kernel with these types.
fn replacements(types: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let types = KernelTypes::parse(types)?;
    let fields = fields(&types)?.map(|(place, code)| (place.to_vec(), code.to_vec()));
    let hooks = [hooks(&types, "hooks_ipv4", b'4'), hooks(&types, "hooks_ipv6", b'6')];
    Some(fields.into_iter().chain(conntrack(&types)).chain(hooks.into_iter().flatten()).collect())
}

/// What tells whether netfilter has a hook for what the host sends, by an array of a namespace's hooks; its place is that of this `family`.
/// `None` where the kernel has no netfilter.
fn hooks(types: &KernelTypes<'_>, array: &str, family: u8) -> Option<(Vec<u8>, Vec<u8>)> {
    /// `NF_INET_LOCAL_OUT` (include/uapi/linux/netfilter.h).
    const LOCAL_OUT: i16 = 3;
    let byte = |structure: &str, field: &str| i16::try_from(types.field(structure, field)? / 8).ok();
    let (dev, net) = (byte("sk_buff", "dev")?, byte("net_device", "nd_net")?);
    let hooks = byte("net", "nf")?.checked_add(byte("netns_nf", array)?)?.checked_add(LOCAL_OUT * 8)?;
    let instructions = [
        Instruction(0x85, 0x20, 0, types.function(CAST)?), // r0 = bpf_cast_to_kern_ctx(r1)
        Instruction(0x79, 0x00, dev, 0),                   // r0 = *(u64 *)(r0 + dev)
        Instruction(0x79, 0x00, net, 0),                   // r0 = *(u64 *)(r0 + net)
        Instruction(0x79, 0x02, hooks, 0),                 // r2 = *(u64 *)(r0 + hooks)
        Instruction(0xb7, 0x00, 0, 1),                     // r0 = 1
        Instruction(0x55, 0x02, 1, 0),                     // if r2 != 0 goto +1
        Instruction(0xb7, 0x00, 0, 0),                     // r0 = 0
    ];
    let magic = |number: u8| [number, family, b'F', b'N'];
    let mut place = place(magic(b'1'), magic(b'2'), magic(b'3'), 1).to_vec();
    place.extend(code([NOTHING, NOTHING, NOTHING]));
    Some((place, code(instructions)))
}

/// What asks conntrack, where the kernel itself has it: functions of modules would need a descriptor of the module's types.
fn conntrack(types: &KernelTypes<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (look_up, release) = (types.function("bpf_skb_ct_lookup")?, types.function("bpf_ct_release")?);
    let status = i16::try_from(types.field("nf_conn", "status")? / 8).ok()?;
    let instructions = [
        Instruction(0x85, 0x20, 0, look_up), // r0 = bpf_skb_ct_lookup(r1, r2, r3, r4, r5)
        Instruction(0x15, 0x00, 4, 0),       // if r0 == 0 goto +4
        Instruction(0x79, 0x06, status, 0),  // r6 = *(u64 *)(r0 + status)
        Instruction(0xbf, 0x01, 0, 0),       // r1 = r0
        Instruction(0x85, 0x20, 0, release), // bpf_ct_release(r1)
        Instruction(0xbf, 0x60, 0, 0),       // r0 = r6
    ];
    let mut place = place(*b"1KNC", *b"2KNC", *b"3KNC", 0).to_vec();
    place.extend(code([NOTHING, NOTHING]));
    Some((place, code(instructions)))
}

/// The places of fields, and the instructions that read them, each beginning with `r0 = bpf_cast_to_kern_ctx(r1)`.
fn fields(types: &KernelTypes<'_>) -> Option<[(Code, Vec<u8>); 3]> {
    let function = types.function(CAST)?;
    // A call of a function of the kernel (BPF_PSEUDO_KFUNC_CALL).
    let cast = || Instruction(0x85, 0x20, 0, function);
    let byte = |field: &str| {
        let bit = types.field("sk_buff", field)?;
        i16::try_from(bit / 8).ok().filter(|_| bit.is_multiple_of(8))
    };
    let bit = types.field("sk_buff", "ip_summed")?;
    let (summed, shift) = (i16::try_from(bit / 8).ok()?, bit % 8);
    // Both bits lie in one byte.
    if shift > 6 {
        return None;
    }
    // `csum_offset` follows `csum_start`: both are read at once.
    let (start, offset) = (byte("csum_start")?, byte("csum_offset")?);
    if offset != start + 2 {
        return None;
    }
    let summed = [
        cast(),
        Instruction(0x71, 0x00, summed, 0), // r0 = *(u8 *)(r0 + summed)
        Instruction(0x77, 0x00, 0, shift),  // r0 >>= shift
        Instruction(0x57, 0x00, 0, 3),      // r0 &= 3
    ];
    let csum = [cast(), Instruction(0x61, 0x00, start, 0), NOTHING, NOTHING]; // r0 = *(u32 *)(r0 + start)
    let headroom = [
        cast(),
        Instruction(0x79, 0x02, byte("head")?, 0), // r2 = *(u64 *)(r0 + head)
        Instruction(0x79, 0x00, byte("data")?, 0), // r0 = *(u64 *)(r0 + data)
        Instruction(0x1f, 0x20, 0, 0),             // r0 -= r2
    ];
    Some([(SUMMED, code(summed)), (CSUM, code(csum)), (HEADROOM, code(headroom))])
}

/// `object` with instructions in every place for them.
fn put(object: &[u8], replacements: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut object = object.to_vec();
    // Instructions are aligned to eight bytes in the file as well.
    for at in (0..object.len()).step_by(8) {
        let rest = &mut object[at..];
        if let Some((found, code)) = replacements.iter().find(|(found, _)| rest.starts_with(found)) {
            rest[..found.len()].copy_from_slice(code);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(bytes: &[u8], place: &Code) -> usize {
        bytes.windows(place.len()).filter(|window| window == place).count()
    }

    #[test]
    fn the_object_has_places_for_the_fields() {
        let replaced = put(OBJECT, &[SUMMED, CSUM, HEADROOM].map(|place| (place.to_vec(), vec![0; 32])));
        for place in [SUMMED, CSUM, HEADROOM] {
            assert!(count(OBJECT, &place) >= 2, "one in from_ns and one in from_uplink");
            assert_eq!(count(&replaced, &place), 0);
        }
    }

    #[test]
    fn kernel_without_types_leaves_the_object_as_it_is() {
        assert!(replacements(b"no types").is_none());
    }

    #[test]
    fn this_kernel_tells_where_the_fields_stand() {
        let replacements = replacements(&fs::read(KERNEL_TYPES).unwrap()).unwrap();
        assert_eq!(replacements.len(), 3 + 1 + 2, "fields of the packet, conntrack, and hooks of either family");
        for (place, code) in replacements {
            assert_eq!((code[0], code[1], code.len()), (0x85, 0x20, place.len()));
            assert!(OBJECT.windows(place.len()).any(|window| window == place), "{place:?} is in no program");
        }
        assert!(sees_offloads());
    }
}
