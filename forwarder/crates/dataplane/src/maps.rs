//! Every map, by the name of its pin: its type and what it is for, a row a map. A test compares them with the built-in object.

use std::fmt;

use aya::maps::MapType;

/// The name of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MapName(&'static str);

impl MapName {
    /// As it is pinned.
    pub(super) const fn as_str(self) -> &'static str {
        self.0
    }
}

/// In words: `map CONFIG`.
impl fmt::Display for MapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "map {}", self.0)
    }
}

impl From<MapName> for String {
    fn from(name: MapName) -> Self {
        name.to_string()
    }
}

/// What a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A record of the control plane, whatever forwards the packets.
    Record,
    /// What the programs remember from packet to packet.
    FlowTable,
    /// What a program works with while it runs.
    Scratch,
    /// Where a packet may go on to.
    Targets,
}

/// A map of the built-in object.
#[derive(Debug)]
struct Declared {
    name: MapName,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the loader takes it from the object, which the test compares with")
    )]
    kind: MapType,
    role: Role,
}

/// Declares a constant for each map, and the list of all.
macro_rules! maps {
    ($($role:ident { $($(#[doc = $doc:literal])* $name:ident: $kind:ident,)* })*) => {
        $($($(#[doc = $doc])* pub(super) const $name: MapName = MapName(stringify!($name));)*)*

        /// Every map, those of the control plane first.
        const DECLARED: &[Declared] =
            &[$($(Declared { name: $name, kind: MapType::$kind, role: Role::$role },)*)*];
    };
}

maps! {
    Record {
        /// Interfaces that are still the ones that records are about. First of all: with it everybody can tell when a host is gone.
        DEVICES: DevMapHash,
        /// Settings.
        CONFIG: Array,
        /// Host-side veth → endpoint.
        ENDPOINTS: Hash,
        /// Host-side veths, by the low bits of their numbers.
        HOST_VETHS: Array,
        /// Address of an endpoint → its host-side veth.
        ADDRESSES: Hash,
        /// Bridge → network.
        NETWORKS: Hash,
        /// Prefix → bridge of the network.
        SUBNETS: LpmTrie,
        /// Interface → uplink.
        UPLINKS: Hash,
        /// Verdicts by interface.
        COUNTERS: Array,
        /// Common verdicts by interface and CPU.
        TRAFFIC: PerCpuArray,
    }
    FlowTable {
        /// Prefix → MTU of a route.
        ROUTE_MTUS: LpmTrie,
        /// Tuple → slot.
        FLOW_INDEX: Hash,
        /// Flows.
        FLOW_SLOTS: Array,
        /// Hash of a tuple → slot.
        FLOW_CACHE: Array,
        /// Slots that are free again.
        FLOW_FREE: Queue,
        /// The first slot that was never used.
        FLOW_ALLOC: Array,
        /// Searches for ports, by their length.
        PORT_RETRIES: PerCpuArray,
        /// Destinations towards which no port was free a moment ago.
        PORTS_EXHAUSTED: Array,
        /// Socket inside → its external port.
        MAPPINGS: Hash,
        /// External port → its socket inside.
        EXTERNAL: Hash,
        /// Who uses a port, and how.
        PORT_USE: Array,
        /// Numbers of flows by endpoint.
        ENDPOINT_FLOWS: Array,
        /// The timer that ends idle flows.
        EXPIRY_TIMER: Array,
        /// Packets of which fragments came.
        FRAGMENTS: Array,
    }
    Scratch {
        /// A flow that is being made.
        OPENING: PerCpuArray,
        /// A search for a port.
        SEARCH: PerCpuArray,
        /// A reply's tuple.
        REPLY: PerCpuArray,
        /// The tuple of a packet from outside.
        INBOUND: PerCpuArray,
        /// An ICMP error.
        ICMP_ERROR: PerCpuArray,
        /// A question about a route.
        FIB_QUERY: PerCpuArray,
    }
    Targets {
        /// Interfaces that XDP may send by.
        XDP_TARGETS: DevMapHash,
        /// The programs of the slow paths.
        SLOW_PATH: ProgramArray,
    }
}

/// The names of all maps.
pub(super) fn all() -> impl Iterator<Item = MapName> {
    DECLARED.iter().map(|map| map.name)
}

/// The maps that are records of the control plane; `DEVICES` is the first.
pub(super) fn records() -> impl Iterator<Item = MapName> {
    DECLARED.iter().filter(|map| map.role == Role::Record).map(|map| map.name)
}

/// The names of the pins of the records.
pub fn record_pins() -> impl Iterator<Item = &'static str> {
    records().map(MapName::as_str)
}

/// The maps that only the programs use.
pub(super) fn of_programs() -> impl Iterator<Item = MapName> {
    DECLARED.iter().filter(|map| map.role != Role::Record).map(|map| map.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::object::OBJECT;

    #[test]
    fn maps_are_those_of_the_object() {
        let object = aya_obj::Object::parse(OBJECT).unwrap();
        // Globals and constants are maps of their own.
        let maps = object.maps.iter().filter(|(name, _)| !name.starts_with('.'));
        let found: BTreeMap<&str, u32> = maps.map(|(name, map)| (name.as_str(), map.map_type())).collect();
        let declared: BTreeMap<&str, u32> = DECLARED.iter().map(|map| (map.name.as_str(), map.kind as u32)).collect();
        assert_eq!(declared, found);
        assert_eq!(declared.len(), DECLARED.len(), "each is declared once");
        assert_eq!(records().next(), Some(DEVICES));
    }
}
