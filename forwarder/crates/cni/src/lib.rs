//! `fwd` as a CNI plugin: what a runtime says by its environment and standard input becomes a request of the engine, and the result one
//! document of JSON (CNI specification, 0.3.0 to 1.1.0).

mod call;
mod commands;
mod config;
mod delegate;
mod environment;
mod failure;
mod plugin;
mod request;
mod result;
mod version;

use std::{cell::Cell, env, io::Read};

use serde_json::Value;

pub use self::plugin::Plugin;
use self::{
    call::Call,
    config::Config,
    environment::{COMMAND, Command, Environment},
    failure::{Code, Failure, Result},
    version::Version,
};
use fwd_engine::execute::Observer;
use fwd_plugin::{Answer, Settings, Streams, json};

/// Answers one call of a runtime, and returns the exit status: 0, or 1 with an error on standard output. `observer` sees each operation.
pub fn run(plugin: Plugin, settings: &Settings, observer: &mut dyn Observer, streams: &mut Streams<'_>) -> u8 {
    let version = Cell::new(Version::USUAL);
    let call = |input: &mut dyn Read| answer(plugin, settings, observer, input, &version);
    fwd_plugin::answer(streams, call, |failure: &Failure| failure.document(version.get().name()))
}

/// What is answered; `spoken` becomes the version that the runtime speaks, as soon as it is known.
fn answer(
    plugin: Plugin,
    settings: &Settings,
    observer: &mut dyn Observer,
    input: &mut dyn Read,
    spoken: &Cell<Version>,
) -> Result<Answer> {
    let command = Command::of(&env::var_os(COMMAND).unwrap_or_default().to_string_lossy())?;
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(|error| {
        Failure::new(
            Code::Io,
            format!("standard input cannot be read: {error}"),
            "the runtime has to write the configuration",
        )
    })?;
    if command == Command::Version {
        return Ok(Answer { document: Some(version::answer(&bytes)), ..Answer::default() });
    }
    let whole = config::document(&bytes)?;
    let asked = json::get(&whole, "cniVersion").and_then(Value::as_str).unwrap_or_default();
    spoken.set(Version::of(asked)?);
    let environment = Environment::of(command, |name| env::var_os(name))?;
    let config = Config::of(whole, plugin, &environment)?;
    let called = format!("{} {} {} {}", command.name(), environment.container, environment.ifname, config.name);
    let log = config.log.clone();
    let call = Call::new(plugin, environment, config, settings)?;
    let mut answered = commands::run(command, &call, observer);
    if let Some(path) = log
        && let Err(error) = call::log(&path, &called, &answered)
        && let Ok(answer) = &mut answered
    {
        answer.warnings.push(format!("cannot write {}: {error}", path.display()));
    }
    answered
}
