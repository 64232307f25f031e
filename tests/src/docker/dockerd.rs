//! dockerd's part: asks the driver over its socket, and does with interfaces what libnetwork does.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use forwarder::testbed::{Namespace, Process, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fwd::{Fwd, LIMIT, inside, text};

/// A driver that runs, and where it is.
pub(super) struct Dockerd<'a> {
    pub(super) fwd: &'a Fwd,
    driver: Process,
}

/// A network as docker has it.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) id: String,
    /// The first three bytes of its addresses.
    prefix: &'static str,
}

/// An endpoint of a container, and where that is going to be.
pub(super) struct Endpoint {
    pub(super) network: String,
    pub(super) id: String,
    pub(super) address: String,
    /// The name of its namespace, which is made later.
    sandbox: String,
    /// What the driver called the interface.
    src_name: String,
}

/// A connection that is kept.
pub(super) struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Sends a request and reads the response: its status, and what it says.
    #[track_caller]
    pub(super) fn send(&mut self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.request(method, path, body);
        self.response()
    }

    fn request(&mut self, method: &str, path: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: \r\nAccept: application/vnd.docker.plugins.v1.2+json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes()).expect("it is sent");
    }

    /// Reads a response: its status, and what it says.
    fn response(&mut self) -> (u16, String) {
        let mut line = || {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("there is a response");
            line.trim_end().to_owned()
        };
        let status = line();
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("there is a status");
        let (mut length, mut kind) = (0, String::new());
        loop {
            let header = line().to_lowercase();
            match header.split_once(": ") {
                None => break,
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(("content-type", value)) => value.clone_into(&mut kind),
                Some(_) => {}
            }
        }
        assert_eq!(kind, "application/vnd.docker.plugins.v1.2+json");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("all of it comes");
        (status, String::from_utf8(body).expect("it is text"))
    }

    /// Makes a call that is answered.
    #[track_caller]
    pub(super) fn call(&mut self, call: &str, body: &Value) -> Value {
        self.ask(call, body);
        self.answer()
    }

    /// Makes a call, and does not wait for its answer.
    pub(super) fn ask(&mut self, call: &str, body: &Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.request("POST", &format!("/{call}"), &body);
    }

    /// The answer to a call.
    #[track_caller]
    pub(super) fn answer(&mut self) -> Value {
        let (status, said) = self.response();
        assert_eq!(status, 200, "{said}");
        serde_json::from_str(&said).expect("it is JSON")
    }
}

impl<'a> Dockerd<'a> {
    /// Starts the driver.
    pub(super) fn start(fwd: &'a Fwd) -> Self {
        let socket = socket(fwd);
        let state = fwd.run_dir().join("state");
        let (path, state) = (socket.display().to_string(), state.display().to_string());
        let driver = Process::spawn(fwd.command(&["docker", "--socket", &path, "--state-dir", &state]));
        let driver = driver.expect("it starts");
        let listens = || Ok(UnixStream::connect(&socket).ok().map(drop));
        wait_until(LIMIT, "the driver listens", listens).expect("it does");
        Self { fwd, driver }
    }

    /// With a driver that was started otherwise.
    pub(super) fn with(fwd: &'a Fwd, driver: Process) -> Self {
        Self { fwd, driver }
    }

    /// Ends the driver: by SIGTERM, as somebody does who stops it, or SIGKILL.
    pub(super) fn end(self, signal: Signal) -> String {
        self.driver.signal(signal).expect("it is there");
        self.driver.wait(LIMIT).expect("it ends").stderr
    }

    pub(super) fn connect(&self) -> Connection {
        Connection(BufReader::new(UnixStream::connect(socket(self.fwd)).expect("it listens")))
    }

    /// Makes a call that is done.
    #[track_caller]
    pub(super) fn call(&self, call: &str, body: &Value) -> Value {
        let answer = self.connect().call(&format!("NetworkDriver.{call}"), body);
        assert_eq!(answer.get("Err"), None, "{call} {body}");
        answer
    }

    /// Makes a call that is refused with all `words`.
    #[track_caller]
    pub(super) fn refused(&self, call: &str, body: &Value, words: &[&str]) {
        let answer = self.connect().call(&format!("NetworkDriver.{call}"), body);
        let why = text(&answer["Err"]);
        for word in words {
            assert!(why.contains(word), "{call}: {word:?} is not in {why:?}");
        }
    }

    /// Makes a network with these addresses, and options of docker's own and of `-o`.
    #[track_caller]
    pub(super) fn network(&self, id: &str, prefix: &'static str, internal: bool, generic: &Value) -> Network {
        let body = network_body(id, prefix, internal, generic);
        assert_eq!(self.call("CreateNetwork", &body), json!({}));
        Network { id: id.into(), prefix }
    }

    #[track_caller]
    pub(super) fn delete_network(&self, network: &Network) {
        assert_eq!(self.call("DeleteNetwork", &json!({ "NetworkID": network.id })), json!({}));
    }

    /// Asks for an endpoint with the address that ends so.
    #[track_caller]
    pub(super) fn create(&self, network: &Network, last: u8) -> Endpoint {
        let (id, address) = (format!("{last:02x}e").repeat(21), format!("{}.{last}", network.prefix));
        let interface = json!({ "Address": format!("{address}/24"), "AddressIPv6": "", "MacAddress": "" });
        let body = json!({ "NetworkID": network.id, "EndpointID": id, "Interface": interface, "Options": null });
        let made = self.call("CreateEndpoint", &body);
        // Nothing that docker has chosen is said again: it refuses that.
        assert_eq!(
            made["Interface"].as_object().map(|it| it.keys().cloned().collect()),
            Some(vec!["MacAddress".to_owned()])
        );
        let sandbox = self.fwd.name(&format!("s{last}"));
        Endpoint { network: network.id.clone(), id, address, sandbox, src_name: String::new() }
    }

    /// Has an endpoint join, and moves the interface into the namespace that is made then. Returns that, and where the default route leads.
    #[track_caller]
    pub(super) fn join(&self, endpoint: &mut Endpoint) -> (Namespace, Option<String>) {
        let gateway = self.ask_to_join(endpoint);
        (endpoint.move_in(self.fwd, gateway.as_deref()), gateway)
    }

    #[track_caller]
    pub(super) fn ask_to_join(&self, endpoint: &mut Endpoint) -> Option<String> {
        let key = format!("/run/netns/{}", endpoint.sandbox);
        let joined = self.call("Join", &endpoint.body(&[("SandboxKey", json!(key)), ("Options", json!({}))]));
        assert_eq!(joined["InterfaceName"]["DstPrefix"], "eth");
        endpoint.src_name = text(&joined["InterfaceName"]["SrcName"]);
        assert_eq!(joined["DisableGatewayService"], joined.get("Gateway").is_none());
        joined.get("Gateway").map(text)
    }

    /// Waits until the driver knows the namespaces of so many containers.
    #[track_caller]
    pub(super) fn learned(&self, count: usize) -> Vec<Value> {
        let look = || {
            let listed = self.fwd.list(&["ls"]);
            let known = listed.iter().filter(|it| it["ns_if"] == "eth0").count();
            Ok((known == count).then_some(listed))
        };
        wait_until(LIMIT, "the namespaces of containers are learned", look).expect("they are")
    }

    /// Publishes ports of an endpoint.
    #[track_caller]
    pub(super) fn publish(&self, endpoint: &Endpoint, bindings: &Value) {
        self.call("ProgramExternalConnectivity", &endpoint.published(bindings));
    }

    /// Everything that docker does when a container has ended.
    #[track_caller]
    pub(super) fn remove(&self, endpoint: &Endpoint) {
        for call in ["RevokeExternalConnectivity", "Leave", "DeleteEndpoint"] {
            assert_eq!(self.call(call, &endpoint.body(&[])), json!({}), "{call}");
        }
    }
}

impl Endpoint {
    /// Does what libnetwork does with an interface (osl/interface_linux.go): in another namespace it gets its name and its address, and is set up.
    #[track_caller]
    pub(super) fn move_in(&self, fwd: &Fwd, gateway: Option<&str>) -> Namespace {
        let ns = Namespace::create(&self.sandbox).expect("a namespace");
        let (name, address) = (self.src_name.as_str(), format!("{}/24", self.address));
        fwd.on_host(&["ip", "link", "set", name, "netns", &self.sandbox]);
        inside(&ns, &["ip", "link", "set", "lo", "up"]);
        inside(&ns, &["ip", "link", "set", name, "name", "eth0"]);
        inside(&ns, &["ip", "addr", "add", &address, "dev", "eth0"]);
        inside(&ns, &["ip", "link", "set", "eth0", "up"]);
        if let Some(gateway) = gateway {
            inside(&ns, &["ip", "route", "add", "default", "via", gateway]);
        }
        ns
    }

    /// Does what libnetwork does before it has an endpoint leave: the interface goes back to the host's namespace, under its former name.
    #[track_caller]
    pub(super) fn move_out(&self, fwd: &Fwd, ns: &Namespace) {
        inside(ns, &["ip", "link", "set", "eth0", "down"]);
        inside(ns, &["ip", "link", "set", "eth0", "name", &self.src_name]);
        let host = fwd.host().name().to_string();
        inside(ns, &["ip", "link", "set", &self.src_name, "netns", &host]);
    }

    /// The body of a call about it.
    pub(super) fn body(&self, more: &[(&str, Value)]) -> Value {
        let mut body = json!({ "NetworkID": self.network, "EndpointID": self.id });
        more.iter().for_each(|(key, value)| body[*key] = value.clone());
        body
    }

    /// The body of the call that publishes ports.
    pub(super) fn published(&self, bindings: &Value) -> Value {
        self.body(&[("Options", json!({ "com.docker.network.portmap": bindings }))])
    }
}

/// The body of the call that makes a network.
pub(super) fn network_body(id: &str, prefix: &str, internal: bool, generic: &Value) -> Value {
    let pool = json!({
        "AddressSpace": "LocalDefault", "Pool": format!("{prefix}.0/24"), "Gateway": format!("{prefix}.1/24"), "AuxAddresses": {},
    });
    let mut options = json!({ "com.docker.network.enable_ipv6": false, "com.docker.network.generic": generic });
    if internal {
        options["com.docker.network.internal"] = json!(true);
    }
    json!({ "NetworkID": id, "Options": options, "IPv4Data": [pool], "IPv6Data": null })
}

/// Where the driver of a host listens.
pub(super) fn socket(fwd: &Fwd) -> PathBuf {
    fwd.run_dir().join("plugins/fwd.sock")
}
