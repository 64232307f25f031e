//! What commands say to the name server, and what it answers.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::Table;

/// What a command says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Nothing: it asks.
    Status,
    /// Answer at these addresses of a network's gateway; for each come two sockets with it, of UDP and of TCP. Before them no other of
    /// that network is served any more.
    Listen {
        /// Name of the network.
        network: String,
        /// Where.
        addresses: Vec<IpAddr>,
    },
    /// Answer no more for a network.
    Leave {
        /// Its name.
        network: String,
    },
    /// These are all names there are.
    Names(Table),
    /// End. Every version knows this one.
    Stop,
}

/// What it answers to each.
pub(crate) type Reply = Result<Status, String>;

/// What the name server does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// Where it is asked, by network.
    pub networks: BTreeMap<String, Vec<IpAddr>>,
    /// Names that it knows, of all networks.
    pub names: usize,
    /// Whom it asks for all other names.
    pub servers: Vec<String>,
    /// Why there is nobody.
    pub problem: Option<String>,
}
