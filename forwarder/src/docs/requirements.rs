//! docs/rfc.md: the tests that it names exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Where tests are, by the folder whose modules their names begin with.
const ROOTS: [&str; 4] = ["tests/src", "forwarder-common/src", "forwarder/src", "forwarder/crates"];

/// Every source file below `directory`.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Modules, and tests with those that they are in, of the whole checkout: `datapath::ports::privileged_ports_stay_privileged`.
fn tests() -> BTreeSet<String> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut names = BTreeSet::new();
    for root in ROOTS.map(|root| checkout.join(root)) {
        let mut files = Vec::new();
        sources(&root, &mut files);
        for file in files {
            let module = file.strip_prefix(&root).unwrap().with_extension("");
            let mut module: Vec<String> = module.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            module.retain(|part| !["mod", "lib", "src"].contains(&part.as_str()));
            let text = fs::read_to_string(&file).unwrap();
            let inline = if text.contains("\nmod tests {") { vec!["tests".into()] } else { Vec::new() };
            for place in [module.clone(), [module, inline].concat()] {
                names.insert(format!("{}::", place.join("::")));
                let functions = text.split("fn ").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name);
                names.extend(functions.map(|name| [&place[..], &[name.to_owned()]].concat().join("::")));
            }
        }
    }
    names
}

/// Test names in the last column of the tables: words with `::`.
fn named(page: &str) -> Vec<&str> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let words = rows.flat_map(|line| line.split('`').skip(1).step_by(2));
    words.filter(|word| word.contains("::") && !word.contains(' ')).collect()
}

#[test]
fn tests_that_the_page_names_exist() {
    let tests = tests();
    let exists = |name: &str| {
        let is_it = |test: &String| {
            let rest = test.strip_suffix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
        };
        tests.iter().any(is_it)
    };
    let page = include_str!("../../../docs/rfc.md");
    let missing: Vec<&str> = named(page).into_iter().filter(|name| !exists(name)).collect();
    assert!(named(page).len() > 50, "the page names tests");
    assert_eq!(missing, [""; 0], "docs/rfc.md names tests that there are not");
}
