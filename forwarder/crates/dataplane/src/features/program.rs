//! Programs of a few instructions, by which the kernel is asked.

/// `BPF_PROG_TYPE_XDP` of `enum bpf_prog_type` (include/uapi/linux/bpf.h).
pub(super) const XDP: u32 = 6;
/// `BPF_PROG_TYPE_CGROUP_SOCK_ADDR`.
pub(super) const SOCK_ADDR: u32 = 18;

/// One instruction (Documentation/bpf/standardization/instruction-set.rst): operation, destination and source register, offset,
/// immediate value.
pub(super) const fn instruction(operation: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    let registers = (destination | source << 4) as u64;
    operation as u64 | registers << 8 | (offset as u16 as u64) << 16 | (immediate as u32 as u64) << 32
}

/// `exit`.
const EXIT: u64 = instruction(0x95, 0, 0, 0, 0);

/// `rN = value`.
const fn set(register: u8, value: i32) -> u64 {
    instruction(0xb7, register, 0, 0, value)
}

/// `rA = rB`.
const fn copy(to: u8, from: u8) -> u64 {
    instruction(0xbf, to, from, 0, 0)
}

/// `*(u64 *)(r10 + offset) = 0`.
const fn clear(offset: i16) -> u64 {
    instruction(0x7a, 10, 0, offset, 0)
}

/// A call of a function of the kernel by its number in the kernel's types (`BPF_PSEUDO_KFUNC_CALL`).
pub(super) const fn kernel_function(number: i32) -> [u64; 3] {
    [instruction(0x85, 0, 2, 0, number), set(0, 0), EXIT]
}

/// An atomic addition that returns what was there, and a compare-and-exchange, on the stack.
pub(super) const ATOMIC: [u64; 7] = [
    clear(-8),
    set(0, 0),
    set(1, 1),
    instruction(0xdb, 10, 1, -8, 0x01), // BPF_ADD | BPF_FETCH
    instruction(0xdb, 10, 1, -8, 0xf1), // BPF_CMPXCHG
    set(0, 0),
    EXIT,
];

/// Reads from the stack what was never written there.
pub(super) const UNWRITTEN: [u64; 3] = [instruction(0x79, 0, 10, -8, 0), set(0, 0), EXIT];

/// Asks the routing tables about a packet of no family with `flags`: the kernel says EINVAL to flags that it does not know, and
/// EAFNOSUPPORT to the family (`bpf_skb_fib_lookup`, net/core/filter.c).
pub(super) fn route_question(flags: i32) -> Vec<u64> {
    /// `struct bpf_fib_lookup`, bytes.
    const QUESTION: i16 = 64;
    const FIB_LOOKUP: i32 = 69;
    let mut program: Vec<u64> = (1..=QUESTION / 8).map(|word| clear(-8 * word)).collect();
    program.extend([
        copy(2, 10),
        instruction(0x07, 2, 0, 0, -i32::from(QUESTION)),
        set(3, QUESTION.into()),
        set(4, flags),
        instruction(0x85, 0, 0, 0, FIB_LOOKUP),
        EXIT,
    ]);
    program
}

/// A tail call in a program that has a function besides; `map` is the descriptor of an array of programs.
pub(super) const fn tail_call_beside_a_function(map: i32) -> [u64; 11] {
    const TAIL_CALL: i32 = 12;
    [
        copy(6, 1),
        instruction(0x85, 0, 1, 0, 7), // the function, after the first exit
        copy(1, 6),
        instruction(0x18, 2, 1, 0, map), // r2 = the map, in two words
        0,
        set(3, 0),
        instruction(0x85, 0, 0, 0, TAIL_CALL),
        set(0, 0),
        EXIT,
        set(0, 0),
        EXIT,
    ]
}

/// `return 1`: the kernel goes on.
pub(super) const GO_ON: [u64; 2] = [set(0, 1), EXIT];

/// `return XDP_PASS`.
pub(super) const XDP_PASS: [u64; 2] = [set(0, 2), EXIT];
