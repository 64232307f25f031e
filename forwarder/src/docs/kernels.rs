//! docs/kernels.md: features of the kernel.

use super::markdown::{code, table};
use crate::dataplane::{FEATURES, Feature, Part};

const TITLES: [&str; 5] = ["feature", "Linux", "needed for", "without it", "how it is found out"];

/// What the eBPF data path needs.
pub(super) fn data_path() -> String {
    table(TITLES, FEATURES.iter().filter(|feature| is_of_data_path(feature)).map(row))
}

/// What other parts need: of their own, and of the same table.
pub(super) fn others() -> String {
    let own = FEATURES.iter().filter(|feature| !is_of_data_path(feature)).map(|feature| {
        let [name, since, needed, without, probe] = row(feature);
        let parts = feature.parts.iter().map(|part| part.label()).collect::<Vec<_>>();
        [name, parts.join(", "), since, needed, without, probe]
    });
    let [feature, linux, needed, without, probe] = TITLES;
    let mut text = table([feature, "used by", linux, needed, without, probe], own);
    text.push_str("\nOf the table above they use:\n\n");
    for part in Part::ALL.into_iter().filter(|part| !is_ebpf(*part)) {
        let shared = FEATURES.iter().filter(|feature| is_of_data_path(feature) && feature.parts.contains(&part));
        let names: Vec<String> = shared.map(name).collect();
        if !names.is_empty() {
            text.push_str(&format!("- {}: {}\n", part.label(), names.join(", ")));
        }
    }
    text
}

const fn is_ebpf(part: Part) -> bool {
    matches!(part, Part::Tc | Part::L3Uplink)
}

fn is_of_data_path(feature: &Feature) -> bool {
    feature.parts.iter().any(|part| is_ebpf(*part))
}

fn row(feature: &Feature) -> [String; 5] {
    let Feature { name: _, since, needed_for, without, parts: _, probe } = feature;
    [name(feature), (*since).into(), (*needed_for).into(), without.text().into(), probe.how.into()]
}

fn name(feature: &Feature) -> String {
    if feature.name.contains('_') && !feature.name.contains(' ') { code(feature.name) } else { feature.name.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{Look, write_error};

    #[test]
    fn refusal_on_the_page_is_the_one_that_is_shown() {
        let page = include_str!("../../../docs/kernels.md");
        let feature = FEATURES.iter().find(|feature| feature.name == "bpf_loop").unwrap();
        let (mut shown, look) = (Vec::new(), Look { color: false, width: None, fwd: "fwd".into() });
        write_error(&feature.missing(), false, &look, &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert!(page.contains(&shown), "docs/kernels.md does not show {shown}");
    }
}
