//! What others name never reaches the terminal as it is.

use super::{
    super::{
        DownView, EndpointView, InspectView, InterfaceView, LatencyHead, PooledView, ProcessView, StepView, UpView,
        View, samples, write_error, write_warning,
    },
    text,
};
use fwd_base::{Error, Kind, text::is_harmless};

/// Every kind of text that does something to a terminal.
const HOSTILE: &str = "x\x1b]0;y\x07\x1b[31m\n\u{202e}e\u{301}\u{9b}";

#[track_caller]
fn assert_harmless(text: &str) {
    let line: String = text.split('\n').collect();
    assert!(is_harmless(&line), "{line:?}");
}

/// As text, piped and on a terminal.
#[track_caller]
fn shown(view: &impl View) {
    assert_harmless(&text(view, None));
    assert_harmless(&text(view, 80));
}

fn process() -> ProcessView {
    ProcessView { pid: 1, comm: Some(HOSTILE.into()) }
}

fn endpoint() -> EndpointView {
    EndpointView {
        network: HOSTILE.into(),
        host_if: HOSTILE.into(),
        ns_if: HOSTILE.into(),
        uplink: HOSTILE.into(),
        bridge: HOSTILE.into(),
        ..samples::endpoint(Some(HOSTILE), "fwd0", 2)
    }
}

#[test]
fn endpoints_and_their_flows() {
    shown(&vec![endpoint()]);
    shown(&InspectView { endpoint: endpoint(), ..samples::inspect() });
    shown(&UpView { endpoint: endpoint(), ..samples::up(true) });
    shown(&UpView { endpoint: endpoint(), ..samples::up(false) });
    let pooled = samples::pooled(Some(HOSTILE));
    shown(&vec![PooledView { network: HOSTILE.into(), ns: HOSTILE.into(), ..pooled }]);
    let mut flows = samples::flows();
    flows.iter_mut().for_each(|flow| (flow.network, flow.ns) = (Some(HOSTILE.into()), Some(HOSTILE.into())));
    shown(&flows);
    let mut stats = samples::stats(true);
    stats.stats.iter_mut().for_each(|stat| stat.ifname = HOSTILE.into());
    shown(&stats);
}

#[test]
fn interfaces_and_their_other_ends() {
    let mut interface = samples::bridge();
    interface.ifname = HOSTILE.into();
    interface.ns = Some(HOSTILE.into());
    interface.alias = Some(HOSTILE.into());
    interface.controller = Some(HOSTILE.into());
    interface.endpoint = Some(endpoint());
    for port in &mut interface.ports {
        port.ifname = HOSTILE.into();
        if let Some(peer) = &mut port.peer {
            (peer.ifname, peer.ns, peer.example) = (HOSTILE.into(), None, Some(process()));
        }
    }
    let peer = interface.ports.iter().find_map(|port| port.peer.clone());
    shown(&interface);
    shown(&InterfaceView { kind: None, peer, ..interface });
}

#[test]
fn namespaces_and_processes() {
    let mut namespaces = samples::namespaces();
    for namespace in &mut namespaces {
        namespace.names = vec![HOSTILE.into()];
        namespace.interfaces = Some(vec![HOSTILE.into()]);
        namespace.example = Some(process());
    }
    shown(&namespaces);
    let mut places = samples::places();
    for place in &mut places {
        (place.process, place.names, place.shared_with) = (process(), vec![HOSTILE.into()], vec![process()]);
    }
    shown(&places);
}

#[test]
fn plans_and_what_was_removed() {
    shown(&vec![StepView { step: 1, operation: HOSTILE.into(), commands: vec![HOSTILE.into()] }]);
    let down = DownView {
        label: Some(HOSTILE.into()),
        changed: true,
        removed: vec![HOSTILE.into()],
        nearest: Some(HOSTILE.into()),
    };
    shown(&down);
    shown(&DownView { changed: false, ..down });
}

#[test]
fn latency_of_paths() {
    let mut latency = samples::latency();
    for path in &mut latency.paths {
        (path.ns, path.interface, path.uplink) = (Some(HOSTILE.into()), HOSTILE.into(), HOSTILE.into());
    }
    shown(&latency);
    let mut out = Vec::new();
    let head = LatencyHead { paths: &latency.paths, sample: None, duration_ms: None };
    head.text(&samples::look(None), &mut out).unwrap();
    assert_harmless(&String::from_utf8(out).unwrap());
}

#[test]
fn errors_and_warnings_are_one_line_each() {
    let error = Error::new(Kind::NotFound, "find", HOSTILE, HOSTILE).remedy(HOSTILE);
    let mut out = Vec::new();
    write_error(&error, false, &samples::look(None), &mut out).unwrap();
    write_warning(HOSTILE, &samples::look(None), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(out.lines().count(), 3, "{out:?}");
    assert_harmless(&out);
}
