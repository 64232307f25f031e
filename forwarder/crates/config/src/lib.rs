//! Files that say what there is to be (docs/config.md): from TOML to [`Desired`](fwd_plan::Desired), and back.
//!
//! What a file may say is declared once, in [`file`]: keys, their words in the schema, and which of them may be left out. The plan's
//! types are others, and both conversions name every field of both, so that neither side can grow without the other.

pub mod file;
mod read;
mod schema;
mod source;
mod to_desired;
mod to_file;

pub use self::{
    read::{DIRECTORY, read},
    schema::schema,
    source::Source,
    to_desired::desired,
    to_file::{json, text},
};

#[cfg(test)]
mod tests;
