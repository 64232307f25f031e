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
use fwd_kernel::netlink::nft::NetworkPair;

/// Checks which networks may reach one that forwards by `datapath`. Those need not be there.
///
/// # Errors
/// [`Kind::Usage`] for the network itself, [`Kind::Unsupported`] where not the same decides about both.
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
        let known = actual.records.networks.iter().find(|network| network.name == *other);
        if let Some(known) = known.filter(|known| known.datapath.is_ebpf() != datapath.is_ebpf()) {
            let (own, theirs) = (datapath.name(), known.datapath.name());
            let why = format!("programs forward one of both and the kernel the other: --datapath {own}, and {theirs}");
            return Err(refuse(Kind::Unsupported, other, why).remedy(
                "make both networks with --datapath tc, or put a namespace into both: `fwd up --ifname eth1`",
            ));
        }
        let (most, used) = (NetworkPair::NAMES_MAX - actual.host.owner.rule("").len(), asked.name.len() + other.len());
        if !datapath.is_ebpf() && used > most {
            let why = format!("a rule in nftables takes names of two networks of {most} bytes, and they have {used}");
            return Err(refuse(Kind::Usage, other, why).remedy("choose shorter names, or use --datapath tc"));
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
