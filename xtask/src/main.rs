//! The commands behind `./x`, one module per command.

mod bench;
mod build;
mod demo;
mod docs;
mod fmt;
mod fuzz;
mod lint;
mod measure;
mod progress;
mod root;
mod setup;
mod term;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::Workspace;

/// One command of `./x`.
struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&Workspace, &[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command { name: "demo", arguments: "", about: "show fwd at work on a sandboxed host (as root)", run: demo::run },
    Command {
        name: "test",
        arguments: "[unit|integration] [FILTER…]",
        about: "check and test everything; unit needs no root",
        run: test::run,
    },
    Command {
        name: "flood",
        arguments: "[PACKETS]",
        about: "flood the flow table with a million packets of each kind, and print what got through (as root)",
        run: test::flood,
    },
    Command { name: "build", arguments: "", about: "build target/release/fwd", run: build::run },
    Command { name: "setup", arguments: "", about: "install what build, tests and demo need", run: setup::run },
    Command {
        name: "bench",
        arguments: "[--only NAME,… | --table | --check]",
        about: "measure everything that has a target, and write docs/benchmarks.md (as root)",
        run: bench::run,
    },
    Command {
        name: "stores",
        arguments: "[--json] [ROUNDS]",
        about: "measure the flow table against its alternatives (as root)",
        run: measure::stores,
    },
    Command {
        name: "packets",
        arguments: "[--many-flows | --used] [--json] [ROUNDS]",
        about: "measure what the programs take for a packet of each kind (as root)",
        run: measure::packets,
    },
    Command {
        name: "host-cost",
        arguments: "[--json] [ROUNDS]",
        about: "measure what fwd costs the host's own traffic (as root)",
        run: measure::host_cost,
    },
    Command {
        name: "fuzz",
        arguments: "[TARGET] [SECONDS] | minimise",
        about: "look for bytes that break parser or translator",
        run: fuzz::run,
    },
    Command {
        name: "docs",
        arguments: "",
        about: "write the tables of the pages that repeat what the code declares",
        run: docs::run,
    },
    Command { name: "fmt", arguments: "[--check]", about: "format the sources", run: fmt::run },
    Command {
        name: "lint",
        arguments: "",
        about: "clippy for the host and the BPF crates, warnings are errors",
        run: lint::run,
    },
    Command {
        name: "tidy",
        arguments: "",
        about: "check layering, unsafe code, file sizes, links and licences",
        run: tidy::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        list();
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        list();
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("x: there is no command {name:?}; these exist:\n");
        list();
        return ExitCode::from(2);
    };
    match Workspace::find().and_then(|workspace| (command.run)(&workspace, rest)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error:#}", term::err().red("x:"));
            ExitCode::FAILURE
        }
    }
}

/// Prints every command with its arguments and what it does, aligned.
fn list() {
    let style = term::out();
    let length = |command: &Command| command.name.len() + command.arguments.chars().count();
    let width = COMMANDS.iter().map(length).max().unwrap_or(0);
    println!("{} ./x COMMAND\n", style.bold("Usage:"));
    for command in COMMANDS {
        let padding = " ".repeat(width - length(command));
        println!("  {} {}{padding}   {}", style.green(command.name), command.arguments, command.about);
    }
}
