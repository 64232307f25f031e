//! Whom the host itself asks, and how they are asked.

mod ask;
mod servers;

pub(crate) use self::{ask::ask, servers::Servers};
