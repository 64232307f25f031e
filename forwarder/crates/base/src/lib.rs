//! What all of `fwd` stands on: its errors, words for the terminal and the shell, names of hosts, hashes, and the CPU of a thread.

pub mod cpu;
pub mod error;
pub mod hash;
pub mod host_name;
pub mod text;

pub use error::{Cause, Context, Error, Kind, Result};
pub use host_name::HostName;
