//! Entry points, and nothing else.

mod control;
mod tc;
mod xdp;
