use crate::{CheckView, DoctorView, FindingView};

/// One check that fails.
pub(crate) fn doctor() -> DoctorView {
    let finding = FindingView {
        verdict: "fail",
        what: "forwarding of eth0 is off: `fwd up --ns mynet` switches it on again".into(),
        commands: vec!["fwd up --ns mynet".into()],
        fixable: true,
    };
    let check = CheckView {
        check: "forwarding",
        verdict: "fail",
        looks_at: "forwarding at uplinks",
        why: "the kernel forwards nothing without",
        findings: vec![finding],
    };
    DoctorView { ok: false, mended: vec!["fwd gc".into()], checks: vec![check] }
}
