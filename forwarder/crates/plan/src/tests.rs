//! Behaviour of the plans, over a model of a host.

mod interrupted;
mod lifecycle;
mod refusals;
mod remedies;
mod sequences;
mod targets;
mod uplinks;
mod whole;
