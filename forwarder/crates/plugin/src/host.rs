//! The host that a runtime calls about, and its containers there.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use fwd_base::{Error, Kind, Result};
use fwd_dataplane::{Dataplane, Described, EndpointId, EndpointOwner};
use fwd_engine::{
    execute::{DownResult, HostContext, Observer, UpResult, detach_others, down, up_and_look},
    query::HostNetns,
};
use fwd_kernel::netns::Netns;
use fwd_plan::{Scope, UpRequest};

/// Where a plugin acts, as the command line and its environment say it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where pins and locks are.
    pub run_dir: PathBuf,
    /// The cgroup whose processes are to reach published ports by the host's own addresses; without it, the root.
    pub cgroup: Option<PathBuf>,
}

/// The host of the calling thread, for a runtime.
#[derive(Debug)]
pub struct Host {
    /// To be asked about.
    pub at: HostNetns,
    /// To be changed.
    pub context: HostContext,
}

impl Host {
    /// The host; `patience` is how long another command on it is waited for.
    ///
    /// # Errors
    /// The caller is not root, or the run directory is not safe.
    pub fn open(settings: &Settings, patience: Duration) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            let why = "only root may change namespaces and load programs";
            return Err(Error::new(Kind::Failed, "attach", "containers", why)
                .remedy("rootless runtimes have networks of their own (slirp4netns, pasta)"));
        }
        let at = HostNetns::open(None, &settings.run_dir)?;
        let context = HostContext { cgroup: settings.cgroup.clone(), patience, ..HostContext::new(at.run_dir.clone()) };
        Ok(Self { at, context })
    }

    /// The endpoints of runtimes of one kind, with the ifindexes of their host-side veths.
    ///
    /// # Errors
    /// The maps cannot be read.
    pub fn endpoints(&self, plane: Option<&Dataplane>, owner: EndpointOwner) -> Result<Vec<(u32, Described)>> {
        let all = plane.map(Dataplane::described_endpoints).transpose()?.unwrap_or_default();
        Ok(all.into_iter().filter(|(_, endpoint)| endpoint.metadata.id.owner == owner).collect())
    }

    /// The endpoint that is called so. Of several, in namespaces that a runtime has given up without a word, the one in the namespace that it
    /// names now.
    ///
    /// # Errors
    /// As [`Self::endpoints`].
    pub fn endpoint(
        &self,
        plane: Option<&Dataplane>,
        id: &EndpointId,
        netns: &Path,
    ) -> Result<Option<(u32, Described)>> {
        let cookie = Netns::open_path(netns).and_then(|ns| ns.cookie()).ok();
        let mut own: Vec<_> =
            self.endpoints(plane, id.owner)?.into_iter().filter(|(_, it)| it.metadata.id == *id).collect();
        own.sort_by_key(|(_, endpoint)| Some(endpoint.record.netns_cookie) != cookie);
        Ok(own.into_iter().next())
    }

    /// As [`up_and_look`], once more where what the caller's container was called before is in the way: the same container in a namespace that
    /// its runtime has given up, and that may take a moment to go, has no right to its port or address any more.
    ///
    /// # Errors
    /// As [`up_and_look`].
    pub fn attach<T>(
        &self,
        request: &UpRequest,
        observer: &mut dyn Observer,
        look: impl Fn(&UpResult, Dataplane) -> Result<T>,
    ) -> Result<(UpResult, T)> {
        let first = up_and_look(&self.context, request, observer, &look);
        let Some(caller) = request.caller.as_ref().filter(|_| first.is_err()) else { return first };
        if !self.is_elsewhere(&caller.id, &request.target.path())? {
            return first;
        }
        down(&self.context, &Scope { endpoint: Some(caller.id.clone()), ..Scope::default() }, observer)?;
        up_and_look(&self.context, request, observer, &look)
    }

    /// Whether the endpoint is in another namespace than the one that is named now.
    fn is_elsewhere(&self, id: &EndpointId, netns: &Path) -> Result<bool> {
        let Ok(cookie) = Netns::open_path(netns).and_then(|ns| ns.cookie()) else { return Ok(false) };
        let plane = self.at.dataplane()?;
        Ok(self.endpoint(plane.as_ref(), id, netns)?.is_some_and(|(_, it)| it.record.netns_cookie != cookie))
    }

    /// Detaches it, as far as anything of it is there: what is not there is no error. What the user ought to know.
    ///
    /// # Errors
    /// What could not be removed; the rest is removed all the same.
    pub fn detach(&self, id: &EndpointId, observer: &mut dyn Observer) -> Result<Vec<String>> {
        // Beside another version nothing else can be changed, and nothing else has to be.
        if detach_others(&self.context, id)? {
            return Ok(Vec::new());
        }
        let scope = Scope { endpoint: Some(id.clone()), ..Scope::default() };
        let DownResult { warnings, .. } = down(&self.context, &scope, observer)?;
        Ok(warnings)
    }
}
