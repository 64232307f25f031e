//! ADD: attaches a container.

use crate::{
    call::Call, config::Config, delegate::Delegate, environment::Command, failure::Result, request, result::Attached,
};
use fwd_dataplane::Dataplane;
use fwd_engine::execute::{Observer, UpResult};
use fwd_plugin::Answer;

/// Attaches it, making the network if it is missing. What another plugin has chosen for it is given back if that fails.
pub(super) fn run(call: &Call, observer: &mut dyn Observer) -> Result<Answer> {
    call.netns()?;
    let Some(delegate) = Delegate::of(&call.config, &call.environment)? else {
        return attach(call, &call.config, observer);
    };
    // What it refuses it has not given: to take it back would be to take what another call was given.
    let given = delegate.run(Command::Add)?;
    let chosen = delegate.chosen(&given).and_then(|config| attach(call, &config, observer));
    chosen.map_err(|mut failure| {
        if let Err(also) = delegate.run(Command::Del) {
            failure.details = format!("{}; and its address is not given back: {}", failure.details, also.msg);
        }
        failure
    })
}

fn attach(call: &Call, config: &Config, observer: &mut dyn Observer) -> Result<Answer> {
    let request = request::up(call, config)?;
    let look = |result: &UpResult, plane: Dataplane| {
        let (ifindex, endpoint) = &result.endpoint;
        Attached::read(&plane, *ifindex, endpoint)
    };
    let (UpResult { warnings, .. }, attached) = call.host.attach(&request, observer, look)?;
    let sandbox = &call.environment.netns;
    Ok(Answer { document: Some(attached.document(config.version, sandbox, &config.dns)), warnings })
}
