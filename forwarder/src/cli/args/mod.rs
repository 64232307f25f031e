//! What commands share of what the user may type, and what networks and endpoints are asked for so. Commands turn that, and their own, into requests of the
//! library.

mod choice;
pub(crate) mod defaults;
mod endpoint;
mod export;
mod files;
pub(crate) mod global;
mod network;
mod target;
mod value;
mod words;

pub(crate) use choice::{choice, told_apart};
pub(crate) use endpoint::{EndpointArgs, parsed_ports};
pub(crate) use export::ExportArgs;
pub(crate) use files::{DeclaredArgs, FilesArgs};
pub(crate) use global::{ColorArg, GlobalArgs};
pub(crate) use network::NetworkArgs;
pub(crate) use target::{TARGETS, TargetArgs, one_of_them};
pub(crate) use value::{parsed, sources};
pub(crate) use words::{asks_for_json, color_asked, command_word};

#[cfg(test)]
mod tests;
