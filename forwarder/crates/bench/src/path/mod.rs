//! The topology of each [`Path`], in a sandbox of its own: a host, the internet behind its uplink, and namespaces that the path
//! connects. Nothing but the path differs between two of them, and nothing of the machine's own network is touched.

mod by_hand;
mod flows;
mod fwd;
mod netfilter;
mod published;

use std::{net::IpAddr, time::Duration};

pub(super) use self::flows::make as make_flows;
pub use self::{by_hand::Veth, netfilter::bridge_masquerade};
use super::{Comparison, Family, Path, environment, load::Peers};
use fwd_base::{Error, Kind, Result};
use fwd_dataplane::RedirectBaseline;
use fwd_kernel::{netlink::Netlink, netns::Netns};
use fwd_testbed::{Process, Testbed, TestbedSpec, unique_prefix, wait_until};

/// How long packets may be under way.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much there is beside the measured connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scale {
    /// Namespaces that are up, at least 1; the last one is measured. [`Path::Host`] and [`Path::VethFloor`] have none and one.
    pub namespaces: usize,
    /// Flows in the table, where the path has one.
    pub flows: usize,
}

/// One namespace, nothing else.
impl Default for Scale {
    fn default() -> Self {
        Self { namespaces: 1, flows: 0 }
    }
}

/// A path that is up, until this value is dropped or a signal ends the process.
pub struct Sandbox {
    // Dropped first: programs are detached before their interfaces go.
    _baseline: Option<RedirectBaseline>,
    _proxies: Vec<Process>,
    inside: Option<Netns>,
    way: Comparison,
    testbed: Testbed,
}

impl Sandbox {
    /// Sets a path up.
    ///
    /// # Errors
    /// This kernel, or this machine, does not have it; the error says what is missing. The path does not go this way.
    pub fn new(path: Path, scale: Scale, way: Comparison) -> Result<Self> {
        if !way.paths().contains(&path) {
            return Err(Error::new(
                Kind::Usage,
                "set up",
                format!("path {path}"),
                "it is there or not at all this way",
            ));
        }
        let spec = TestbedSpec { ipv6: way.family == Family::V6, ..TestbedSpec::default() };
        let testbed = Testbed::with(&unique_prefix(), &spec)?;
        let (mut baseline, mut proxies) = (None, Vec::new());
        let inside = match path {
            Path::Host => None,
            Path::VethFloor => {
                let veth = by_hand::redirected(&testbed)?;
                let uplink = testbed.uplink(0);
                let outside = testbed.host().netlink()?.link(&uplink.name)?.map_or(0, |link| link.index);
                let attach = || RedirectBaseline::attach(veth.host_veth, outside, uplink.gateway);
                baseline = Some(testbed.host().run(attach)?);
                Some(veth.client)
            }
            Path::FwdTc | Path::FwdXdp | Path::FwdNetkit => Some(fwd::up(&testbed, path, scale, way)?),
            Path::Routed => Some(last(by_hand::routed(&testbed, scale.namespaces)?)?),
            Path::NftMasquerade => Some(last(netfilter::masquerade(&testbed, scale.namespaces)?)?),
            Path::NftFlowtable => Some(last(netfilter::flowtable(&testbed, scale.namespaces)?)?),
            Path::BridgeMasquerade => Some(last(bridge_masquerade(&testbed, scale.namespaces, way.family)?)?),
            Path::NftDnat => Some(last(published::dnat(&testbed, scale.namespaces)?)?),
            Path::DockerProxy => {
                let (veths, processes) = published::proxies(&testbed, scale.namespaces, way.family)?;
                proxies = processes;
                Some(last(veths)?)
            }
            Path::Live => {
                return Err(Error::new(Kind::Usage, "set up", "a live path", "it is there already or not at all"));
            }
        };
        if matches!(path, Path::VethFloor | Path::Routed) {
            by_hand::route_back(&testbed)?;
        }
        let sandbox = Self { _baseline: baseline, _proxies: proxies, inside, way, testbed };
        if scale.flows > 0 && path.has_flows() {
            sandbox.fill(path, scale.flows)?;
        }
        Ok(sandbox)
    }

    /// Makes flows, and makes sure that the table has them.
    fn fill(&self, path: Path, flows: usize) -> Result<()> {
        if !path.is_fwd() {
            netfilter::make_room(&self.testbed, flows)?;
        }
        flows::make(self.inside(), flows)?;
        wait_until(PATIENCE, &format!("the table has {flows} flows"), || {
            let found = if path.is_fwd() { fwd::flows(&self.testbed)? } else { netfilter::flows(&self.testbed)? };
            Ok((found >= flows).then_some(()))
        })
    }

    /// Where client and server of a load are.
    #[must_use]
    pub fn peers(&self) -> Peers<'_> {
        let uplink = self.testbed.uplink(0);
        if self.way.published {
            return published::peers(&self.testbed, self.inside());
        }
        let address = match &uplink.ipv6 {
            Some(ipv6) => IpAddr::from(ipv6.outside),
            None => uplink.outside.first().copied().unwrap_or(uplink.gateway).into(),
        };
        Peers::direct(self.inside(), &uplink.internet, (address, 0))
    }

    /// The offloads of the host's uplink that are on.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn offloads(&self) -> Result<Vec<String>> {
        environment::offloads(self.testbed.host(), &self.testbed.uplink(0).name)
    }

    /// The namespace that is measured, or the host.
    fn inside(&self) -> &Netns {
        self.inside.as_ref().unwrap_or_else(|| self.testbed.host())
    }
}

impl Path {
    /// Whether it goes through `fwd`.
    #[must_use]
    pub const fn is_fwd(self) -> bool {
        matches!(self, Self::FwdTc | Self::FwdXdp | Self::FwdNetkit)
    }

    /// Whether it keeps a table of flows.
    const fn has_flows(self) -> bool {
        !matches!(self, Self::Host | Self::VethFloor | Self::Routed)
    }
}

/// The namespace that is measured.
fn last(veths: Vec<Veth>) -> Result<Netns> {
    let last = veths.into_iter().next_back().map(|veth| veth.client);
    last.ok_or_else(|| Error::new(Kind::Usage, "measure", "a path", "it has no namespace"))
}

/// Index of the internet's end of the uplink.
fn internet_link(netlink: &Netlink, testbed: &Testbed) -> Result<u32> {
    let gateway = testbed.uplink(0).gateway;
    let addresses = netlink.addresses(None)?;
    let found = addresses.into_iter().find(|(_, net)| net.addr() == gateway);
    found.map(|(index, _)| index).ok_or_else(|| {
        Error::new(Kind::NotFound, "find", format!("the interface with {gateway}"), "the sandbox lacks it")
    })
}
