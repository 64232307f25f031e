//! What is up on a host, as it is shown: for the command line, and for whoever else asks.
//!
//! Everything is asked about a [`HostNetns`], on a thread that is inside it: [`HostNetns::run`] makes one.

pub mod flow_table;
mod flows;
mod graph;
mod host;
pub mod interface;
mod names;
pub mod namespace;
mod network;
mod publish;
mod rules;
mod state;
mod traffic;
mod uplink;

pub use self::{
    flows::Flows,
    graph::graph,
    host::HostNetns,
    state::{State, lost, not_up},
};
