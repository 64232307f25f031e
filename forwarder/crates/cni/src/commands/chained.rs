//! Behind another plugin: ports and limits of an endpoint that is there already.

use crate::{
    call::Call,
    failure::{Code, Failure, Result},
    plugin::Plugin,
};
use fwd_dataplane::PublishedPorts;
use fwd_engine::execute::{Applied, Observer, change_ports, up};
use fwd_kernel::netns::Netns;
use fwd_plan::{AskedLimits, EndpointOptions, PortRequest, UpRequest};
use fwd_plugin::Answer;

/// Whether we never make an endpoint under the name by which we are called.
pub(super) fn is_always(call: &Call) -> bool {
    call.plugin == Plugin::Portmap
}

/// Whether an ADD is for one that another plugin has made.
pub(super) fn is_meant(call: &Call) -> bool {
    is_always(call) || call.config.previous.is_some()
}

/// Publishes ports and limits rates, and answers what the plugin before has.
pub(super) fn add(call: &Call, observer: &mut dyn Observer) -> Result<Answer> {
    let config = &call.config;
    let Some(previous) = config.previous.clone() else {
        let msg = "prevResult is missing: this plugin comes behind the one that makes the interface";
        return Err(Failure::new(Code::InvalidConfig, msg, "put it behind one of type fwd or bridge in the list"));
    };
    let mut warnings = Vec::new();
    if !config.endpoint.publish.is_empty() || config.endpoint.limits != AskedLimits::default() {
        call.netns()?;
        let id = call.environment.id();
        if call.endpoint(call.host.at.dataplane()?.as_ref())?.is_none() {
            let msg = format!("there is no endpoint {id}: the plugin before is not fwd's");
            return Err(Failure::new(
                Code::InvalidConfig,
                msg,
                "use fwd (or fwd as bridge or ptp) for the interface, too",
            ));
        }
    }
    if !config.endpoint.publish.is_empty() {
        warnings.extend(change(call, config.endpoint.publish.clone(), Vec::new(), observer)?.warnings);
    }
    if config.endpoint.limits != AskedLimits::default() {
        let ifname = Some(call.environment.ifname.clone());
        let endpoint = EndpointOptions { limits: config.endpoint.limits, ..EndpointOptions::default() };
        let request = UpRequest { ifname, endpoint, ..UpRequest::new(call.target()) };
        warnings.extend(up(&call.host.context, &request, observer)?.warnings);
    }
    Ok(Answer { document: Some(previous), warnings })
}

/// Withdraws its ports. Those of an endpoint that is gone, or of which the namespace is not known, go with it.
pub(super) fn del(call: &Call, observer: &mut dyn Observer) -> Result<Answer> {
    let plane = call.host.at.dataplane()?;
    let Some((ifindex, endpoint)) = call.endpoint(plane.as_ref())? else {
        return Ok(Answer::default());
    };
    let ns = Netns::open_path(call.environment.netns.as_ref()).and_then(|ns| ns.cookie());
    if ns.ok() != Some(endpoint.record.netns_cookie) {
        return Ok(Answer::default());
    }
    let publications = plane.as_ref().map(fwd_dataplane::Dataplane::publications).transpose()?.unwrap_or_default();
    let own = publications.into_iter().filter(|it| it.endpoint == ifindex && it.cookie == endpoint.record.netns_cookie);
    let own: Vec<PublishedPorts> = own.map(|it| it.ports).collect();
    let warnings = if own.is_empty() { Vec::new() } else { change(call, Vec::new(), own, observer)?.warnings };
    Ok(Answer { document: None, warnings })
}

fn change(
    call: &Call,
    add: Vec<PublishedPorts>,
    remove: Vec<PublishedPorts>,
    observer: &mut dyn Observer,
) -> Result<Applied> {
    let request = PortRequest { target: call.target(), ifname: Some(call.environment.ifname.clone()), add, remove };
    Ok(change_ports(&call.host.context, &request, observer)?)
}
