//! One call of a runtime: what it says, and the host that it is about.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    config::Config,
    environment::Environment,
    failure::{Code, Failure, Result},
    plugin::Plugin,
};
use fwd_base::Kind;
use fwd_dataplane::{Dataplane, Described, EndpointOwner};
use fwd_engine::{execute::HostContext, query::HostNetns};
use fwd_kernel::netns::Netns;
use fwd_plan::TargetRef;
use serde_json::Value;

/// Where a plugin acts, as the command line and its environment say it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where pins and locks are.
    pub run_dir: PathBuf,
    /// The cgroup whose processes are to reach published ports by the host's own addresses; without it, the root.
    pub cgroup: Option<PathBuf>,
}

/// One call.
pub(crate) struct Call {
    pub(crate) plugin: Plugin,
    pub(crate) environment: Environment,
    pub(crate) config: Config,
    pub(crate) at: HostNetns,
    pub(crate) context: HostContext,
}

/// What is answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The document on standard output, if there is one.
    pub(crate) document: Option<Value>,
    /// What the runtime's log ought to say.
    pub(crate) warnings: Vec<String>,
}

impl Call {
    /// # Errors
    /// The caller is not root, or the run directory is not safe.
    pub(crate) fn new(plugin: Plugin, environment: Environment, config: Config, settings: &Settings) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            let msg = "only root may change namespaces and load programs";
            return Err(Failure::new(
                Code::Other,
                msg,
                "rootless runtimes have networks of their own (slirp4netns, pasta)",
            ));
        }
        let at = HostNetns::open(None, &settings.run_dir)?;
        let context = HostContext {
            cgroup: settings.cgroup.clone(),
            patience: config.patience,
            ..HostContext::new(at.run_dir.clone())
        };
        Ok(Self { plugin, environment, config, at, context })
    }

    /// The container's namespace, as a target.
    pub(crate) fn target(&self) -> TargetRef {
        TargetRef::Path(PathBuf::from(&self.environment.netns))
    }

    /// The container's namespace.
    ///
    /// # Errors
    /// There is none, or it is the host's own.
    pub(crate) fn netns(&self) -> Result<Netns> {
        let path = Path::new(&self.environment.netns);
        let ns = Netns::open_path(path).map_err(|error| {
            let code = if error.kind == Kind::NotFound { Code::UnknownContainer } else { Code::InvalidEnvironment };
            Failure::new(code, error.to_string(), "CNI_NETNS has to be the path of the container's namespace")
        })?;
        if ns.is_same(&self.at.host)? {
            let msg = format!("CNI_NETNS={} is the host's own namespace", path.display());
            return Err(Failure::new(Code::InvalidNetns, msg, "attaching it would cut the host off"));
        }
        Ok(ns)
    }

    /// The endpoints of runtimes that call by CNI, with the ifindexes of their host-side veths.
    pub(crate) fn endpoints(&self, plane: Option<&Dataplane>) -> Result<Vec<(u32, Described)>> {
        let all = plane.map(Dataplane::described_endpoints).transpose()?.unwrap_or_default();
        Ok(all.into_iter().filter(|(_, endpoint)| endpoint.metadata.id.owner == EndpointOwner::Cni).collect())
    }

    /// The container's endpoint. Of several that are called so, in namespaces that a runtime has given up without a word, the one in the
    /// namespace that it names.
    pub(crate) fn endpoint(&self, plane: Option<&Dataplane>) -> Result<Option<(u32, Described)>> {
        let id = self.environment.id();
        let cookie = Netns::open_path(self.environment.netns.as_ref()).and_then(|ns| ns.cookie()).ok();
        let mut own: Vec<_> = self.endpoints(plane)?.into_iter().filter(|(_, it)| it.metadata.id == id).collect();
        own.sort_by_key(|(_, endpoint)| Some(endpoint.record.netns_cookie) != cookie);
        Ok(own.into_iter().next())
    }
}

/// Writes what was done, a line for each call and each warning, where the configuration asks for that.
pub(crate) fn log(path: &Path, called: &str, answered: &Result<Answer>) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    match answered {
        Ok(Answer { warnings, .. }) => {
            let lines = ["done"].into_iter().chain(warnings.iter().map(String::as_str));
            lines.into_iter().try_for_each(|line| writeln!(file, "{now} {called}: {line}"))
        }
        Err(Failure { code, msg, .. }) => writeln!(file, "{now} {called}: error {code}: {msg}"),
    }
}
