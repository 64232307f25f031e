//! What parser and translator promise for any bytes. Each property is a function that panics where a promise is broken:
//! libFuzzer looks for bytes that break it (`./x fuzz`), and tests run it over the corpus and over random packets.

mod errors;
mod fragments;
mod ipv6;
mod ipv6_nat;
mod parse;
mod seeds;
mod track;
mod translate;

pub use crate::{
    errors::errors,
    fragments::fragments,
    ipv6::ipv6,
    ipv6_nat::{errors_ipv6, translate_ipv6},
    parse::parse,
    seeds::{seeds, seeds_v6},
    track::track,
    translate::{checksums, finish, translate},
};

/// A property, by the name of its target.
pub type Property = fn(&[u8]);

/// Every property.
pub const PROPERTIES: [(&str, Property); 8] = [
    ("parse", parse),
    ("translate", translate),
    ("errors", errors),
    ("fragments", fragments),
    ("track", track),
    ("ipv6", ipv6),
    ("translate_ipv6", translate_ipv6),
    ("errors_ipv6", errors_ipv6),
];

/// The first `N` bytes of `input` and the rest; what is missing is zero.
fn split<const N: usize>(input: &[u8]) -> ([u8; N], &[u8]) {
    let (head, rest) = input.split_at(input.len().min(N));
    let mut parameters = [0; N];
    parameters[..head.len()].copy_from_slice(head);
    (parameters, rest)
}

#[cfg(test)]
mod tests;
