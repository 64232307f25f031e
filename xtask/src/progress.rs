//! A long step that says how long it has been running.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::term;

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const TICK: Duration = Duration::from_millis(100);
/// How often a log without a terminal hears that the step still runs.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Runs `command` under a line with `title`, the elapsed time and the last line of its output; shows the output if it fails.
///
/// The output goes to an unlinked file, not to a pipe: when this process is interrupted, the command still ends properly.
pub(crate) fn run(title: &str, command: &mut Command) -> Result<()> {
    let log = scratch_file().context("cannot make a temporary file")?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("{title}: cannot run {:?}", command.get_program()))?;
    let status = wait(title, &mut child, &log, start)?;
    let took = seconds(start.elapsed());
    if status.success() {
        eprintln!("{} {title} ({took})", term::err().green("✓"));
        return Ok(());
    }
    eprintln!("{} {title} ({took})", term::err().red("✗"));
    eprint!("{}", tail(&log, 1 << 20));
    bail!("{title}: failed ({status})")
}

fn wait(title: &str, child: &mut Child, log: &File, start: Instant) -> Result<std::process::ExitStatus> {
    let style = term::err();
    let mut told = start;
    if !style.terminal {
        eprintln!("  {title} …");
    }
    for frame in FRAMES.iter().cycle() {
        if let Some(status) = child.try_wait()? {
            if style.terminal {
                eprint!("\r\x1b[K");
            }
            return Ok(status);
        }
        let elapsed = seconds(start.elapsed());
        if style.terminal {
            let line: String = last_line(log).chars().take(60).collect();
            eprint!("\r\x1b[K{} {title} {elapsed}  {}", style.green(&frame.to_string()), style.dim(&line));
            std::io::stderr().flush()?;
        } else if told.elapsed() >= HEARTBEAT {
            told = Instant::now();
            eprintln!("  {title} … {elapsed}: {}", last_line(log));
        }
        std::thread::sleep(TICK);
    }
    unreachable!("a cycle does not end")
}

/// A duration as people read it: `0.9 s`, `3 min 10 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        whole @ 10..60 => format!("{whole} s"),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

fn scratch_file() -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("fwd-x-{}", std::process::id()));
    let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

fn last_line(log: &File) -> String {
    let text = term::plain(&tail(log, 512));
    text.trim_end().lines().next_back().unwrap_or_default().trim().to_owned()
}

/// At most the last `size` bytes of the log.
fn tail(log: &File, size: usize) -> String {
    let length = log.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; size];
    let read = log.read_at(&mut bytes, length.saturating_sub(size as u64)).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn durations_read_well() {
        assert_eq!(super::seconds(Duration::from_millis(940)), "0.9 s");
        assert_eq!(super::seconds(Duration::from_secs(59)), "59 s");
        assert_eq!(super::seconds(Duration::from_secs(190)), "3 min 10 s");
    }
}
