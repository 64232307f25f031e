//! `fwd up`.

mod args;
mod serve;
pub(super) mod table;

pub(crate) use self::args::UpArgs;
pub(super) use self::{
    args::{HELP, TableArgs},
    serve::{DnsArgs, run as serve},
};
use super::ls;
use crate::{
    Result,
    cli::{session::Session, target},
    dataplane::Dataplane,
    execute::{self, Observer, UpResult},
    query::{State, flow_table},
    reconcile::{Datapath, UpRequest},
    render::UpView,
};

/// Why `--datapath auto` is tc: docs/benchmarks.md has the figures.
const WHY_TC: &str = "measured faster than xdp wherever a namespace ends in a veth";

/// Connects a namespace, or shows what that would take.
pub(super) fn run(session: &mut Session<'_, '_>, args: &UpArgs, observer: &mut dyn Observer) -> Result<()> {
    let request = request(args)?;
    if args.dry_run {
        let planned = execute::dry_up(&session.context(), &request)?;
        return session.emit_plan(planned);
    }
    let context = session.context();
    let (UpResult { warnings, .. }, (view, notes)) =
        execute::up_and_look(&context, &request, observer, |result, plane| look(&request, result, plane))?;
    session.warn(&warnings)?;
    session.warn(&notes)?;
    session.emit(&view)
}

/// What was done, and what to say besides.
fn look(request: &UpRequest, result: &UpResult, plane: Dataplane) -> Result<(UpView, Vec<String>)> {
    let UpResult { endpoint: (ifindex, endpoint), changed, loaded, taken, room, warnings: _ } = result;
    let state = State::of_one(plane, (*ifindex, endpoint.clone()))?;
    let notes = ls::other_build(&state.plane)?;
    let uplink_address = state.uplink_address(endpoint).map(|address| address.to_string());
    let loaded = if *loaded { flow_table::loaded_table(&state.plane)? } else { None };
    let endpoint = state.view(*ifindex, endpoint)?;
    let chosen = request.options.datapath.is_none() && loaded.is_some() && endpoint.datapath == Datapath::Tc.name();
    let datapath_reason = chosen.then(|| WHY_TC.into());
    let from_pool = taken.clone().map(Into::into);
    let changed = *changed;
    Ok((UpView { endpoint, changed, from_pool, room: *room, datapath_reason, uplink_address, loaded }, notes))
}

/// What the words ask for.
fn request(args: &UpArgs) -> Result<UpRequest> {
    let UpArgs { target, endpoint, options, table, dry_run: _ } = args;
    endpoint.asked(UpRequest {
        table: table::request(table)?,
        options: options.asked()?,
        ..UpRequest::new(target::required(target)?)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::request;
    use crate::{
        Kind, Result,
        cli::{Cli, Command},
        dataplane::Backend,
        reconcile::{Datapath, HardwareAddress, Ipv6, Nat, TableRequest, TargetRef, UpRequest},
    };

    fn asked(line: &str) -> Result<UpRequest> {
        match Cli::try_parse_from(line.split_whitespace()).expect("a command line").command {
            Command::Up(args) => request(&args),
            other => panic!("not up: {other:?}"),
        }
    }

    #[track_caller]
    fn refused(line: &str) -> String {
        let error = asked(line).expect_err("it is refused");
        assert_eq!(error.kind, Kind::Usage, "{error}");
        assert!(error.remedy.is_some(), "{error}");
        error.to_string()
    }

    #[test]
    fn options_left_out_are_not_asked_for() {
        let request = asked("fwd up mynet").expect("it is valid");
        assert_eq!(request, UpRequest::new(TargetRef::Named("mynet".try_into().expect("a valid name"))));
    }

    #[test]
    fn every_option_arrives() {
        let line = "fwd up --pid 7 --network web --uplink eth1 --subnet 10.0.0.0/24 --ip 10.0.0.9 --mtu 1400 --datapath kernel \
            --ipv6 masquerade --subnet6 fd00:77::/64 --ifname eth1 --mac 02:00:00:00:00:01 --metric 200 --gateway 10.0.0.254 --route 10.9.0.0/16=10.0.0.3 --nat eim --clamp-mss --ignore-xfrm --dns --alias WWW --alias a.b --allow-spoof --attach clsact -p 8080:80 --publish 53:5353/udp --publish-from 192.0.2.0/24 --nat-ports 2000-3000 --max-flows 1000 --max-flows-per-ns 10 --timeout icmp=90s";
        let request = asked(line).expect("it is valid");
        assert_eq!(request.target, TargetRef::Pid(7));
        assert_eq!(request.network.as_ref().map(ToString::to_string).as_deref(), Some("web"));
        assert_eq!(request.options.uplink.interface(), Some("eth1"));
        assert_eq!(request.options.subnet.map(|subnet| subnet.to_string()).as_deref(), Some("10.0.0.0/24"));
        assert_eq!(request.endpoint.ip.map(|ip| ip.to_string()).as_deref(), Some("10.0.0.9"));
        assert_eq!((request.ifname.as_deref(), request.endpoint.metric), (Some("eth1"), Some(200)));
        assert_eq!(request.endpoint.mac, Some(HardwareAddress([2, 0, 0, 0, 0, 1])));
        assert_eq!(request.options.gateway.map(|gateway| gateway.to_string()).as_deref(), Some("10.0.0.254"));
        assert_eq!(request.endpoint.routes[0].to_string(), "10.9.0.0/16=10.0.0.3");
        assert_eq!(request.options.ipv6, Some(Ipv6::Masquerade));
        assert_eq!(request.options.subnet6.map(|subnet| subnet.to_string()).as_deref(), Some("fd00:77::/64"));
        assert_eq!((request.options.mtu, request.options.datapath), (Some(1400), Some(Datapath::Kernel)));
        assert_eq!(
            (request.options.nat, request.options.clamp_mss, request.endpoint.allow_spoof),
            (Some(Nat::Eim), true, true)
        );
        assert_eq!((request.endpoint.attach, request.options.ignore_xfrm), (Some(Backend::Clsact), true));
        let aliases: Vec<&str> = request.endpoint.aliases.iter().map(|alias| alias.as_str()).collect();
        assert_eq!((request.options.dns, aliases), (true, vec!["www", "a.b"]));
        let published: Vec<String> = request.endpoint.publish.iter().map(ToString::to_string).collect();
        assert_eq!(published, ["8080:80/tcp from 192.0.2.0/24", "53:5353/udp from 192.0.2.0/24"]);
        let table = TableRequest {
            nat_ports: Some((2000, 3000)),
            max_flows: Some(1000),
            max_flows_per_ns: Some(10),
            timeouts: vec![(forwarder_common::abi::Timeout::Icmp, 90)],
        };
        assert_eq!(request.table, table);
    }

    #[test]
    fn bad_values_are_refused_with_option_and_value() {
        assert!(refused("fwd up a --subnet 10.0.0.0/33").contains("--subnet \"10.0.0.0/33\""));
        assert!(refused("fwd up a --subnet 10.0.0.5/24").contains("10.0.0.5"));
        assert!(refused("fwd up a --subnet6 fd00::5/64").contains("fd00::5"));
        assert!(refused("fwd up a --subnet6 10.0.0.0/24").contains("--subnet6 \"10.0.0.0/24\""));
        assert!(refused("fwd up a --ip 10.0.0").contains("--ip \"10.0.0\""));
        assert!(refused("fwd up a --mac 02:00").contains("--mac \"02:00\""));
        assert!(refused("fwd up a --route 10.0.0.0").contains("--route \"10.0.0.0\""));
        assert!(refused("fwd up a -p 80").contains("--publish \"80\""));
        assert!(refused("fwd up a --alias a..b").contains("--alias \"a..b\""));
        assert!(refused("fwd up a -p 80:80 --publish-from lan").contains("--publish-from \"lan\""));
        assert!(refused("fwd up ../x").contains("../x"));
        assert!(refused("fwd up a --network ../x").contains("name of a network"));
        assert!(refused("fwd up a --nat-ports 7").contains("--nat-ports 7"));
        assert!(refused("fwd up a --timeout icmp=90s --timeout icmp=91s").contains("twice"));
    }
}
