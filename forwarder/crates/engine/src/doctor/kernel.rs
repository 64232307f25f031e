//! What the kernel has and lets us do.

use std::{fs, path::Path};

use super::{Check, Finding, Subject, Verdict};
use crate::query;
use fwd_base::{Context as _, Result};
use fwd_dataplane::{FEATURES, Feature, Part, Support, Without};

pub(super) const FEATURES_CHECK: Check = Check {
    name: "features",
    looks_at: "every feature of the kernel that fwd has a use for (`fwd features`)",
    why: "without one of them the programs do not load, or something is slower or left out",
    look: features,
};

pub(super) const CAPABILITIES: Check = Check {
    name: "capabilities",
    looks_at: "the effective capabilities of this process",
    why: "loading programs, changing interfaces and entering namespaces each need one",
    look: capabilities,
};

pub(super) const BTF: Check = Check {
    name: "btf",
    looks_at: "the type information of the kernel, /sys/kernel/btf/vmlinux",
    why: "by it fwd finds fields of the kernel: whether a checksum is left to a device, and what conntrack knows",
    look: btf,
};

pub(super) const PINS: Check = Check {
    name: "pins",
    looks_at: "the bpffs of the run directory, and what is pinned there for this host",
    why: "without the pins nobody finds the programs and records again, and without programs nothing is forwarded",
    look: pins,
};

/// Those that the data paths, limits and uplinks of every kind need: not what only measures or traces.
fn forwards(feature: &Feature) -> bool {
    feature.parts.iter().any(|part| !matches!(part, Part::Latency | Part::Trace | Part::Bench))
}

fn features(_: &Subject<'_>) -> Result<Vec<Finding>> {
    let (mut findings, mut missing) = (Vec::new(), Vec::new());
    for feature in FEATURES {
        match (feature.support(), forwards(feature)) {
            (Support::Supported, _) => {}
            (support, true) => {
                missing.push(feature.name);
                findings.extend(lost(feature, &support));
            }
            (_, false) => missing.push(feature.name),
        }
    }
    let has = FEATURES.len() - missing.len();
    let without = if missing.is_empty() { String::new() } else { format!("; without {}", missing.join(", ")) };
    findings.push(Finding::new(Verdict::Ok, format!("{has} of {}{without}", FEATURES.len())));
    Ok(findings)
}

/// What to say of a feature that is not there, if that matters to forwarding by programs.
fn lost(feature: &Feature, support: &Support) -> Option<Finding> {
    let verdict = match (support, feature.without) {
        (Support::Unknown(answer), _) => {
            return Some(Finding::new(Verdict::Unknown, format!("{}: {answer}", feature.name)));
        }
        _ if !feature.parts.contains(&Part::Tc) => return None,
        (Support::Unsupported, Without::Refused | Without::RefusedWhenLoading) => Verdict::Fail,
        (Support::Unsupported, Without::Slower(_) | Without::Warned(_)) => Verdict::Warn,
        _ => return None,
    };
    let what = format!(
        "{}, which is for {}: {}; a newer kernel has it, and --datapath kernel does without",
        feature.absence(),
        feature.needed_for,
        feature.without.text()
    );
    Some(Finding::new(verdict, what))
}

/// The capabilities that commands need which change something, by the numbers in linux/capability.h: also root may lack some.
pub const CAPABILITIES_NEEDED: [(u32, &str); 5] =
    [(0, "CAP_CHOWN"), (1, "CAP_DAC_OVERRIDE"), (12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN"), (19, "CAP_SYS_PTRACE")];

fn capabilities(_: &Subject<'_>) -> Result<Vec<Finding>> {
    const STATUS: &str = "/proc/thread-self/status";
    let text = fs::read_to_string(STATUS).doing("read", STATUS)?;
    let line = text.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(effective) = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok()) else {
        return Ok(vec![Finding::new(Verdict::Unknown, format!("{STATUS} does not tell"))]);
    };
    Ok(vec![match lacking(effective).as_slice() {
        [] => Finding::new(Verdict::Ok, CAPABILITIES_NEEDED.map(|it| it.1).join(", ")),
        missing => {
            let why = format!("this process lacks {}: `sudo fwd doctor`", missing.join(", "));
            Finding::new(Verdict::Fail, why)
        }
    }])
}

/// Of the capabilities that commands need, those that are not in a set.
fn lacking(effective: u64) -> Vec<&'static str> {
    CAPABILITIES_NEEDED.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|it| it.1).collect()
}

fn btf(_: &Subject<'_>) -> Result<Vec<Finding>> {
    const TYPES: &str = "/sys/kernel/btf/vmlinux";
    Ok(vec![match Path::new(TYPES).exists() {
        true => Finding::new(Verdict::Ok, TYPES),
        false => {
            let why = format!(
                "there is no {TYPES}: a kernel with CONFIG_DEBUG_INFO_BTF has it; without it, checksums that a namespace leaves to a device \
                 are not told from others"
            );
            Finding::new(Verdict::Fail, why)
        }
    }])
}

fn pins(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let lost = query::lost(subject.at)?;
    let records = &subject.actual.records;
    let mut findings: Vec<Finding> = lost.into_iter().map(|why| Finding::new(Verdict::Fail, why)).collect();
    if !records.others.is_empty() {
        let why = format!(
            "another version of fwd has brought something up ({}): `fwd reload` takes it over, `fwd down --all` takes it down",
            records.others.join(", ")
        );
        findings.push(Finding::new(Verdict::Fail, why));
    }
    if findings.is_empty() {
        let path = subject.context.run_dir.path().join("bpf").display().to_string();
        let what = if records.loaded { path } else { "nothing is up on this host, and nothing is left".into() };
        findings.push(Finding::new(Verdict::Ok, what));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_capability_is_named() {
        assert_eq!(lacking(u64::MAX), [""; 0]);
        assert_eq!(lacking(0), CAPABILITIES_NEEDED.map(|it| it.1));
        // The usual ones of a container.
        assert_eq!(lacking(0xa804_25fb), ["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]);
    }

    #[test]
    fn features_without_which_up_refuses_fail_and_others_warn_or_do_not_matter() {
        for feature in FEATURES {
            let found = lost(feature, &Support::Unsupported).map(|finding| finding.verdict);
            let by_programs = feature.parts.contains(&Part::Tc);
            let expected = match feature.without {
                Without::Refused | Without::RefusedWhenLoading if by_programs => Some(Verdict::Fail),
                Without::Slower(_) | Without::Warned(_) if by_programs => Some(Verdict::Warn),
                _ => None,
            };
            assert_eq!(found, expected, "{feature:?}");
            let unclear = lost(feature, &Support::Unknown("EIO".into())).expect("it is told");
            assert_eq!((unclear.verdict, unclear.what.contains("EIO")), (Verdict::Unknown, true));
        }
        assert!(FEATURES.iter().any(|feature| lost(feature, &Support::Unsupported).is_some()));
    }
}
