//! A network as it is asked for.

use ipnet::IpNet;
use toml::Spanned;

use crate::{file::Network, source::Source};
use fwd_base::Result;
use fwd_plan::{self as plan, UplinkChoice};

pub(super) fn asked(source: &Source, network: &Network) -> Result<plan::Network> {
    let Network {
        uplink,
        internal,
        subnet,
        gateway,
        ipv4,
        ipv6,
        subnet6,
        mtu,
        datapath,
        nat,
        clamp_mss,
        ignore_xfrm,
        no_icc,
        allow_networks,
        dns,
        keep,
    } = network;
    let uplink = match uplink {
        Some(uplink) if *internal => {
            let refused = source.refuse(&uplink.span(), "an internal network has no uplink");
            return Err(refused.remedy("leave out uplink or internal"));
        }
        Some(uplink) => UplinkChoice::Interface(uplink.get_ref().clone()),
        None if *internal => UplinkChoice::None,
        None => UplinkChoice::Auto,
    };
    let subnet = subnet.as_ref().map(|subnet| whole(source, subnet)).transpose()?;
    let subnet6 = subnet6.as_ref().map(|subnet| whole(source, subnet)).transpose()?;
    // The kernel's own data path maps ports in its own way.
    let by_programs = datapath.is_none_or(plan::Datapath::is_ebpf) && !internal;
    Ok(plan::Network {
        uplink,
        subnets: subnet.into_iter().chain(subnet6).collect(),
        gateway: *gateway,
        ipv4: *ipv4,
        ipv6: *ipv6,
        mtu: *mtu,
        datapath: *datapath,
        nat: nat.or(by_programs.then(Default::default)),
        clamp_mss: *clamp_mss,
        ignore_xfrm: *ignore_xfrm,
        no_icc: *no_icc,
        allow_networks: allow_networks.iter().map(|other| other.get_ref().clone()).collect(),
        kept: *keep,
        dns: *dns,
    })
}

/// A subnet, written by its first address.
fn whole<T: Copy + Into<IpNet>>(source: &Source, subnet: &Spanned<T>) -> Result<IpNet> {
    let found: IpNet = (*subnet.get_ref()).into();
    if found == found.trunc() {
        return Ok(found);
    }
    let refused = source.refuse(&subnet.span(), format!("{} lies inside of a network", found.addr()));
    Err(refused.remedy(format!("write {:?}", found.trunc().to_string())))
}
