//! ADD: attaches a container.

use crate::{
    call::{Answer, Call},
    config::Config,
    delegate::Delegate,
    environment::Command,
    failure::Result,
    request,
    result::Attached,
};
use fwd_engine::execute::{Observer, UpResult, down, up_and_look};
use fwd_plan::Scope;

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

/// Attaches it, once more where what it was called before is in the way: the same container in a namespace that its runtime has given up, and
/// that may take a moment to go, has no right to its port or address any more.
fn attach(call: &Call, config: &Config, observer: &mut dyn Observer) -> Result<Answer> {
    let first = attempt(call, config, observer);
    if first.is_ok() || !is_elsewhere(call)? {
        return first;
    }
    down(&call.context, &Scope { endpoint: Some(call.environment.id()), ..Scope::default() }, observer)?;
    attempt(call, config, observer)
}

/// Whether the endpoint of the container is in another namespace than the one that is named now.
fn is_elsewhere(call: &Call) -> Result<bool> {
    let cookie = call.netns()?.cookie()?;
    let plane = call.at.dataplane()?;
    Ok(call.endpoint(plane.as_ref())?.is_some_and(|(_, endpoint)| endpoint.record.netns_cookie != cookie))
}

fn attempt(call: &Call, config: &Config, observer: &mut dyn Observer) -> Result<Answer> {
    let request = request::up(call, config)?;
    let (UpResult { warnings, .. }, attached) = up_and_look(&call.context, &request, observer, |result, plane| {
        let (ifindex, endpoint) = &result.endpoint;
        Attached::read(&plane, *ifindex, endpoint)
    })?;
    let sandbox = &call.environment.netns;
    Ok(Answer { document: Some(attached.document(config.version, sandbox, &config.dns)), warnings })
}
