//! Whose a network is: ours, or another netavark's, which makes those of other drivers.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value, json};

use super::{
    Call,
    failure::{Failure, Result},
    input::{Asked, Attachment},
    interfaces,
};
use crate::input::Network;
use fwd_plugin::program::{self, Ended};

/// Says in the environment of what is called that `fwd` has called it.
pub const CALLED: &str = "FWD_NETAVARK_CALLS";
/// Where distributions have netavark.
const PLACES: [&str; 3] =
    ["/usr/lib/podman/netavark", "/usr/libexec/podman/netavark", "/usr/local/libexec/podman/netavark"];

/// Whether `fwd` makes networks like this one.
///
/// # Errors
/// Nobody does.
pub(super) fn is_ours(network: &Network) -> Result<bool> {
    let option = |key: &str| network.options.get(key).map(String::as_str).filter(|value| !value.is_empty());
    if network.driver != "bridge" {
        return Ok(false);
    }
    check_name(&network.name)?;
    let is_unmanaged = option("mode").is_some_and(|mode| mode != "managed");
    let ipam = network.ipam_options.get("driver").map_or("", String::as_str);
    match ipam {
        "" | "host-local" | "none" => {}
        "dhcp" if is_unmanaged => {}
        "dhcp" => return Err(Failure::new("cannot use dhcp ipam driver without using the option mode=unmanaged")),
        other => return Err(Failure::new(format!("unsupported ipam driver {other}"))),
    }
    if let Some(vrf) = option("vrf")
        && !interfaces()?.iter().any(|name| name == vrf)
    {
        let why = "get vrf to set up bridge interface: Netlink error: No such device (os error 19)";
        return Err(Failure::new(why));
    }
    let is_plain = option("vrf").is_none() && option("vlan").is_none() && ipam != "none";
    Ok(is_plain && !is_unmanaged)
}

/// Whether this is a namespace of users beside the first, which maps every number to itself (user_namespaces(7)).
pub(super) fn is_in_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// The name of a network is that of a file, too, beside which aardvark-dns has one of its own.
pub(super) fn check_name(name: &str) -> Result<()> {
    if matches!(name, "" | "." | ".." | "aardvark.pid") || name.contains('/') {
        return Err(Failure::new(format!("network name {name:?} is invalid")));
    }
    Ok(())
}

/// The other netavark.
pub(super) struct Others<'a> {
    pub(super) call: &'a Call,
}

impl Others<'_> {
    /// Has it attach a container to one of the networks (`setup`), or detach it (`teardown`).
    ///
    /// # Errors
    /// There is none; or what it says.
    pub(super) fn of_network(
        &self,
        task: &str,
        netns: &Path,
        asked: &Asked,
        attachment: &Attachment,
    ) -> Result<Option<Value>> {
        let words = [task.as_ref(), netns.as_os_str()];
        let of = || format!("network {} (driver {})", attachment.key, attachment.network.driver);
        self.run(&words, &alone(asked, attachment)).map_err(|failure| failure.while_doing(of()))
    }

    /// Runs it with a document; its answer, if it has one.
    ///
    /// # Errors
    /// There is none; or what it says.
    pub(super) fn run(&self, words: &[&OsStr], document: &Value) -> Result<Option<Value>> {
        let program = self.program()?;
        let failed = |why: String| Failure::new(format!("{}: {why}", program.display()));
        let mut command = Command::new(&program);
        command.args(self.options()).args(words).env(CALLED, "1");
        let Ended { status, document } =
            program::run(&mut command, document).map_err(|error| failed(error.to_string()))?;
        if status.success() {
            return Ok(document);
        }
        let said = document.as_ref().and_then(|document| document["error"].as_str());
        Err(failed(said.map_or_else(|| status.to_string(), ToOwned::to_owned)))
    }

    fn options(&self) -> Vec<OsString> {
        let Call { config, rootless, aardvark, plugin_directories, firewall_driver, .. } = self.call;
        let mut words: Vec<OsString> = vec![format!("--rootless={rootless}").into()];
        let mut add = |option: &str, value: &OsStr| words.extend([option.into(), value.to_os_string()]);
        add("--aardvark-binary", aardvark.as_os_str());
        config.iter().for_each(|config| add("--config", config.as_os_str()));
        plugin_directories.iter().for_each(|directory| add("--plugin-directory", directory.as_os_str()));
        firewall_driver.iter().for_each(|driver| add("--firewall-driver", driver.as_ref()));
        words
    }

    /// Where it is: never where `fwd` itself has taken its place.
    fn program(&self) -> Result<PathBuf> {
        // A script or a copy that leads here would be called by the one that it calls, without end.
        if self.call.is_called {
            return Err(Failure::new(
                "the other netavark that fwd has called is fwd itself; have FWD_NETAVARK name netavark",
            ));
        }
        let place = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
        let own = env::current_exe().ok().and_then(|path| place(&path));
        let mut candidates = match &self.call.other {
            Some(other) => vec![other.clone()],
            None => PLACES.map(PathBuf::from).to_vec(),
        }
        .into_iter();
        let found = candidates.find(|path| place(path).is_some_and(|found| Some(found) != own));
        found.ok_or_else(|| {
            let places = self.call.other.as_ref().map_or_else(|| PLACES.join(", "), |path| path.display().to_string());
            Failure::new(format!(
                "fwd makes networks of the driver bridge alone, and there is no other netavark (looked for: {places}); install netavark, or name it \
                 by FWD_NETAVARK"
            ))
        })
    }
}

/// The document for one of the networks. Ports lead to ours, if there is any.
fn alone(asked: &Asked, attachment: &Attachment) -> Value {
    let key = attachment.key.as_str();
    let mut whole = asked.whole.clone();
    let networks = match &asked.whole["networks"] {
        Value::Array(items) => items.iter().filter(|item| item["name"] == key).cloned().collect(),
        members => Value::Object(Map::from_iter([(key.to_owned(), members[key].clone())])),
    };
    whole["networks"] = networks;
    whole["network_info"] = Value::Object(Map::from_iter([(key.to_owned(), asked.whole["network_info"][key].clone())]));
    let is_led_to = |other: &Attachment| !other.network.internal && is_ours(&other.network).unwrap_or(false);
    if asked.attachments.iter().any(is_led_to) {
        whole["port_mappings"] = json!([]);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(members: Value) -> Network {
        let mut whole = json!({ "name": "web", "driver": "bridge" });
        whole.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        super::super::input::read(whole).expect("a network")
    }

    #[test]
    fn networks_are_ours_or_anothers_or_nobodys() {
        let ours = |members: Value| is_ours(&network(members));
        for members in [
            json!({}),
            json!({ "options": { "mode": "managed", "mtu": "9000" } }),
            json!({ "ipam_options": { "driver": "host-local" } }),
        ] {
            assert_eq!(ours(members.clone()), Ok(true), "{members}");
        }
        for members in [
            json!({ "driver": "macvlan" }),
            json!({ "options": { "vlan": "7" } }),
            json!({ "options": { "mode": "unmanaged" }, "ipam_options": { "driver": "dhcp" } }),
            json!({ "ipam_options": { "driver": "none" } }),
        ] {
            assert_eq!(ours(members.clone()), Ok(false), "{members}");
        }
        for (members, words) in [
            (json!({ "ipam_options": { "driver": "x" } }), "unsupported ipam driver x"),
            (json!({ "ipam_options": { "driver": "dhcp" } }), "without using the option mode=unmanaged"),
            (json!({ "name": "../x" }), "is invalid"),
            (json!({ "name": "aardvark.pid" }), "is invalid"),
            (json!({ "options": { "vrf": "fwd-no-such-vrf" } }), "No such device"),
        ] {
            assert!(ours(members.clone()).expect_err("nobody makes it").0.contains(words), "{members}");
        }
    }

    #[test]
    fn another_netavark_is_told_of_its_networks_alone() {
        let document = |networks: Value| {
            let info = json!({ "a": { "name": "a", "driver": "bridge" }, "b": { "name": "b", "driver": "macvlan" } });
            let whole = json!({ "container_id": "0", "port_mappings": [{ "host_port": 80, "container_port": 80 }],
                "networks": networks, "network_info": info });
            let asked = Asked::load(None, &mut whole.to_string().as_bytes()).expect("it is read");
            let other = asked.attachments.iter().find(|it| it.key == "b").expect("it is there").clone();
            alone(&asked, &other)
        };
        let map = document(json!({ "a": { "interface_name": "eth0" }, "b": { "interface_name": "eth1" } }));
        assert_eq!(map["networks"], json!({ "b": { "interface_name": "eth1" } }));
        assert_eq!(map["network_info"], json!({ "b": { "name": "b", "driver": "macvlan" } }));
        assert_eq!(map["port_mappings"], json!([]), "they lead to ours");
        let list = document(json!([{ "name": "b", "interface_name": "eth0" }]));
        assert_eq!(list["networks"], json!([{ "name": "b", "interface_name": "eth0" }]));
        assert_eq!(list["port_mappings"].as_array().map(Vec::len), Some(1));
    }
}
