//! Published ports, and how programs of the host reach them.

use super::{Execute, Runner, unrecorded};
use fwd_base::Result;
use fwd_kernel::netlink::nft;
use fwd_plan::object::{HostAccess, Published};

impl Execute for Published {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let (endpoint, cookie) = runner.publisher(self)?;
        runner.plane()?.publish(endpoint, cookie, &self.ports)?;
        match &self.kernel {
            Some(kernel) => {
                let rules = kernel.rules(&runner.owner.rule(&kernel.network), &self.ports);
                rules.iter().try_for_each(nft::ensure_port_rules)?;
                runner.netlink.hairpin_port(endpoint, true)
            }
            None => Ok(()),
        }
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        if let Some(kernel) = &self.kernel {
            for rules in kernel.rules(&runner.owner.rule(&kernel.network), &self.ports) {
                nft::remove_port_rules(&rules)?;
            }
        }
        let (endpoint, cookie) = runner.publisher(self)?;
        runner.plane()?.unpublish(endpoint, cookie, &self.ports)?;
        let left = runner.plane()?.publications()?;
        if self.kernel.is_none() || left.iter().any(|it| (it.endpoint, it.cookie) == (endpoint, cookie)) {
            return Ok(());
        }
        // The pair may have gone before.
        match runner.netlink.link_by_index(endpoint)? {
            Some(port) if port.controller.is_some() && port.name == self.host_if => {
                runner.netlink.hairpin_port(endpoint, false)
            }
            _ => Ok(()),
        }
    }
}

impl Execute for HostAccess {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.attach_host(&self.path)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        runner.plane()?.detach_host()
    }
}

impl Runner<'_> {
    /// The host-side veth and the cookie under which ports are published.
    fn publisher(&self, published: &Published) -> Result<(u32, u64)> {
        if let Some(recorded) = published.recorded {
            return Ok(recorded);
        }
        let index = self.number(&published.host_if)?;
        let endpoint = self.plane()?.endpoint(index)?;
        let endpoint = endpoint.ok_or_else(|| unrecorded(format!("endpoint {}", published.host_if)))?;
        Ok((index, endpoint.netns_cookie))
    }
}
