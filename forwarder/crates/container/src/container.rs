//! A container, and the network namespace of its first process.

use serde::{Deserialize, Serialize};

use crate::{Runtime, process, state::ContainerState};
use fwd_base::{
    Error, Kind, Result,
    text::{harmless, word},
};
use fwd_kernel::netns::Netns;

/// Digits of an id that people see, as the runtimes show them.
const SHORT: usize = 12;

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Container {
    /// Who runs it.
    pub runtime: Runtime,
    /// The namespace of containerd that it is in; none elsewhere.
    pub namespace: Option<String>,
    /// Its id: 64 hexadecimal digits, but of containerd, where it may be any name.
    pub id: String,
    /// What people call it, if it has a name.
    pub name: Option<String>,
    /// Its first process; none if it does not run.
    pub process: Option<FirstProcess>,
}

/// A process that no other can be taken for: numbers are given to others once their owners have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FirstProcess {
    /// Its number.
    pub pid: u32,
    /// When it began, in clock ticks since the machine did (proc_pid_stat(5), field 22).
    pub started: u64,
}

impl Container {
    /// The container that is noted, and its process if that is the one that the runtime has started.
    pub(crate) fn of(noted: &ContainerState) -> Self {
        let process = noted.pid.and_then(|pid| {
            let started = process::started(pid)?;
            let is_its = match noted.started {
                Some(noted) => noted == started,
                None => process::is_in_cgroup_of(pid, &noted.id),
            };
            is_its.then_some(FirstProcess { pid, started })
        });
        let ContainerState { runtime, namespace, id, names, pid: _, started: _ } = noted.clone();
        Self { runtime, namespace, id, name: names.into_iter().next(), process }
    }

    /// Its network namespace.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if it does not run (any more).
    pub fn open(&self) -> Result<Netns> {
        let Some(FirstProcess { pid, started }) = self.process else { return Err(self.stopped()) };
        let opened = Netns::open_pid(pid).map_err(|error| match error.kind {
            Kind::NotFound => self.stopped(),
            _ => error,
        })?;
        // What was opened was that of the process that has the number now: it has had it all the time, if it began when ours did.
        if process::started(pid) == Some(started) { Ok(opened) } else { Err(self.stopped()) }
    }

    /// What people call it: its name, else the beginning of its id. It may have to be made [harmless] for a terminal.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| short(&self.id))
    }

    /// What no other container is called: `docker:ID`, `containerd:NAMESPACE/ID`.
    #[must_use]
    pub fn identity(&self) -> String {
        identity(self.runtime, self.namespace.as_deref(), &self.id)
    }

    fn stopped(&self) -> Error {
        let object = format!("the network namespace of container {}", harmless(self.label()));
        let start = match (self.runtime, &self.namespace) {
            (Runtime::Containerd, Some(namespace)) => {
                format!("ctr -n {} task start -d {}", word(namespace), word(&self.id))
            }
            (runtime, _) => format!("{} start {}", runtime.name(), word(self.label())),
        };
        let why = format!("it does not run, by what {} notes of it", self.runtime.name());
        Error::new(Kind::NotFound, "open", object, why)
            .remedy(format!("start it: `{start}`; if it does run, give its process: --pid PID"))
    }
}

/// `docker:ID`, `containerd:NAMESPACE/ID`.
pub(crate) fn identity(runtime: Runtime, namespace: Option<&str>, id: &str) -> String {
    let namespace = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{}:{namespace}{id}", runtime.name())
}

/// The beginning of an id, as the runtimes show it; whole where it is no number.
pub(crate) fn short(id: &str) -> &str {
    let is_number = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_number { &id[..SHORT] } else { id }
}
