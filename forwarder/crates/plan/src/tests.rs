//! Behaviour of the plans, over a model of a host.

mod announced;
mod declared;
mod interfaces;
mod interrupted;
mod ipv6;
mod lifecycle;
mod name_server;
mod netkit;
mod networks;
mod policy;
mod pool;
mod published;
mod refusals;
mod sequences;
mod targets;
mod uplinks;
mod whole;
