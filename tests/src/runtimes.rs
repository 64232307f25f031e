//! What tests of the plugins have in common: containers, and calls as runtimes make them.

use std::{
    env,
    io::{self, Write as _},
    net::Ipv4Addr,
    ops::Deref,
    process::{Command, Stdio},
};

use forwarder::{
    netns::Netns,
    testbed::{Namespace, command_in},
};

use crate::{
    fwd::Fwd,
    peers::{ANY, any, at, connect, echo_tcp, echoed, listen},
};

/// A container: an id, and a namespace.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) ns: Namespace,
}

impl Deref for Container {
    type Target = Netns;

    fn deref(&self) -> &Netns {
        &self.ns
    }
}

impl Container {
    pub(crate) fn new(fwd: &Fwd, role: &str) -> Self {
        let ns = Namespace::create(&fwd.name(role)).expect("a namespace");
        Self { id: format!("{role}-0123456789abcdef"), ns }
    }

    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.ns.name())
    }
}

/// A program that is called as a plugin on a sandboxed host, with a document on standard input.
pub(crate) fn plugin_command(fwd: &Fwd, argv: &[&str], input: &str) -> Command {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(input.as_bytes()).expect("it has room");
    let mut command = command_in(fwd.host(), argv);
    command.stdin(Stdio::from(reader)).env_clear();
    command.env("PATH", env::var_os("PATH").unwrap_or_default()).env("FWD_RUN_DIR", fwd.pins());
    if let Some(cgroup) = fwd.cgroup() {
        command.env("FWD_CGROUP", cgroup);
    }
    command
}

/// A client connects to a port of the host from `from`, and talks to a server in the container on port 80.
#[track_caller]
pub(crate) fn served(from: &Netns, host: Ipv4Addr, port: u16, container: &Container) {
    let server = echo_tcp(listen(container, any(80)), 1);
    let stream = connect(from, ANY, at(host, port)).expect("it is published");
    echoed(&stream, b"hello");
    drop(stream);
    server.join().expect("the server");
}
