//! The manifests of krew, the package manager of kubectl's plugins.
//!
//! A manifest has one program, so each tool has its own: `kubectl mesh-survey | kubectl mesh-skewcheck`.

use anyhow::{Result, bail, ensure};
use mesh_records::Tool;
use serde_json::{Value, json};

/// An archive of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The file's name.
    pub name: String,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// The targets for which there are archives, with krew's words for each.
const PLATFORMS: [(&str, &str, &str); 4] = [
    ("x86_64-unknown-linux-musl", "linux", "amd64"),
    ("aarch64-unknown-linux-musl", "linux", "arm64"),
    ("x86_64-apple-darwin", "darwin", "amd64"),
    ("aarch64-apple-darwin", "darwin", "arm64"),
];

/// Reads the output of `sha256sum`.
///
/// # Errors
/// A line is not one.
pub fn archives(sums: &str) -> Result<Vec<Archive>> {
    let archives = sums.lines().map(|line| {
        let Some((sha256, name)) = line.split_once("  ") else {
            bail!("not a line of sha256sum: {line}");
        };
        let is_sum = sha256.len() == 64 && sha256.bytes().all(|it| it.is_ascii_hexdigit());
        ensure!(is_sum, "not a SHA-256: {line}");
        let (name, sha256) = (name.to_owned(), sha256.to_owned());
        Ok(Archive { name, sha256 })
    });
    archives.collect()
}

/// Returns the manifest of a tool. JSON is YAML too.
///
/// # Errors
/// No archive is for a platform of krew.
pub fn manifest(tool: Tool, about: &str, url: &str, archives: &[Archive]) -> Result<Value> {
    let version = env!("CARGO_PKG_VERSION");
    let platforms = PLATFORMS.iter().filter_map(|(target, os, arch)| {
        let stem = format!("mesh-tools-{version}-{target}");
        let file = format!("{stem}.tar.gz");
        let archive = archives.iter().find(|it| it.name == file)?;
        Some(json!({
            "selector": { "matchLabels": { "os": os, "arch": arch } },
            "uri": format!("{}/{file}", url.trim_end_matches('/')),
            "sha256": archive.sha256,
            "files": [
                { "from": format!("{stem}/bin/{tool}"), "to": "." },
                { "from": format!("{stem}/LICENSE"), "to": "." },
            ],
            "bin": tool.name(),
        }))
    });
    let platforms: Vec<Value> = platforms.collect();
    ensure!(
        !platforms.is_empty(),
        "no archive is for a platform of krew"
    );
    Ok(json!({
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": { "name": tool.name() },
        "spec": {
            "version": format!("v{version}"),
            "homepage": url,
            "shortDescription": about,
            "description": format!(
                "{about}.\nThe plugins {} make a pipeline; each reads what the one before writes.",
                crate::records::TOOLS.map(Tool::name).join(", ")
            ),
            "platforms": platforms,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMS: &str = "\
8dc603abd4e755c25c94da05abbf29b9b283a784733651020d72f97ca8ab98e4  mesh-tools-VERSION-x86_64-unknown-linux-musl.tar.gz
44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a  mesh-tools-VERSION-image.tar
";

    /// What krew's own check of a manifest asks for.
    fn is_accepted(name: &str, manifest: &Value) -> bool {
        let spec = &manifest["spec"];
        let text = |value: &Value| value.as_str().is_some_and(|it| !it.is_empty());
        let short = spec["shortDescription"].as_str().unwrap_or("\n");
        let is_platform = |it: &Value| {
            let labels = it["selector"]["matchLabels"].as_object().unwrap();
            let files = it["files"].as_array().unwrap();
            let sha256 = it["sha256"].as_str().unwrap();
            labels.keys().all(|key| ["os", "arch"].contains(&&**key))
                && !labels.is_empty()
                && !files.is_empty()
                && files
                    .iter()
                    .all(|file| text(&file["from"]) && text(&file["to"]))
                && text(&it["uri"])
                && text(&it["bin"])
                && sha256.len() == 64
                && sha256.bytes().all(|it| b"0123456789abcdef".contains(&it))
        };
        let platforms = spec["platforms"].as_array().unwrap();
        manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
            && manifest["kind"] == "Plugin"
            && manifest["metadata"]["name"] == name
            && !short.is_empty()
            && !short.contains(['\r', '\n'])
            && spec["version"]
                .as_str()
                .is_some_and(|it| it.starts_with('v'))
            && !platforms.is_empty()
            && platforms.iter().all(is_platform)
    }

    #[test]
    fn a_manifest_has_what_krew_asks_for_and_names_the_archive_and_the_tool() {
        let sums = SUMS.replace("VERSION", env!("CARGO_PKG_VERSION"));
        let archives = archives(&sums).unwrap();
        assert_eq!(archives.len(), 2);
        let url = "https://releases.test/v1/";
        let made = manifest(Tool::MeshRoll, "Roll the workloads", url, &archives).unwrap();
        assert!(is_accepted("mesh-roll", &made), "{made}");
        assert!(!is_accepted("mesh-survey", &made));
        let platform = &made["spec"]["platforms"][0];
        assert_eq!(made["spec"]["platforms"].as_array().unwrap().len(), 1);
        assert_eq!(platform["sha256"], archives[0].sha256);
        assert_eq!(
            platform["uri"],
            format!("https://releases.test/v1/{}", archives[0].name)
        );
    }

    #[test]
    fn sums_that_are_none_and_a_release_without_a_platform_are_refused() {
        assert!(archives("nothing").is_err());
        assert!(archives("8dc6  name").is_err());
        assert!(manifest(Tool::MeshRoll, "Roll", "https://releases.test", &[]).is_err());
    }
}
