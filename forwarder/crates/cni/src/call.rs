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
use fwd_dataplane::{Dataplane, Described};
use fwd_kernel::netns::Netns;
use fwd_plan::TargetRef;
use fwd_plugin::{Answer, Host, Settings};

/// One call.
pub(crate) struct Call {
    pub(crate) plugin: Plugin,
    pub(crate) environment: Environment,
    pub(crate) config: Config,
    pub(crate) host: Host,
}

impl Call {
    /// # Errors
    /// The caller is not root, or the run directory is not safe.
    pub(crate) fn new(plugin: Plugin, environment: Environment, config: Config, settings: &Settings) -> Result<Self> {
        let host = Host::open(settings, config.patience)?;
        Ok(Self { plugin, environment, config, host })
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
        if ns.is_same(&self.host.at.host)? {
            let msg = format!("CNI_NETNS={} is the host's own namespace", path.display());
            return Err(Failure::new(Code::InvalidNetns, msg, "attaching it would cut the host off"));
        }
        Ok(ns)
    }

    /// The container's endpoint.
    pub(crate) fn endpoint(&self, plane: Option<&Dataplane>) -> Result<Option<(u32, Described)>> {
        Ok(self.host.endpoint(plane, &self.environment.id(), self.environment.netns.as_ref())?)
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
