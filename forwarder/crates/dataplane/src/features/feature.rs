//! A feature of the kernel: what is declared of it, and whether the running kernel has it.

use fwd_base::{Error, Kind, Result};

/// Something that the kernel has or does not have.
#[derive(Debug)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// The Linux version that brought it.
    pub since: &'static str,
    /// What it is needed for.
    pub needed_for: &'static str,
    /// What is lost without it.
    pub without: Without,
    /// The parts of `fwd` that use it.
    pub parts: &'static [Part],
    /// How the kernel is asked.
    pub probe: Probe,
}

/// A part of `fwd` that needs something of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The eBPF data path, and with it XDP in front of it.
    Tc,
    /// Uplinks without link-layer header.
    L3Uplink,
    /// XDP in front of the eBPF data path.
    Xdp,
    /// The eBPF data path at netkit pairs.
    Netkit,
    /// The data path of bridge and nftables.
    Kernel,
    /// Limits of what endpoints send and get.
    Limits,
    /// `fwd latency`.
    Latency,
    /// `fwd trace`.
    Trace,
    /// A path of `fwd bench`.
    Bench,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 9] = [
        Self::Tc,
        Self::L3Uplink,
        Self::Xdp,
        Self::Netkit,
        Self::Kernel,
        Self::Limits,
        Self::Latency,
        Self::Trace,
        Self::Bench,
    ];

    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::L3Uplink => "l3-uplink",
            Self::Xdp => "xdp",
            Self::Netkit => "netkit",
            Self::Kernel => "kernel",
            Self::Limits => "limits",
            Self::Latency => "latency",
            Self::Trace => "trace",
            Self::Bench => "bench",
        }
    }

    /// How it is called in docs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tc => "`--datapath tc`, `xdp` and `netkit`",
            Self::L3Uplink => "uplinks without link-layer header",
            Self::Xdp => "`--datapath xdp`",
            Self::Netkit => "`--datapath netkit`",
            Self::Kernel => "`--datapath kernel`",
            Self::Limits => "`--rate-out` and `--rate-in`",
            Self::Latency => "`fwd latency`",
            Self::Trace => "`fwd trace`",
            Self::Bench => "`fwd bench`",
        }
    }
}

/// What is lost without a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// `up` asks for it, and refuses before anything is changed.
    Refused,
    /// It is refused with the kernel's answer when it is used.
    RefusedWhenUsed,
    /// The verifier refuses the programs.
    RefusedWhenLoading,
    /// The same, slower; in what way.
    Slower(&'static str),
    /// `up` warns; what does not hold.
    Warned(&'static str),
    /// Something is done in another way, or not at all.
    Otherwise(&'static str),
}

impl Without {
    /// Its names in JSON.
    pub const NAMES: [&str; 4] = ["refused", "slower", "warned", "otherwise"];

    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused | Self::RefusedWhenUsed | Self::RefusedWhenLoading => Self::NAMES[0],
            Self::Slower(_) => Self::NAMES[1],
            Self::Warned(_) => Self::NAMES[2],
            Self::Otherwise(_) => Self::NAMES[3],
        }
    }

    /// What it means, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Refused | Self::RefusedWhenUsed => "refused",
            Self::RefusedWhenLoading => "refused when the programs load",
            Self::Slower(what) | Self::Warned(what) | Self::Otherwise(what) => what,
        }
    }
}

/// How the kernel is asked for a feature.
#[derive(Debug)]
pub struct Probe {
    /// In words.
    pub how: &'static str,
    pub(super) ask: fn() -> Support,
}

/// Whether the running kernel has a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// It has it.
    Supported,
    /// It does not have it.
    Unsupported,
    /// It cannot be told; the kernel's answer.
    Unknown(String),
}

impl Support {
    /// Its names in JSON.
    pub const NAMES: [&str; 3] = ["supported", "unsupported", "unknown"];

    /// Its name in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Supported => Self::NAMES[0],
            Self::Unsupported => Self::NAMES[1],
            Self::Unknown(_) => Self::NAMES[2],
        }
    }
}

impl Feature {
    /// Asks the running kernel.
    #[must_use]
    pub fn support(&self) -> Support {
        (self.probe.ask)()
    }

    /// Refuses where the kernel does not have it.
    pub(super) fn require(&self) -> Result<()> {
        match self.support() {
            Support::Supported => Ok(()),
            Support::Unsupported => Err(self.missing()),
            Support::Unknown(answer) => Err(Error::new(Kind::Failed, "ask the kernel for", self.name, answer)),
        }
    }

    /// That the kernel does not have it, for an error.
    #[must_use]
    pub fn absence(&self) -> String {
        format!("this kernel does not have {} (Linux {})", self.name, self.since)
    }

    /// How `up` refuses where the kernel does not have it.
    pub fn missing(&self) -> Error {
        Error::new(Kind::Unsupported, "use", "the eBPF data path", self.absence())
            .remedy("upgrade the kernel, or use --datapath kernel (bridge and nftables)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(ask: fn() -> Support) -> Feature {
        let probe = Probe { how: "", ask };
        let (name, since, parts) = ("bpf_loop", "5.17", &[Part::Tc]);
        Feature { name, since, needed_for: "", without: Without::Refused, parts, probe }
    }

    #[test]
    fn what_is_missing_is_named_with_a_way_out() {
        let error = feature(|| Support::Unsupported).require().unwrap_err();
        assert_eq!(error.kind.exit_code(), 5);
        assert_eq!(error.to_string(), "cannot use the eBPF data path: this kernel does not have bpf_loop (Linux 5.17)");
        assert!(error.remedy.unwrap().contains("--datapath kernel"));
    }

    #[test]
    fn answer_that_is_unclear_is_no_missing_feature() {
        let error = feature(|| Support::Unknown("the kernel said something else".into())).require().unwrap_err();
        assert_eq!(error.kind, Kind::Failed);
        assert_eq!(error.to_string(), "cannot ask the kernel for bpf_loop: the kernel said something else");
    }
}
