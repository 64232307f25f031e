//! `up` and `down` on a real kernel: once, twice, all at once, and after other people's deletions.

mod carrier;

use std::{path::Path, thread, time::Duration};

use forwarder::{
    Kind, Result,
    dataplane::{EndpointId, EndpointOwner, Lock, RunDir},
    execute::{self, HostContext, Observer, Unobserved, UpResult},
    netlink::{Netlink, nft},
    netns::{Name, Netns, named},
    reconcile::{Datapath, Desired, DownRequest, Endpoint, EndpointOptions, Network, Op, Scope, TargetRef, UpRequest},
    testbed::{Namespace, Process, Snapshot, Testbed, TestbedSpec, command_in, unique_prefix, wait_until},
};

use crate::fwd::told;

const LIMIT: Duration = Duration::from_secs(20);

/// A testbed and what its host looked like before anything was done.
struct Host {
    testbed: Testbed,
    before: Snapshot,
}

impl Host {
    fn new() -> Self {
        Self::with(&TestbedSpec::default())
    }

    fn with(spec: &TestbedSpec) -> Self {
        let testbed = Testbed::with(&unique_prefix(), spec).expect("a testbed");
        let before = testbed.snapshot().expect("a snapshot");
        Self { testbed, before }
    }

    fn context(&self) -> HostContext {
        // Below: the last command removes the directory, and the testbed made that one.
        HostContext::new(RunDir::new(self.testbed.run_dir().join("run")))
    }

    /// Works on a thread inside the host's namespace.
    fn inside<T: Send>(&self, work: impl FnOnce(&HostContext) -> Result<T> + Send) -> Result<T> {
        let context = self.context();
        self.testbed.host().run(|| work(&context))
    }

    fn name(&self, ns: &str) -> Name {
        Name::try_from(self.testbed.name(ns).as_str()).expect("a valid name")
    }

    fn target(&self, ns: &str) -> TargetRef {
        TargetRef::Named(self.name(ns))
    }

    fn request(&self, ns: &str) -> UpRequest {
        UpRequest::new(self.target(ns))
    }

    fn up(&self, request: &UpRequest) -> Result<UpResult> {
        self.inside(|context| execute::up(context, request, &mut Unobserved))
    }

    fn down(&self, ns: Option<&str>) -> Result<execute::DownResult> {
        let request = DownRequest { target: ns.map(|ns| self.target(ns)), delete_ns: false, ..DownRequest::default() };
        self.inside(|context| execute::down(context, &request, &mut Unobserved))
    }

    fn steps_of_up(&self, request: &UpRequest) -> usize {
        self.inside(|context| execute::dry_up(context, request)).expect("a plan").steps.len()
    }

    fn ping(&self, ns: &str, address: &str) -> bool {
        let ns = Netns::open_named(&self.name(ns)).expect("the namespace");
        told(&ns, &[address]).status.success()
    }

    #[track_caller]
    fn assert_reaches(&self, ns: &str) {
        let outside = self.testbed.uplink(0).outside[0].to_string();
        assert!(self.ping(ns, &outside), "{ns} reaches the outside");
    }

    #[track_caller]
    fn assert_clean(&self) {
        let after = self.testbed.snapshot().expect("a snapshot");
        assert_eq!(self.before.diff(&after), [""; 0]);
    }
}

fn link_del(ns: &Namespace, name: &str) {
    let netlink = ns.netlink().expect("netlink");
    netlink.delete_link(netlink.link(name).expect("readable").expect("it exists").index).expect("deleted");
}

#[test]
fn namespace_is_connected_and_nothing_is_left_afterwards() {
    let host = Host::new();
    let result = host.up(&host.request("a")).unwrap();
    assert!(result.changed);
    assert!(named().unwrap().contains(&host.name("a")));
    host.assert_reaches("a");
    assert!(host.ping("a", "10.77.0.1"), "the gateway answers");
    assert!(!host.up(&host.request("a")).unwrap().changed, "the second run changes nothing");
    assert!(host.down(Some("a")).unwrap().changed);
    host.assert_clean();
    assert!(!host.down(Some("a")).unwrap().changed);
    host.assert_clean();
}

#[test]
fn kernel_datapath_connects_and_nothing_is_left_afterwards() {
    let host = Host::new();
    host.up(&host.request("a").with_options(|it| it.datapath = Some(Datapath::Kernel))).unwrap();
    assert_eq!(host.testbed.host().run(nft::masquerade_rules).unwrap().len(), 1);
    host.assert_reaches("a");
    host.down(Some("a")).unwrap();
    host.assert_clean();
}

#[test]
fn namespaces_of_one_network_and_of_several_uplinks() {
    let host = Host::with(&TestbedSpec { uplinks: 2, ..TestbedSpec::default() });
    let other = Name::try_from("a-network-with-a-long-name").unwrap();
    host.up(&host.request("a")).unwrap();
    host.up(&host.request("b")).unwrap();
    let request = UpRequest { network: Some(other), ..host.request("c") }.with_options(|it| it.uplink = "eth1".into());
    host.up(&request).unwrap();
    assert!(host.ping("a", "10.77.0.3") && host.ping("b", "10.77.0.2"));
    host.assert_reaches("a");
    assert!(host.ping("c", &host.testbed.uplink(1).outside[0].to_string()));
    host.down(Some("a")).unwrap();
    host.assert_reaches("b");
    host.down(None).unwrap();
    host.assert_clean();
}

#[test]
fn existing_namespace_is_used_and_given_back_as_it_was() {
    let host = Host::new();
    let theirs = Netns::create_named(&host.name("theirs"), |_| Ok(())).unwrap();
    let netlink = Netlink::open(&theirs).unwrap();
    let look = || {
        let links = netlink.links().unwrap().into_iter().map(|link| (link.name, link.up, link.alias));
        (links.collect::<Vec<_>>(), netlink.routes().unwrap(), netlink.neighbours().unwrap())
    };
    let before = (look(), host.testbed.snapshot().unwrap());
    host.up(&host.request("theirs")).unwrap();
    host.assert_reaches("theirs");
    host.down(Some("theirs")).unwrap();
    assert_eq!(look(), before.0);
    assert_eq!(before.1.diff(&host.testbed.snapshot().unwrap()), [""; 0]);
    host.up(&host.request("theirs")).unwrap();
    let request = DownRequest { target: Some(host.target("theirs")), delete_ns: true, ..DownRequest::default() };
    host.inside(|context| execute::down(context, &request, &mut Unobserved)).unwrap();
    host.assert_clean();
}

#[test]
fn namespace_of_a_process_is_attached() {
    let host = Host::new();
    let pod = Namespace::create(&host.testbed.name("pod")).unwrap();
    let sleep = Process::spawn(command_in(&pod, &["sleep", "60"])).unwrap();
    let request = UpRequest::new(TargetRef::Pid(sleep.id()));
    let entered = || Ok((Netns::open_pid(sleep.id())?.inode()? == pod.inode()?).then_some(()));
    wait_until(LIMIT, "the process is inside", entered).unwrap();
    let result = host.up(&request).unwrap();
    assert_eq!(result.endpoint.1.metadata.netns.pid, Some(sleep.id()));
    host.assert_reaches("pod");
    // The same namespace under its name, and by its path.
    assert!(!host.up(&host.request("pod")).unwrap().changed);
    let path = TargetRef::Path(Path::new("/run/netns").join(host.testbed.name("pod")));
    assert!(!host.up(&UpRequest::new(path.clone())).unwrap().changed);
    let request = DownRequest { target: Some(path), delete_ns: false, ..DownRequest::default() };
    host.inside(|context| execute::down(context, &request, &mut Unobserved)).unwrap();
    drop((sleep, pod));
    host.assert_clean();
}

#[test]
fn failed_up_takes_back_what_it_did() {
    /// Puts something in the way of a late operation.
    struct Obstacle;
    impl Observer for Obstacle {
        fn after(&mut self, _: usize, op: &Op) {
            if matches!(op.object, forwarder::reconcile::Object::Endpoint(_)) {
                let netlink = Netlink::here().unwrap();
                netlink.delete_link(netlink.link("fwd0").unwrap().unwrap().index).unwrap();
            }
        }
    }
    let host = Host::new();
    let request = host.request("a");
    let error = host.inside(|context| execute::up(context, &request, &mut Obstacle)).expect_err("it fails");
    assert!(error.to_string().contains("fwd0"), "{error}");
    host.assert_clean();
}

#[test]
fn what_others_delete_is_cleaned_or_healed() {
    let host = Host::new();
    let host_if = |ns: &str| host.up(&host.request(ns)).unwrap().endpoint.1.metadata.host_if;
    // The namespace.
    host_if("a");
    Netns::delete_named(&host.name("a")).unwrap();
    // The kernel takes a namespace apart a moment after its last user has gone.
    host.down(Some("a")).unwrap();
    wait_until(LIMIT, "the veth pair goes", || {
        Ok(host.before.diff(&host.testbed.snapshot()?).is_empty().then_some(()))
    })
    .unwrap();
    // The namespace, and a new one of its name.
    host_if("a");
    Netns::delete_named(&host.name("a")).unwrap();
    assert!(host.up(&host.request("a")).unwrap().changed);
    host.assert_reaches("a");
    // The veth pair.
    let before = host.up(&host.request("a")).unwrap().endpoint.1;
    link_del(host.testbed.host(), &before.metadata.host_if);
    assert_eq!(host.up(&host.request("a")).unwrap().endpoint.1.record.v4, before.record.v4, "it keeps its address");
    host.assert_reaches("a");
    // The bridge.
    host_if("b");
    link_del(host.testbed.host(), "fwd0");
    host.up(&host.request("a")).unwrap();
    host.assert_reaches("a");
    host.assert_reaches("b");
    assert!(!host.up(&host.request("b")).unwrap().changed);
    // Both, then everything goes.
    link_del(host.testbed.host(), &host_if("b"));
    link_del(host.testbed.host(), "fwd0");
    host.down(None).unwrap();
    host.assert_clean();
}

#[test]
fn namespace_deleted_while_a_process_is_inside_can_still_be_taken_down() {
    let host = Host::new();
    host.up(&host.request("a")).unwrap();
    let ns = Netns::open_named(&host.name("a")).unwrap();
    Netns::delete_named(&host.name("a")).unwrap();
    assert!(host.down(Some("a")).unwrap().changed);
    host.assert_clean();
    drop(ns);
}

#[test]
fn twenty_at_once_end_as_promised() {
    let host = Host::new();
    let names: Vec<String> = (0..10).map(|number| format!("n{number}")).collect();
    thread::scope(|scope| {
        let ups: Vec<_> = names.iter().chain(&names).map(|ns| scope.spawn(|| host.up(&host.request(ns)))).collect();
        let changed = ups.into_iter().map(|up| up.join().expect("no panic").expect("it is up").changed);
        assert_eq!(changed.filter(|changed| *changed).count(), names.len());
    });
    names.iter().for_each(|ns| host.assert_reaches(ns));
    thread::scope(|scope| {
        let downs: Vec<_> = names.iter().map(|ns| scope.spawn(|| host.down(Some(ns)).map(drop))).collect();
        let ups: Vec<_> = names.iter().map(|ns| scope.spawn(|| host.up(&host.request(ns)).map(drop))).collect();
        for command in downs.into_iter().chain(ups) {
            command.join().expect("no panic").expect("it succeeds");
        }
    });
    host.down(None).unwrap();
    host.assert_clean();
}

#[test]
fn a_command_waits_for_another_and_names_it_when_it_takes_too_long() {
    let host = Host::new();
    let cookie = host.testbed.host().cookie().unwrap();
    let context = HostContext { patience: Duration::from_millis(50), ..host.context() };
    let lock = Lock::acquire(&context.run_dir, cookie, LIMIT).unwrap();
    let request = host.request("a");
    let up = || host.testbed.host().run(|| execute::up(&context, &request, &mut Unobserved));
    let error = up().expect_err("the lock is held");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(lock);
    up().unwrap();
    host.down(None).unwrap();
    host.assert_clean();
}

#[test]
fn refusals_change_nothing() {
    let host = Host::new();
    let netlink = host.testbed.host().netlink().unwrap();
    let refuse = |request: &UpRequest, kind: Kind, word: &str| {
        let error = host.up(request).expect_err("it is refused");
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
        assert!(error.remedy.is_some(), "{error}");
    };
    let by_uplink = |uplink: &str| host.request("a").with_options(|it| it.uplink = uplink.into());
    refuse(&by_uplink("eth7"), Kind::NotFound, "eth7");
    refuse(&by_uplink("lo"), Kind::Usage, "lo");
    refuse(&UpRequest::new(host.target("host")), Kind::Usage, "host's own");
    refuse(
        &host.request("a").with_options(|it| it.subnet = Some("198.51.100.0/24".parse().unwrap())),
        Kind::Conflict,
        "eth0",
    );
    for path in ["/dev/null", "/etc/passwd"] {
        let error = host.up(&UpRequest::new(TargetRef::Path(path.into()))).expect_err("no namespace");
        assert_eq!(error.kind, Kind::Usage, "{error}");
    }
    assert_eq!(host.up(&UpRequest::new(TargetRef::Pid(u32::MAX >> 1))).expect_err("none").kind, Kind::NotFound);
    host.assert_clean();
    netlink.set_down(netlink.link("eth0").unwrap().unwrap().index).unwrap();
    refuse(&by_uplink("eth0"), Kind::Failed, "down");
}

#[test]
fn dry_run_tells_all_and_changes_nothing() {
    let host = Host::new();
    let planned = host.inside(|context| execute::dry_up(context, &host.request("a"))).unwrap();
    assert!(planned.steps.iter().all(|step| !step.commands.is_empty()));
    assert!(planned.steps.iter().any(|step| step.operation == "create bridge fwd0"));
    host.assert_clean();
    host.up(&host.request("a")).unwrap();
    let request = DownRequest { target: None, delete_ns: false, ..DownRequest::default() };
    let planned = host.inside(|context| execute::dry_down(context, &request)).unwrap();
    assert!(planned.steps.iter().any(|step| step.commands == ["ip link del fwd0"]));
    assert!(!host.up(&host.request("a")).unwrap().changed);
    host.down(None).unwrap();
    host.assert_clean();
}

#[test]
fn hundredth_namespace_is_planned_like_the_second() {
    let host = Host::new();
    let first = host.steps_of_up(&host.request("x"));
    host.up(&host.request("a")).unwrap();
    let second = host.steps_of_up(&host.request("x"));
    assert!(second < first);
    for number in 0..5 {
        host.up(&host.request(&format!("n{number}"))).unwrap();
    }
    assert_eq!(host.steps_of_up(&host.request("x")), second);
    host.down(None).unwrap();
    host.assert_clean();
}

#[test]
fn whole_is_applied_at_once_and_exported_again() {
    let host = Host::new();
    let pod = Namespace::create(&host.testbed.name("pod")).unwrap();
    let before = host.testbed.snapshot().unwrap();
    let sleep = Process::spawn(command_in(&pod, &["sleep", "60"])).unwrap();
    let entered = || Ok((Netns::open_pid(sleep.id())?.inode()? == pod.inode()?).then_some(()));
    wait_until(LIMIT, "the process is inside", entered).unwrap();
    let endpoint = |id: &str, network: &str, netns| Endpoint {
        id: EndpointId { owner: EndpointOwner::Cni, id: id.into(), ifname: "eth0".into() },
        network: network.into(),
        netns: Some(netns),
        owner_network: None,
        options: EndpointOptions::default(),
    };
    let kernel = Network { datapath: Some(Datapath::Kernel), ..Network::default() };
    let publish = vec!["8080-8089:80-89".parse().unwrap()];
    let published = EndpointOptions { publish, ..EndpointOptions::default() };
    let endpoints = vec![
        Endpoint { options: published, ..endpoint("0a", "web", host.target("a")) },
        endpoint("0b", "web", TargetRef::Pid(sleep.id())),
        endpoint("0c", "db", host.target("c")),
    ];
    let networks = [("db".into(), kernel), ("spare".into(), Network::default()), ("web".into(), Network::default())];
    let mut desired = Desired { networks: networks.into(), endpoints, ..Desired::default() };
    let apply =
        |desired: &Desired| host.inside(|context| execute::apply(context, desired, &Scope::default(), &mut Unobserved));
    assert!(apply(&desired).unwrap().changed);
    ["a", "pod", "c"].iter().for_each(|ns| host.assert_reaches(ns));
    assert!(!apply(&desired).unwrap().changed, "the second run changes nothing");
    let said = host.inside(execute::export).unwrap();
    assert_eq!((said.networks.len(), said.endpoints.len(), &said.endpoints[1].id), (3, 3, &desired.endpoints[1].id));
    assert!(!apply(&said).unwrap().changed, "what is said is what is there");
    desired.endpoints[0].options.publish = vec!["53:53/udp".parse().unwrap()];
    assert!(apply(&desired).unwrap().changed);
    assert_eq!(
        host.inside(execute::export).unwrap().endpoints[0].options.publish,
        desired.endpoints[0].options.publish
    );
    desired.endpoints.remove(0);
    desired.networks.remove("spare");
    assert!(apply(&desired).unwrap().changed);
    ["pod", "c"].iter().for_each(|ns| host.assert_reaches(ns));
    assert!(!named().unwrap().contains(&host.name("a")));
    assert!(apply(&Desired::default()).unwrap().changed);
    assert_eq!(before.diff(&host.testbed.snapshot().unwrap()), [""; 0]);
}
