//! The bill of materials: the crates that are linked, as CycloneDX.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// The options of `cargo tree` that give the input of [`bill`], after those that choose packages.
pub const FORMAT: &str = "{p}|{l}";

/// Makes the bill of `tree`, lines of [`FORMAT`], with the checksums of `lock`, a Cargo.lock.
///
/// # Errors
/// A line is not of that format, or a crate is not in the lock.
pub fn bill(tree: &str, lock: &str, target: &str) -> Result<Value> {
    let checksums = checksums(lock);
    let lines: BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    ensure!(!lines.is_empty(), "cargo tree has listed nothing");
    let components = lines
        .into_iter()
        .map(|line| component(line, &checksums))
        .collect::<Result<Vec<Value>>>()?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "name": "mesh-tools",
                "version": version,
                "licenses": [{ "expression": "Apache-2.0" }],
                "properties": [{ "name": "target", "value": target }],
            },
        },
        "components": components,
    }))
}

type Checksums<'a> = BTreeMap<(&'a str, &'a str), Option<&'a str>>;

/// Reads the packages of a Cargo.lock.
fn checksums(lock: &str) -> Checksums<'_> {
    let packages = lock.split("[[package]]").skip(1);
    let packages = packages.filter_map(|package| {
        let field = |name: &str| {
            let mut lines = package.lines().filter_map(|line| line.split_once(" = "));
            let (_, value) = lines.find(|(field, _)| *field == name)?;
            Some(value.trim_matches('"'))
        };
        Some(((field("name")?, field("version")?), field("checksum")))
    });
    packages.collect()
}

fn component(line: &str, checksums: &Checksums<'_>) -> Result<Value> {
    let wrong = || format!("not a line of cargo tree --format '{FORMAT}': {line}");
    let (package, license) = line.split_once('|').with_context(wrong)?;
    // A package of this workspace has its folder after the version.
    let mut words = package.split(' ');
    let name = words.next().with_context(wrong)?;
    let version = words
        .next()
        .and_then(|it| it.strip_prefix('v'))
        .with_context(wrong)?;
    let checksum = checksums
        .get(&(name, version))
        .with_context(|| format!("{name} {version} is not in Cargo.lock"))?;
    let purl = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "licenses": [{ "expression": license.replace('/', " OR ") }],
    });
    // What is of this workspace is in no registry.
    if let Some(checksum) = checksum {
        component["purl"] = purl.into();
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    Ok(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
[[package]]
name = "serde"
version = "1.0.2"
source = "registry"
checksum = "8dc603"
dependencies = [
 "serde_core",
]

[[package]]
name = "mesh-roll"
version = "0.1.0"
"#;

    #[test]
    fn the_bill_has_each_crate_once_with_its_licence_and_its_checksum() {
        let tree = "mesh-roll v0.1.0 (/home/x)|Apache-2.0\n\nserde v1.0.2|MIT/Apache-2.0\nserde v1.0.2|MIT/Apache-2.0\n";
        let bill = bill(tree, LOCK, "x").unwrap();
        let parts = bill["components"].as_array().unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (&parts[0]["name"], parts[0].get("hashes")),
            (&"mesh-roll".into(), None)
        );
        assert_eq!(parts[1]["purl"], "pkg:cargo/serde@1.0.2");
        assert_eq!(parts[1]["hashes"][0]["content"], "8dc603");
        assert_eq!(parts[1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(!bill.to_string().contains("/home/x"));
    }

    #[test]
    fn a_crate_that_is_not_locked_and_an_empty_tree_are_refused() {
        assert!(bill("serde v1.0.3|MIT", LOCK, "x").is_err());
        assert!(bill("serde 1.0.2", LOCK, "x").is_err());
        assert!(bill("\n", LOCK, "x").is_err());
    }
}
