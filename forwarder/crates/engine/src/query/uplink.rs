//! Uplinks, and what the host's routes lead by without being one.

use std::{collections::BTreeSet, net::Ipv4Addr};

use forwarder_common::abi::{Endpoint, Network, Uplink, uplink_flags};

use super::State;
use crate::execute::order_of;
use fwd_base::{Result, text::Untrusted};
use fwd_dataplane::{TcxOrder, name_of};
use fwd_kernel::netlink::{Link, Netlink};
use fwd_plan::{Datapath, Followed, NetConfig, Treatment, is_made};
use fwd_render::{UPLINK_REASONS, UPLINK_STATES, UplinkView};

impl State {
    /// The uplinks; where a network follows the host's routes, also what these lead by without being one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn uplinks(&self) -> Result<Vec<UplinkView>> {
        let netlink = Netlink::here()?;
        let (links, addresses, routes) = (netlink.links()?, netlink.addresses(None)?, netlink.routes()?);
        let host = NetConfig { links, addresses, routes, ..NetConfig::default() };
        let following = self.networks.values().filter(|network| follows_routes(network.flags));
        let has = |it: &Network| Followed { v4: it.gateway_v4 != [0; 4], v6: it.gateway_v6 != [0; 16] };
        let followed = following.map(has).fold(Followed::default(), Followed::or);
        let leading = host.routes.iter().filter(|route| followed.leads(route));
        let led_by: BTreeSet<u32> = leading.map(|route| route.ifindex).collect();
        let programs = self.programs_leave_by(None);
        let mut views: Vec<UplinkView> = Vec::new();
        for (index, record) in &self.uplinks {
            views.push(self.recorded(*index, record, led_by.contains(index)));
        }
        let is_new = |link: &&Link| !self.uplinks.contains_key(&link.index) || self.link(link.index).is_none();
        let others = host.links.iter().filter(|link| led_by.contains(&link.index)).filter(is_new);
        for link in others.filter(|link| !link.loopback && !is_made(link)) {
            views.push(UplinkView {
                uplink: link.name.clone().into(),
                ifindex: link.index,
                address: host.ipv4(link.index).map(|net| net.addr()),
                state: state_of(Some(link)).into(),
                guarded: false,
                unguarded_on_purpose: !programs,
                by: vec![UPLINK_REASONS[0].into()],
                tcx_order: TcxOrder::First.name().into(),
                networks: Vec::new(),
            });
        }
        Ok(views)
    }

    fn recorded(&self, index: u32, record: &Uplink, led_by: bool) -> UplinkView {
        let link = self.link(index);
        let [route, command] = UPLINK_REASONS;
        let led_by = led_by && link.is_some();
        let asked = record.flags & uplink_flags::ASKED != 0;
        let networks = self.networks.values().filter(|network| network.uplink == index);
        UplinkView {
            uplink: link.map_or_else(|| name_of(&record.ifname), |link| link.name.clone()).into(),
            ifindex: index,
            address: Some(Ipv4Addr::from(record.v4)).filter(|address| !address.is_unspecified()),
            state: state_of(link).into(),
            guarded: link.is_some() && record.flags & uplink_flags::GUARDED != 0,
            unguarded_on_purpose: !asked && !self.programs_leave_by(Some(index)),
            by: [(led_by, route), (asked, command)].into_iter().filter(|it| it.0).map(|it| it.1.into()).collect(),
            tcx_order: order_of(record).name().into(),
            networks: networks.map(|network| name_of(&network.name).into()).collect(),
        }
    }

    /// Whether a network that programs forward leaves by an interface, which is its own or one of those that the host's routes lead by.
    fn programs_leave_by(&self, index: Option<u32>) -> bool {
        let mut by_programs = self.networks.values().filter(|network| Datapath::of_flags(network.flags).is_ebpf());
        by_programs.any(|network| Some(network.uplink) == index || follows_routes(network.flags))
    }

    /// Names of the uplinks by which an endpoint may leave: where it follows the host's routes, all that are guarded, or all of them
    /// where the kernel forwards.
    pub(super) fn ways(&self, record: &Endpoint) -> Vec<Untrusted> {
        let may = |(index, uplink): &(&u32, &Uplink)| {
            let guarded = uplink.flags & uplink_flags::GUARDED != 0 || !Datapath::of_flags(record.flags).is_ebpf();
            **index == record.uplink || guarded && self.link(**index).is_some() && follows_routes(record.flags)
        };
        let name = |(index, uplink): (&u32, &Uplink)| {
            self.link(*index).map_or_else(|| name_of(&uplink.ifname), |link| link.name.clone())
        };
        let (own, others): (Vec<_>, Vec<_>) =
            self.uplinks.iter().filter(may).partition(|(index, _)| **index == record.uplink);
        own.into_iter().chain(others).map(name).map(Into::into).collect()
    }
}

/// Whether a network, or an endpoint, with these flags leaves by whatever the host's routes lead by.
fn follows_routes(flags: u32) -> bool {
    let treatment = Treatment::of_flags(flags);
    !treatment.internal && !treatment.bound
}

fn state_of(link: Option<&Link>) -> &'static str {
    let [up, down, gone, _] = UPLINK_STATES;
    match link {
        None => gone,
        Some(link) if link.up => up,
        Some(_) => down,
    }
}
