//! GC: detaches all containers of a network but those that the runtime still knows.

use crate::{
    call::Call,
    delegate::Delegate,
    environment::Command,
    failure::{Code, Failure, Result},
};
use fwd_dataplane::{EndpointId, EndpointOwner};
use fwd_engine::execute::{DownResult, Observer, down};
use fwd_plan::Scope;
use fwd_plugin::Answer;

/// Detaches them. One that cannot be is told, and the others are all the same.
pub(super) fn run(call: &Call, observer: &mut dyn Observer) -> Result<Answer> {
    // Without the key nothing is said of which are valid.
    let Some(valid) = &call.config.attachments else { return Ok(Answer::default()) };
    let is_valid = |id: &EndpointId| valid.iter().any(|it| it.container == id.id && it.ifname == id.ifname);
    let plane = call.host.at.dataplane()?;
    let (mut warnings, mut failures) = (Vec::new(), Vec::new());
    for (_, endpoint) in call.host.endpoints(plane.as_ref(), EndpointOwner::Cni)? {
        let metadata = endpoint.metadata;
        if metadata.owner_network.as_ref() != Some(&call.config.name) || is_valid(&metadata.id) {
            continue;
        }
        let scope = Scope { endpoint: Some(metadata.id), ..Scope::default() };
        match down(&call.host.context, &scope, observer) {
            Ok(DownResult { warnings: said, .. }) => warnings.extend(said),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if let Some(delegate) = Delegate::of(&call.config, &call.environment)? {
        failures.extend(delegate.run(Command::Gc).err().map(|failure| failure.msg));
    }
    if failures.is_empty() {
        return Ok(Answer { document: None, warnings });
    }
    let msg = format!("not all could be detached: {} failures", failures.len());
    Err(Failure::new(Code::Other, msg, failures.join("; ")))
}
