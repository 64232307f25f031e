//! The software bill of materials: every package that is linked into the binary or its eBPF programs, in the format of CycloneDX 1.5
//! (ECMA-424), out of what cargo says and Cargo.lock notes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    arch::Arch,
    workspace::{Workspace, capture},
};

/// What is linked: the binary, and the programs inside of it.
const ROOTS: [&str; 2] = ["forwarder", "forwarder-ebpf"];

/// The document.
pub(super) fn of(workspace: &Workspace, arch: Arch) -> Result<String> {
    let mut cargo = workspace.cargo("metadata");
    let platform = arch.target().unwrap_or_else(|| format!("{}-unknown-linux-gnu", arch.name()));
    cargo.args(["--locked", "--format-version", "1", "--filter-platform", &platform]);
    let metadata = capture(&mut cargo)?;
    let lock = fs::read_to_string(workspace.root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let metadata = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let document = document(&metadata, &checksums(&lock)).context("cargo metadata is not as it was")?;
    Ok(format!("{document:#}\n"))
}

/// SHA-256 of packages, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let field = |package: &str, key: &str| {
        let value = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        value.map(|value| value.trim_matches('"').to_owned())
    };
    let of = |package| Some(((field(package, "name")?, field(package, "version")?), field(package, "checksum")?));
    lock.split("[[package]]").filter_map(of).collect()
}

/// None if something is missing that cargo has always said.
fn document(metadata: &Value, checksums: &BTreeMap<(String, String), String>) -> Option<Value> {
    let packages: BTreeMap<&str, &Value> =
        metadata["packages"].as_array()?.iter().filter_map(|it| Some((it["id"].as_str()?, it))).collect();
    let nodes: BTreeMap<&str, BTreeSet<&str>> = metadata["resolve"]["nodes"]
        .as_array()?
        .iter()
        .filter_map(|it| Some((it["id"].as_str()?, linked(it))))
        .collect();
    let is_root = |package: &Value| ROOTS.iter().any(|root| package["name"] == *root);
    let mut open: Vec<&str> = packages.iter().filter(|(_, package)| is_root(package)).map(|(id, _)| *id).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(nodes.get(id)?);
        }
    }
    let reference = |id: &str| {
        let package = packages.get(id)?;
        Some(format!("pkg:cargo/{}@{}", package["name"].as_str()?, package["version"].as_str()?))
    };
    let component = |id: &&str| {
        let package = packages.get(*id)?;
        let (name, version) = (package["name"].as_str()?.to_owned(), package["version"].as_str()?.to_owned());
        let purl = reference(id)?;
        let license = package["license"].as_str().map(|license| license.replace('/', " OR "));
        let mut component =
            json!({ "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl });
        if let Some(license) = license {
            component["licenses"] = json!([{ "expression": license }]);
        }
        if let Some(checksum) = checksums.get(&(name, version)) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
        }
        Some(component)
    };
    let dependencies = |id: &&str| {
        let on: Option<Vec<String>> = nodes.get(*id)?.iter().map(|id| reference(id)).collect();
        Some(json!({ "ref": reference(id)?, "dependsOn": on? }))
    };
    let root = packages.iter().find(|(_, package)| package["name"] == ROOTS[0])?.0;
    let mut subject = component(root)?;
    subject["type"] = "application".into();
    Some(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": subject },
        "components": found.iter().filter(|id| *id != root).map(component).collect::<Option<Vec<Value>>>()?,
        "dependencies": found.iter().map(dependencies).collect::<Option<Vec<Value>>>()?,
    }))
}

/// The ids of what a package is linked with: neither what builds it nor what its tests use.
fn linked(node: &Value) -> BTreeSet<&str> {
    let is_linked = |dependency: &&Value| {
        let kinds = dependency["dep_kinds"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
    };
    let dependencies = node["deps"].as_array().into_iter().flatten().filter(is_linked);
    dependencies.filter_map(|dependency| dependency["pkg"].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(on: &str, kind: Value) -> Value {
        json!({ "pkg": on, "dep_kinds": [{ "kind": kind }] })
    }

    #[test]
    fn what_is_linked_is_listed_with_licence_and_hash_and_nothing_else() {
        let package = |id: &str, license: &str| json!({ "id": id, "name": id, "version": "1.0.0", "license": license });
        let names = ["forwarder", "forwarder-ebpf", "aya", "cc", "proptest", "core"];
        let metadata = json!({
            "packages": names.map(|name| package(name, "MIT/Apache-2.0")),
            "resolve": { "nodes": [
                { "id": "forwarder", "deps": [
                    dependency("aya", Value::Null), dependency("cc", json!("build")), dependency("proptest", json!("dev")),
                ] },
                { "id": "forwarder-ebpf", "deps": [dependency("core", Value::Null)] },
                { "id": "aya", "deps": [] }, { "id": "core", "deps": [] }, { "id": "cc", "deps": [] },
            ] },
        });
        let lock = "version = 4\n\n[[package]]\nname = \"aya\"\nversion = \"1.0.0\"\nchecksum = \"0123\"\n\n[[package]]\nname = \"cc\"\n";
        let document = document(&metadata, &checksums(lock)).expect("nothing is missing");
        let listed: Vec<&str> =
            document["components"].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
        assert_eq!(listed, ["aya", "core", "forwarder-ebpf"]);
        let aya = &document["components"][0];
        assert_eq!(aya["purl"], "pkg:cargo/aya@1.0.0");
        assert_eq!(aya["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(aya["hashes"][0]["content"], "0123");
        assert_eq!(document["metadata"]["component"]["type"], "application");
        assert_eq!(document["dependencies"][1], json!({ "ref": "pkg:cargo/core@1.0.0", "dependsOn": [] }));
    }
}
