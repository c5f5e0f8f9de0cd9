//! The kinds that rendered definitions add to what the API server serves. Pure.

use std::collections::BTreeSet;

use crate::definition::{Definition, Spec, Version};
use crate::render::Manifest;

/// A kind that definitions add. One with the same name in another group, or in a version that is not
/// served, is another kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NewKind {
    api_version: String,
    kind: String,
}

/// Returns the kinds that the definitions among these objects add.
pub(crate) fn new_kinds(manifests: &[Manifest]) -> BTreeSet<NewKind> {
    let crds = Definition::among(manifests);
    crds.flat_map(|(_, crd)| kinds(crd.spec)).collect()
}

// === impl NewKind ===

impl NewKind {
    /// The kind of an object.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self {
            api_version: manifest.api_version.clone(),
            kind: manifest.kind.clone(),
        }
    }
}

fn kinds(spec: Spec) -> Vec<NewKind> {
    let Spec {
        group,
        names,
        versions,
    } = spec;
    let served = versions.into_iter().filter(|version| version.served);
    let kind = |Version { name, .. }| NewKind {
        api_version: format!("{group}/{name}"),
        kind: names.kind.clone(),
    };
    served.map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::manifests;

    #[test]
    fn a_kind_is_added_only_in_its_group_and_in_the_versions_that_are_served() {
        let versions = "[{name: v1, served: true}, {name: v0, served: false}]";
        let spec = format!("{{group: a.test, names: {{kind: Route}}, versions: {versions}}}");
        let crd = format!(
            "{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: \
             {{name: routes.a.test}}, spec: {spec}}}"
        );
        let added = new_kinds(&manifests(&crd).unwrap());
        for (api_version, kind, expected) in [
            ("a.test/v1", "Route", true),
            ("a.test/v0", "Route", false),
            ("a.test/v2", "Route", false),
            ("b.test/v1", "Route", false),
            ("a.test/v1", "Other", false),
        ] {
            let yaml =
                format!("{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: x}}}}");
            let one = &manifests(&yaml).unwrap()[0];
            let is = added.contains(&NewKind::of(one));
            assert_eq!(is, expected, "{api_version} {kind}");
        }
    }
}
