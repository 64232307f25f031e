use insta::assert_snapshot;
use serde_json::Value;

use super::{
    View,
    samples::{self, text},
    write_error, write_json, write_usage_error,
};
use fwd_base::{Error, Kind};

mod hostile;

/// The text on a terminal, after a check that no line is wider than it.
#[track_caller]
fn fitting(view: &impl View, width: u16) -> String {
    let text = text(view, width);
    for line in text.lines() {
        assert!(line.chars().count() <= usize::from(width), "wider than {width}: {line}");
    }
    text
}

#[test]
fn up_says_what_it_made_and_what_to_try() {
    assert_snapshot!(fitting(&samples::up(true), 80));
}

#[test]
fn up_twice_says_that_nothing_changed() {
    assert_snapshot!(text(&samples::up(false), None));
}

#[test]
fn up_with_the_kernel_suggests_no_flows() {
    let mut view = samples::up(true);
    view.endpoint.datapath = "kernel".into();
    view.endpoint.attach = None;
    view.loaded = None;
    assert!(!text(&view, None).contains("flows"));
    assert!(text(&view, None).contains("masquerade by nftables"));
}

#[test]
fn down_lists_what_was_removed() {
    assert_snapshot!(text(&samples::down(), None));
}

#[test]
fn down_of_what_is_absent_suggests_the_nearest() {
    let view = super::DownView { changed: false, removed: vec![], nearest: Some("mynet".into()), ..samples::down() };
    assert_snapshot!(text(&super::DownView { label: Some("mynte".into()), ..view }, None));
}

#[test]
fn plan_is_numbered_with_commands() {
    assert_snapshot!(text(&samples::plan(), None));
}

#[test]
fn ls_groups_by_network() {
    assert_snapshot!(fitting(&samples::ls(), 80));
}

#[test]
fn ls_cuts_long_names_and_never_addresses() {
    let mut endpoints = samples::endpoints();
    endpoints[0].ns = Some("a-very-long-name-".repeat(15).into());
    let shown = fitting(&endpoints, 80);
    assert!(shown.contains("10.77.0.2/24") && shown.contains("1.85 GB") && shown.contains('…'), "{shown}");
    assert!(text(&endpoints, None).contains(&"a-very-long-name-".repeat(15)), "whole when piped");
}

#[test]
fn empty_ls_suggests_up() {
    assert_snapshot!(text(&Vec::<super::EndpointView>::new(), None));
}

#[test]
fn flows_take_one_line_where_there_is_room() {
    assert_snapshot!(text(&samples::flows(), None));
}

#[test]
fn flows_take_two_lines_on_narrow_terminals() {
    assert_snapshot!(fitting(&samples::flows(), 80));
    let mut flows = samples::flows();
    for flow in &mut flows {
        flow.src_addr = "10.177.100.200".parse().unwrap();
        flow.nat_addr = Some("203.203.203.203".parse().unwrap());
        flow.dst_addr = "203.203.203.203".parse().unwrap();
        flow.ns = Some("a-very-long-name-".repeat(15).into());
    }
    fitting(&flows, 80);
}

#[test]
fn stats_hide_zeros_unless_asked() {
    assert_snapshot!(fitting(&samples::stats(false), 80));
    assert!(text(&samples::stats(true), None).contains("Ipv6"));
}

#[test]
fn nat_shows_how_full_it_is() {
    assert_snapshot!(fitting(&samples::nat(), 80));
}

#[test]
fn features_that_are_missing_are_explained() {
    assert_snapshot!(fitting(&samples::features(), 80));
}

#[test]
fn reload_tells_what_was_replaced() {
    assert_snapshot!(fitting(&samples::reload(), 80));
    let after = samples::programs(true);
    let nothing = super::ReloadView { changed: false, rolled_back: false, replaced: 0, before: after.clone(), after };
    assert_snapshot!(fitting(&nothing, 80));
}

#[test]
fn programs_of_another_build_are_named() {
    let other = super::InspectView { programs: Some(samples::programs(false)), ..samples::inspect() };
    let text = fitting(&other, 80);
    assert!(text.contains("of another build"), "{text}");
}

#[test]
fn uplink_that_is_not_as_it_was_is_told() {
    let lines = |change: &dyn Fn(&mut super::InspectView)| {
        let mut view = samples::inspect();
        change(&mut view);
        let listed = fitting(&vec![view.endpoint.clone()], 80);
        (listed.lines().next().unwrap_or_default().to_owned(), fitting(&view, 80))
    };
    let (listed, inspected) = lines(&|view| {
        view.endpoint.uplink_now = Some("wan0".into());
        view.uplink_address_now = Some("198.51.100.9".parse().unwrap());
    });
    assert!(listed.contains("uplink wan0 (was eth0), "), "{listed}");
    assert!(inspected.contains("wan0 (was eth0) 198.51.100.2 (now 198.51.100.9)"), "{inspected}");
    let (listed, inspected) = lines(&|view| {
        (view.endpoint.uplink_now, view.uplink_address_now) = (None, None);
        view.endpoint.uplink_state = "gone".into();
    });
    assert!(listed.contains("uplink eth0 (gone), "), "{listed}");
    assert!(inspected.contains("eth0 (gone) 198.51.100.2\n"), "{inspected}");
    let (listed, inspected) = lines(&|view| {
        view.endpoint.uplink_state = "down".into();
        view.uplink_address_now = None;
    });
    assert!(listed.contains("uplink eth0 (down), "), "{listed}");
    assert!(inspected.contains("eth0 (down) 198.51.100.2 (now none)"), "{inspected}");
}

#[test]
fn hosts_that_are_gone_are_shown_and_told_when_they_are_removed() {
    assert_snapshot!(fitting(&samples::hosts(), 80));
    assert_snapshot!(fitting(&samples::gc(), 80));
}

#[test]
fn inspect_tells_all_about_an_endpoint() {
    assert_snapshot!(fitting(&samples::inspect(), 80));
}

#[test]
fn inspect_finds_the_other_end() {
    assert_snapshot!(fitting(&samples::veth(), 80));
}

#[test]
fn inspect_names_the_owners_of_ports() {
    assert_snapshot!(fitting(&samples::bridge(), 80));
}

#[test]
fn namespaces_show_what_is_known() {
    assert_snapshot!(fitting(&samples::namespaces(), 80));
}

#[test]
fn processes_and_who_is_with_them() {
    assert_snapshot!(text(&samples::places(), None));
}

#[test]
fn errors_name_the_remedy() {
    let error = Error::new(Kind::NotFound, "attach to", "uplink eth9", "no such interface")
        .remedy("ip -br link  (interfaces here: eth0, lo)");
    let mut out = Vec::new();
    for json in [false, true] {
        write_error(&error, json, &samples::look(None), &mut out).unwrap();
    }
    write_usage_error("unexpected argument '--wrong'", "fwd up --help", &mut out).unwrap();
    assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn remedies_carry_the_options_that_were_given() {
    let error = Error::new(Kind::NotFound, "find", "x", "none").remedy("`fwd ls` or `fwd ns ls`");
    let mut out = Vec::new();
    write_error(&error, false, &samples::look(None), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("try: `fwd --host-netns box ls` or `fwd --host-netns box ns ls`"), "{out}");
}

#[test]
fn colours_surround_text_and_change_no_alignment() {
    let look = super::Look { color: true, ..samples::look(80) };
    let mut out = Vec::new();
    samples::endpoints().text(&look, &mut out).unwrap();
    samples::up(true).text(&look, &mut out).unwrap();
    let colored = String::from_utf8(out).unwrap();
    assert!(colored.contains("\x1b["), "{colored}");
    let mut bare = String::new();
    let mut rest = colored.as_str();
    while let Some((before, after)) = rest.split_once('\x1b') {
        bare.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    bare.push_str(rest);
    let trimmed: Vec<_> = bare.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n") + "\n", fitting(&samples::endpoints(), 80) + &fitting(&samples::up(true), 80));
}

/// What a run of `fwd latency` writes.
fn latency_run(look: &super::Look) -> String {
    let view = samples::latency();
    let mut out = Vec::new();
    let head = super::LatencyHead { paths: &view.paths, sample: None, duration_ms: Some(10_000) };
    head.text(look, &mut out).unwrap();
    view.intervals.iter().for_each(|interval| interval.text(look, &mut out).unwrap());
    view.text(look, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn latency_is_a_map_and_a_table() {
    let text = latency_run(&samples::look(80));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_snapshot!(text);
}

#[test]
fn latency_uses_a_wide_terminal() {
    assert_snapshot!(latency_run(&samples::look(120)));
}

#[test]
fn latency_is_coloured_like_heat() {
    assert_snapshot!(latency_run(&super::Look { color: true, ..samples::look(100) }).replace('\x1b', "^"));
}

#[test]
fn latency_without_packets_has_no_figures() {
    let mut view = samples::latency();
    let nothing = fwd_observe::latency::Distribution::default();
    for path in &mut view.paths {
        path.out = super::LatencyWay::new(&nothing, true);
        path.back = super::LatencyWay::new(&nothing, false);
    }
    assert_snapshot!(text(&view, 80));
}

#[test]
fn round_trips_are_told_of_each_conversation() {
    let mut view = samples::latency();
    let other = super::RoundTripView { count: 12, dst_addr: [203, 0, 113, 11].into(), ..samples::round_trip() };
    view.round_trips = Some(vec![samples::round_trip(), other]);
    let narrow = text(&view, 80);
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    assert_snapshot!(format!("{narrow}\n{}", text(&view, 120)));
    view.round_trips = Some(Vec::new());
    assert!(text(&view, 80).contains("no round trips"));
}

/// The keys of `value` and of what is in it.
fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            found.push(key.clone());
            keys(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn docs_name_every_key() {
    let docs = include_str!("../../../../docs/json.md");
    let json = |view: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        view(&mut out);
        serde_json::from_slice::<Value>(&out).unwrap()
    };
    let error = Error::new(Kind::Failed, "do", "x", "why");
    let documents = [
        ("up", json(&|out| write_json(&samples::up(true), out).unwrap())),
        ("up --dry-run", json(&|out| write_json(&samples::plan(), out).unwrap())),
        ("down", json(&|out| write_json(&samples::down(), out).unwrap())),
        ("ls", json(&|out| write_json(&samples::endpoints(), out).unwrap())),
        ("features", json(&|out| write_json(&samples::features(), out).unwrap())),
        ("reload", json(&|out| write_json(&samples::reload(), out).unwrap())),
        ("ls --all-hosts", json(&|out| write_json(&samples::hosts(), out).unwrap())),
        ("graph", json(&|out| write_json(&samples::graph(2, 1), out).unwrap())),
        ("doctor", json(&|out| write_json(&samples::doctor(), out).unwrap())),
        ("gc", json(&|out| write_json(&samples::gc(), out).unwrap())),
        ("inspect", json(&|out| write_json(&samples::inspect(), out).unwrap())),
        ("inspect --if", json(&|out| write_json(&samples::veth(), out).unwrap())),
        ("inspect --if", json(&|out| write_json(&samples::bridge(), out).unwrap())),
        ("flows", json(&|out| write_json(&samples::flows(), out).unwrap())),
        ("stats", json(&|out| write_json(&samples::stats(true), out).unwrap())),
        ("stats --nat", json(&|out| write_json(&samples::nat(), out).unwrap())),
        ("latency", json(&|out| write_json(&samples::latency(), out).unwrap())),
        ("latency", json(&|out| write_json(&samples::round_trip(), out).unwrap())),
        ("network ls", json(&|out| write_json(&vec![samples::network("web", 2)], out).unwrap())),
        ("network add", json(&|out| write_json(&samples::network_change(true), out).unwrap())),
        ("pool", json(&|out| write_json(&samples::pool_change(2, 0), out).unwrap())),
        ("pool ls", json(&|out| write_json(&vec![samples::pooled(None)], out).unwrap())),
        ("ns add", json(&|out| write_json(&samples::namespace_change(), out).unwrap())),
        ("ns ls", json(&|out| write_json(&samples::namespaces(), out).unwrap())),
        ("ns of", json(&|out| write_json(&samples::places(), out).unwrap())),
        ("errors", json(&|out| write_error(&error, true, &samples::look(None), out).unwrap())),
    ];
    for (name, document) in documents {
        let heading = format!("\n## {name}\n");
        let section = docs.split_once(&heading).unwrap_or_else(|| panic!("docs/json.md has no section {name:?}")).1;
        let section = section.split("\n## ").next().unwrap_or(section);
        let mut found = Vec::new();
        keys(&document, &mut found);
        for key in found {
            let documented = section.contains(&format!("| `{key}` |")) || {
                // A section may take over the keys of an endpoint from the one of `ls`.
                let ls =
                    docs.split_once("\n## ls\n").map_or("", |(_, rest)| rest.split("\n## ").next().unwrap_or(rest));
                let network = docs
                    .split_once("\n## network ls\n")
                    .map_or("", |(_, rest)| rest.split("\n## ").next().unwrap_or(rest));
                let row = format!("| `{key}` |");
                (section.contains("every key of an item of `ls`") && ls.contains(&row))
                    || (section.contains("every key of an item of `network ls`") && network.contains(&row))
            };
            assert!(documented, "docs/json.md, section {name:?}, does not name the key `{key}`");
        }
    }
}
