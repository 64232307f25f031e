//! What a host looks like, as comparable text.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{FAMILY, bpf, command_in, run};
use fwd_base::{Context, Result};
use fwd_kernel::{
    netlink::{Link, Netlink, nft},
    netns::{self, Netns},
};

/// How long `nft` may take.
const NFT_PATIENCE: Duration = Duration::from_secs(120);
/// The mounts of the whole machine.
const MOUNTS: &str = "mounts";
/// Sysctls that change by themselves.
const RESTLESS: [&str; 1] = ["net/netfilter/nf_conntrack_count"];

/// The state of a host that `fwd` touches: links, addresses, routes of all tables, rules, fixed neighbours and forwarding
/// entries, queueing disciplines, attached TCX programs, /proc/sys/net, nftables, mounts, and files and names of the testbed.
///
/// Counters, ages and learnt entries are left out, and so is what belongs to other testbeds: it comes and goes meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    prefix: String,
    sections: BTreeMap<&'static str, Vec<String>>,
    bpf: Vec<String>,
}

impl Snapshot {
    /// Looks at the host `host` of the testbed `prefix`, whose pins are in `run_dir`.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take(host: &Netns, run_dir: &Path, prefix: &str) -> Result<Self> {
        let netlink = Netlink::open(host)?;
        let links = netlink.links()?;
        let sections = BTreeMap::from([
            ("network", netlink.records()?),
            ("tcx", host.run(|| tcx(&links))?),
            ("sysctl", host.run(sysctls)?),
            ("nftables", nftables(host)?),
            (MOUNTS, mounts(prefix)?),
            ("files", files(run_dir, prefix)?),
        ]);
        Ok(Self { prefix: prefix.to_owned(), sections, bpf: bpf::objects()? })
    }

    /// What `after` has lost (`-`) and gained (`+`) since: empty if nothing. Mounts that do not name the testbed are left out: on a
    /// machine that others use, theirs come and go.
    #[must_use]
    pub fn diff(&self, after: &Self) -> Vec<String> {
        let empty = Vec::new();
        let mut lines = Vec::new();
        for (section, before) in &self.sections {
            compare(section, before, after.sections.get(section).unwrap_or(&empty), &mut lines);
        }
        lines.retain(|line| !line[2..].starts_with(MOUNTS) || names_testbed(line, &self.prefix));
        lines
    }

    /// As [`diff`](Self::diff) for the BPF programs, maps and links of the whole machine, by id.
    ///
    /// They are apart because other processes load and unload theirs meanwhile, and the kernel frees some a moment after their
    /// last user is gone.
    #[must_use]
    pub fn bpf_diff(&self, after: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        compare("bpf", &self.bpf, &after.bpf, &mut lines);
        lines
    }
}

/// Lines of one list that the other lacks, each as often as it is too many.
fn compare(section: &str, before: &[String], after: &[String], lines: &mut Vec<String>) {
    let mut balance: BTreeMap<&String, isize> = BTreeMap::new();
    before.iter().for_each(|line| *balance.entry(line).or_default() -= 1);
    after.iter().for_each(|line| *balance.entry(line).or_default() += 1);
    for (line, count) in balance {
        let sign = if count < 0 { '-' } else { '+' };
        lines.extend((0..count.unsigned_abs()).map(|_| format!("{sign} {section}: {line}")));
    }
}

/// The interfaces with TCX programs.
fn tcx(links: &[Link]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for Link { index, name, .. } in links {
        match bpf::tcx_programs(*index)? {
            (0, 0) => {}
            (ingress, egress) => lines.push(format!("{name}: {ingress} at ingress, {egress} at egress")),
        }
    }
    Ok(lines)
}

/// Every readable file of /proc/sys/net in the namespace of the calling thread.
fn sysctls() -> Result<Vec<String>> {
    let base = Path::new("/proc/sys");
    let mut lines = Vec::new();
    walk(&base.join("net"), &mut |path| {
        let name = path.strip_prefix(base).unwrap_or(path).display().to_string();
        if !RESTLESS.contains(&name.as_str())
            // Some are write-only, some fail while they are unset.
            && let Ok(value) = fs::read(path)
        {
            lines.push(format!("{name} = {}", String::from_utf8_lossy(&value).trim_end()));
        }
    })?;
    lines.sort();
    Ok(lines)
}

/// The tables as the kernel lists them, and the whole rule set in the words of `nft` where that is installed.
fn nftables(host: &Netns) -> Result<Vec<String>> {
    let mut lines: Vec<_> = host.run(nft::tables)?.into_iter().map(|table| format!("table {table}")).collect();
    match run(command_in(host, &["nft", "--stateless", "list", "ruleset"]), NFT_PATIENCE) {
        Ok(output) => lines.extend(output.success()?.stdout.lines().map(String::from)),
        Err(error) if is_not_found(&error) => lines.push("(nft is not installed)".into()),
        Err(error) => return Err(error),
    }
    Ok(lines)
}

fn is_not_found(error: &fwd_base::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
}

/// Root, mount point, options, type and source of each mount (proc_pid_mountinfo(5)), without those of other testbeds.
fn mounts(prefix: &str) -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/self/mountinfo").doing("read", "/proc/self/mountinfo")?;
    let lines = table.lines().filter(|line| !is_foreign(line, prefix)).map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        let separator = fields.iter().position(|field| *field == "-").unwrap_or(fields.len());
        // The ids and device numbers before, and the peer groups between, are given anew with each mount.
        let (mount, filesystem) =
            (fields.get(3..6).unwrap_or_default(), fields.get(separator + 1..).unwrap_or_default());
        [mount, filesystem].concat().join(" ")
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    Ok(lines)
}

/// Whether a line names a testbed other than `prefix`, or is the name of a namespace that is not of this testbed: other people's
/// come and go meanwhile.
fn is_foreign(line: &str, prefix: &str) -> bool {
    let others = line.contains(FAMILY) || line.contains(" - nsfs ");
    others && !names_testbed(line, prefix)
}

/// Whether a line has a path of the testbed `prefix`.
fn names_testbed(line: &str, prefix: &str) -> bool {
    line.split(['/', ' ']).any(|part| part == format!("fwd-{prefix}") || is_of(part, prefix))
}

fn is_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// What is in the run directory, and the names of the testbed under /run/netns and /etc/netns.
fn files(run_dir: &Path, prefix: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    if run_dir.exists() {
        walk(run_dir, &mut |path| lines.push(path.display().to_string()))?;
    }
    let names = netns::named()?.into_iter().filter(|name| is_of(name.as_ref(), prefix));
    lines.extend(names.map(|name| format!("{}/{name}", netns::DIRECTORY)));
    if let Ok(entries) = fs::read_dir("/etc/netns") {
        let own = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(|name| is_of(name, prefix)));
        lines.extend(own.map(|entry| entry.path().display().to_string()));
    }
    lines.sort();
    Ok(lines)
}

/// Calls `visit` for each file and each empty directory below a directory.
fn walk(directory: &Path, visit: &mut impl FnMut(&PathBuf)) -> Result<()> {
    let mut entries = match fs::read_dir(directory) {
        Ok(entries) => entries.flatten().peekable(),
        // Directories of interfaces go with them.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).doing("list", directory.display().to_string()),
    };
    if entries.peek().is_none() {
        visit(&directory.to_path_buf());
    }
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), visit)?,
            _ => visit(&entry.path()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_counted_per_line() {
        let lines = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let mut found = Vec::new();
        compare("x", &lines("a b b c"), &lines("b c c d"), &mut found);
        assert_eq!(found, ["- x: a", "- x: b", "+ x: c", "+ x: d"]);
    }

    #[test]
    fn what_others_mount_is_none_of_the_testbed() {
        let of = |mounts: &[&str]| Snapshot {
            prefix: "fwdt12x1".into(),
            sections: BTreeMap::from([
                (MOUNTS, mounts.iter().map(|line| (*line).to_owned()).collect()),
                ("files", mounts.iter().map(|line| (*line).to_owned()).collect()),
            ]),
            bpf: Vec::new(),
        };
        let (before, after) = (of(&["/ /mnt rw"]), of(&["/ /media rw", "/ /run/fwd-fwdt12x1/bpf rw"]));
        let own = before.diff(&after);
        assert_eq!(
            own.iter().filter(|line| line.contains(MOUNTS)).collect::<Vec<_>>(),
            ["+ mounts: / /run/fwd-fwdt12x1/bpf rw"]
        );
        assert_eq!(own.len(), 4, "{own:?}");
    }

    #[test]
    fn other_testbeds_are_left_out() {
        let prefix = "fwdt12x1";
        for own in ["/run/netns/fwdt12x1-host", "/run/fwd-fwdt12x1/bpf none", "/run/netns/mynet"] {
            assert!(!is_foreign(own, prefix), "{own}");
        }
        for other in ["/run/netns/fwdt12x10-host", "/run/fwd-fwdt13x1/bpf", "/run/fwd-fwdt12x11"] {
            assert!(is_foreign(other, prefix), "{other}");
        }
    }
}
