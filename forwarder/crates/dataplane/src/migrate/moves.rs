//! What becomes of each map when another version takes over: pure, so that everything that cannot be is refused before anything is touched.

use crate::{
    migrate::{
        elements::stride,
        schema::{MapSchema, Record, Schema},
    },
    object::maps::{self, MapKind},
};

/// What flows are made of: slots, ports and timers name each other, so one is nothing without the others.
const FLOW_TABLE: [&str; 11] = [
    maps::FLOW_INDEX.as_str(),
    maps::FLOW_SLOTS.as_str(),
    maps::FLOW_CACHE.as_str(),
    maps::FLOW_FREE.as_str(),
    maps::FLOW_ALLOC.as_str(),
    maps::MAPPINGS.as_str(),
    maps::EXTERNAL.as_str(),
    maps::PORT_USE.as_str(),
    maps::ENDPOINT_FLOWS.as_str(),
    maps::EXPIRY_TIMER.as_str(),
    maps::FLOW_ENDS.as_str(),
];

/// What becomes of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Both versions have the same one: whatever is in it goes on.
    Share,
    /// Its elements are written into one of the other layout.
    Convert,
    /// It begins empty.
    Anew,
}

/// What becomes of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moves {
    /// By the name of the map, for each that the version has which takes over.
    pub(crate) fates: Vec<(String, Fate)>,
    /// The flow table is another one: flows end.
    pub(crate) flows_end: bool,
    /// Records that only the former version has.
    pub(crate) dropped: Vec<String>,
}

/// What becomes of the maps of `from` when `to` takes over.
pub(crate) fn moves(from: &Schema, to: &Schema) -> Moves {
    let of = |schema: &'_ Schema, name: &str| schema.maps.iter().find(|map| map.name == name).cloned();
    let is_flow = |name: &str| FLOW_TABLE.contains(&name);
    let differs = |name: &&str| match (of(from, name), of(to, name)) {
        (Some(from), Some(to)) => !from.has_the_layout_of(&to),
        (from, to) => from != to,
    };
    let flows_end = FLOW_TABLE.iter().any(differs);
    let fate = |map: &MapSchema| {
        let Some(former) = of(from, &map.name) else { return Fate::Anew };
        let same = former.has_the_layout_of(map);
        match map.name.as_str() {
            // Each version has programs of its own to go on to, and settings that say whose they are.
            name if name == maps::SLOW_PATH.as_str() => Fate::Anew,
            name if name == maps::CONFIG.as_str() => Fate::Convert,
            // What no packet teaches again.
            name if name == maps::ROUTE_MTUS.as_str() && !same => Fate::Convert,
            name if name == maps::XDP_TARGETS.as_str() => {
                if same {
                    Fate::Convert
                } else {
                    Fate::Anew
                }
            }
            name if is_flow(name) => {
                if flows_end {
                    Fate::Anew
                } else {
                    Fate::Share
                }
            }
            _ if same => Fate::Share,
            _ if map.is_record => Fate::Convert,
            _ => Fate::Anew,
        }
    };
    let fates = to.maps.iter().map(|map| (map.name.clone(), fate(map))).collect();
    let only_there = |map: &&MapSchema| map.is_record && of(to, &map.name).is_none();
    let dropped = from.maps.iter().filter(only_there).map(|map| map.name.clone()).collect();
    Moves { fates, flows_end, dropped }
}

/// An element of `from` as one of `to`.
///
/// # Errors
/// The field of which something is said that the other layout cannot say.
pub(crate) fn converted(
    from: &MapSchema,
    to: &MapSchema,
    key: &[u8],
    value: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), String> {
    if from.kind != to.kind {
        return Err(format!("{}: it is of another type", from.name));
    }
    let named = |field: String| format!("{}.{field}", from.name);
    // What was counted under codes that the other version does not know keeps nobody from it.
    let is_count = from.name == maps::COUNTERS.as_str();
    let key = record(&from.key, &to.key, key, false).map_err(named)?;
    if from.kind != MapKind::PerCpuArray as u32 {
        return Ok((key, record(&from.value, &to.value, value, is_count).map_err(named)?));
    }
    let mut values = Vec::new();
    for part in value.chunks_exact(stride(from.value.size)) {
        let part = part.get(..from.value.size).unwrap_or(part);
        let mut part = record(&from.value, &to.value, part, is_count).map_err(named)?;
        part.resize(stride(to.value.size), 0);
        values.append(&mut part);
    }
    Ok((key, values))
}

/// A record, field by field: one that is new begins at zero, which is what its absence means; one that is no more has to be zero. So it is with the end of
/// an array that has another length, unless it may be `forgotten`.
fn record(from: &Record, to: &Record, bytes: &[u8], forgotten: bool) -> Result<Vec<u8>, String> {
    if (from.size, from.layout) == (to.size, to.layout) {
        return Ok(bytes.to_vec());
    }
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let mut written = vec![0; to.size];
    if from.fields.is_empty() || to.fields.is_empty() {
        return if is_zero(bytes) { Ok(written) } else { Err("*".into()) };
    }
    for field in &from.fields {
        let value = from.field(&field.name, bytes).unwrap_or_default();
        let there = to.fields.iter().find(|it| it.name == field.name);
        let is_same = there.is_some_and(|it| (it.layout, it.size) == (field.layout, field.size));
        let there = there.filter(|it| is_same || it.is_like(field));
        let place = there.and_then(|it| {
            let size = it.size.min(value.len());
            written.get_mut(it.offset..it.offset.checked_add(size)?)
        });
        let (kept, lost) = value.split_at(place.as_ref().map_or(0, |place| place.len()));
        if !is_zero(lost) && !(forgotten && place.is_some()) {
            return Err(field.name.clone());
        }
        if let Some(place) = place {
            place.copy_from_slice(kept);
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::schema::FieldSchema;

    fn laid_out(layout: u64, fields: &[(&str, usize)]) -> Record {
        let mut offset = 0;
        let fields = fields.iter().map(|(name, size)| {
            let field = FieldSchema { name: (*name).into(), offset, size: *size, layout: *size as u64, element: None };
            offset += size;
            field
        });
        let fields = fields.collect();
        Record { size: offset, layout, fields }
    }

    fn named<'a>(schema: &'a mut Schema, name: &str) -> &'a mut MapSchema {
        schema.maps.iter_mut().find(|map| map.name == name).expect("there is one")
    }

    fn fate(moves: &Moves, name: &str) -> Fate {
        moves.fates.iter().find(|(it, _)| it == name).expect("there is one").1
    }

    #[test]
    fn same_layout_shares_everything_but_what_programs_are_told_by() {
        let own = Schema::own();
        let moves = moves(&own, &own);
        assert!(!moves.flows_end && moves.dropped.is_empty());
        let others: Vec<&(String, Fate)> = moves.fates.iter().filter(|(_, fate)| *fate != Fate::Share).collect();
        let names: Vec<&str> = others.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["CONFIG", "XDP_TARGETS", "SLOW_PATH"]);
    }

    #[test]
    fn changed_record_is_converted_and_flows_stay() {
        let (own, mut former) = (Schema::own(), Schema::own());
        named(&mut former, "UPLINKS").value.layout += 1;
        named(&mut former, "CONVERSATIONS").value.layout += 1;
        let moves = moves(&former, &own);
        assert_eq!((fate(&moves, "UPLINKS"), fate(&moves, "CONVERSATIONS")), (Fate::Convert, Fate::Anew));
        assert_eq!((fate(&moves, "FLOW_SLOTS"), moves.flows_end), (Fate::Share, false));
    }

    #[test]
    fn changed_flow_ends_the_whole_table() {
        let (own, mut former) = (Schema::own(), Schema::own());
        named(&mut former, "PORT_USE").value.layout += 1;
        let changed = moves(&former, &own);
        assert!(changed.flows_end);
        for name in FLOW_TABLE {
            assert_eq!(fate(&changed, name), Fate::Anew, "{name}");
        }
        let mut less = Schema::own();
        less.maps.retain(|map| !["LIMITS", "FLOW_ENDS"].contains(&map.name.as_str()));
        let less = moves(&own, &less);
        assert_eq!((less.flows_end, less.dropped), (true, vec!["LIMITS".to_owned()]));
    }

    #[test]
    fn fields_are_found_by_name_and_type() {
        let from = laid_out(1, &[("a", 1), ("b", 2), ("gone", 1)]);
        let to = laid_out(2, &[("b", 2), ("new", 4), ("a", 1)]);
        assert_eq!(record(&from, &to, &[1, 2, 3, 0], false), Ok(vec![2, 3, 0, 0, 0, 0, 1]));
        assert_eq!(record(&from, &to, &[1, 2, 3, 4], false), Err("gone".into()));
        assert_eq!(record(&to, &from, &[2, 3, 0, 0, 0, 0, 1], false), Ok(vec![1, 2, 3, 0]));
        let wider = laid_out(3, &[("a", 4), ("b", 2)]);
        assert_eq!(record(&from, &wider, &[0, 2, 3, 0], false), Ok(vec![0, 0, 0, 0, 2, 3]));
        assert_eq!(record(&from, &wider, &[1, 2, 3, 0], false), Err("a".into()), "another type");
        let plain = Record { size: 2, layout: 4, fields: Vec::new() };
        assert_eq!(record(&plain, &laid_out(5, &[("a", 1)]), &[0, 1], false), Err("*".into()));
    }

    #[test]
    fn array_of_another_length_goes_by_its_places() {
        use crate::migrate::schema::ElementSchema;
        use forwarder_common::abi::Hash;

        let array = |length: usize, size: usize, said: bool| {
            let layout = Hash::EMPTY.number(size as u64);
            let element = said.then_some(ElementSchema { size, layout: layout.raw() });
            let (size, layout) = (length * size, layout.array(length as u64).raw());
            Record { size, layout, fields: vec![FieldSchema { name: "a".into(), offset: 0, size, layout, element }] }
        };
        let counts = |counts: &[u64]| counts.iter().flat_map(|it| it.to_ne_bytes()).collect::<Vec<u8>>();
        for said in [true, false] {
            let (short, long) = (array(2, 8, said), array(3, 8, true));
            assert_eq!(record(&short, &long, &counts(&[1, 2]), false), Ok(counts(&[1, 2, 0])));
            assert_eq!(record(&long, &short, &counts(&[1, 2, 0]), false), Ok(counts(&[1, 2])));
            assert_eq!(record(&long, &short, &counts(&[1, 2, 3]), false), Err("a".into()));
        }
        let (short, long) = (array(2, 8, true), array(3, 8, true));
        assert_eq!(record(&long, &short, &counts(&[1, 2, 3]), true), Ok(counts(&[1, 2])), "counts may be forgotten");
        assert_eq!(
            record(&array(2, 1, true), &array(3, 1, true), &[1, 2], false),
            Err("a".into()),
            "a name, or an address"
        );
        assert_eq!(
            record(&array(4, 8, true), &array(2, 16, true), &counts(&[1; 4]), false),
            Err("a".into()),
            "of another"
        );
    }

    #[test]
    fn each_cpu_has_its_part() {
        let map = |value: Record| MapSchema {
            name: "TRAFFIC".into(),
            kind: MapKind::PerCpuArray as u32,
            entries: 1,
            is_record: true,
            key: Record { size: 4, layout: 0, fields: Vec::new() },
            value,
        };
        let (from, to) = (map(laid_out(1, &[("a", 2)])), map(laid_out(2, &[("new", 8), ("a", 2)])));
        let (_, value) =
            converted(&from, &to, &[0; 4], &[1, 2, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0]).expect("it fits");
        assert_eq!((value.len(), &value[8..10], &value[24..26]), (32, &[1, 2][..], &[3, 4][..]));
    }
}
