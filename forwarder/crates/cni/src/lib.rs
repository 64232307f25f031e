//! `fwd` as a CNI plugin: what a runtime says by its environment and standard input becomes a request of the engine, and the result one
//! document of JSON (CNI specification, 0.3.0 to 1.1.0).

mod call;
mod commands;
mod config;
mod delegate;
mod environment;
mod failure;
mod json;
mod plugin;
mod request;
mod result;
mod version;

use std::{
    env,
    io::{Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::Value;

pub use self::{call::Settings, plugin::Plugin};
use self::{
    call::{Answer, Call},
    config::Config,
    environment::{COMMAND, Command, Environment},
    failure::{Code, Failure, Result},
    version::Version,
};
use fwd_engine::execute::Observer;

/// Where a plugin reads and writes.
pub struct Streams<'a> {
    /// The configuration.
    pub input: &'a mut dyn Read,
    /// One document, result or error.
    pub out: &'a mut dyn Write,
    /// What the runtime's log ought to say.
    pub err: &'a mut dyn Write,
}

/// Answers one call of a runtime, and returns the exit status: 0, or 1 with an error on standard output. `observer` sees each operation.
pub fn run(plugin: Plugin, settings: &Settings, observer: &mut dyn Observer, streams: &mut Streams<'_>) -> u8 {
    let mut version = Version::USUAL;
    let answered = catch_unwind(AssertUnwindSafe(|| answer(plugin, settings, observer, (streams.input, &mut version))));
    let answered = answered.unwrap_or_else(|panic| Err(panicked(&*panic)));
    let (document, status) = match answered {
        Ok(Answer { document, warnings }) => {
            let said = warnings.iter().try_for_each(|warning| writeln!(streams.err, "fwd: {warning}"));
            said.map_or((None, 1), |()| (document, 0))
        }
        Err(failure) => (Some(failure.document(version.name())), 1),
    };
    let written = document.map_or(Ok(()), |document| writeln!(streams.out, "{document}"));
    if written.and_then(|()| streams.out.flush()).is_ok() { status } else { 1 }
}

/// What is answered; `spoken` becomes the version that the runtime speaks, as soon as it is known.
fn answer(
    plugin: Plugin,
    settings: &Settings,
    observer: &mut dyn Observer,
    (input, spoken): (&mut dyn Read, &mut Version),
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
    *spoken = Version::of(asked)?;
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

/// A mistake of ours, told as every other failure.
fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it is not known where");
    Failure::new(Code::Other, "fwd has panicked", text)
}
