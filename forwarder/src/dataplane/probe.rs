//! What this kernel can do, found out by trying.

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};

use crate::{Context as _, Error, Kind, Result};

/// Helpers without which the programs do not load, with the Linux version that brought each.
const HELPERS: [(BpfHelper, &str, &str); 6] = [
    (BpfHelper::BPF_FUNC_fib_lookup, "bpf_fib_lookup", "4.18"),
    (BpfHelper::BPF_FUNC_skc_lookup_tcp, "bpf_skc_lookup_tcp", "5.2"),
    (BpfHelper::BPF_FUNC_redirect_neigh, "bpf_redirect_neigh", "5.10"),
    (BpfHelper::BPF_FUNC_redirect_peer, "bpf_redirect_peer", "5.10"),
    (BpfHelper::BPF_FUNC_timer_init, "bpf_timer_init", "5.15"),
    (BpfHelper::BPF_FUNC_loop, "bpf_loop", "5.17"),
];

/// Whether the eBPF data path can run here.
///
/// # Errors
/// [`Kind::Unsupported`] that names the first thing missing, or [`Kind::Failed`] if the kernel's answer is unclear.
pub fn probe() -> Result<()> {
    for (helper, name, since) in HELPERS {
        if !is_helper_supported(ProgramType::SchedClassifier, helper).doing("ask the kernel for", name)? {
            return Err(missing(name, since));
        }
    }
    Ok(())
}

fn missing(feature: &str, since: &str) -> Error {
    let why = format!("this kernel does not have {feature} (Linux {since})");
    Error::new(Kind::Unsupported, "use", "the eBPF data path", why)
        .remedy("upgrade the kernel, or use --datapath kernel (bridge and nftables)")
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_missing_is_named_with_a_way_out() {
        let error = super::missing("bpf_loop", "5.17");
        assert_eq!(error.kind.exit_code(), 5);
        assert!(error.to_string().contains("bpf_loop") && error.remedy.unwrap().contains("--datapath kernel"));
    }
}
