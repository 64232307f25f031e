//! `fwd inspect` of an endpoint.

use clap::{ArgGroup, Args};

use std::net::{IpAddr, Ipv4Addr};

use forwarder_common::abi::endpoint_flags;
use ipnet::IpNet;

use super::{ls, reload, stats};
use crate::{
    Error, Kind, Result,
    cli::{
        args::{TARGETS, TargetArgs},
        session::Session,
        target,
    },
    dataplane::{Described, Hook},
    execute,
    netlink::Netlink,
    netns::{Name, resolv},
    query::{State, flow_table, interface, not_up},
    render::InspectView,
    text::{mac, option},
};

/// Examples below the help.
pub(super) const HELP: &str = "\
Examples:
  fwd inspect --ns mynet              all about one endpoint
  fwd inspect --if fwd0               a bridge: its ports and who owns them
  fwd inspect --ns mynet --if eth0    what is at the other end of eth0@if29";

/// `fwd inspect`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(TARGETS).arg("interface"))]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Of the namespace's endpoints, the one with this interface inside
    #[arg(long, value_name = "IFACE", conflicts_with = "interface")]
    pub(crate) ifname: Option<String>,
    /// Interface to look at: of the host, or of the namespace given
    #[arg(long = "if", value_name = "IFNAME")]
    pub(crate) interface: Option<String>,
}

/// Shows all about an endpoint, or about an interface.
pub(super) fn run(session: &mut Session<'_, '_>, args: &InspectArgs) -> Result<()> {
    let target = target::given(&args.target)?;
    let state = State::read(&session.at)?;
    match (&args.interface, target) {
        (Some(ifname), target) => {
            let view = interface::view(&session.at, state.as_ref(), ifname, target.as_ref())?;
            session.emit(&view)
        }
        (None, Some(target)) => {
            let mut state = state.ok_or_else(|| not_up(&target, None))?;
            session.warn(&ls::other_build(&state.plane)?)?;
            session.warn(&state.unreadable())?;
            let found = chosen(state.of(&target)?, args.ifname.as_deref(), session.is_json())?;
            state.count_flows(&found)?;
            for (ifindex, endpoint) in found {
                let mut view = view(&state, ifindex, &endpoint, session.host_name())?;
                let (context, cookie) = (session.context(), session.at.host.cookie()?);
                let network = view.endpoint.network.exact().to_owned();
                view.warnings.extend(state.name_server_problems(&context, cookie, Some(&network))?);
                view.warnings.extend(execute::lost_rules(&context, &network)?);
                session.emit(&view)?;
            }
            Ok(())
        }
        // clap asks for one of both.
        (None, None) => Ok(()),
    }
}

/// The endpoints of a namespace that are shown: the one with the interface that is named, or all. A document is about one.
fn chosen(found: Vec<(u32, Described)>, ifname: Option<&str>, one: bool) -> Result<Vec<(u32, Described)>> {
    let mut names: Vec<String> = found.iter().map(|(_, endpoint)| endpoint.metadata.id.ifname.clone()).collect();
    names.sort();
    let refuse = |kind, why: String| {
        let first = names.first().map_or("eth0", String::as_str);
        Error::new(kind, "show", "the namespace", why)
            .remedy(format!("name one of them: {}", option("--ifname", first)))
    };
    match ifname {
        Some(ifname) if !names.iter().any(|name| name == ifname) => {
            Err(refuse(Kind::NotFound, format!("it has no {ifname} of fwd, but {}", names.join(", "))))
        }
        Some(ifname) => Ok(found.into_iter().filter(|(_, it)| it.metadata.id.ifname == ifname).collect()),
        None if one && found.len() > 1 => Err(refuse(
            Kind::Usage,
            format!("it has several interfaces of fwd, {}, and a document is about one", names.join(", ")),
        )),
        None => Ok(found),
    }
}

/// All that is known about one endpoint.
fn view(state: &State, ifindex: u32, endpoint: &Described, host: Option<&str>) -> Result<InspectView> {
    let summary = state.view(ifindex, endpoint)?;
    let mut verdicts: Vec<_> = state
        .plane
        .stats()?
        .into_iter()
        .filter(|stat| stat.ifname == summary.host_if.exact() && stat.hook == "from_ns" && stat.packets > 0)
        .map(|stat| stats::view(stat, Some(endpoint)))
        .collect();
    verdicts.sort_by_cached_key(crate::render::StatView::sort_key);
    let warnings = execute::problems(&state.plane, host, Some(summary.network.exact()))?;
    Ok(InspectView {
        endpoint: summary,
        netns_cookie: endpoint.record.netns_cookie,
        mac: mac(endpoint.record.mac),
        gateway_mac: mac(endpoint.record.gateway_mac),
        host_ifindex: ifindex,
        host_if_running: state.host_veth(ifindex).map(|link| link.running),
        attached: state.plane.is_attached(Hook::FromNs, ifindex)?,
        uplink_address: state.uplink_address(endpoint).map(IpAddr::V4),
        uplink_address_now: match state.uplink(endpoint) {
            Some(link) => first_address(link.index)?.map(IpAddr::V4),
            None => None,
        },
        resolv_conf: endpoint.record.flags & endpoint_flags::RESOLV_CONF != 0 && has_resolver(endpoint),
        table: flow_table::loaded_table(&state.plane)?,
        programs: state.plane.programs()?.map(reload::view),
        verdicts,
        warnings,
    })
}

/// Whether the file that `up` wrote is there.
fn has_resolver(endpoint: &Described) -> bool {
    let name = endpoint.metadata.netns.name.as_deref().and_then(|name| Name::try_from(name).ok());
    name.is_some_and(|name| resolv::is_ours(&resolv::Roots::default(), &name))
}

/// The first IPv4 address of an interface of the host.
fn first_address(ifindex: u32) -> Result<Option<Ipv4Addr>> {
    let addresses = Netlink::here()?.addresses(Some(ifindex))?;
    Ok(addresses.into_iter().find_map(|(_, address)| match address {
        IpNet::V4(net) => Some(net.addr()),
        IpNet::V6(_) => None,
    }))
}
