//! Networks, whoever is in them.

use std::net::IpAddr;

use forwarder_common::abi::{Network, endpoint_flags};
use ipnet::IpNet;

use super::{State, state::uplink_state};
use crate::execute;
use fwd_base::Result;
use fwd_dataplane::{NetworkMetadata, name_of};
use fwd_plan::{Bridging, Datapath, Flows, Ipv4, Sources, Treatment};
use fwd_render::NetworkView;

impl State {
    /// All networks, by name.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn network_views(&self) -> Result<Vec<NetworkView>> {
        let names = self.networks.values().map(|record| name_of(&record.name));
        let known = names.map(|name| self.plane.network_metadata(&name)).collect::<Result<Vec<_>>>()?;
        let mut views: Vec<NetworkView> =
            self.networks.iter().map(|(bridge, record)| self.network(*bridge, record, &known)).collect();
        views.sort_by(|one, other| one.network.exact().cmp(other.network.exact()));
        Ok(views)
    }

    fn network(&self, bridge: u32, record: &Network, known: &[NetworkMetadata]) -> NetworkView {
        let name = name_of(&record.name);
        let own = known.iter().find(|it| it.name == name);
        let allows = || own.into_iter().flat_map(|it| &it.allows);
        let is_mutual = |other: &&String| known.iter().any(|it| it.name == **other && it.allows.contains(&name));
        let reaches = allows().filter(is_mutual).cloned().map(Into::into).collect();
        let allows = allows().cloned().map(Into::into).collect();
        let treatment = Treatment::of_flags(record.flags);
        let Sources { v4, v6 } = own.map(execute::sources_of).unwrap_or_default();
        let Treatment {
            nat,
            clamp_mss,
            ignore_xfrm,
            internal,
            no_icc,
            flows,
            bridging,
            bound,
            dns,
            multicast,
            routed6: _,
        } = treatment;
        let datapath = Datapath::of_flags(record.flags);
        let gateways = execute::gateways(record);
        let subnets = gateways.iter().map(IpNet::trunc).collect();
        let gateways: Vec<IpAddr> = gateways.iter().map(IpNet::addr).collect();
        let uplink = self.uplinks.get(&record.uplink).map(|uplink| name_of(&uplink.ifname)).unwrap_or_default();
        let link = self.links.get(&record.uplink);
        NetworkView {
            network: name.into(),
            bridge: name_of(&record.bridge).into(),
            gone: !self.links.contains_key(&bridge),
            subnets,
            name_server: gateways.first().copied().filter(|_| dns),
            gateways,
            uplink: uplink.into(),
            uplink_now: link.map(|link| link.name.clone().into()),
            uplink_state: uplink_state(link, internal || record.uplink == 0).into(),
            bound,
            datapath: datapath.name().into(),
            ipv4: Ipv4::of(record.gateway_v4 != [0; 4]).name().into(),
            ipv6: treatment.ipv6(record.gateway_v6 != [0; 16]).name().into(),
            nat: datapath.is_ebpf().then(|| nat.name().into()),
            clamp_mss,
            ignore_xfrm,
            internal,
            no_icc,
            east_west: flows == Flows::EastWest,
            multicast,
            bridgeless: bridging == Bridging::None,
            source: v4.map(|source| source.to_string()),
            source6: v6.map(|source| source.to_string()),
            allows,
            reaches,
            mtu: record.mtu,
            kept: record.flags & endpoint_flags::KEPT != 0,
            pooled: self.pooled(bridge),
            endpoints: self.endpoints.iter().filter(|(_, endpoint)| endpoint.record.network == bridge).count(),
        }
    }
}
