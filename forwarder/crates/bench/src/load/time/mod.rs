//! When requests are due, when they count, and how long they took.

pub(super) mod schedule;
pub(super) mod times;
pub(super) mod window;
