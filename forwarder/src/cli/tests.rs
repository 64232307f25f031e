use std::{
    ffi::OsString,
    io::{self, ErrorKind, Write},
};

use super::{Io, declaration, exit_codes, run};
use crate::{execute::Unobserved, netns::EXIT_CODES};

/// Status, stdout and stderr of a command line that needs no privilege.
fn called(line: &str) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let io = &mut Io { out: &mut out, err: &mut err, out_width: None, err_is_terminal: false };
    let status = run(line.split_whitespace().map(OsString::from), &mut Unobserved, io);
    (status, String::from_utf8(out).expect("text"), String::from_utf8(err).expect("text"))
}

#[test]
fn help_and_version_are_results() {
    for (line, expected) in [("fwd --help", "Examples:"), ("fwd up -h", "--uplink"), ("fwd --version", "fwd ")] {
        let (status, out, err) = called(line);
        assert_eq!((status, err.as_str()), (0, ""), "{line}");
        assert!(out.contains(expected), "{line}: {out}");
        assert!(!out.contains('\x1b'), "{line}: colour in what is no terminal");
    }
}

#[test]
fn nothing_asked_is_help_and_a_mistake() {
    for line in ["fwd", "fwd ns"] {
        let (status, out, err) = called(line);
        assert_eq!((status, out.as_str()), (2, ""), "{line}");
        assert!(err.contains("Commands:"), "{line}: {err}");
    }
}

#[test]
fn mistakes_are_text_or_json_on_stderr() {
    let (status, out, err) = called("fwd up");
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("--ns <NAME>"), "{err}");
    let (status, out, err) = called("fwd up --json");
    assert_eq!((status, out.as_str()), (2, ""));
    let document: serde_json::Value = serde_json::from_str(&err).expect("JSON");
    assert_eq!(document["error"]["code"], "usage");
    assert_eq!(document["error"]["remedy"], "fwd up --help");
}

#[test]
fn tips_do_not_mislead() {
    let (status, _, err) = called("fwd up a --wrong 80:80");
    assert_eq!(status, 2);
    assert!(err.contains("unexpected argument '--wrong'") && !err.contains("tip:"), "{err}");
    let (status, _, err) = called("fwd up a --netwrk web");
    assert_eq!(status, 2);
    assert!(err.contains("--network"), "what comes close is told: {err}");
}

#[test]
fn help_and_manual_page_tell_every_exit_status() {
    for (line, codes) in [("fwd --help", exit_codes()), ("fwd exec --help", EXIT_CODES.to_vec())] {
        let (_, help, _) = called(line);
        let (_, told) = help.split_once("Exit status:").expect("it tells them");
        let told: Vec<(u8, String)> = told
            .lines()
            .filter_map(|line| line.trim().split_once("  "))
            .filter_map(|(code, meaning)| Some((code.parse().ok()?, meaning.trim().to_owned())))
            .collect();
        let declared: Vec<(u8, String)> =
            codes.into_iter().map(|(code, meaning)| (code, meaning.replace('`', ""))).collect();
        assert_eq!(told, declared, "{line}: {help}");
    }
    let page = clap_mangen::Man::new(declaration());
    let mut text = Vec::new();
    page.render(&mut text).expect("it is written");
    let text = String::from_utf8(text).expect("text");
    assert!(exit_codes().iter().all(|(_, meaning)| text.contains(meaning)), "{text}");
}

#[test]
fn exec_fails_with_a_status_of_its_own() {
    assert_eq!(called("fwd exec --wrong a true").0, 125);
    assert_eq!(called("fwd --json exec --ns a --pid 7 true").0, 125);
}

#[test]
fn color_can_be_forced() {
    assert!(called("fwd --color always --help").1.contains('\x1b'));
    assert!(called("fwd --color=always up").2.contains('\x1b'));
}

/// A reader that has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn reader_that_has_gone_is_no_failure() {
    let mut err = Vec::new();
    let io = &mut Io { out: &mut Closed, err: &mut err, out_width: None, err_is_terminal: false };
    assert_eq!(run(["fwd", "--help"].map(OsString::from), &mut Unobserved, io), 0);
    assert!(err.is_empty());
    let error = super::io::written(Err(ErrorKind::BrokenPipe.into())).expect_err("it is an error");
    assert!(super::io::is_broken_pipe(&error));
    let error = super::io::written(Err(ErrorKind::StorageFull.into())).expect_err("it is an error");
    assert!(!super::io::is_broken_pipe(&error));
}
