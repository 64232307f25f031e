//! The flow table: [`store`] finds, [`claim`] makes, in a slot that [`take`] takes, with a [`port`] that [`search`] finds, [`mapping`] keeps the port of a socket,
//! [`life`] moves flows on, [`slot`] ends them, [`evict`] makes room when no slot is free.

pub(crate) mod claim;
pub(crate) mod evict;
mod host;
pub(crate) mod life;
pub(crate) mod mapping;
mod port;
pub(crate) mod search;
pub(crate) mod slot;
pub(crate) mod store;
mod take;
pub(crate) mod usage;

pub(crate) use host::host_uses;
pub(crate) use take::stored_mtu;
