//! A frequent command says the same by itself and among all.

use clap::CommandFactory as _;

use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

#[test]
fn frequent_commands_say_the_same_by_themselves() {
    Frequent::command().debug_assert();
    for line in [
        "fwd up --ns a",
        "fwd --host-netns h up --ns a --uplink eth0 -p 8080:80 --rate-out 10M --dry-run",
        "fwd up --json --ns ls --run-dir /run/x -v",
        "fwd down --ns a",
        "fwd -v down --all --color never",
        "fwd pool 8 --network web --refill",
    ] {
        let whole = Cli::try_parse_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
        let alone = frequent(&words(line)).unwrap_or_else(|| panic!("{line} is parsed by itself"));
        assert_eq!(format!("{alone:?}"), format!("{whole:?}"), "{line}");
    }
}

#[test]
fn help_and_errors_are_those_of_the_whole_declaration() {
    for line in [
        "fwd up --help",
        "fwd --version up",
        "fwd up --nonsense",
        "fwd down --ns a --al",
        "fwd",
        "fwd ls -x",
        "fwd help up",
    ] {
        assert!(frequent(&words(line)).is_none(), "{line}");
        let said = |result: Result<Cli, clap::Error>| result.err().map(|error| error.to_string());
        assert_eq!(said(parse(&words(line))), said(Cli::try_parse_from(words(line))), "{line}");
    }
}
