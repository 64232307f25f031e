//! The maps by what they are for. What they are called, and what is in them, is declared in [`forwarder_common::abi::maps`]; a test compares
//! that with the built-in object.

use aya_obj::generated::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
pub(crate) use forwarder_common::abi::maps::*;

/// The names of all maps.
pub(crate) fn all() -> impl Iterator<Item = MapName> {
    MAPS.iter().map(|map| map.name)
}

/// The maps that are records of the control plane; `DEVICES` is the first.
pub(crate) fn records() -> impl Iterator<Item = &'static Map> {
    MAPS.iter().filter(|map| map.role.is_of_records())
}

/// A record's map, as it is made: the object says the same of those that programs have, but takes milliseconds to read.
pub(crate) fn record(declared: &Map) -> aya_obj::Map {
    // Elements are made when they are needed: few hosts need many.
    let flags = if matches!(declared.kind, MapKind::Hash | MapKind::LpmTrie) { BPF_F_NO_PREALLOC } else { 0 };
    made(declared, declared.entries as u32, flags)
}

/// The maps that take most of the memory, likewise, for a table of so many slots.
pub(crate) fn large(slots: u32) -> impl Iterator<Item = (MapName, aya_obj::Map)> {
    let large = [
        (FLOW_SLOTS.name(), slots, BPF_F_MMAPABLE),
        // Both directions of every flow.
        (FLOW_INDEX.name(), (slots - 1).saturating_mul(2), 0),
    ];
    let declared = |name| MAPS.iter().find(|map| map.name == name);
    large.into_iter().filter_map(move |(name, entries, flags)| Some((name, made(declared(name)?, entries, flags))))
}

fn made(declared: &Map, entries: u32, flags: u32) -> aya_obj::Map {
    let [key, value] = [declared.key_size, declared.value_size].map(|size| size as u32);
    aya_obj::Map::new_from_params(declared.kind as u32, key, value, entries, flags)
}

/// The names of the pins of the records.
pub fn record_pins() -> impl Iterator<Item = &'static str> {
    records().map(|map| map.name.as_str())
}

/// The maps that only the programs use.
pub(crate) fn of_programs() -> impl Iterator<Item = MapName> {
    MAPS.iter().filter(|map| !map.role.is_of_records()).map(|map| map.name)
}

/// The maps that only the programs of IPv6 use.
pub(crate) fn of_ipv6() -> impl Iterator<Item = MapName> {
    MAPS.iter().filter(|map| map.role == Role::Ipv6).map(|map| map.name)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::object::{OBJECT, TRACED_OBJECT};

    /// Type, size of a key, size of a value, elements: none where the loader sets them.
    type Shape = (u32, u32, u32, Option<u32>);

    fn declared(map: &Map) -> Shape {
        let [key, value, entries] =
            [map.key_size, map.value_size, map.entries].map(|size| u32::try_from(size).expect("small"));
        (map.kind as u32, key, value, (entries != 0).then_some(entries))
    }

    #[test]
    fn maps_are_those_of_the_object() {
        let names: BTreeSet<&str> = MAPS.iter().map(|map| map.name.as_str()).collect();
        assert_eq!(names.len(), MAPS.len(), "each is declared once");
        let of_programs = MAPS.iter().filter(|map| map.role != Role::Userspace);
        let all: BTreeMap<&str, Shape> = of_programs.map(|map| (map.name.as_str(), declared(map))).collect();
        assert_eq!(records().next().map(|map| map.name), Some(DEVICES.name()));
        for object in [OBJECT, TRACED_OBJECT] {
            let object = aya_obj::Object::parse(object).unwrap();
            // Globals and constants are maps of their own; the ring buffer lives as long as `fwd trace`.
            let maps = object.maps.iter().filter(|(name, _)| !name.starts_with('.') && !name.starts_with("TRACE"));
            let found: BTreeMap<&str, Shape> = maps
                .map(|(name, map)| {
                    let is_fixed = all.get(name.as_str()).is_some_and(|(.., entries)| entries.is_some());
                    let entries = is_fixed.then(|| map.max_entries());
                    (name.as_str(), (map.map_type(), map.key_size(), map.value_size(), entries))
                })
                .collect();
            assert_eq!(found, all);
        }
    }

    #[test]
    fn maps_are_made_as_the_object_has_them() {
        let object = aya_obj::Object::parse(OBJECT).unwrap();
        let large: Vec<_> = large(131_073).collect();
        assert_eq!(large.len(), 2);
        for (name, made) in large {
            let found = &object.maps[name.as_str()];
            let shape = |map: &aya_obj::Map| (map.map_type(), map.key_size(), map.value_size(), map.map_flags());
            assert_eq!(shape(&made), shape(found), "{name}");
        }
        for declared in records().filter(|map| map.role != Role::Userspace) {
            let (made, found) = (record(declared), &object.maps[declared.name.as_str()]);
            let shape = |map: &aya_obj::Map| (map.map_type(), map.key_size(), map.value_size(), map.max_entries());
            assert_eq!((shape(&made), made.map_flags()), (shape(found), found.map_flags()), "{}", declared.name);
        }
    }
}
