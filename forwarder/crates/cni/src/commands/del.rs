//! DEL: detaches a container, as far as anything of it is there.

use crate::{
    call::{Answer, Call},
    delegate::Delegate,
    environment::Command,
    failure::Result,
};
use fwd_engine::execute::{DownResult, Observer, detach_others, down};
use fwd_plan::Scope;

/// Detaches it. What is not there is no error: not the namespace, not the endpoint, not the network. The address is given back last, so that
/// nobody has it before it is free.
pub(super) fn run(call: &Call, observer: &mut dyn Observer) -> Result<Answer> {
    let id = call.environment.id();
    // Beside another version nothing else can be changed, and nothing else has to be.
    let warnings = if detach_others(&call.context, &id)? {
        Vec::new()
    } else {
        let scope = Scope { endpoint: Some(id), ..Scope::default() };
        let DownResult { warnings, .. } = down(&call.context, &scope, observer)?;
        warnings
    };
    if let Some(delegate) = Delegate::of(&call.config, &call.environment)? {
        delegate.run(Command::Del)?;
    }
    Ok(Answer { document: None, warnings })
}
