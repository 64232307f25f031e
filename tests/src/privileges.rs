//! `fwd` as somebody else than root: with the capabilities that docs/privileges.md names, given by the caller or by the file.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    process::Command,
};

use forwarder::testbed::{Output, command_in, run};
use serde_json::Value;

use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, LIMIT, binary, copy_program},
};

/// What the page names.
const CAPABILITIES: [&str; 5] = ["chown", "dac_override", "net_admin", "sys_admin", "sys_ptrace"];
const NOBODY: [&str; 6] = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];

/// `fwd ARGS…` as a user with these capabilities and no others.
fn as_nobody(fwd: &Fwd, program: &PathBuf, capabilities: &[&str], args: &[&str]) -> Output {
    let set = capabilities.iter().map(|name| format!(",+{name}")).collect::<String>();
    let told = fwd.command(args);
    let mut command = Command::new("setpriv");
    command.arg(format!("--inh-caps=-all{set}")).arg(format!("--ambient-caps=-all{set}")).args(NOBODY);
    command.arg(program).args(told.get_args());
    run(command, LIMIT).expect("it ends")
}

#[test]
fn capabilities_of_the_caller_are_enough() {
    let fwd = Fwd::new();
    // Where others may look for a program, but see nothing.
    fs::set_permissions(fwd.run_dir(), fs::Permissions::from_mode(0o711)).expect("it is ours");
    let program = fwd.run_dir().join("fwd");
    copy_program(&binary(), &program);
    let before = snapshot(&fwd);
    let call = |capabilities: &[&str], args: &[&str]| as_nobody(&fwd, &program, capabilities, args);
    let ok = |args: &[&str]| {
        let output = call(&CAPABILITIES, args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        output.stdout
    };
    for (some, words) in [(&[][..], "sudo"), (&CAPABILITIES[..3], "CAP_SYS_ADMIN, CAP_SYS_PTRACE")] {
        let refused = call(some, &["ls"]);
        assert!(refused.status.code() == Some(5) && refused.stderr.contains(words), "{refused:?}");
    }
    let name = fwd.name("c1");
    ok(&["up", "--ns", &name, "-p", "8080:80"]);
    assert_eq!(fs::metadata(fwd.pins()).expect("it is there").uid(), 0, "nobody else has a say in it");
    ok(&["exec", &name, "ping", "-c1", "-W5", &fwd.uplink(0).outside[0].to_string()]);
    let flows: Value = serde_json::from_str(&ok(&["--json", "flows"])).expect("JSON");
    assert_eq!(flows.as_array().map(Vec::len), Some(1), "{flows}");
    for args in [&["ls"][..], &["stats"], &["inspect", &name], &["port", "ls"], &["ns", "ls", "--all"], &["reload"]] {
        ok(args);
    }
    assert_eq!(fwd.list(&["ls"]).len(), 1, "root sees the same");
    ok(&["down", "--ns", &name]);
    assert_as_before(&fwd, &before);
}

/// A user calls programs in a mount namespace of the test alone, whose /run is empty.
const BY_FILE: &str = r#"
mount -t tmpfs fwd-test /run
mkdir /run/bin /run/netns
cp "$0" /run/bin/fwd
cp "$0" /run/bin/suid
chmod 4755 /run/bin/suid
setcap "$1+ep" /run/bin/fwd
fwd() { setpriv --reuid 65534 --regid 65534 --clear-groups -- /run/bin/fwd "$@"; }
refused() { words=$1; shift; status=0; "$@" 2>/run/refused || status=$?; cat /run/refused; [ $status = 5 ] && grep -q -e "$words" /run/refused; }
export FWD_RUN_DIR=/run/elsewhere
fwd up --ns pod
[ -d /run/fwd/bpf ] && [ ! -e /run/elsewhere ]
refused 'run-dir' fwd --run-dir /run/elsewhere ls
printf 'secret = 1' >/run/bin/closed.toml
chmod 600 /run/bin/closed.toml
if fwd validate -f /run/bin/closed.toml 2>/run/told; then exit 1; fi
if grep secret /run/told; then exit 1; fi
refused 'file' fwd plan -f /run/bin/closed.toml
refused 'socket' fwd dns serve --socket /run/bin/socket
refused 'fwd docker' env LISTEN_FDS=1 setpriv --reuid 65534 --regid 65534 --clear-groups -- sh -c 'LISTEN_PID=$$ exec /run/bin/fwd docker'
refused 'export-json' fwd bench --quick --export-json /run/bin/report
[ "$(fwd exec pod grep CapEff /proc/self/status | cut -f2)" = 0000000000000000 ]
if fwd man /run/bin; then exit 1; fi
refused 'set-user-ID' setpriv --reuid 65534 --regid 65534 --clear-groups -- /run/bin/suid ls
if echo '{}' | CNI_COMMAND=STATUS CNI_PATH=/run setpriv --reuid 65534 --regid 65534 --clear-groups -- /run/bin/suid >/run/plugin; then exit 1; fi
[ ! -s /run/plugin ]
fwd down --all
[ ! -e /run/fwd/bpf ]
"#;

#[test]
fn capabilities_of_the_file_let_nobody_choose_its_files_and_set_user_id_is_refused() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let capabilities = CAPABILITIES.map(|name| format!("cap_{name}")).join(",");
    let program = binary();
    let shell = ["unshare", "--mount", "--propagation", "private", "sh", "-exc", BY_FILE];
    let mut command = command_in(fwd.host(), &shell);
    command.arg(program).arg(capabilities);
    let output = run(command, LIMIT).expect("it ends");
    assert!(output.status.success(), "{}\n{}", output.stdout, output.stderr);
    assert_as_before(&fwd, &before);
}
