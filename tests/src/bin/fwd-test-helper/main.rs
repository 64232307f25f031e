//! Processes that the tests start beside `fwd`: those that have to die at a certain moment, and those that have to be a process
//! of their own. Not for use by hand.

mod die_at;

use std::{
    env,
    ffi::OsString,
    io,
    os::{
        fd::AsRawFd as _,
        unix::{net::UnixListener, process::CommandExt as _},
    },
    path::Path,
    process::{Command, ExitCode, exit, id},
    time::Duration,
};

use forwarder::{
    cli::{self, Io},
    execute::{Observer, Unobserved},
    netns::{Name, Netns, exec, mounts},
    reconcile::Op,
    testbed::{Process, Testbed, command_in, unique_prefix, wait_until},
};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a testbed is held at most.
const HELD: Duration = Duration::from_secs(60);

const USAGE: &str = "\
usage: fwd-test-helper die-after N fwd ARGS…   run a command of fwd, and die after operation N of its plan
                       die-at N PROGRAM ARGS…  run a program, and end it at the Nth place where it changes something
                       meanwhile WORDS SHELL fwd ARGS…
                                               run a command of fwd, and a command of a shell before its first operation WORDS
                       hold-testbed            make a testbed, tell its prefix, and wait for a signal
                       hand-over SOCKET COMMAND…  listen, and become the command, which is told of the socket
                       exec NAME [COMMAND…]    become the command inside a namespace
                       temporary DIR           tell whether a mount at DIR would end with the command
                       create NAME             create a namespace";

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    let texts: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    match texts[..] {
        ["die-after", after, ..] if after.parse::<usize>().is_ok() => {
            die_after(after.parse().unwrap_or_default(), &words[2..])
        }
        ["die-at", place, ..] if place.parse::<usize>().is_ok() => {
            die_at::die_at(place.parse().unwrap_or_default(), &words[2..]).expect("it can be traced")
        }
        ["traced", ..] => {
            eprintln!("{}", die_at::be_traced(&words[1..]));
            ExitCode::FAILURE
        }
        ["meanwhile", operation, shell, ..] => {
            let (mut out, mut err) = (io::stdout(), io::stderr());
            let mut meddles = Meddles { operation: operation.into(), shell: Some(shell.into()) };
            cli::run(words[3..].iter().cloned(), &mut meddles, &mut Io::stdio(&mut out, &mut err)).into()
        }
        // What the program of a command is started as, whichever that is.
        ["dns", ..] => {
            let command = ["fwd".into()].into_iter().chain(words.iter().cloned());
            let (mut out, mut err) = (io::stdout(), io::stderr());
            cli::run(command, &mut Unobserved, &mut Io::stdio(&mut out, &mut err)).into()
        }
        ["hold-testbed"] => hold_testbed(),
        ["hand-over", socket, ..] => hand_over(Path::new(socket), &words[2..]),
        ["exec", name, ..] => become_command(&named(name), &words[2..]),
        ["temporary", dir] => tell_temporary(Path::new(dir)),
        ["create", name] => {
            println!("{:?}", Netns::create_named(&named(name), |_| Ok(())).map_err(|error| error.kind).err());
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn named(name: &str) -> Name {
    Name::try_from(name).expect("a valid name")
}

/// Dies by SIGKILL after an operation.
struct Dies {
    after: usize,
}

impl Observer for Dies {
    fn after(&mut self, index: usize, _op: &Op) {
        if index == self.after {
            kill(Pid::this(), Signal::SIGKILL).expect("a process may end itself");
        }
    }
}

fn die_after(after: usize, command: &[OsString]) -> ExitCode {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    cli::run(command.iter().cloned(), &mut Dies { after }, &mut Io::stdio(&mut out, &mut err)).into()
}

/// Does something between two operations.
struct Meddles {
    /// Before the first one of these words.
    operation: String,
    shell: Option<String>,
}

impl Observer for Meddles {
    fn before(&mut self, _index: usize, op: &Op) {
        if op.to_string() == self.operation
            && let Some(shell) = self.shell.take()
        {
            let status = Command::new("sh").args(["-ec", &shell]).status().expect("a shell");
            assert!(status.success(), "{shell}: {status}");
        }
    }
}

fn hold_testbed() -> ExitCode {
    let testbed = Testbed::new(&unique_prefix()).expect("a testbed");
    let _sleeper = Process::spawn(command_in(testbed.host(), &["sleep", "60"])).expect("it starts");
    println!("testbed {}", testbed.prefix());
    let released = wait_until(HELD, "somebody kills it", || Ok(None::<()>));
    if released.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn become_command(name: &Name, argv: &[OsString]) -> ! {
    let failure = exec(&Netns::open_named(name).expect("it exists"), Some(name), argv);
    eprintln!("{}", failure.error);
    exit(failure.status.into())
}

/// Opens a socket and hands it over as sd_listen_fds(3) says.
fn hand_over(socket: &Path, argv: &[OsString]) -> ExitCode {
    let listener = UnixListener::bind(socket).expect("it listens");
    assert_eq!(listener.as_raw_fd(), 3, "nothing else was open");
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::empty())).expect("it is kept");
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).env("LISTEN_FDS", "1").env("LISTEN_PID", id().to_string());
    eprintln!("{}", command.exec());
    ExitCode::FAILURE
}

fn tell_temporary(dir: &Path) -> ExitCode {
    match mounts::is_temporary(dir).expect("/proc is mounted") {
        None => println!("lasting"),
        Some(refusal) => {
            println!("temporary {:?} {refusal}: {}", refusal.kind, refusal.remedy.as_deref().unwrap_or_default())
        }
    }
    ExitCode::SUCCESS
}
