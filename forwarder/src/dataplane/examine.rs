//! What only tests look at: whether the maps agree with each other.

use aya::maps::{Array, MapData};

use super::Dataplane;
use crate::{Context as _, Result};

impl Dataplane {
    /// The buckets of hints that hold or count anything ([`forwarder_common::flow::hint`]), by their number.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn hints(&self) -> Result<Vec<(u32, u64)>> {
        let map: Array<MapData, u64> = Array::try_from(self.map("FLOW_HINTS")?).doing("open", "map FLOW_HINTS")?;
        let bucket = |index| Ok((index, map.get(&index, 0).doing("read", "map FLOW_HINTS")?));
        let buckets = (0..map.len()).map(bucket).collect::<Result<Vec<_>>>()?;
        Ok(buckets.into_iter().filter(|(_, bucket)| *bucket != 0).collect())
    }

    /// How many buckets of hints there are.
    ///
    /// # Errors
    /// The map cannot be opened.
    pub fn hint_buckets(&self) -> Result<u32> {
        self.max_entries("FLOW_HINTS")
    }
}
