//! The version of all that outlives a program: what the maps are called, and how their records are laid out.

use core::fmt;

use super::{layout::Hash, maps::MAPS};

/// What the fields mean: to be raised when that changes while every layout stays, as the number of a state or a bit of flags does.
pub const ABI_REVISION: u64 = 1;

/// Version of every map and of every record in them: another one as soon as a declaration changes.
pub const ABI_VERSION: AbiVersion = AbiVersion::of(ABI_REVISION, MAPS);

/// A version, shown as `v` and eight hexadecimal digits: the name of the directory of pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbiVersion(u32);

impl AbiVersion {
    const fn of(revision: u64, mut maps: &[super::maps::Map]) -> Self {
        let mut hash = Hash::EMPTY.number(revision).number(cfg!(target_endian = "big") as u64);
        while let [map, rest @ ..] = maps {
            hash = hash.text(map.name.as_str()).number(map.kind as u64).number(map.entries as u64);
            hash = hash.field("key", map.key_size, map.key).field("value", map.value_size, map.value);
            maps = rest;
        }
        let hash = hash.raw();
        Self((hash ^ (hash >> 32)) as u32)
    }

    /// As an integer.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString as _, vec::Vec};

    use super::*;
    use crate::abi::{
        Layout,
        maps::{Map, MapKind, Role},
        record::record,
    };

    record! {
        struct Sample {
            number: u32,
            halves: [u16; 2],
        }
    }

    const fn map<K: Layout, V: Layout>(name: &'static str, kind: MapKind, entries: usize) -> Map {
        Map::new::<K, V>(name, Role::Record, kind, entries)
    }

    fn version(maps: &[Map]) -> u32 {
        AbiVersion::of(0, maps).raw()
    }

    /// The layout of a record that is declared so.
    macro_rules! layout {
        ($name:ident { $($field:ident: $type:ty),* }) => {{
            mod other {
                crate::abi::record::record! {
                    pub(super) struct $name {
                        $($field: $type,)*
                    }
                }
            }
            <other::$name as Layout>::LAYOUT
        }};
    }

    #[test]
    fn every_change_of_a_record_changes_its_layout() {
        assert_eq!(layout!(Sample { number: u32, halves: [u16; 2] }), Sample::LAYOUT, "the same again");
        let others = [
            layout!(Simple { number: u32, halves: [u16; 2] }),
            layout!(Sample { amount: u32, halves: [u16; 2] }),
            layout!(Sample { number: [u8; 4], halves: [u16; 2] }),
            layout!(Sample { halves: [u16; 2], number: u32 }),
            layout!(Sample { number: u32, halves: [u8; 4] }),
            layout!(Sample { number: u32, halves: [u16; 4] }),
            layout!(Sample { number: u32, halves: [u16; 2], more: u32 }),
            layout!(Sample { number: u32 }),
        ];
        for (at, layout) in others.iter().enumerate() {
            assert_ne!(*layout, Sample::LAYOUT, "number {at}");
            assert!(!others[..at].contains(layout), "number {at}");
        }
    }

    #[test]
    fn every_change_of_a_map_changes_the_version() {
        let all: Vec<u32> = [
            &[map::<u32, Sample>("SAMPLES", MapKind::Hash, 7)][..],
            &[map::<u32, Sample>("EXAMPLES", MapKind::Hash, 7)],
            &[map::<u32, Sample>("SAMPLES", MapKind::Array, 7)],
            &[map::<u32, Sample>("SAMPLES", MapKind::Hash, 8)],
            &[map::<u64, Sample>("SAMPLES", MapKind::Hash, 7)],
            &[map::<u32, u64>("SAMPLES", MapKind::Hash, 7)],
            &[map::<u32, Sample>("SAMPLES", MapKind::Hash, 7), map::<u32, u32>("MORE", MapKind::Array, 0)],
            &[],
        ]
        .map(version)
        .into();
        for (at, one) in all.iter().enumerate() {
            assert!(!all[..at].contains(one), "number {at}");
        }
        assert_ne!(AbiVersion::of(0, MAPS), AbiVersion::of(1, MAPS), "what fields mean");
    }

    /// Whoever compiles it, and wherever: `fwd` finds the pins of its like. (But for a machine of the other byte order.)
    #[cfg(target_endian = "little")]
    #[test]
    fn same_declaration_has_the_same_version_everywhere() {
        assert_eq!(Sample::LAYOUT.raw(), 0xf91f_d371_e94d_4053);
        assert_eq!(version(&[map::<u32, Sample>("SAMPLES", MapKind::Hash, 7)]), 0xd07a_dcd5);
    }

    #[test]
    fn version_is_short_and_has_always_the_same_length() {
        assert_eq!(AbiVersion(0xbeef).to_string(), "v0000beef");
        assert_eq!(ABI_VERSION.to_string().len(), 9);
    }
}
