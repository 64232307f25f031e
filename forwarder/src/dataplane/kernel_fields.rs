//! Lets the programs read fields of the packet that the kernel does not show them: whether a transport checksum is whole or will be
//! finished by a device (`skb->ip_summed`), and where that device is going to write.
//!
//! With them the programs update checksums themselves, and drop what would have a device write over an address or a port; without
//! they ask `bpf_l4_csum_replace`, twice a packet. The function `bpf_cast_to_kern_ctx` (Linux 6.2) turns the context into the
//! packet, and the kernel's BTF tells where the fields stand. rustc describes no functions that are only declared (there is no BTF
//! of them, by which aya would link them), nor does it relocate fields, so the few instructions are put into the object here, in the
//! place of those that `forwarder-ebpf/src/skb.rs` leaves for them.

use std::{fs, sync::OnceLock};

use super::{kernel_types::KernelTypes, load::OBJECT};

const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

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
pub(super) fn object() -> &'static [u8] {
    fitted().unwrap_or(OBJECT)
}

/// Whether the running kernel lets the programs see what a sender has left to a device.
#[must_use]
pub fn sees_offloads() -> bool {
    fitted().is_some()
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

fn code(instructions: [Instruction; INSTRUCTIONS]) -> Code {
    let mut code = [0; 8 * INSTRUCTIONS];
    let (places, _) = code.as_chunks_mut::<8>();
    for (place, Instruction(operation, registers, offset, immediate)) in places.iter_mut().zip(instructions) {
        let ([o0, o1], [i0, i1, i2, i3]) = (offset.to_le_bytes(), immediate.to_le_bytes());
        *place = [operation, registers, o0, o1, i0, i1, i2, i3];
    }
    code
}

/// What is in the object, and the instructions that read the field on a kernel with these types, each beginning with
/// `r0 = bpf_cast_to_kern_ctx(r1)`.
fn replacements(types: &[u8]) -> Option<[(Code, Code); 3]> {
    let types = KernelTypes::parse(types)?;
    let function = types.function("bpf_cast_to_kern_ctx")?;
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
fn put(object: &[u8], replacements: &[(Code, Code)]) -> Vec<u8> {
    let mut object = object.to_vec();
    // Instructions are aligned to eight bytes in the file as well.
    let (words, _) = object.as_chunks_mut::<8>();
    let mut at = 0;
    while let Some(place) = words.get_mut(at..at + INSTRUCTIONS) {
        if let Some((_, code)) = replacements.iter().find(|(found, _)| place.as_flattened() == found) {
            place.as_flattened_mut().copy_from_slice(code);
        }
        at += 1;
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
        let replaced = put(OBJECT, &[SUMMED, CSUM, HEADROOM].map(|place| (place, [0; 32])));
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
        for (_, code) in replacements {
            assert_eq!((code[0], code[1]), (0x85, 0x20));
        }
        assert!(sees_offloads());
    }
}
