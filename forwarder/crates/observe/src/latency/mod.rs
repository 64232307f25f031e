//! Forwarding latency: what is read out of the counts that the measuring programs keep, and how many packets they measure.

mod distribution;
mod pace;

pub use distribution::Distribution;
pub use pace::{MOST_SAMPLES, next_sample};
