//! The flow table: its flows, how full it is, and the clock by which it tells their age.

pub(crate) mod clock;
pub(crate) mod flows;
pub(crate) mod neighbours;
pub(crate) mod occupancy;
mod slots;

pub(crate) use slots::FoundFlow;
