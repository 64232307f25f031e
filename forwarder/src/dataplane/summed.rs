//! Lets the programs read `skb->ip_summed`: whether a transport checksum is whole or will be finished by a device.
//!
//! With it the programs update checksums themselves; without it they ask `bpf_l4_csum_replace`, twice a packet. The function
//! `bpf_cast_to_kern_ctx` (Linux 6.2) turns the context into the packet, and the kernel's BTF tells where the field stands.
//! aya links neither functions of the kernel nor fields, so the few instructions are put into the object here, in the place of
//! those that `forwarder-ebpf/src/skb.rs` leaves for them.

use std::{borrow::Cow, fs};

use super::{kernel_types::KernelTypes, load::OBJECT};

const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// What stands in the object: three moves that do nothing, and `r0 = 4`, "not known".
const PLACE: [u8; 32] = [
    0xb7, 0, 0, 0, 0x31, 0x4d, 0x55, 0x53, //
    0xb7, 0, 0, 0, 0x32, 0x4d, 0x55, 0x53, //
    0xb7, 0, 0, 0, 0x33, 0x4d, 0x55, 0x53, //
    0xb7, 0, 0, 0, 4, 0, 0, 0,
];

/// The object of the programs, made to fit the running kernel; as it is where the kernel does not tell.
pub(super) fn object() -> Cow<'static, [u8]> {
    match fs::read(KERNEL_TYPES).ok().and_then(|types| instructions(&types)) {
        Some(instructions) => Cow::Owned(put(OBJECT, &instructions)),
        None => Cow::Borrowed(OBJECT),
    }
}

/// The instructions that read the field, on a kernel with these types: `r0 = bpf_cast_to_kern_ctx(r1)`, and the two bits of it.
fn instructions(types: &[u8]) -> Option<[u8; 32]> {
    let types = KernelTypes::parse(types)?;
    let function = types.function("bpf_cast_to_kern_ctx")?;
    let bit = types.field("sk_buff", "ip_summed")?;
    let (byte, shift) = (i16::try_from(bit / 8).ok()?, bit % 8);
    // Both bits lie in one byte.
    if shift > 6 {
        return None;
    }
    let mut code = [0; 32];
    let instructions: [(u8, u8, i16, u32); 4] = [
        (0x85, 0x20, 0, function), // call, of a function of the kernel (BPF_PSEUDO_KFUNC_CALL)
        (0x71, 0x00, byte, 0),     // r0 = *(u8 *)(r0 + byte)
        (0x77, 0x00, 0, shift),    // r0 >>= shift
        (0x57, 0x00, 0, 3),        // r0 &= 3
    ];
    let (places, _) = code.as_chunks_mut::<8>();
    for (place, (opcode, registers, offset, immediate)) in places.iter_mut().zip(instructions) {
        let ([o0, o1], [i0, i1, i2, i3]) = (offset.to_le_bytes(), immediate.to_le_bytes());
        *place = [opcode, registers, o0, o1, i0, i1, i2, i3];
    }
    Some(code)
}

/// `object` with `instructions` in every place for them.
fn put(object: &[u8], instructions: &[u8; 32]) -> Vec<u8> {
    let mut object = object.to_vec();
    // Instructions are aligned to eight bytes in the file as well.
    let (words, _) = object.as_chunks_mut::<8>();
    let mut at = 0;
    while let Some(place) = words.get_mut(at..at + PLACE.len() / 8) {
        if place.as_flattened() == PLACE {
            place.as_flattened_mut().copy_from_slice(instructions);
        }
        at += 1;
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_has_places_for_the_field() {
        let count = |bytes: &[u8]| bytes.windows(PLACE.len()).filter(|window| **window == PLACE).count();
        assert!(count(OBJECT) >= 2, "one in from_ns and one in from_uplink");
        assert_eq!(count(&put(OBJECT, &[0; 32])), 0);
    }

    #[test]
    fn kernel_without_types_leaves_the_object_as_it_is() {
        assert_eq!(instructions(b"no types"), None);
    }

    #[test]
    fn this_kernel_tells_where_the_field_stands() {
        let code = instructions(&fs::read(KERNEL_TYPES).unwrap()).unwrap();
        assert_eq!((code[0], code[1], code[8]), (0x85, 0x20, 0x71));
    }
}
