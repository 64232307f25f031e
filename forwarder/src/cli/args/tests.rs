use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use super::{asks_for_json, command_word};
use crate::cli::{Cli, Command, commands::ns::NsCommand};

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[track_caller]
fn parse(line: &str) -> Cli {
    Cli::try_parse_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[track_caller]
fn refused(line: &str) -> String {
    match Cli::try_parse_from(words(line)) {
        Ok(cli) => panic!("{line} is accepted: {cli:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn target_is_given_exactly_once() {
    for line in ["fwd up mynet", "fwd up --ns mynet", "fwd up --pid 7", "fwd up --netns /run/netns/x", "fwd down --all"]
    {
        parse(line);
    }
    for line in ["fwd up", "fwd up mynet --ns mynet", "fwd up --ns a --pid 7", "fwd down", "fwd down a --all"] {
        refused(line);
    }
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for line in ["fwd --host-netns h --json ls", "fwd ls --host-netns h --json", "fwd ls --host-netns h -o json"] {
        let cli = parse(line);
        assert_eq!(cli.global.host_netns.as_deref(), Some("h"), "{line}");
        assert!(cli.global.is_json(), "{line}");
    }
    refused("fwd ls --json --output table");
}

#[test]
fn exec_takes_everything_after_the_dashes() {
    let split = |line: &str| {
        let Command::Exec(exec) = parse(line).command else { panic!("not exec: {line}") };
        let (target, command) = exec.split();
        (target.name.or(target.ns).unwrap_or_default(), command)
    };
    for line in [
        "fwd exec --ns a -- ping --json -c1",
        "fwd exec --ns a ping --json -c1",
        "fwd exec --ns=a ping --json -c1",
        "fwd exec a -- ping --json -c1",
        "fwd exec a ping --json -c1",
        "fwd --json exec a ping --json -c1",
    ] {
        assert_eq!(split(line), ("a".into(), words("ping --json -c1")), "{line}");
    }
    assert_eq!(split("fwd exec a sh -c -- -x").1, words("sh -c -- -x"));
    assert_eq!(split("fwd exec a --ns b").1, words("--ns b"), "what follows the name is the command");
    assert_eq!(split("fwd exec --ns a"), ("a".into(), Vec::new()));
    assert_eq!(split("fwd exec a"), ("a".into(), Vec::new()));
    refused("fwd exec --ns a --pid 7 ls");
    refused("fwd exec --wrong a ls");
}

#[test]
fn command_is_told_of_lines_that_do_not_parse() {
    for line in
        ["fwd exec --x", "fwd --host-netns exec exec", "fwd --json -o json --color=never exec", "fwd -vv exec a"]
    {
        assert_eq!(command_word(&words(line)), Some("exec"), "{line}");
    }
    assert_eq!(command_word(&words("fwd up exec")), Some("up"));
    assert_eq!(command_word(&words("fwd --json")), None);
}

#[test]
fn groups_know_their_aliases() {
    for line in ["fwd ns ls", "fwd ns list"] {
        let Command::Ns(ns) = parse(line).command else { panic!("not ns") };
        assert!(matches!(ns.command, NsCommand::Ls { all: false }), "{line}");
    }
    for line in ["fwd ns rm a", "fwd ns del a"] {
        let Command::Ns(ns) = parse(line).command else { panic!("not ns") };
        assert!(matches!(ns.command, NsCommand::Rm { name } if name == "a"), "{line}");
    }
    refused("fwd ns of");
}

#[test]
fn inspect_takes_an_interface_a_namespace_or_both() {
    for line in ["fwd inspect mynet", "fwd inspect --if fwd0", "fwd inspect --ns mynet --if eth0"] {
        parse(line);
    }
    refused("fwd inspect");
    refused("fwd inspect a --ns b");
}

#[test]
fn json_is_recognised_in_lines_that_do_not_parse() {
    for line in
        ["fwd up --json", "fwd --output json up", "fwd up --output=json --wrong", "fwd -o json up", "fwd -ojson up"]
    {
        assert!(asks_for_json(&words(line)), "{line}");
    }
    for line in ["fwd up", "fwd exec a -- b --json", "fwd up json", "fwd -o table up"] {
        assert!(!asks_for_json(&words(line)), "{line}");
    }
}
