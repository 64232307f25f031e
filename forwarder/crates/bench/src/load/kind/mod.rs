//! The kinds of load: what is sent, and who waits for what.

pub(super) mod connect;
pub(super) mod flood;
pub(super) mod ping;
pub(super) mod stream;
