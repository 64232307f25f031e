//! Netkit pairs instead of veth pairs.

use super::super::{
    Datapath, UpRequest,
    testing::{World, named},
};
use fwd_base::Kind;
use fwd_dataplane::Backend;

/// `up` of a namespace by this data path.
fn by(datapath: Datapath) -> UpRequest {
    UpRequest::new(named("a")).with_options(|it| it.datapath = Some(datapath))
}

#[test]
fn netkit_pairs_have_one_way_to_attach() {
    let mut world = World::new();
    let netkit = by(Datapath::Netkit);
    let plan = world.up(&netkit);
    let shown: Vec<String> = plan.ops.iter().map(ToString::to_string).collect();
    for words in ["create netkit pair", "attach program from_netkit at the peer of"] {
        assert!(shown.iter().any(|op| op.contains(words)), "{words}: {shown:?}");
    }
    let index = world.records.endpoints[0].index;
    assert!(world.records.endpoint_netkits.contains(&index) && world.records.endpoint_hooks.is_empty());
    assert_eq!(world.up(&UpRequest::new(named("a"))).ops, []);
    let clsact = netkit.with_endpoint(|it| it.attach = Some(Backend::Clsact));
    let error = world.plan_up(&clsact).expect_err("there is no other");
    assert_eq!((error.kind, error.remedy.is_some()), (Kind::Unsupported, true), "{error}");
    // In a network of veth pairs the same namespace is attached as any other.
    world.delete_link(&world.records.endpoints[0].host_if.clone());
    world.down(None);
    world.up(&by(Datapath::Tc));
    assert_eq!(world.records.endpoints[0].attach, Backend::Tcx);
}

#[test]
fn kernel_without_netkit_is_told_so_before_anything_is_made() {
    let mut world = World::new();
    world.no_netkit = true;
    let error = world.plan_up(&by(Datapath::Netkit)).expect_err("there is none");
    assert_eq!(error.kind, Kind::Unsupported);
    assert!(error.why.contains("netkit (Linux 6.7)"), "{error}");
    assert!(error.remedy.is_some_and(|remedy| remedy.contains("--datapath tc")));
    world.up(&UpRequest::new(named("a")));
    assert_eq!(world.records.endpoints[0].attach, Backend::Tcx);
}
