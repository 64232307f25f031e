//! How the user called `fwd`, for hints that can be pasted.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
};

use super::args::GlobalArgs;
use crate::{dataplane::RunDir, text};

/// What a hint starts with: the program as the user typed it, with the global options that another command needs too.
pub(super) fn prefix(program: &OsStr, global: &GlobalArgs) -> String {
    let mut words = Vec::new();
    // A shell that sudo started is no root shell afterwards.
    if env::var_os("SUDO_USER").is_some() {
        words.push("sudo".to_owned());
    }
    words.push(quoted(program));
    if let Some(host) = &global.host_netns {
        words.extend(["--host-netns".into(), quoted(host.as_ref())]);
    }
    let run_dir = global.run_dir();
    if run_dir != Path::new(RunDir::DEFAULT) {
        words.extend(["--run-dir".into(), quoted(run_dir.as_os_str())]);
    }
    if let Some(cgroup) = &global.cgroup {
        words.extend(["--cgroup".into(), quoted(cgroup.as_os_str())]);
    }
    words.join(" ")
}

/// A whole command line.
pub(super) fn line(args: &[OsString]) -> String {
    args.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// `word` quoted (what is no UTF-8 is shown as U+FFFD).
fn quoted(word: &OsStr) -> String {
    text::word(&word.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::line;

    #[test]
    fn words_survive_a_shell() {
        let words = ["fwd", "exec", "my net", "it's", "", "$HOME", "10.77.0.0/16"].map(OsString::from);
        assert_eq!(line(&words), r#"fwd exec 'my net' "it's" '' '$HOME' 10.77.0.0/16"#);
    }
}
