//! `fwd` in the place of netavark, podman's network stack: networks of the driver bridge are made by `fwd`, names are left to aardvark-dns, and
//! networks of other drivers to another netavark (netavark 2.1, src/main.rs and src/commands).

mod aardvark;
mod create;
mod failure;
mod input;
mod inside;
mod others;
mod setup;
mod teardown;

use std::{
    ffi::OsStr,
    io::Read,
    net::IpAddr,
    num::ParseIntError,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde_json::{Value, json};

pub use self::others::CALLED;
use self::{
    aardvark::Aardvark,
    failure::{Failure, Result},
    input::{Asked, Attachment},
    others::Others,
};
use crate::commands;
use fwd_dataplane::Described;
use fwd_engine::execute::Observer;
use fwd_kernel::{netlink::Netlink, netns::Netns};
use fwd_plugin::{Answer, Host, Settings, Streams};

/// The version of netavark whose words and documents are spoken.
pub const VERSION: &str = "2.1.0";

/// How podman calls.
#[derive(Clone, Debug)]
pub struct Call {
    /// A file with the document, instead of standard input.
    pub file: Option<PathBuf>,
    /// podman's directory for its networks.
    pub config: Option<PathBuf>,
    /// podman is not run by root.
    pub rootless: bool,
    /// The program aardvark-dns.
    pub aardvark: PathBuf,
    /// The port at which that is to answer, in text, where it is another than 53.
    pub dns_port: Option<String>,
    /// Where plugins are, for another netavark.
    pub plugin_directories: Vec<PathBuf>,
    /// By what another netavark keeps its firewall rules.
    pub firewall_driver: Option<String>,
    /// The other netavark, where it is in none of the usual places.
    pub other: Option<PathBuf>,
    /// `fwd` itself has called, as another netavark.
    pub is_called: bool,
    /// What is to be done.
    pub task: Task,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Complete and check a network that podman is about to note.
    Create,
    /// Attach a container to its networks.
    Setup {
        /// Its namespace.
        netns: PathBuf,
    },
    /// Detach it.
    Teardown {
        /// What was its namespace.
        netns: PathBuf,
    },
    /// Have the name server of a network ask others.
    Update {
        /// What podman calls the network.
        network: String,
        /// Whom it asks; none where that is whom the host asks.
        servers: Vec<String>,
    },
    /// Tell what is spoken.
    Version,
}

impl Task {
    /// Its word.
    const fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Setup { .. } => "setup",
            Self::Teardown { .. } => "teardown",
            Self::Update { .. } => "update",
            Self::Version => "version",
        }
    }
}

/// Answers one call, and returns the exit status: 0, or 1 with an error on standard output. `observer` sees each operation.
pub fn run(call: &Call, settings: &Settings, observer: &mut dyn Observer, streams: &mut Streams<'_>) -> u8 {
    let answer = |input: &mut dyn Read| call.answer(settings, observer, input);
    fwd_plugin::answer(streams, answer, Failure::document)
}

impl Call {
    fn answer(&self, settings: &Settings, observer: &mut dyn Observer, input: &mut dyn Read) -> Result<Answer> {
        if self.rootless
            && others::is_in_user_namespace()
            && let Some(answer) = self.left_to_netavark(input)
        {
            return answer;
        }
        let host = || Host::open(settings, crate::PATIENCE);
        let asked = |input: &mut dyn Read| Asked::load(self.file.as_deref(), input);
        match &self.task {
            Task::Version => Ok(document(version())),
            Task::Create => {
                let others = |document: &Value| {
                    let created = Others { call: self }.run(&["create".as_ref()], document)?;
                    created.ok_or_else(|| Failure::new("the other netavark has not answered"))
                };
                let host = create::Host { interfaces: &|| Ok(interfaces()?), others: &others };
                create::run(self.file.as_deref(), input, &host).map(document)
            }
            Task::Setup { netns } => {
                setup::check_netns(netns)?;
                let asked = &asked(input)?;
                // What can be refused without the host is.
                let names = self.names()?;
                let named = setup::checked(asked, &names)?;
                setup::run(&Work { call: self, netns, asked, host: host()? }, &names, named, observer)
            }
            Task::Teardown { netns } => {
                let (names, asked) = (self.names()?, &asked(input)?);
                teardown::run(&Work { call: self, netns, asked, host: host()? }, &names, observer)
            }
            Task::Update { network, servers } => {
                others::check_name(network)?;
                servers.iter().try_for_each(|server| check_server(server))?;
                self.names()?.ask(network, servers).map(|()| Answer::default())
            }
        }
    }

    /// What netavark itself answers podman of another user, if the call takes rights that such a podman has not: who is root in a namespace of
    /// users alone loads no programs.
    fn left_to_netavark(&self, input: &mut dyn Read) -> Option<Result<Answer>> {
        let mut words: Vec<&OsStr> = vec![self.task.name().as_ref()];
        match &self.task {
            Task::Create => {}
            Task::Setup { netns } | Task::Teardown { netns } => words.push(netns.as_os_str()),
            Task::Update { .. } | Task::Version => return None,
        }
        let asked = input::document(self.file.as_deref(), input).map_err(|error| Failure::io(input::LOADING, &error));
        let answered = asked.and_then(|asked| Others { call: self }.run(&words, &asked));
        let whose = "rootless podman has its networks by netavark itself";
        let answer = |document| Answer { document, ..Answer::default() };
        Some(answered.map(answer).map_err(|failure| failure.while_doing(whose)))
    }

    /// The name server of the directory that podman names.
    fn names(&self) -> Result<Aardvark> {
        let missing = || Failure::new(format!("--config not specified but required for netavark {}", self.task.name()));
        let config = self.config.as_deref().ok_or_else(missing)?;
        let wrong = |text: &str, error: ParseIntError| {
            Failure::new(format!("NETAVARK_DNS_PORT {text:?}: {error}; leave dns_bind_port of containers.conf out"))
        };
        let port = self.dns_port.as_deref().map(|text| text.parse().map_err(|error| wrong(text, error))).transpose()?;
        Ok(Aardvark::new(config, self.aardvark.clone(), port, self.rootless))
    }
}

/// A container that is to be attached, or detached.
struct Work<'a> {
    call: &'a Call,
    netns: &'a Path,
    asked: &'a Asked,
    host: Host,
}

impl Work<'_> {
    /// The endpoint of the container in a network of ours, if it is in the namespace that is named.
    ///
    /// # Errors
    /// The container is not named, or the maps cannot be read.
    fn endpoint(&self, attachment: &Attachment) -> fwd_base::Result<Option<Described>> {
        let id = commands::identity(&self.asked.container(attachment))?;
        let plane = self.host.at.dataplane()?;
        let cookie = Netns::open_path(self.netns).and_then(|netns| netns.cookie()).ok();
        let found = self.host.endpoint(plane.as_ref(), &id, self.netns)?;
        Ok(found.map(|(_, endpoint)| endpoint).filter(|endpoint| Some(endpoint.record.netns_cookie) == cookie))
    }
}

/// That a name server is an address: aardvark-dns refuses the whole file of a network that says anything else.
fn check_server(server: &str) -> Result<()> {
    let failed = |error| Failure::new(format!("unable to parse network dns server {server:?}: {error}"));
    server.parse::<IpAddr>().map(drop).map_err(failed)
}

fn document(document: Value) -> Answer {
    Answer { document: Some(document), ..Answer::default() }
}

/// Names of the host's interfaces.
fn interfaces() -> fwd_base::Result<Vec<String>> {
    let links = Netlink::here().and_then(|netlink| netlink.links())?;
    Ok(links.into_iter().map(|link| link.name).collect())
}

/// What netavark tells of itself.
fn version() -> Value {
    let written = std::env::current_exe().and_then(std::fs::metadata).and_then(|file| file.modified());
    let written = humantime::format_rfc3339_seconds(written.unwrap_or(SystemTime::UNIX_EPOCH));
    json!({
        "version": VERSION,
        "commit": format!("fwd {}", env!("CARGO_PKG_VERSION")),
        "build_time": written.to_string(),
        "target": std::env::consts::ARCH,
        "default_fw_driver": "none",
    })
}
