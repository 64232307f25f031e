//! The loaded programs over packets of our own (`BPF_PROG_TEST_RUN`): both halves agree, and no flow gets another's packets.

mod clsact;
mod errors;
mod fixture;
mod fragments;
mod frame;
mod halves;
mod lifetime;
mod portless;
mod ports;
mod random;
mod recycling;
mod sweep;
