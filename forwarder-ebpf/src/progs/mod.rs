//! Entry points, and nothing else.

mod control;
mod host;
mod tc;
mod xdp;
