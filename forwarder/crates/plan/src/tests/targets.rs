//! Namespaces that are given by a process or a path, with a name and without.

mod awaited;
mod callers;

use super::super::{
    Object, TargetRef, Undo, UpRequest, object,
    testing::{World, container, named},
};

/// A world with a namespace of somebody else, and the ways to it.
fn pod(has_name: bool) -> (World, [TargetRef; 3]) {
    let mut world = World::new();
    if !has_name {
        let ways = world.add_nameless("pod", 7);
        return (world, ways);
    }
    world.add_namespace("pod");
    let ways = world.add_ways("pod", 7);
    (world, ways)
}

#[test]
fn namespace_is_attached_and_let_go_by_whichever_way() {
    for has_name in [true, false] {
        let (world, ways) = pod(has_name);
        for up in &ways {
            for down in &ways {
                let mut world = world.clone();
                let before = world.snapshot();
                world.up(&UpRequest::new(up.clone()));
                assert_eq!(world.records.endpoints.len(), 1);
                assert_eq!(world.records.endpoints[0].ns.is_some(), has_name, "{up}");
                // By the other way it is the same one, and keeps the name by which it was asked for.
                assert_eq!(world.up(&UpRequest::new(down.clone())).ops, [], "{up}, {down}");
                assert_eq!(world.records.endpoints[0].id, up.id("eth0"));
                world.down_by(Some(down));
                assert_eq!(world.snapshot(), before, "{up}, {down}");
            }
        }
    }
}

#[test]
fn namespace_without_a_name_is_never_deleted() {
    let (mut world, [pid, ..]) = pod(false);
    world.up(&UpRequest::new(pid));
    world.up(&UpRequest::new(named("a")));
    let plan = world.down(None);
    let deleted = plan.ops.iter().filter(|op| matches!(op.object, Object::Netns(_))).count();
    assert_eq!(deleted, 1, "that of a: {:?}", plan.ops);
    assert_eq!(world.namespaces.len(), 1);
}

#[test]
fn command_by_a_process_that_was_killed_anywhere_is_completed() {
    for has_name in [true, false] {
        let (fresh, ways) = pod(has_name);
        let before = fresh.snapshot();
        for way in ways {
            let request = UpRequest::new(way.clone());
            let ops = fresh.plan_up(&request).expect("possible").ops;
            for step in 0..=ops.len() {
                let mut world = fresh.clone();
                world.run_into(&ops, step);
                let mut completed = world.clone();
                completed.up(&request);
                assert_eq!(completed.plan_up(&request).expect("it is up").ops, [], "{way}, after {step}");
                world.down_by(Some(&way));
                assert_eq!(world.snapshot(), before, "{way}, after {step}");
            }
        }
    }
}

#[test]
fn process_that_has_gone_is_taken_down_by_its_number() {
    let (mut world, [pid, path, _]) = pod(false);
    world.up(&UpRequest::new(pid.clone()));
    world.up(&UpRequest::new(named("a")));
    let gone = world.resolve(&pid).expect("it is there");
    world.delete_namespace(&gone);
    [&pid, &path].into_iter().for_each(|way| drop(world.ways.remove(way)));
    world.down_by(Some(&pid));
    assert_eq!(world.records.endpoints.len(), 1, "that of a");
    let is_lo = |entry: &Undo| matches!(entry, Undo::Loopback { .. });
    assert!(!world.undo.iter().any(is_lo), "{:?}", world.undo);
    world.down(None);
    assert!(world.undo.is_empty() && world.records == Default::default());
}

#[test]
fn container_that_does_not_run_is_taken_down_by_its_id() {
    let (mut world, [.., running]) = pod(false);
    world.up(&UpRequest::new(running.clone()));
    assert_eq!(world.records.endpoints[0].container.as_deref(), Some("pod"));
    // Something else keeps its namespace.
    world.ways.clear();
    let stopped = container("renamed", None);
    assert_eq!(stopped.path().to_str(), Some("/proc/0/ns/net"));
    world.down_by(Some(&TargetRef::Pid(8)));
    assert_eq!(world.records.endpoints.len(), 1, "it is another's number");
    world.down_by(Some(&stopped));
    assert_eq!(world.records, Default::default());
}

#[test]
fn operations_name_the_namespace_as_it_was_given() {
    let (world, [pid, ..]) = pod(false);
    let plan = world.plan_up(&UpRequest::new(pid.clone())).expect("possible");
    let inside = plan.ops.iter().filter_map(|op| match &op.object {
        Object::NsAddress(object::NsAddress { ns, .. }) => Some(ns),
        _ => None,
    });
    assert!(inside.eq([&pid]));
}
