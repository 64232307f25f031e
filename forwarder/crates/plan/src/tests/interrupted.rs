//! Commands that end half-way, and what the next one makes of what they leave.

use super::super::{
    Action, Datapath, Object, ResolvConf, UpRequest,
    testing::{World, down, name, named},
};
use fwd_dataplane::Backend;

#[test]
fn interrupted_up_is_completed_by_the_next() {
    let request = UpRequest::new(named("a"));
    let steps = World::new().up(&request).ops.len();
    let mut direct = World::new();
    direct.up(&request);
    for step in 0..=steps {
        let mut world = World::new();
        let plan = world.plan_up(&request).expect("possible");
        let begun = world.run_into(&plan.ops, step);
        world.up(&request);
        assert_eq!(world.plan_up(&request).expect("it is up").ops, [], "after {step}");
        assert_eq!(world.records.endpoints.len(), 1, "after {step}");
        // An address is rather skipped than given out twice.
        let address = world.records.endpoints[0].main_address();
        assert!(begun || address == direct.records.endpoints[0].main_address(), "after {step}: {address}");
        assert!(world.records.endpoints[0].marks.created, "after {step}");
    }
}

#[test]
fn interrupted_up_is_removed_by_down() {
    let request = UpRequest::new(named("a"));
    let steps = World::new().up(&request).ops.len();
    for target in [Some("a"), None] {
        for step in 0..=steps {
            let mut world = World::new();
            let before = world.snapshot();
            let plan = world.plan_up(&request).expect("possible");
            world.run_into(&plan.ops, step);
            world.down(target);
            assert_eq!(world.snapshot(), before, "after {step}, down {target:?}");
            assert_eq!(world.plan_down(&down(target)).expect("possible").ops, []);
        }
    }
}

#[test]
fn interrupted_down_is_completed_by_the_next() {
    let mut up = World::new();
    let before = up.snapshot();
    up.up(&UpRequest::new(named("a")));
    let plan = up.plan_down(&down(Some("a"))).expect("possible");
    for target in [Some("a"), None] {
        for step in 0..=plan.ops.len() {
            let mut world = up.clone();
            world.run_into(&plan.ops, step);
            world.down(target);
            assert_eq!(world.snapshot(), before, "after {step}, down {target:?}");
        }
    }
    // Or `up` makes it whole again.
    for step in 0..=plan.ops.len() {
        let mut world = up.clone();
        world.run_into(&plan.ops, step);
        world.up(&UpRequest::new(named("a")));
        assert_eq!(world.plan_up(&UpRequest::new(named("a"))).expect("it is up").ops, [], "after {step}");
    }
}

#[test]
fn down_that_cannot_undo_something_is_completed_by_the_next() {
    for datapath in [Datapath::Tc, Datapath::Kernel] {
        let mut up = World::new();
        up.resolv_conf = ResolvConf::Write("nameserver 192.0.2.1\n".into());
        up.add_namespace("theirs");
        let before = up.snapshot();
        for ns in ["theirs", "ours"] {
            up.up(&UpRequest::new(named(ns)).with_options(|it| it.datapath = Some(datapath)));
        }
        let ops = up.plan_down(&down(None)).expect("possible").ops;
        let noted = |object: &Object| up.undo.iter().any(|entry| entry.is_for(object));
        let objects: Vec<Object> = ops.iter().map(|op| op.object.clone()).filter(noted).collect();
        assert!(objects.len() >= 4, "sysctl, namespace, resolv.conf twice, lo: {objects:?}");
        for failed in &objects {
            let mut world = up.clone();
            let done: Vec<_> = ops
                .iter()
                .filter(|op| op.object != *failed && !op.forgets(std::slice::from_ref(failed)))
                .cloned()
                .collect();
            world.run(&done, usize::MAX);
            let again = world.down(None);
            assert!(again.ops.iter().any(|op| op.object == *failed), "{failed} is not tried again: {:?}", again.ops);
            assert_eq!(world.snapshot(), before, "{failed}");
        }
    }
}

#[test]
fn inverse_of_every_step_restores_the_state_before() {
    let request = UpRequest::new(named("a"));
    let mut world = World::new();
    world.add_namespace("a");
    for op in world.plan_up(&request).expect("possible").ops {
        assert_eq!(op.action, Action::Make);
        assert_eq!(op.inverse().inverse(), op);
        assert_ne!(op.inverse().to_string(), op.to_string());
        assert!(!op.equivalent("/run/fwd/bpf/1", None).is_empty(), "{op}");
        assert!(!op.inverse().equivalent("/run/fwd/bpf/1", None).is_empty(), "{op}");
    }
}

#[test]
fn interrupted_change_of_the_way_to_attach_is_completed() {
    let mut world = World::new();
    let plain = UpRequest::new(named("a"));
    world.up(&plain);
    let index = world.records.endpoints[0].index;
    // Attached by both, and the record says which one is meant.
    for meant in [Backend::Tcx, Backend::Clsact] {
        world.records.endpoints[0].attach = meant;
        world.records.endpoint_hooks.insert(index);
        world.records.endpoint_filters.insert(index);
        assert_eq!(world.up(&plain).ops.len(), 1);
        let found = (world.records.endpoint_hooks.contains(&index), world.records.endpoint_filters.contains(&index));
        assert_eq!(found, (meant == Backend::Tcx, meant == Backend::Clsact));
    }
}

#[test]
fn network_whose_bridge_was_deleted_keeps_its_addresses_wherever_the_next_up_ends() {
    let mut up = World::new();
    let before = up.snapshot();
    let request = UpRequest { network: Some(name("web")), ..UpRequest::new(named("a")) };
    up.up(&request.clone().with_options(|it| it.datapath = Some(Datapath::Tc)));
    let (gateway, treatment) = (up.records.networks[0].gateway, up.records.networks[0].treatment);
    up.delete_link("web");
    let steps = up.plan_up(&request).expect("possible").ops;
    for (step, begun) in (0..=steps.len()).flat_map(|step| [(step, false), (step, true)]) {
        let mut world = up.clone();
        if begun {
            world.run_into(&steps, step);
        } else {
            world.run(&steps, step);
        }
        // Who comes then joins the same network, and whoever was there is in it.
        world.up(&UpRequest { network: Some(name("web")), ..UpRequest::new(named("b")) });
        for ns in ["a", "b"] {
            let again = UpRequest { network: Some(name("web")), ..UpRequest::new(named(ns)) };
            assert_eq!(world.plan_up(&again).expect("it is up").ops, [], "after {step}, {begun}, {ns}");
        }
        let [network] = &world.records.networks[..] else { panic!("after {step}, {begun}: one record") };
        assert_eq!((network.gateway, network.treatment), (gateway, treatment), "after {step}, {begun}");
        world.down(None);
        assert_eq!(world.snapshot(), before, "after {step}, {begun}");
    }
}
