//! Published ports, and how programs of the host reach them.

use super::{Execute, Runner, unrecorded};
use fwd_base::Result;
use fwd_plan::object::{HostAccess, Published};

impl Execute for Published {
    fn make(&self, runner: &mut Runner<'_>) -> Result<()> {
        let (endpoint, cookie) = runner.publisher(self)?;
        runner.plane()?.publish(endpoint, cookie, &self.ports)
    }

    fn remove(&self, runner: &mut Runner<'_>) -> Result<()> {
        let (endpoint, cookie) = runner.publisher(self)?;
        runner.plane()?.unpublish(endpoint, cookie, &self.ports)
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
        let index = self.link(&published.host_if)?.index;
        let endpoint = self.plane()?.endpoint(index)?;
        let endpoint = endpoint.ok_or_else(|| unrecorded(format!("endpoint {}", published.host_if)))?;
        Ok((index, endpoint.netns_cookie))
    }
}
