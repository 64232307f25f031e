//! What a runtime says by the environment (CNI specification, section "Parameters").

use std::{env, ffi::OsString, net::IpAddr, path::PathBuf};

use crate::failure::{Code, Failure, Result};
use fwd_dataplane::{EndpointId, EndpointOwner};
use fwd_plan::HardwareAddress;

/// Longest id of a container, bytes.
const LONGEST_ID: usize = 255;
/// Longest name of an interface, bytes (`IFNAMSIZ` − 1).
const LONGEST_IFNAME: usize = 15;

/// The variable that says what is to be done.
pub(crate) const COMMAND: &str = "CNI_COMMAND";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Attach a container.
    Add,
    /// Detach it.
    Del,
    /// Look whether it is attached as it was.
    Check,
    /// Detach all but those that are named.
    Gc,
    /// Tell whether containers can be attached.
    Status,
    /// Tell which versions are spoken.
    Version,
}

impl Command {
    const ALL: [(&'static str, Self); 6] = [
        ("ADD", Self::Add),
        ("DEL", Self::Del),
        ("CHECK", Self::Check),
        ("GC", Self::Gc),
        ("STATUS", Self::Status),
        ("VERSION", Self::Version),
    ];

    /// As the variable has it.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, command)| *command == self).map_or("", |(name, _)| name)
    }

    /// What `CNI_COMMAND` says.
    ///
    /// # Errors
    /// [`Code::InvalidEnvironment`].
    pub(crate) fn of(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, command)| *command);
        found.ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            invalid(COMMAND, text, &format!("it is none of {names}"))
        })
    }
}

/// What the environment says besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// `CNI_CONTAINERID`.
    pub(crate) container: String,
    /// `CNI_NETNS`; empty where the runtime does not know it any more.
    pub(crate) netns: String,
    /// `CNI_IFNAME`.
    pub(crate) ifname: String,
    /// `CNI_ARGS`.
    pub(crate) args: Arguments,
    /// `CNI_PATH`: where other plugins are.
    pub(crate) path: Vec<PathBuf>,
}

/// `CNI_ARGS`, as far as it is about us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// `IP`, several with commas between them.
    pub(crate) ips: Vec<IpAddr>,
    /// `MAC`.
    pub(crate) mac: Option<HardwareAddress>,
}

impl Environment {
    /// Reads what `command` needs of the variables that `variable` gives.
    ///
    /// # Errors
    /// [`Code::InvalidEnvironment`] if one is missing, or cannot be.
    pub(crate) fn of(command: Command, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let text = |name: &str| match variable(name).map(OsString::into_string) {
            None => Ok(String::new()),
            Some(Ok(text)) => Ok(text),
            Some(Err(bytes)) => Err(invalid(name, &bytes.to_string_lossy(), "it is no text")),
        };
        let needed: &[&str] = match command {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
            Command::Gc | Command::Status => &["CNI_PATH"],
            Command::Version => &[],
        };
        let missing: Vec<&str> =
            needed.iter().copied().filter(|name| variable(name).is_none_or(|it| it.is_empty())).collect();
        if !missing.is_empty() {
            let msg = format!("{} needs {}", command.name(), missing.join(", "));
            return Err(Failure::new(Code::InvalidEnvironment, msg, "the runtime has to set them"));
        }
        let read = Self {
            container: text("CNI_CONTAINERID")?,
            netns: text("CNI_NETNS")?,
            ifname: text("CNI_IFNAME")?,
            args: Arguments::of(&text("CNI_ARGS")?)?,
            path: variable("CNI_PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default(),
        };
        if needed.contains(&"CNI_CONTAINERID") {
            read.check()?;
        }
        Ok(read)
    }

    fn check(&self) -> Result<()> {
        let Self { container, ifname, .. } = self;
        if !is_id(container) || container.len() > LONGEST_ID {
            let why = format!("an id is 1 to {LONGEST_ID} letters, digits and any of _.- behind the first");
            return Err(invalid("CNI_CONTAINERID", container, &why));
        }
        let refused = |c: char| matches!(c, '/' | ':') || c.is_whitespace();
        if ifname.len() > LONGEST_IFNAME || [".", ".."].contains(&ifname.as_str()) || ifname.contains(refused) {
            let why = format!("an interface has a name of at most {LONGEST_IFNAME} bytes, without '/', ':' and blanks");
            return Err(invalid("CNI_IFNAME", ifname, &why));
        }
        Ok(())
    }

    /// Who the endpoint is for the runtime.
    pub(crate) fn id(&self) -> EndpointId {
        EndpointId { owner: EndpointOwner::Cni, id: self.container.clone(), ifname: self.ifname.clone() }
    }
}

impl Arguments {
    /// Reads `K=V;K=V`.
    fn of(text: &str) -> Result<Self> {
        let mut read = Self::default();
        let mut unknown = None;
        let mut ignore = false;
        for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| invalid("CNI_ARGS", pair, "it is no KEY=VALUE"))?;
            let refuse = |why: &str| invalid("CNI_ARGS", pair, why);
            match key.trim() {
                "IP" => {
                    let ips =
                        value.split(',').map(|it| it.trim().parse::<IpAddr>().map_err(|_| refuse("it is no address")));
                    read.ips = ips.collect::<Result<_>>()?;
                }
                "MAC" => read.mac = Some(value.parse().map_err(|why: String| refuse(&why))?),
                // As Go's strconv.ParseBool.
                "IgnoreUnknown" => ignore = matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
                // Kubernetes says whose sandbox it is.
                key if key.starts_with("K8S_POD_") => {}
                key => unknown = unknown.or(Some(key.to_owned())),
            }
        }
        match unknown.filter(|_| !ignore) {
            Some(key) => Err(invalid("CNI_ARGS", &key, "it is not known here, and IgnoreUnknown is not set")),
            None => Ok(read),
        }
    }
}

/// What the specification takes for the id of a container and the name of a network.
pub(crate) fn is_id(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(rest)
}

fn invalid(name: &str, value: &str, why: &str) -> Failure {
    Failure::new(Code::InvalidEnvironment, format!("{name}={value}: {why}"), "the runtime has to set it otherwise")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(command: Command, pairs: &[(&str, &str)]) -> Result<Environment> {
        Environment::of(command, |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into()))
    }

    const ALL: [(&str, &str); 4] =
        [("CNI_CONTAINERID", "c1"), ("CNI_NETNS", "/run/netns/a"), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/a:/b")];

    #[test]
    fn each_command_needs_its_variables_and_no_others() {
        for (command, needed) in [
            (Command::Add, &ALL[..]),
            (Command::Check, &ALL[..]),
            (Command::Del, &[ALL[0], ALL[2], ALL[3]]),
            (Command::Gc, &ALL[3..]),
            (Command::Status, &ALL[3..]),
            (Command::Version, &[]),
        ] {
            assert!(read(command, needed).is_ok(), "{}", command.name());
            for missing in needed {
                let rest: Vec<_> = needed.iter().filter(|it| *it != missing).copied().collect();
                let failure = read(command, &rest).expect_err("something is missing");
                assert!(failure.code == 4 && failure.msg.contains(missing.0), "{failure:?}");
            }
        }
        let read = read(Command::Add, &ALL).expect("it is whole");
        assert_eq!((&read.path, read.id().to_string().as_str()), (&vec!["/a".into(), "/b".into()], "cni c1 eth0"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let long = "x".repeat(256);
        for (name, value) in [
            ("CNI_CONTAINERID", "-a"),
            ("CNI_CONTAINERID", "a/b"),
            ("CNI_CONTAINERID", &long),
            ("CNI_IFNAME", ".."),
            ("CNI_IFNAME", "a b"),
            ("CNI_IFNAME", "eth0:1"),
            ("CNI_IFNAME", "sixteen-bytes-xx"),
            ("CNI_ARGS", "IP"),
            ("CNI_ARGS", "IP=10.0.0"),
            ("CNI_ARGS", "MAC=02:00"),
            ("CNI_ARGS", "what=x"),
        ] {
            let mut pairs: Vec<_> = ALL.iter().copied().filter(|(key, _)| *key != name).collect();
            pairs.push((name, value));
            let failure = read(Command::Add, &pairs).expect_err("it cannot be");
            assert!(failure.code == 4 && failure.msg.contains(name), "{failure:?}");
        }
        assert_eq!(Command::of("ADDX").expect_err("there is no such").code, 4);
    }

    #[test]
    fn arguments_are_read() {
        let text = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;what=x;IP=10.0.0.5;MAC=02:00:00:00:00:07";
        let read = Arguments::of(text).expect("they are valid");
        assert_eq!(read.ips, ["10.0.0.5".parse::<IpAddr>().expect("an address")]);
        assert_eq!(read.mac, Some(HardwareAddress([2, 0, 0, 0, 0, 7])));
        assert!(Arguments::of("IgnoreUnknown=0;what=x").is_err());
        assert!(Arguments::of("K8S_POD_NAME=x").is_ok());
    }
}
