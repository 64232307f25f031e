//! Words that a value may be, for the schema: from where the plan declares them.

use schemars::{Schema, SchemaGenerator, json_schema};

use fwd_dataplane::Backend;
use fwd_plan::{Bridging, Datapath, Flows, IDLE_TIMES, Ipv4, Ipv6, Nat};

fn one_of(names: &[&str]) -> Schema {
    json_schema!({ "type": "string", "enum": names })
}

pub(super) fn attach(_: &mut SchemaGenerator) -> Schema {
    one_of(&Backend::CHOICES.map(Backend::name))
}

pub(super) fn bridge(_: &mut SchemaGenerator) -> Schema {
    one_of(&Bridging::ALL.map(Bridging::name))
}

pub(super) fn datapath(_: &mut SchemaGenerator) -> Schema {
    one_of(&Datapath::ALL.map(Datapath::name))
}

pub(super) fn flows(_: &mut SchemaGenerator) -> Schema {
    one_of(&Flows::ALL.map(Flows::name))
}

pub(super) fn ipv4(_: &mut SchemaGenerator) -> Schema {
    one_of(&Ipv4::ALL.map(Ipv4::name))
}

pub(super) fn ipv6(_: &mut SchemaGenerator) -> Schema {
    one_of(&Ipv6::ALL.map(Ipv6::name))
}

pub(super) fn nat(_: &mut SchemaGenerator) -> Schema {
    one_of(&Nat::ALL.map(Nat::name))
}

pub(super) fn timeouts(_: &mut SchemaGenerator) -> Schema {
    let times = IDLE_TIMES.map(|idle| (idle.name, json_schema!({ "type": "string", "description": idle.ends })));
    let times: std::collections::BTreeMap<&str, Schema> = times.into_iter().collect();
    json_schema!({ "type": "object", "properties": times, "additionalProperties": false })
}
