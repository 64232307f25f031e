//! What the pinned maps say: networks, endpoints, uplinks, flows and counters.

mod announced;
pub(crate) mod batch;
pub(crate) mod examine;
pub(crate) mod field;
pub(crate) mod flow_table;
mod limits;
pub(crate) mod open;
pub(crate) mod records;
pub(crate) mod route_mtus;
pub(crate) mod stats;
mod transit;
pub(crate) mod view;
