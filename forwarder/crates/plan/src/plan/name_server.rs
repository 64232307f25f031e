//! The name server of a network, and who asks it.

use std::borrow::Cow;

use crate::{Actual, Object, ResolvConf, object, settled::Network};
use fwd_base::HostName;
use fwd_kernel::netns::resolv::{Found, asking};

/// The name server at the gateway, where the network has one.
pub(super) fn server(network: &Network) -> Option<Object> {
    let addresses = network.gateways().map(|gateway| gateway.addr()).collect();
    let server = object::NameServer { network: network.name.clone(), addresses };
    network.treatment.dns.then_some(Object::NameServer(server))
}

/// What there is, where the target's resolv.conf is to name that server instead of those of the host.
pub(super) fn resolver<'a>(actual: Cow<'a, Actual>, network: &Network) -> Cow<'a, Actual> {
    let Some(target) = actual.target.as_ref().filter(|target| network.treatment.dns && target.name.is_some()) else {
        return actual;
    };
    let search = network.name.parse::<HostName>().ok();
    let wanted = asking(network.main_gateway(), search.as_ref(), &target.resolver.kept);
    let resolv_conf = match &target.resolver.found {
        // Somebody knows better: `advice` says so.
        Found::Theirs => ResolvConf::Fine,
        Found::Ours(text) if *text == wanted => ResolvConf::Fine,
        Found::Ours(_) | Found::Nothing => ResolvConf::Write(wanted),
    };
    if target.resolv_conf == resolv_conf {
        return actual;
    }
    let mut actual = actual.into_owned();
    actual.target.iter_mut().for_each(|target| target.resolv_conf = resolv_conf.clone());
    Cow::Owned(actual)
}
