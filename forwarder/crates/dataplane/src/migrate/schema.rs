//! How the maps of a version are laid out, in words: pinned beside them, so that a later version can read what it does not declare itself.

use std::path::Path;

use forwarder_common::abi::{ABI_REVISION, Field, Hash, maps::Map};
use serde::{Deserialize, Serialize};

use crate::{Dataplane, bpf, migrate::elements::Elements, object::maps};
use fwd_base::{Context as _, Result};

/// The pin, among the directories of a version.
pub(crate) const PIN: &str = "schema";
/// Version of this document. Keys may be added; another meaning is another version.
const FORMAT: u32 = 1;
/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = maps::MapKind::Array as u32;

/// All maps of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schema {
    format: u32,
    /// What fields mean: compared, because no document says it.
    revision: u64,
    big_endian: bool,
    pub(crate) maps: Vec<MapSchema>,
}

/// A map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MapSchema {
    pub(crate) name: String,
    /// Number of its type (`enum bpf_map_type`).
    pub(crate) kind: u32,
    /// Elements; 0 where that is decided when the programs are loaded.
    pub(crate) entries: u64,
    /// It is a record of the control plane, which nobody can make anew.
    pub(crate) is_record: bool,
    pub(crate) key: Record,
    pub(crate) value: Record,
}

/// A key or a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Bytes.
    pub(crate) size: usize,
    /// Hash of its declaration.
    pub(crate) layout: u64,
    /// Empty where it is no record, but integers.
    pub(crate) fields: Vec<FieldSchema>,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FieldSchema {
    pub(crate) name: String,
    /// Bytes before it.
    pub(crate) offset: usize,
    /// Bytes.
    pub(crate) size: usize,
    /// Hash of its type's declaration.
    pub(crate) layout: u64,
    /// What it has several of, if it is an array; the first versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) element: Option<ElementSchema>,
}

/// What an array has several of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ElementSchema {
    /// Bytes.
    pub(crate) size: usize,
    /// Hash of its type's declaration.
    pub(crate) layout: u64,
}

impl FieldSchema {
    /// Whether both are arrays of the same, of whatever length, which go by their places: counters or records. Single bytes are names and addresses,
    /// which mean nothing else without their ends.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let element = self.element.or(other.element).filter(|element| element.size >= size_of::<u64>());
        let is_of = |element: ElementSchema, field: &Self| {
            let length = (field.size / element.size) as u64;
            field.size.is_multiple_of(element.size)
                && Hash::from_raw(element.layout).array(length).raw() == field.layout
        };
        element.is_some_and(|element| is_of(element, self) && is_of(element, other))
    }
}

impl Schema {
    /// That of this build.
    pub(crate) fn own() -> Self {
        let maps = maps::MAPS.iter().map(MapSchema::of).collect();
        Self { format: FORMAT, revision: ABI_REVISION, big_endian: cfg!(target_endian = "big"), maps }
    }

    /// Whether fields of the same name and type mean the same in both.
    pub(crate) fn is_comparable(&self, other: &Self) -> bool {
        (self.format, self.revision, self.big_endian) == (other.format, other.revision, other.big_endian)
    }

    /// The one that is pinned in the directory of a version; none where that version did not pin one, or pinned what is not read here.
    pub(crate) fn pinned(dir: &Path) -> Option<Self> {
        let elements = Elements::open(&dir.join(PIN)).ok()?;
        let (_, text) = elements.all().ok()?.into_iter().next()?;
        let end = text.iter().rposition(|byte| *byte != 0)? + 1;
        serde_json::from_slice(text.get(..end)?).ok()
    }
}

impl MapSchema {
    fn of(map: &Map) -> Self {
        Self {
            name: map.name.as_str().into(),
            kind: map.kind as u32,
            entries: map.entries as u64,
            is_record: map.role.is_of_records(),
            key: Record::of(map.key_size, map.key.raw(), map.key_fields),
            value: Record::of(map.value_size, map.value.raw(), map.value_fields),
        }
    }

    /// Whether an element of one is an element of the other, too.
    pub(crate) fn has_the_layout_of(&self, other: &Self) -> bool {
        let of = |map: &Self| (map.kind, map.entries, map.key.size, map.key.layout, map.value.size, map.value.layout);
        of(self) == of(other)
    }
}

impl Record {
    fn of(size: usize, layout: u64, fields: &[Field]) -> Self {
        let field = |field: &Field| FieldSchema {
            name: field.name.into(),
            offset: field.offset,
            size: field.size,
            layout: field.layout.raw(),
            element: field.element.map(|it| ElementSchema { size: it.size, layout: it.layout.raw() }),
        };
        Self { size, layout, fields: fields.iter().map(field).collect() }
    }

    /// The bytes of a field in those of a record; none where there is no such field.
    pub(crate) fn field<'a>(&self, name: &str, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        bytes.get(field.offset..field.offset.checked_add(field.size)?)
    }
}

impl Record {
    /// Copies a field from one record of this layout to another.
    pub(crate) fn copy_field(&self, name: &str, from: &[u8], to: &mut [u8]) {
        let field = self.fields.iter().find(|field| field.name == name);
        let place = field.and_then(|field| to.get_mut(field.offset..field.offset.checked_add(field.size)?));
        if let (Some(place), Some(value)) = (place, self.field(name, from)) {
            place.copy_from_slice(value);
        }
    }
}

impl Dataplane {
    /// Pins the document beside the maps.
    pub(crate) fn note_schema(&self) -> Result<()> {
        let text = serde_json::to_vec(&Schema::own()).doing("write", "how the maps are laid out")?;
        let size = u32::try_from(text.len()).doing("write", "how the maps are laid out")?;
        let map = aya::maps::MapData::create(aya_obj::Map::new_from_params(ARRAY, 4, size, 1, 0), PIN, None);
        let map = map.doing("make", "the map that says how the maps are laid out")?;
        bpf::update_element(map.fd(), &[0; 4], &text).doing("write", "how the maps are laid out")?;
        map.pin(self.dir.join(PIN)).doing("pin", "how the maps are laid out")
    }
}
