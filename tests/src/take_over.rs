//! `fwd reload` and `--rollback` where another version has laid out its records otherwise.
//!
//! What is up is made another version's: its maps are replaced, below another name, by such as an older version would have pinned, and so is
//! what says how they are laid out. The programs that run, and those that take over, are real ones.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use forwarder::testbed::TestbedSpec;
use serde_json::{Value, json};

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, binary, inside, number, text},
    reload::{by, pins, under_traffic},
};

/// What the other version is called.
pub(crate) const OTHER: &str = "v4000";
/// `BPF_MAP_TYPE_HASH` and `BPF_MAP_TYPE_ARRAY`, as bpftool calls them, with `BPF_F_NO_PREALLOC` for the first.
const HASH: (&str, &str) = ("hash", "1");
const ARRAY: (&str, &str) = ("array", "0");

pub(crate) fn other(fwd: &Fwd) -> PathBuf {
    pins(fwd).with_file_name(OTHER)
}

fn bytes(shown: &Value) -> Vec<u8> {
    let byte = |it: &Value| u8::from_str_radix(text(it).trim_start_matches("0x"), 16).expect("a byte");
    shown.as_array().expect("bytes").iter().map(byte).collect()
}

/// The elements of a pinned map.
fn elements(fwd: &Fwd, pin: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let path = pin.display().to_string();
    let shown = inside(fwd.host(), &["bpftool", "-j", "map", "dump", "pinned", &path]);
    let shown: Vec<Value> = serde_json::from_str(&shown).expect("JSON of bpftool");
    shown.iter().map(|it| (bytes(&it["key"]), bytes(&it["value"]))).collect()
}

/// Puts another map in the place of a pinned one.
fn replace(fwd: &Fwd, pin: &Path, (kind, flags): (&str, &str), entries: u64, elements: &[(Vec<u8>, Vec<u8>)]) {
    fs::remove_file(pin).expect("a pin");
    let path = pin.display().to_string();
    let (key, value) = elements.first().expect("it has elements");
    let [key, value, entries] = [key.len(), value.len(), entries as usize].map(|number| number.to_string());
    let mut create = vec!["bpftool", "map", "create", &path, "type", kind, "key", &key, "value", &value];
    create.extend(["entries", &entries, "name", "x", "flags", flags]);
    inside(fwd.host(), &create);
    for (key, value) in elements {
        let [key, value] = [key, value].map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>());
        let mut update = vec!["bpftool", "map", "update", "pinned", &path, "key", "hex"];
        update.extend(key.iter().map(String::as_str));
        update.extend(["value", "hex"]);
        update.extend(value.iter().map(String::as_str));
        inside(fwd.host(), &update);
    }
}

/// Changes what the version in `dir` says of how its maps are laid out.
fn say(fwd: &Fwd, dir: &Path, edit: impl FnOnce(&mut Value)) {
    let pin = dir.join("schema");
    let (_, mut said) = elements(fwd, &pin).pop().expect("one element");
    said.truncate(said.iter().rposition(|byte| *byte != 0).expect("text") + 1);
    let mut schema: Value = serde_json::from_slice(&said).expect("JSON");
    edit(&mut schema);
    let said = serde_json::to_vec(&schema).expect("JSON");
    replace(fwd, &pin, ARRAY, 1, &[(vec![0; 4], said)]);
}

fn map_of<'a>(schema: &'a mut Value, name: &str) -> &'a mut Value {
    let maps = schema["maps"].as_array_mut().expect("maps");
    maps.iter_mut().find(|map| map["name"] == name).expect("there is one")
}

/// Makes the records of a map those of a version that did not have a field yet.
fn without(fwd: &Fwd, dir: &Path, map: &str, field: &str) {
    let pin = dir.join("maps").join(map);
    let mut found = elements(fwd, &pin);
    let (mut gone, mut entries) = (0..0, 0);
    say(fwd, dir, |schema| {
        let map = map_of(schema, map);
        entries = number(&map["entries"]);
        let value = &mut map["value"];
        let fields = value["fields"].as_array_mut().expect("fields");
        let at = fields.iter().position(|it| it["name"] == field).expect("there is one");
        let removed = fields.remove(at);
        let [offset, size] = ["offset", "size"].map(|key| number(&removed[key]) as usize);
        gone = offset..offset + size;
        for field in &mut fields[at..] {
            field["offset"] = json!(number(&field["offset"]) as usize - size);
        }
        value["size"] = json!(number(&value["size"]) as usize - size);
        value["layout"] = json!(number(&value["layout"]) ^ 1);
    });
    for (_, value) in &mut found {
        assert!(value.drain(gone.clone()).all(|byte| byte == 0), "nothing is said by {map}.{field}");
    }
    replace(fwd, &pin, HASH, entries, &found);
}

/// Tuples of the flows that there are.
fn flows(fwd: &Fwd) -> Vec<Value> {
    let keys = ["proto", "src_addr", "src_port", "dst_addr", "dst_port", "nat_port"];
    let mut flows: Vec<Value> =
        fwd.list(&["flows"]).iter().map(|flow| json!(keys.map(|key| flow[key].clone()))).collect();
    flows.sort_by_key(Value::to_string);
    flows
}

/// Makes what is up another version's, whose records do not have all fields yet.
pub(crate) fn become_another_version(fwd: &Fwd) {
    fs::rename(pins(fwd), other(fwd)).expect("another name");
    for (map, field) in [("ENDPOINTS", "source_v6"), ("UPLINKS", "_pad")] {
        without(fwd, &other(fwd), map, field);
    }
}

fn takes_over(fwd: &Fwd, options: &[&str]) {
    let before = snapshot(fwd);
    let pod = fwd.up("c1", options);
    under_traffic(fwd, &pod, |talk| {
        talk();
        let (flows_before, ports) = (flows(fwd), fwd.list(&["port", "ls"]));
        assert!(!flows_before.is_empty());
        become_another_version(fwd);
        let warned = by(&binary(), fwd, &["ls"]).1;
        assert!(warned.contains(OTHER) && warned.contains(" reload`"), "{warned}");
        for round in 0..3 {
            let shown = fwd.json(&["reload"]);
            assert_eq!((&shown["changed"], &shown["after"]["current"]), (&json!(true), &json!(true)), "{shown}");
            assert_eq!(shown["replaced"], fs::read_dir(pins(fwd).join("progs")).expect("pins").count());
            assert!(!other(fwd).exists() && shown["after"]["former"] == shown["before"]["object"], "{shown}");
            assert_eq!(fwd.json(&["inspect", &pod.name])["attached"], true);
            assert_eq!(flows(fwd), flows_before, "round {round}");
            assert_eq!((fwd.list(&["port", "ls"]), fwd.list(&["ls"]).len()), (ports.clone(), 1));
            assert_eq!(fwd.json(&["up", "--ns", &pod.name])["changed"], false);
            talk();
            if round < 2 {
                let shown = fwd.json(&["reload", "--rollback"]);
                assert_eq!((&shown["changed"], &shown["rolled_back"]), (&json!(true), &json!(true)), "{shown}");
                assert!(other(fwd).join("links").exists() && !pins(fwd).exists());
                talk();
            }
        }
    });
    // What is recorded meanwhile goes back with it, and comes again.
    let second = fwd.up("c2", options.get(2..).unwrap_or_default());
    fwd.ok(&["reload", "--rollback"]);
    assert_eq!(elements(fwd, &other(fwd).join("maps/ENDPOINTS")).len(), 2);
    assert_reaches_outside(fwd, &pod);
    fwd.ok(&["reload"]);
    assert_eq!(fwd.list(&["ls"]).len(), 2);
    for pod in [&pod, &second] {
        assert_reaches_outside(fwd, pod);
    }
    // Of two generations one is kept.
    fwd.ok(&["down", "--all"]);
    assert_as_before(fwd, &before);
}

#[test]
fn another_layout_is_taken_over_and_brought_back_without_losing_a_packet() {
    takes_over(&Fwd::new(), &["-p", "8080:80"]);
}

#[test]
fn another_layout_is_taken_over_with_filters_and_both_families() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    takes_over(&fwd, &["-p", "8080:80", "--attach", "clsact", "--ipv6", "masquerade"]);
}

/// What hooks go on to is asked for like what is attached.
#[test]
fn programs_that_the_former_version_lacks_keep_it_away_while_they_are_needed() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let before = snapshot(&fwd);
    let pod = fwd.up("c1", &["--ipv6", "off"]);
    for (options, program) in
        [(&["--ipv6", "masquerade"][..], "from_ns_ipv6"), (&["--ipv6", "off", "--multicast"], "multicast")]
    {
        become_another_version(&fwd);
        fwd.ok(&["reload"]);
        let second = fwd.up("c2", &[&["--network", "second"], options].concat());
        assert!(pins(&fwd).join("progs").join(program).exists());
        let unchanged = snapshot(&fwd);
        fwd.expect_error(&["reload", "--rollback"], 4, &[program, "take down what needs it"]);
        assert_as_before(&fwd, &unchanged);
        assert_reaches_outside(&fwd, &second);
        // Without what needs them it may come back.
        fwd.ok(&["down", "--ns", &second.name]);
        fwd.ok(&["reload", "--rollback"]);
        assert_reaches_outside(&fwd, &pod);
        fwd.ok(&["reload"]);
    }
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

#[test]
fn what_would_be_lost_is_refused_before_anything_is_touched() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let pod = fwd.up("c1", &[]);
    assert_reaches_outside(&fwd, &pod);
    fs::rename(pins(&fwd), other(&fwd)).expect("another name");
    let refused = |edit: &dyn Fn(&mut Value), undo: &dyn Fn(&mut Value), words: &[&str]| {
        say(&fwd, &other(&fwd), edit);
        let unchanged = snapshot(&fwd);
        fwd.expect_error(&["reload"], 4, words);
        assert!(!pins(&fwd).exists() && other(&fwd).join("links").exists());
        assert_as_before(&fwd, &unchanged);
        assert_reaches_outside(&fwd, &pod);
        say(&fwd, &other(&fwd), undo);
    };
    let field = |from: &'static str, to: &'static str| {
        move |schema: &mut Value| {
            let value = &mut map_of(schema, "ENDPOINTS")["value"];
            value["layout"] = json!(number(&value["layout"]) ^ 1);
            let fields = value["fields"].as_array_mut().expect("fields");
            fields.iter_mut().find(|field| field["name"] == from).expect("there is one")["name"] = json!(to);
        }
    };
    refused(&field("mtu", "limit"), &field("limit", "mtu"), &["ENDPOINTS.limit", "is set", "down --all"]);
    let renamed = |from: &str, to: &str| {
        let maps = other(&fwd).join("maps");
        fs::rename(maps.join(from), maps.join(to)).expect("another name");
        say(&fwd, &other(&fwd), |schema| map_of(schema, from)["name"] = json!(to));
    };
    renamed("UPLINKS", "NEXT_HOPS");
    refused(&|_| {}, &|_| {}, &["map NEXT_HOPS", "no such map", "down --all"]);
    renamed("NEXT_HOPS", "UPLINKS");
    let revision = |by: i64| {
        move |schema: &mut Value| schema["revision"] = json!(schema["revision"].as_i64().expect("a number") + by)
    };
    refused(&revision(1), &revision(-1), &[OTHER, "mean", "down --all"]);
    let flows_otherwise = |schema: &mut Value| {
        let value = &mut map_of(schema, "FLOW_SLOTS")["value"];
        value["layout"] = json!(number(&value["layout"]) ^ 1);
    };
    refused(&flows_otherwise, &flows_otherwise, &["would end", "reload --end-flows`"]);
    // They may end; everything else goes on.
    say(&fwd, &other(&fwd), flows_otherwise);
    assert_eq!(fwd.json(&["reload", "--end-flows"])["changed"], true);
    assert_eq!(fwd.list(&["flows"]), [Value::Null; 0]);
    assert_reaches_outside(&fwd, &pod);
    fwd.ok(&["down", "--all"]);
    assert_as_before(&fwd, &before);
}

/// What a killed change of versions has left keeps nobody from taking everything down, and is put right where the other version had only begun.
#[test]
fn what_a_killed_take_over_of_the_other_version_has_left_keeps_nobody_away() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let begun =
        |fwd: &Fwd| ["maps", "progs"].map(|part| fs::create_dir_all(other(fwd).join(part)).expect("a directory"));
    let pod = fwd.up("c1", &[]);
    for kept in [false, true] {
        if kept {
            become_another_version(&fwd);
            fwd.ok(&["reload"]);
        }
        // It made its maps beside, and either had the links already or had not.
        for has_links in [false, true] {
            begun(&fwd);
            if has_links {
                fs::rename(pins(&fwd).join("links"), other(&fwd).join("links")).expect("another place");
            }
            assert_eq!(fwd.json(&["up", "--ns", &pod.name])["changed"], false);
            assert!(pins(&fwd).join("links").exists() && !other(&fwd).exists());
            assert_reaches_outside(&fwd, &pod);
        }
        let former = pins(&fwd).join("former").join(OTHER);
        assert_eq!(former.exists(), kept, "what had begun is no former version");
    }
    // One generation is kept, however often versions follow one another.
    become_another_version(&fwd);
    fwd.ok(&["reload"]);
    let former = pins(&fwd).join("former").join(OTHER);
    assert!(former.join("progs").exists() && !former.join("former").exists());
    // Of a rollback that was killed, a program has gone since: nothing can be put right.
    fs::rename(pins(&fwd).join("links"), former.join("links")).expect("another place");
    fs::remove_file(pins(&fwd).join("progs/start_expiry")).expect("a pin");
    fwd.expect_error(&["up", "--ns", &pod.name], 1, &["start_expiry", "down --all`"]);
    fwd.ok(&["down", "--all"]);
    // One that was killed right before its end has left directories, or the bpffs as well.
    let left = pins(&fwd).parent().expect("that of the host").to_owned();
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&left).expect("directories");
    fwd.ok(&["down", "--all"]);
    assert!(!left.parent().expect("that of the bpffs").exists());
    assert_as_before(&fwd, &before);
}
