//! What `fwd` needs of the kernel: declared once, one row a feature ([`FEATURES`]).
//!
//! From it come the refusal of `up`, `fwd features`, and the tables of docs/kernels.md. A feature is probed by its behaviour and
//! never by the kernel's version. Probing changes nothing: programs and maps go with their descriptors, and interfaces and rules
//! are made in a network namespace that goes with the thread that asks.

mod ask;
mod feature;
mod program;
mod table;

pub use self::{
    feature::{Feature, Part, Probe, Support, Without},
    table::{FEATURES, NETKIT, SOCKET_ADDRESSES, TBF, TCX},
};
use fwd_base::Result;

/// Whether the eBPF data path can run here.
///
/// # Errors
/// [`Unsupported`](fwd_base::Kind::Unsupported) that names the first thing missing, or [`Failed`](fwd_base::Kind::Failed) if the
/// kernel's answer is unclear.
pub fn probe() -> Result<()> {
    let asked = |feature: &&Feature| feature.without == Without::Refused && feature.parts.contains(&Part::Tc);
    FEATURES.iter().filter(asked).try_for_each(Feature::require)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_and_named_once() {
        for feature in FEATURES {
            let texts = [feature.needed_for, feature.without.text(), feature.probe.how];
            assert!(texts.iter().all(|text| !text.is_empty() && !text.contains('|')), "{feature:?}");
            assert!(!feature.parts.is_empty(), "{feature:?}");
            assert_eq!(FEATURES.iter().filter(|other| other.name == feature.name).count(), 1, "{feature:?}");
        }
    }
}
