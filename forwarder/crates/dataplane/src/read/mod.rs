//! What the pinned maps say: networks, endpoints, uplinks, flows and counters.

pub(crate) mod batch;
pub(crate) mod clock;
pub(crate) mod examine;
pub(crate) mod flows;
mod limits;
pub(crate) mod occupancy;
pub(crate) mod open;
pub(crate) mod records;
pub(crate) mod route_mtus;
pub(crate) mod slots;
pub(crate) mod stats;
pub(crate) mod view;
