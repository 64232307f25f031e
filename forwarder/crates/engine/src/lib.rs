//! What changes a host, and what tells of it: runs the operations of a plan, asks what is up, and looks for what is wrong.

pub mod doctor;
pub mod execute;
pub mod query;
