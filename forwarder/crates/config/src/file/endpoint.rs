//! What a file may say of an endpoint, and how that becomes what is desired, and comes of it: each names every field of the other side.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{anywhere, limit, words};
use fwd_base::{Error, HostName, Kind, Result};
use fwd_dataplane::{Backend, EndpointId, PublishedPorts, Rule, Verb};
use fwd_kernel::netns::Name;
use fwd_plan::{
    self as plan, AskedLimits, DEFAULT_NETWORK, EndpointOptions, HardwareAddress, NS_IF, RouteRequest, SourceRange,
    Sources, TargetRef,
};

/// An interface of a namespace in a network. Its namespace is given by one of ns, pid and netns.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Endpoint {
    /// The namespace by its name below /run/netns; made if it is missing, and deleted with its last interface then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub ns: Option<Spanned<Name>>,
    /// The namespace of this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The namespace by the path of its file, such as /run/netns/NAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The network; without it, fwd0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub network: Option<Spanned<String>>,
    /// The interface inside: a namespace may have several, each in a network of its own. Without it, eth0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifname: Option<String>,
    /// Its address of IPv4; without it, the one that it has, or the next free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    /// The same of IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    /// Its hardware address; without it, one made of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub mac: Option<HardwareAddress>,
    /// Other names by which it is found in a network with a name server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub aliases: Vec<HostName>,
    /// Metric of its default route, where several interfaces of a namespace have one: the lowest wins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// It gets no default route.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_default_route: bool,
    /// Other routes inside: 10.0.0.0/8 by the gateway, or 10.0.0.0/8=10.77.0.5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub routes: Vec<RouteRequest>,
    /// The host answers at the uplink for the addresses of `source` and `source6`, which it does not have.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub announce: bool,
    /// It may send from addresses other than its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_spoof: bool,
    /// The address of the host behind which its packets of IPv4 appear, or a range of them, 192.0.2.8-192.0.2.11; without it, the one that the host would
    /// take.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub source: Option<SourceRange<Ipv4Addr>>,
    /// The same of IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub source6: Option<SourceRange<Ipv6Addr>>,
    /// Whom it may begin conversations with: CIDR[:PORT[-PORT]][/PROTO], such as 10.0.0.0/8:443/tcp, or any:53. With one of these, with nobody else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub allow_out: Vec<Spanned<String>>,
    /// Whom it may not; the most specific rule wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub deny_out: Vec<Spanned<String>>,
    /// Who may begin conversations with it. With one of these, nobody else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub allow_in: Vec<Spanned<String>>,
    /// Who may not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub deny_in: Vec<Spanned<String>>,
    /// Bits of IP packets that may leave it in a second, such as 100M.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub rate_out: Option<Spanned<String>>,
    /// Bytes that may leave it at once beyond that, such as 625k; without it, those of 50 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub burst_out: Option<Spanned<String>>,
    /// The same as rate-out for what is delivered into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub rate_in: Option<Spanned<String>>,
    /// The same as burst-out for what is delivered into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub burst_in: Option<Spanned<String>>,
    /// How the program is attached to the host-side veth: tcx is faster for packets, clsact for making and removing endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::attach")]
    pub attach: Option<Backend>,
    /// Ports of the host that lead to it: [HOSTIP:]PORT[-END]:PORT[-END][/tcp|udp][ from CIDR,…].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub publish: Vec<PublishedPorts>,
}

impl Endpoint {
    /// What is desired so. `refuse` is told which bytes of the file are wrong, and why.
    ///
    /// # Errors
    /// Its namespace is given by none or several of the keys, a value is none, or it has a metric without a default route.
    pub(crate) fn desired(
        said: &Spanned<Self>,
        refuse: impl Fn(Range<usize>, String) -> Error,
    ) -> Result<plan::Endpoint> {
        let endpoint = said.get_ref();
        let target = endpoint.target().map_err(|(why, remedy)| refuse(said.span(), why.into()).remedy(remedy))?;
        let rules = endpoint.rules(&refuse)?;
        #[rustfmt::skip]
        let Self {
            // As above.
            ns: _, pid: _, netns: _, allow_out: _, deny_out: _, allow_in: _, deny_in: _,
            network, ifname, ip, ip6, mac, aliases, source, source6, metric, no_default_route, routes, announce, allow_spoof,
            rate_out, burst_out, rate_in, burst_in, attach, publish,
        } = endpoint;
        if *no_default_route && metric.is_some() {
            let refused = refuse(said.span(), "there is no metric without a default route".into());
            return Err(refused.remedy("leave out metric or no-default-route"));
        }
        let aliases: BTreeSet<_> = aliases.iter().cloned().collect();
        let options = EndpointOptions {
            ip: *ip,
            ip6: *ip6,
            // Files name one address, or leave it open.
            range: None,
            pooled: false,
            host_if: None,
            mac: *mac,
            aliases: aliases.into_iter().collect(),
            no_default_route: *no_default_route,
            metric: *metric,
            routes: routes.clone(),
            limits: AskedLimits {
                outbound: Some(limit::desired(rate_out.as_ref(), burst_out.as_ref(), &refuse)?),
                inbound: Some(limit::desired(rate_in.as_ref(), burst_in.as_ref(), &refuse)?),
            },
            policy: Some(rules),
            announce: *announce,
            allow_spoof: *allow_spoof,
            source: Sources { v4: *source, v6: *source6 },
            attach: *attach,
            publish: publish.clone(),
        };
        Ok(plan::Endpoint {
            id: target.id(ifname.as_deref().unwrap_or(NS_IF)),
            network: network.as_ref().map_or_else(|| DEFAULT_NETWORK.into(), |network| network.get_ref().clone()),
            // A runtime's own word for it.
            owner_network: None,
            netns: Some(target),
            options,
        })
    }

    /// The namespace that it is to be in, or why that is not said, and what to do.
    fn target(&self) -> Result<TargetRef, (&'static str, &'static str)> {
        let Self { ns, pid, netns, .. } = self;
        match (ns, pid, netns) {
            (Some(ns), None, None) => Ok(TargetRef::Named(ns.get_ref().clone())),
            (None, Some(pid), None) => Ok(TargetRef::Pid(*pid)),
            (None, None, Some(path)) => Ok(TargetRef::Path(path.into())),
            (None, None, None) => Err(("no namespace is given", "give its name: ns = \"mynet\"")),
            _ => Err(("a namespace is given by one of ns, pid and netns", "leave the others out")),
        }
    }

    /// Its rules, in order, each once.
    fn rules(&self, refuse: &impl Fn(Range<usize>, String) -> Error) -> Result<Vec<Rule>> {
        let words = |verb| match verb {
            Verb::AllowOut => &self.allow_out,
            Verb::DenyOut => &self.deny_out,
            Verb::AllowIn => &self.allow_in,
            Verb::DenyIn => &self.deny_in,
        };
        let mut rules = BTreeSet::new();
        for (verb, word) in Verb::ALL.into_iter().flat_map(|verb| words(verb).iter().map(move |word| (verb, word))) {
            let what = word.get_ref().parse().map_err(|why: String| {
                let remedy = "write CIDR[:PORT[-PORT]][/PROTO], such as \"10.0.0.0/8:443/tcp\" or \"any:53\"";
                refuse(word.span(), why).remedy(remedy)
            })?;
            rules.insert(Rule { verb, what });
        }
        Ok(rules.into_iter().collect())
    }

    /// What a file says of an endpoint that is desired. What is usual is left out.
    ///
    /// # Errors
    /// It has no namespace that a file could name.
    pub(crate) fn said(endpoint: &plan::Endpoint) -> Result<Self> {
        // A runtime's own word for it.
        let plan::Endpoint { id, network, owner_network: _, netns, options } = endpoint;
        #[rustfmt::skip]
        let EndpointOptions {
            // Of a command that is over.
            range: _, pooled: _, host_if: _,
            ip, ip6, mac, aliases, no_default_route, metric, routes, limits: AskedLimits { outbound, inbound }, policy, announce, allow_spoof, source,
            attach, publish,
        } = options;
        let (ns, pid, path) = said_target(id, netns.as_ref())?;
        let [rate_out, burst_out] = limit::said(*outbound);
        let [rate_in, burst_in] = limit::said(*inbound);
        let said = |verb| {
            let rules = policy.iter().flatten().filter(move |rule| rule.verb == verb);
            rules.map(|rule| anywhere(rule.what.to_string())).collect()
        };
        let [allow_out, deny_out, allow_in, deny_in] = Verb::ALL.map(said);
        Ok(Self {
            ns,
            pid,
            netns: path,
            network: (network != DEFAULT_NETWORK).then(|| anywhere(network.clone())),
            ifname: (id.ifname != NS_IF).then(|| id.ifname.clone()),
            ip: *ip,
            ip6: *ip6,
            mac: *mac,
            aliases: aliases.clone(),
            metric: *metric,
            no_default_route: *no_default_route,
            routes: routes.clone(),
            announce: *announce,
            allow_spoof: *allow_spoof,
            source: source.v4,
            source6: source.v6,
            allow_out,
            deny_out,
            allow_in,
            deny_in,
            rate_out,
            burst_out,
            rate_in,
            burst_in,
            attach: *attach,
            publish: publish.clone(),
        })
    }
}

/// Name, process or path of a namespace: one of them.
type Target = (Option<Spanned<Name>>, Option<u32>, Option<String>);

fn said_target(id: &EndpointId, netns: Option<&TargetRef>) -> Result<Target> {
    let unknown = |why: &str| Error::new(Kind::Failed, "write", format!("endpoint {id} into a file"), why);
    let target = netns.ok_or_else(|| unknown("its namespace is not known"))?;
    Ok(match target {
        TargetRef::Awaited(_) => return Err(unknown("its namespace is not made yet")),
        TargetRef::Named(name) => (Some(anywhere(name.clone())), None, None),
        TargetRef::Pid(pid) => (None, Some(*pid), None),
        // A container is another one when it starts again: files name what it is in now.
        TargetRef::Path(_) | TargetRef::Container(_) => {
            let path = target.path();
            let path = path.to_str().ok_or_else(|| unknown("the path of its namespace is no UTF-8"))?;
            (None, None, Some(path.to_owned()))
        }
    })
}
