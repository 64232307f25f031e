//! From a network as docker asks for it to one as the engine is asked for it.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::Value;

use crate::api::{CreateNetwork, GENERIC, INTERNAL, Options, Pool};
use fwd_base::{Error, Kind, Result};
use fwd_kernel::netns::Name;
use fwd_plan::{Bridging, Datapath, Ipv4, Ipv6, Nat, Network, NetworkRequest, TableRequest, UplinkChoice};
use fwd_plugin::{is_on, one_of};

/// How many characters of an id name a network of which nothing else does.
const NAMED: usize = 12;

/// Options of `-o` that say something here.
const KNOWN: [&str; 8] = [
    "fwd.network",
    "fwd.uplink",
    "fwd.datapath",
    "fwd.nat",
    "fwd.bridge",
    "fwd.mtu",
    "com.docker.network.driver.mtu",
    ICC,
];
/// Whether containers of a network reach each other (docker's own bridge driver reads it by strconv.ParseBool).
const ICC: &str = "com.docker.network.bridge.enable_icc";

/// The network that is asked for.
///
/// # Errors
/// [`Kind::Usage`] for a value that cannot be, [`Kind::Unsupported`] for what is not made.
pub(crate) fn network(asked: &CreateNetwork) -> Result<NetworkRequest> {
    let generic = generic(&asked.options)?;
    let text = |option: &str| generic.get(option).map(|value| text(option, value)).transpose();
    if let Some(unknown) = generic.keys().find(|option| !KNOWN.contains(&option.as_str())) {
        let error = Error::new(Kind::Unsupported, "use", format!("-o {unknown}"), "fwd has no such option");
        return Err(error.remedy(format!("those that it has are {}", KNOWN.join(", "))));
    }
    let name = text("fwd.network")?.unwrap_or_else(|| format!("d-{}", asked.network.short(NAMED)));
    let internal = asked.options.get(INTERNAL).is_some_and(is_true);
    let uplink = match (text("fwd.uplink")?, internal) {
        (Some(uplink), true) => {
            let error = Error::new(Kind::Usage, "use", format!("-o fwd.uplink={uplink}"), "the network is internal");
            return Err(error.remedy("leave out that option, or --internal"));
        }
        (None, true) => UplinkChoice::None,
        (Some(uplink), false) => UplinkChoice::Interface(uplink),
        (None, false) => UplinkChoice::Auto,
    };
    let mtu = text("fwd.mtu")?.or(text("com.docker.network.driver.mtu")?);
    let icc = text(ICC)?.map(|icc| is_on(&icc).ok_or_else(|| refuse(ICC, &icc, "it is neither true nor false")));
    let icc = icc.transpose()?;
    let Subnets { subnet, subnet6, gateway } = Subnets::of(asked, &name)?;
    let network = Network {
        uplink,
        subnet,
        subnet6,
        gateway,
        ipv4: Some(Ipv4::of(subnet.is_some())),
        ipv6: Some(if subnet6.is_some() { Ipv6::Masquerade } else { Ipv6::Off }),
        mtu: mtu.map(|mtu| mtu.parse().map_err(|error| refuse("fwd.mtu", &mtu, error))).transpose()?,
        datapath: choice("fwd.datapath", text("fwd.datapath")?, &Datapath::ALL, Datapath::name)?,
        nat: choice("fwd.nat", text("fwd.nat")?, &Nat::ALL, Nat::name)?,
        no_icc: icc == Some(false),
        bridging: choice("fwd.bridge", text("fwd.bridge")?, &Bridging::ALL, Bridging::name)?.unwrap_or_default(),
        kept: true,
        ..Network::default()
    };
    let name = Name::of("a network", &name)?;
    let why = match network.datapath {
        Some(Datapath::Xdp) => Some("it is set inside of containers, whose namespaces docker makes later"),
        Some(Datapath::Netkit) => {
            Some("its pairs would wait on the host for containers, whose namespaces docker makes later")
        }
        _ => None,
    };
    if let (Some(datapath), Some(why)) = (network.datapath, why) {
        let object = format!("-o fwd.datapath={}", datapath.name());
        return Err(Error::new(Kind::Unsupported, "use", object, why).remedy("use tc, or leave it out"));
    }
    Ok(NetworkRequest { name, network, forbid: BTreeSet::new(), table: TableRequest::default() })
}

/// The subnets of a network: one at least, and of each family one at most.
struct Subnets {
    subnet: Option<Ipv4Net>,
    subnet6: Option<Ipv6Net>,
    /// That of IPv4; the other is the first address of its subnet.
    gateway: Option<Ipv4Addr>,
}

impl Subnets {
    fn of(asked: &CreateNetwork, name: &str) -> Result<Self> {
        let (pool, pool6) = (one("IPv4", &asked.v4)?, one("IPv6", &asked.v6)?);
        let subnet = match pool.map(|pool| pool.pool.trunc()) {
            Some(IpNet::V4(subnet)) => Some(subnet),
            Some(IpNet::V6(_)) | None => None,
        };
        let subnet6 = match pool6.map(|pool| pool.pool.trunc()) {
            Some(IpNet::V6(subnet)) => Some(subnet),
            Some(IpNet::V4(_)) | None => None,
        };
        if subnet.is_none() && subnet6.is_none() {
            let error = Error::new(Kind::Unsupported, "make", format!("network {name}"), "it has no subnet");
            return Err(error.remedy("leave out --ipam-driver null: docker chooses one, or --subnet says which"));
        }
        let gateway = match pool.and_then(|pool| pool.gateway) {
            Some(IpNet::V4(gateway)) => Some(gateway.addr()),
            Some(IpNet::V6(_)) | None => None,
        };
        gateway_of_ipv6(pool6)?;
        Ok(Self { subnet, subnet6, gateway })
    }
}

/// What `-o` has said.
fn generic(options: &Options) -> Result<Options> {
    match options.get(GENERIC) {
        None | Some(Value::Null) => Ok(Options::new()),
        Some(Value::Object(map)) => Ok(map.clone().into_iter().collect()),
        Some(other) => Err(refuse(GENERIC, &other.to_string(), "it is no object")),
    }
}

/// The only subnet of a family.
fn one<'a>(family: &str, pools: &'a [Pool]) -> Result<Option<&'a Pool>> {
    match pools {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        [_, second, ..] => {
            let (object, why) = (format!("subnet {}", second.pool), format!("a network has one subnet of {family}"));
            Err(Error::new(Kind::Unsupported, "use", object, why).remedy("give --subnet once for each family"))
        }
    }
}

/// The gateway of IPv6 is the first address of the subnet, as docker has it, too, if nothing is said.
fn gateway_of_ipv6(pool: Option<&Pool>) -> Result<()> {
    let Some(Pool { pool: IpNet::V6(pool), gateway: Some(IpNet::V6(gateway)) }) = pool else { return Ok(()) };
    let first = std::net::Ipv6Addr::from_bits(pool.network().to_bits() + 1);
    if gateway.addr() == first {
        return Ok(());
    }
    let why = format!("the gateway of {pool} is its first address, {first}");
    Err(Error::new(Kind::Unsupported, "use", format!("gateway {}", gateway.addr()), why)
        .remedy("leave out --gateway of IPv6, or give that one"))
}

fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str() == Some("true"))
}

fn text(option: &str, value: &Value) -> Result<String> {
    value.as_str().map(ToOwned::to_owned).ok_or_else(|| refuse(option, &value.to_string(), "it is no text"))
}

fn choice<T: Copy, const N: usize>(
    option: &str,
    text: Option<String>,
    all: &[T; N],
    name: fn(T) -> &'static str,
) -> Result<Option<T>> {
    let text = text.as_deref();
    one_of(text, all, name).map_err(|why| refuse(option, text.unwrap_or_default(), why))
}

fn refuse(option: &str, value: &str, why: impl std::fmt::Display) -> Error {
    Error::new(Kind::Usage, "use", format!("-o {option}={value}"), why.to_string())
        .remedy("correct the option of `docker network create`")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(options: &Value) -> CreateNetwork {
        let request = json!({
            "NetworkID": "0123456789abcdef", "Options": options, "IPv6Data": null,
            "IPv4Data": [{ "AddressSpace": "LocalDefault", "Pool": "10.80.0.0/24", "Gateway": "10.80.0.1/24" }],
        });
        serde_json::from_value(request).expect("a network")
    }

    #[test]
    fn networks_are_named_by_their_id_and_have_docker_s_subnet() {
        let NetworkRequest { name, network, .. } = self::network(&asked(&json!({}))).expect("it can be");
        assert_eq!(name.as_str(), "d-0123456789ab");
        assert_eq!((network.subnet, network.subnet6), ("10.80.0.0/24".parse().ok(), None));
        assert_eq!(network.gateway, Some([10, 80, 0, 1].into()));
        assert_eq!((network.uplink, network.ipv6, network.kept), (UplinkChoice::Auto, Some(Ipv6::Off), true));
    }

    #[test]
    fn options_become_what_they_mean() {
        let generic = json!({
            "fwd.network": "web", "fwd.uplink": "eth1", "fwd.nat": "eim", "fwd.datapath": "kernel",
            "com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.enable_icc": "false",
        });
        let NetworkRequest { name, network, .. } =
            self::network(&asked(&json!({ GENERIC: generic }))).expect("it can be");
        assert_eq!((name.as_str(), network.mtu, network.no_icc), ("web", Some(1400), true));
        assert_eq!((network.nat, network.datapath), (Some(Nat::Eim), Some(Datapath::Kernel)));
        assert_eq!((network.uplink, network.bridging), (UplinkChoice::Interface("eth1".into()), Bridging::Ports));
        let without = self::network(&asked(&json!({ GENERIC: { "fwd.bridge": "none" } }))).expect("it can be");
        assert_eq!(without.network.bridging, Bridging::None);
        let internal = self::network(&asked(&json!({ INTERNAL: true }))).expect("it can be");
        assert_eq!(internal.network.uplink, UplinkChoice::None);
        for (icc, no_icc) in [("0", true), ("f", true), ("False", true), ("1", false), ("TRUE", false)] {
            let asked = asked(&json!({ GENERIC: { ICC: icc } }));
            assert_eq!(self::network(&asked).expect("it can be").network.no_icc, no_icc, "{icc}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_do() {
        for (options, why) in [
            (json!({ GENERIC: { "parent": "eth0" } }), "no such option"),
            (json!({ GENERIC: { "fwd.mtu": "big" } }), "invalid digit"),
            (json!({ GENERIC: { "fwd.nat": "full" } }), "none of auto, symmetric, eim, eim-eif"),
            (json!({ GENERIC: { "fwd.bridge": "br0" } }), "none of auto, ports, none"),
            (json!({ GENERIC: { "fwd.datapath": "xdp" } }), "makes later"),
            (json!({ GENERIC: { "fwd.datapath": "netkit" } }), "makes later"),
            (json!({ GENERIC: { "fwd.network": "a/b" } }), ""),
            (json!({ GENERIC: { "fwd.mtu": 1400 } }), "no text"),
            (json!({ GENERIC: { ICC: "off" } }), "neither true nor false"),
            (json!({ GENERIC: ["x"] }), "no object"),
            (json!({ INTERNAL: true, GENERIC: { "fwd.uplink": "eth1" } }), "internal"),
        ] {
            let error = network(&asked(&options)).expect_err("it cannot be");
            assert!(error.why.contains(why) && error.remedy.is_some(), "{options}: {error}");
        }
    }

    #[test]
    fn a_network_has_a_subnet_of_each_family_at_most() {
        let pool = |pool: &str| json!({ "Pool": pool });
        let mut two = asked(&json!({}));
        two.v4.push(serde_json::from_value(pool("10.81.0.0/24")).expect("a pool"));
        assert!(network(&two).expect_err("two").why.contains("one subnet of IPv4"));
        let none = CreateNetwork { v4: Vec::new(), ..asked(&json!({})) };
        assert!(network(&none).expect_err("none").why.contains("no subnet"));
        let with = |gateway: &str| {
            let pool = json!([{ "Pool": "fd00:80::/64", "Gateway": gateway }]);
            CreateNetwork { v6: serde_json::from_value(pool).expect("a pool"), ..asked(&json!({})) }
        };
        let dual = network(&with("fd00:80::1/64")).expect("it can be").network;
        assert_eq!((dual.ipv6, dual.subnet6), (Some(Ipv6::Masquerade), "fd00:80::/64".parse().ok()));
        assert!(network(&with("fd00:80::9/64")).expect_err("another").why.contains("fd00:80::1"));
        // As docker 28 asks for it with --ipv4=false.
        let alone = network(&CreateNetwork { v4: Vec::new(), ..with("fd00:80::1/64") }).expect("it can be").network;
        assert_eq!((alone.ipv4, alone.subnet, alone.gateway), (Some(Ipv4::Off), None, None));
        assert_eq!((alone.ipv6, alone.subnet6), (Some(Ipv6::Masquerade), "fd00:80::/64".parse().ok()));
    }
}
