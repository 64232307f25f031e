//! What an endpoint and its network may do, and must not: in every view of an endpoint.

use serde::Serialize;

use super::units;

/// What is not as usual of an endpoint, and of its network.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PolicyView {
    /// What the network has of IPv4: `on` or `off`.
    pub ipv4: String,
    /// What the network has of IPv6: `masquerade`, `route` or `off`.
    pub ipv6: String,
    /// Whether the MSS of TCP is lowered to what the path carries.
    pub clamp_mss: bool,
    /// Whether the programs may send past policies of IPsec.
    pub ignore_xfrm: bool,
    /// Whether nothing leaves the network, which has no uplink.
    pub internal: bool,
    /// Whether endpoints of the network do not reach each other.
    pub no_icc: bool,
    /// Whether what endpoints of the network speak with each other has flows.
    pub east_west: bool,
    /// Whether multicast passes between it and its uplink.
    pub multicast: bool,
    /// Whether host-side veths are no ports of the network's bridge.
    pub bridgeless: bool,
    /// Whether a default route was set inside.
    pub default_route: bool,
    /// Metric of the default route, where one was asked for.
    pub metric: Option<u32>,
    /// Other routes that were set inside: `10.0.0.0/8 via 10.77.0.1`.
    pub routes: Vec<String>,
    /// Whether the namespace may send from addresses other than its own.
    pub allow_spoof: bool,
    /// Whether the host answers for the addresses of `source` at the uplink, because it does not have them.
    pub announced: bool,
    /// The same of `source6`.
    pub announced6: bool,
    /// Addresses of the host behind which its packets appear, where some were asked for: one, or a range.
    pub source: Option<String>,
    /// The same of IPv6.
    pub source6: Option<String>,
    /// What may leave the namespace in a second; none without limit.
    pub rate_out: Option<RateView>,
    /// What may be delivered into it.
    pub rate_in: Option<RateView>,
    /// Rules about whom the namespace speaks with.
    pub rules: Vec<RuleView>,
    /// Conversations that it was to begin, and no rule allows; none where every other may begin.
    pub others_out_refused: Option<u64>,
    /// The same of those that others were to begin.
    pub others_in_refused: Option<u64>,
}

/// A rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleView {
    /// As it is asked for: `deny-out 10.0.0.0/8:25/tcp`.
    pub rule: String,
    /// Conversations that it has refused.
    pub refused: u64,
}

/// A limit.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RateView {
    /// Bits of IP packets a second.
    pub rate: u64,
    /// Bytes that may come at once.
    pub burst: u64,
}

impl PolicyView {
    /// Whether the network has IPv4.
    pub(super) fn has_ipv4(&self) -> bool {
        self.ipv4 != "off"
    }

    /// Whether addresses of IPv6 leave as they are.
    pub(super) fn is_routed6(&self) -> bool {
        self.ipv6 == "route" && !self.internal
    }

    /// Options of the network that are not the usual ones.
    pub(super) fn network_options(&self) -> impl Iterator<Item = String> + use<> {
        let options = [
            (!self.has_ipv4(), "without IPv4"),
            (self.is_routed6(), "IPv6 routed"),
            (self.clamp_mss, "clamp-mss"),
            (self.ignore_xfrm, "ignore-xfrm"),
            (self.no_icc, "no-icc"),
            (self.east_west, "flows east-west"),
            (self.multicast, "multicast"),
            (self.bridgeless, "bridge none"),
        ]
        .into_iter();
        options.filter(|(given, _)| *given).map(|(_, option)| option.into())
    }

    /// The addresses of the host behind which it appears, with the options that ask for them; empty where the host chooses.
    pub(super) fn sources(&self) -> String {
        let how = |announced| if announced { ", --announce" } else { "" };
        let v4 = self.source.as_ref().map(|source| format!("{source} (--source{})", how(self.announced)));
        let v6 = self.source6.as_ref().map(|source| format!("{source} (--source6{})", how(self.announced6)));
        v4.into_iter().chain(v6).collect::<Vec<_>>().join(", ")
    }

    /// What is not as usual about the routes, in words; empty if all is.
    pub(super) fn routes(&self) -> String {
        let default = match (self.default_route, self.metric) {
            (false, _) => Some("no default route".into()),
            (true, Some(metric)) => Some(format!("default route with metric {metric}")),
            (true, None) => None,
        };
        default.into_iter().chain(self.routes.iter().cloned()).collect::<Vec<_>>().join(", ")
    }

    /// The rules, one a line with what each has refused; empty if there is none.
    pub(super) fn rules(&self) -> String {
        let refused =
            |rule: &str, count: u64| if count == 0 { rule.to_owned() } else { format!("{rule} ({count} refused)") };
        let others = [("out", self.others_out_refused), ("in", self.others_in_refused)];
        let others = others.into_iter().filter_map(|(side, count)| Some(refused(&format!("no others {side}"), count?)));
        let rules = self.rules.iter().map(|it| refused(&it.rule, it.refused));
        rules.chain(others).collect::<Vec<_>>().join(", ")
    }

    /// The limits in words: `out 100 Mbit/s (burst 625 kB)`; empty if there is none.
    pub(super) fn limits(&self) -> String {
        let sides = [("out", self.rate_out), ("in", self.rate_in)];
        let limit = |(side, limit): (&str, Option<RateView>)| {
            let RateView { rate, burst } = limit?;
            Some(format!("{side} {} (burst {})", units::rate(rate), units::bytes(burst)))
        };
        sides.into_iter().filter_map(limit).collect::<Vec<_>>().join(", ")
    }
}
