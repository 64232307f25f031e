//! DEL: detaches a container, as far as anything of it is there.

use crate::{call::Call, delegate::Delegate, environment::Command, failure::Result};
use fwd_engine::execute::Observer;
use fwd_plugin::Answer;

/// Detaches it. What is not there is no error: not the namespace, not the endpoint, not the network. The address is given back last, so that
/// nobody has it before it is free.
pub(super) fn run(call: &Call, observer: &mut dyn Observer) -> Result<Answer> {
    let warnings = call.host.detach(&call.environment.id(), observer)?;
    if let Some(delegate) = Delegate::of(&call.config, &call.environment)? {
        delegate.run(Command::Del)?;
    }
    Ok(Answer { document: None, warnings })
}
