//! What changes a host, and what tells of it: runs the operations of a plan, and asks what is up.

pub mod execute;
pub mod query;
