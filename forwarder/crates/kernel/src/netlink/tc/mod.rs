//! Traffic control: programs as filters, and queues that keep to a rate.

mod filter;
mod shaper;

pub use self::{
    filter::{Filter, TcDirection},
    shaper::Shaper,
};
