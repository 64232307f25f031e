//! The name server of networks: one process for each host that has networks with names (`--dns`).
//!
//! It answers at the gateways of these networks, and no one but their endpoints: for their names itself, for all others what the host's own
//! resolver says. It holds no state but what commands have told it, and nothing but names rests on it.
//!
//! * [`table`](Table): which names there are, and what an asker may see of them.
//! * `answer`, `message`: what becomes of a query, as functions of its bytes.
//! * `upstream`: whom the host itself asks.
//! * `serve`: the process, its sockets, and what it spends on whom.
//! * `control`: how commands find, start, tell and stop it.

mod answer;
mod control;
mod message;
mod serve;
mod table;
mod upstream;

pub use self::{
    control::{
        client::{NameServer, forget, start},
        protocol::Status,
        sockets::{PORT, Sockets},
    },
    serve::{Serve, serve},
    table::{Endpoint, Network, Table},
};
