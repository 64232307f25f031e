//! What IP has at interfaces: addresses, neighbours, routes, and rules by which a table of routes is chosen.

mod address;
mod neighbour;
mod route;
mod rule;

pub use self::{
    address::Address,
    neighbour::Neighbour,
    route::{Route, RouteKind, TABLE_MAIN},
    rule::{MarkRule, mark_rules},
};
