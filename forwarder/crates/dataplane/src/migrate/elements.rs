//! Elements of a pinned map as bytes, whatever it declares: what another version has pinned.

use std::{collections::HashSet, path::Path};

use aya::maps::MapData;

use crate::{bpf, object::maps::MapKind};
use fwd_base::{Context as _, Error, Kind, Result};

/// A pinned map.
#[derive(Debug)]
pub(crate) struct Elements {
    data: MapData,
    name: String,
    /// Bytes of a key.
    key: usize,
    /// Bytes of a value; of one with an element for each CPU, of all of them.
    value: usize,
    kind: u32,
}

/// A key and its value.
pub(crate) type Element = (Vec<u8>, Vec<u8>);

/// Bytes between the elements of two CPUs (`round_up(size, 8)`, kernel/bpf/arraymap.c).
pub(crate) fn stride(size: usize) -> usize {
    size.next_multiple_of(8)
}

impl Elements {
    /// Opens the map that is pinned at `path`.
    ///
    /// # Errors
    /// It is not there, or no map.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = format!("map {}", path.display());
        let data = MapData::from_pin(path).doing("open", &*name)?;
        let info = data.info().doing("look at", &*name)?;
        let (key, size, kind) =
            (info.key_size() as usize, info.value_size() as usize, info.map_type().doing("look at", &*name)? as u32);
        let value = if kind == MapKind::PerCpuArray as u32 {
            let cpus = aya::util::nr_cpus()
                .map_err(|(what, error)| Error::new(Kind::Failed, "count", "CPUs", format!("{what}: {error}")))?;
            stride(size) * cpus.get() as usize
        } else {
            size
        };
        Ok(Self { data, name, key, value, kind })
    }

    /// All elements, in no order.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn all(&self) -> Result<Vec<Element>> {
        let (mut all, mut last): (Vec<Element>, Option<Vec<u8>>) = (Vec::new(), None);
        loop {
            let mut key = vec![0; self.key];
            let more = bpf::next_key(self.data.fd(), last.as_deref(), &mut key).doing("read", &*self.name)?;
            if !more {
                return Ok(all);
            }
            let mut value = vec![0; self.value];
            // One that has gone meanwhile is none of them.
            if bpf::element(self.data.fd(), &key, &mut value).doing("read", &*self.name)? {
                all.push((key.clone(), value));
            }
            last = Some(key);
        }
    }

    /// Makes these the elements of the map, and no others. Those of an array that are not named stay.
    ///
    /// # Errors
    /// One is of another size, there is no room, or the kernel refuses.
    pub(crate) fn replace(&self, elements: &[Element]) -> Result<()> {
        let is_array = [MapKind::Array as u32, MapKind::PerCpuArray as u32].contains(&self.kind);
        if !is_array {
            let keep: HashSet<&[u8]> = elements.iter().map(|(key, _)| key.as_slice()).collect();
            for (key, _) in self.all()?.iter().filter(|(key, _)| !keep.contains(key.as_slice())) {
                bpf::delete_element(self.data.fd(), key).doing("write", &*self.name)?;
            }
        }
        for (key, value) in elements {
            if (key.len(), value.len()) != (self.key, self.value) {
                return Err(Error::new(Kind::Failed, "write", &*self.name, "an element is of another size"));
            }
            bpf::update_element(self.data.fd(), key, value).doing("write", &*self.name)?;
        }
        Ok(())
    }
}
