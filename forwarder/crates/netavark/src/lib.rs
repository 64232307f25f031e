//! `fwd` as a plugin of netavark, podman's network stack: the first word says what is to be done, a document on standard input about which
//! network and container, and one document is answered (netavark's plugin-API.md, version 1.0.0). And `fwd` in netavark's own place
//! ([`replacement`]).

mod command;
mod commands;
mod input;
mod network;
mod ports;
pub mod replacement;
mod status;

use std::{io::Read, time::Duration};

use serde_json::{Value, json};

pub use self::command::Command;
use fwd_base::{Error, Kind, Result};
use fwd_engine::execute::Observer;
use fwd_plugin::{Answer, Host, Settings, Streams};

/// The version of the interface that is spoken.
const API_VERSION: &str = "1.0.0";
/// How long another command is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers one call, and returns the exit status: 0, or 1 with an error on standard output. `observer` sees each operation.
pub fn run(command: &Command, settings: &Settings, observer: &mut dyn Observer, streams: &mut Streams<'_>) -> u8 {
    let call = |input: &mut dyn Read| answer(command, settings, observer, input);
    fwd_plugin::answer(streams, call, failure)
}

fn answer(command: &Command, settings: &Settings, observer: &mut dyn Observer, input: &mut dyn Read) -> Result<Answer> {
    let host = || Host::open(settings, PATIENCE);
    match command {
        Command::Info => {
            let document = json!({ "version": env!("CARGO_PKG_VERSION"), "api_version": API_VERSION });
            Ok(Answer { document: Some(document), ..Answer::default() })
        }
        Command::Create => commands::create(input::document(input)?, &host()?),
        Command::Setup { netns } => commands::setup(netns, &input::read(input::document(input)?)?, &host()?, observer),
        Command::Teardown { netns } => {
            commands::teardown(netns, &input::read(input::document(input)?)?, &host()?, observer)
        }
    }
}

/// What podman shows of a failure.
fn failure(error: &Error) -> Value {
    json!({ "error": said(error) })
}

/// A failure as one line, with what to do about it.
fn said(error: &Error) -> String {
    let remedy = error.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    format!("{error}{remedy}")
}

/// An option that cannot be as it is.
fn refusal(what: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::new(Kind::Usage, "use", what, why).remedy(remedy)
}
