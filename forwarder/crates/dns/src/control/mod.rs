//! How commands find, start, tell and stop the name server: over a socket in the run directory, which is root's alone.
//!
//! Whoever answers there is the name server of this host, so that nobody has to be known by a number that another process may have by now,
//! and no process is ever signalled. Commands open the sockets on port 53 and hand them over: the server has no privilege.

pub(crate) mod channel;
pub(crate) mod client;
pub(crate) mod protocol;
pub(crate) mod sockets;

pub(crate) use self::channel::send;
