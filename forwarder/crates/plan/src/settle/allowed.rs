//! Which networks may reach one another.
//!
//! Each is asked: packets go both ways or not at all, so a network is reached only by those that it allows, and that allow it.

use std::collections::BTreeSet;

use crate::{Actual, Datapath, desired::AskedNetwork};
use fwd_base::{
    Error, Kind, Result,
    text::{option, word},
};
use fwd_dataplane::NetworkMetadata;

/// Checks which networks may reach one that forwards by `datapath`. Those need not be there.
///
/// # Errors
/// [`Kind::Usage`] for the network itself, [`Kind::Unsupported`] where no program of ours decides about both.
pub(super) fn checked(
    asked: &AskedNetwork,
    allows: &BTreeSet<String>,
    datapath: Datapath,
    actual: &Actual,
) -> Result<BTreeSet<String>> {
    let refuse = |kind, other: &str, why: String| Error::new(kind, "use", option("--allow-network", other), why);
    for other in &asked.options.allow_networks {
        if *other == asked.name {
            let why = "its own namespaces reach each other anyway (but with --no-icc)";
            return Err(refuse(Kind::Usage, other, why.into()).remedy("leave it out, or name another network"));
        }
        let by_kernel = |network: &str, datapath: Datapath| {
            (!datapath.is_ebpf())
                .then(|| format!("fwd makes no rule for it in nftables (network {network} has --datapath kernel)"))
        };
        let known = actual.records.networks.iter().find(|network| network.name == *other);
        let theirs = known.and_then(|network| by_kernel(other, network.datapath));
        if let Some(why) = by_kernel(&asked.name, datapath).or(theirs) {
            return Err(refuse(Kind::Unsupported, other, why).remedy(
                "make both networks with --datapath tc, or put a namespace into both: `fwd up --ifname eth1`",
            ));
        }
    }
    NetworkMetadata { name: asked.name.clone(), allows: allows.clone(), ..NetworkMetadata::default() }.check()?;
    Ok(allows.clone())
}

/// What is missing until the networks that `network` allows reach it, in words.
pub(crate) fn one_sided(network: &str, added: &BTreeSet<String>, actual: &Actual) -> Vec<String> {
    let is_mutual = |other: &str| {
        let mut networks = actual.records.networks.iter();
        networks.any(|it| it.name == other && it.allows.contains(network))
    };
    let missing = added.iter().filter(|other| !is_mutual(other));
    missing
        .map(|other| {
            format!(
                "network {other} has not allowed {network}: they reach each other after `fwd network add {} {}`",
                word(other),
                option("--allow-network", network)
            )
        })
        .collect()
}
