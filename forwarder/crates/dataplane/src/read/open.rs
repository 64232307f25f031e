//! Opens maps as what they are declared to be: nobody can take the records of one for those of another.

use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, Queue},
};
use forwarder_common::abi::{Addr, Prefix, PrefixV6, RoutePrefix};
use fwd_base::{Context as _, Result};

use crate::{Dataplane, object::maps::MapOf};

impl Dataplane {
    pub(crate) fn hash<K: Pod, V: Pod>(&self, map: MapOf<K, V>) -> Result<HashMap<MapData, K, V>> {
        HashMap::try_from(self.map(map)?).doing("open", map)
    }

    pub(crate) fn array<V: Pod>(&self, map: MapOf<u32, V>) -> Result<Array<MapData, V>> {
        Array::try_from(self.map(map)?).doing("open", map)
    }

    pub(crate) fn per_cpu_array<V: Pod>(&self, map: MapOf<u32, V>) -> Result<PerCpuArray<MapData, V>> {
        PerCpuArray::try_from(self.map(map)?).doing("open", map)
    }

    /// Whose keys aya builds from a length and an address.
    pub(crate) fn trie<V: Pod>(&self, map: MapOf<Prefix, V>) -> Result<LpmTrie<MapData, [u8; 4], V>> {
        LpmTrie::try_from(self.map(map)?).doing("open", map)
    }

    pub(crate) fn trie_v6<V: Pod>(&self, map: MapOf<PrefixV6, V>) -> Result<LpmTrie<MapData, Addr, V>> {
        LpmTrie::try_from(self.map(map)?).doing("open", map)
    }

    /// The same, by an interface and an address, both as words of memory.
    pub(crate) fn route_trie<V: Pod>(&self, map: MapOf<RoutePrefix, V>) -> Result<LpmTrie<MapData, [u32; 5], V>> {
        LpmTrie::try_from(self.map(map)?).doing("open", map)
    }

    pub(crate) fn queue<V: Pod>(&self, map: MapOf<(), V>) -> Result<Queue<MapData, V>> {
        Queue::try_from(self.map(map)?).doing("open", map)
    }
}
