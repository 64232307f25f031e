//! Options by name, as `podman network create -o NAME=VALUE` gives them.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use crate::refusal;
use fwd_base::{Error, Result};
use fwd_dataplane::Backend;
use fwd_plan::{Bridging, Datapath, EndpointOptions, Nat, Network};
use fwd_plugin::one_of;

/// Those of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkOptions {
    /// Interface to the outside.
    pub(crate) uplink: Option<String>,
    /// What else is said of the network so.
    pub(crate) network: Network,
    /// What its containers are to be, of which single ones may have the metric, the default route, the source and the name otherwise.
    pub(crate) endpoint: EndpointOptions,
}

impl NetworkOptions {
    /// # Errors
    /// One is not known, or has a value that cannot be.
    pub(crate) fn of(given: &BTreeMap<String, String>) -> Result<Self> {
        let mut read = Self::default();
        for (key, value) in given {
            match key.as_str() {
                "uplink" => read.uplink = Some(value.clone()).filter(|it| !it.is_empty()),
                "mtu" => read.network.mtu = Some(parsed(key, value)?).filter(|mtu| *mtu != 0),
                "datapath" => read.network.datapath = choice(key, value, &Datapath::ALL, Datapath::name)?,
                "attach" => read.endpoint.attach = choice(key, value, &Backend::CHOICES, Backend::name)?,
                "nat" => read.network.nat = choice(key, value, &Nat::ALL, Nat::name)?,
                "bridge" => {
                    read.network.bridging = choice(key, value, &Bridging::ALL, Bridging::name)?.unwrap_or_default();
                }
                "icc" => read.network.no_icc = !is_on(key, value)?,
                "isolate" if value == "strict" || is_on(key, value)? => {}
                "isolate" => {
                    let remedy = "leave it out: networks are isolated until `fwd network add NAME --allow-network OTHER` lets them";
                    return Err(refused(key, value, "networks are always isolated", remedy));
                }
                _ if read_of_container(&mut read.endpoint, key, value)? => {}
                _ => return Err(unknown(key, value)),
            }
        }
        Ok(read)
    }
}

/// What is said of a container, over what its network says.
///
/// # Errors
/// As [`NetworkOptions::of`].
pub(crate) fn of_container(network: &EndpointOptions, given: &BTreeMap<String, String>) -> Result<EndpointOptions> {
    let mut options = network.clone();
    for (key, value) in given {
        if !read_of_container(&mut options, key, value)? {
            return Err(unknown(key, value));
        }
    }
    Ok(options)
}

/// Whether it is an option of a container.
fn read_of_container(options: &mut EndpointOptions, key: &str, value: &str) -> Result<bool> {
    match key {
        "metric" => options.metric = Some(parsed(key, value)?),
        "no_default_route" => options.no_default_route = is_on(key, value)?,
        "outbound_addr4" => options.source.v4 = Some(parsed(key, value)?),
        "outbound_addr6" => options.source.v6 = Some(parsed(key, value)?),
        "host_interface_name" => options.host_if = Some(value.to_owned()).filter(|name| !name.is_empty()),
        _ => return Ok(false),
    }
    Ok(true)
}

fn choice<T: Copy, const N: usize>(
    key: &str,
    value: &str,
    all: &[T; N],
    name: fn(T) -> &'static str,
) -> Result<Option<T>> {
    one_of(Some(value), all, name).map_err(|why| refused(key, value, why, "use one of these"))
}

fn parsed<T: FromStr<Err: Display>>(key: &str, value: &str) -> Result<T> {
    value.parse().map_err(|error: T::Err| refused(key, value, error.to_string(), "correct it, or leave it out"))
}

fn is_on(key: &str, value: &str) -> Result<bool> {
    fwd_plugin::is_on(value)
        .ok_or_else(|| refused(key, value, "it is neither true nor false", "correct it, or leave it out"))
}

fn unknown(key: &str, value: &str) -> Error {
    refused(key, value, "there is no such option", "leave it out (docs/integrations.md lists those that there are)")
}

fn refused(key: &str, value: &str, why: impl Into<String>, remedy: &str) -> Error {
    refusal(format!("option {key}={value}"), why, remedy)
}
