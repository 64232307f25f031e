//! README.md and docs/kernels.md: the paths of `fwd bench`.

use super::markdown::{code, table};
use crate::bench::{Needs, Path};

/// Each path, with what forwards there.
pub(super) fn paths() -> String {
    table(["`--paths`", "what forwards"], Path::every().map(|path| [code(path.id()), path.what().into()]))
}

/// What each needs of the machine.
pub(super) fn needs() -> String {
    let row = |path: Path| {
        let Needs { features, besides, probe } = path.needs();
        let mut needs: Vec<String> = features.iter().map(code).collect();
        needs.extend((!besides.is_empty()).then(|| besides.to_owned()));
        [code(path.id()), if needs.is_empty() { "nothing".into() } else { needs.join(", ") }, probe.into()]
    };
    table(["path", "what it needs besides", "how it is found out"], Path::every().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::{FEATURES, Part};

    #[test]
    fn features_that_paths_need_are_declared_as_such() {
        let needed = |name: &str| Path::every().any(|path| path.needs().features.contains(&name));
        for name in Path::every().flat_map(|path| path.needs().features) {
            let feature = FEATURES.iter().find(|feature| feature.name == *name);
            let feature = feature.unwrap_or_else(|| panic!("there is no feature {name}"));
            assert!(feature.parts.contains(&Part::Bench), "{name} is needed by `fwd bench`");
        }
        // All of them have veth pairs.
        let declared = FEATURES.iter().filter(|feature| feature.parts.contains(&Part::Bench) && feature.name != "veth");
        let unneeded: Vec<&str> = declared.map(|feature| feature.name).filter(|name| !needed(name)).collect();
        assert_eq!(unneeded, [""; 0], "no path of `fwd bench` needs them");
    }
}
