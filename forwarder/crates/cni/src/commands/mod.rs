//! What is done for each command of a runtime.

mod add;
mod chained;
mod check;
mod del;
mod gc;
mod loopback;
mod status;

use crate::{call::Call, environment::Command, failure::Result, plugin::Plugin, version};
use fwd_engine::execute::Observer;
use fwd_plugin::Answer;

/// Does what `command` says.
///
/// # Errors
/// What the runtime is told.
pub(crate) fn run(command: Command, call: &Call, observer: &mut dyn Observer) -> Result<Answer> {
    match command {
        _ if call.plugin == Plugin::Loopback => loopback::run(command, call),
        Command::Add if chained::is_meant(call) => chained::add(call, observer),
        Command::Add => add::run(call, observer),
        Command::Del if chained::is_always(call) => chained::del(call, observer),
        Command::Del => del::run(call, observer),
        Command::Check => check::run(call),
        // Whoever made the endpoint looks after it.
        Command::Gc | Command::Status if chained::is_always(call) => Ok(Answer::default()),
        Command::Gc => gc::run(call, observer),
        Command::Status => status::run(call),
        Command::Version => {
            let document = Some(version::document(call.config.version));
            Ok(Answer { document, ..Answer::default() })
        }
    }
}
