//! cli.
mod args;
