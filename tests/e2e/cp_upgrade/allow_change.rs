//! `--allow-change`.

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;
use serde_json::json;

use crate::stage::{Stage, TO};

on_both_beds! {
    allow_change_lets_the_named_value_change_and_no_other
    issuer_with_the_key_of_another_certificate_is_refused
    trust_anchors_that_somebody_else_keeps_stay_theirs
}

const ROOTS: &str = "/api/v1/namespaces/linkerd/configmaps/linkerd-identity-trust-roots";

fn allow_change_lets_the_named_value_change_and_no_other(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let other = stage.tools.folder().join("other.yaml");
    std::fs::write(&other, "clusterDomain: other.local\n").unwrap();
    let values = ["-f", other.to_str().unwrap()];
    // The trust domain follows the cluster's domain.
    let refused = [
        (&[][..], "--allow-change trust-domain,cluster-domain"),
        (
            &["--allow-change", "anchors,trust-domain"],
            "--allow-change cluster-domain",
        ),
    ];
    for (allowed, hint) in refused {
        let run = stage.run(&judged, &[&values[..], allowed].concat());
        assert_eq!(run.code, Some(2), "{allowed:?}: {}", run.stderr);
        assert!(run.stderr.contains(hint), "{allowed:?}: {}", run.stderr);
        assert!(run.step("identity", "failed").is_some(), "{allowed:?}");
    }
    stage.assert_unchanged(true);
    let allowed = ["--allow-change", "trust-domain,cluster-domain"];
    let run = stage.run(&judged, &[&values[..], &allowed].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.states("identity"), ["started", "done"]);
    let config = "/api/v1/namespaces/linkerd/configmaps/linkerd-config";
    let config = stage.bed.get(config).unwrap();
    let values = config["data"]["values"].as_str().unwrap();
    assert!(values.contains("clusterDomain: other.local"), "{values}");
}

fn issuer_with_the_key_of_another_certificate_is_refused(bed: Bed) {
    let stage = Stage::new(bed);
    let judged = stage.judged();
    let other: serde_json::Value = serde_json::from_str(&stage.foreign_values()).unwrap();
    let key = &other["identity"]["issuer"]["tls"]["keyPEM"];
    let values = json!({ "identity": { "issuer": { "tls": { "keyPEM": key } } } });
    let values = stage.file("key.yaml", &values.to_string());
    let part = "the issuer's key is not that of the issuer's certificate";
    stage.refuses(&judged, &["-f", &values], part);
    let allowed = ["-f", &values, "--allow-change", "issuer"];
    stage.refuses(&judged, &allowed, part);
    stage.assert_unchanged(true);
}

// As trust-manager keeps them: a ConfigMap that no chart renders, which an upgrade without
// `externalCA` would take over, or helm delete.
fn trust_anchors_that_somebody_else_keeps_stay_theirs(bed: Bed) {
    let anchors = std::fs::read_to_string(bed.charts(TO).unwrap().values).unwrap();
    let anchors: serde_json::Value = serde_json::from_str(&anchors).unwrap();
    let meta = json!({ "name": "linkerd-identity-trust-roots", "namespace": "linkerd" });
    let data = json!({ "ca-bundle.crt": anchors["identityTrustAnchorsPEM"] });
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "linkerd" } });
    let roots = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data });
    bed.apply(&format!("{namespace}\n---\n{roots}\n")).unwrap();
    let stage = Stage::with(bed, &["--set", "identity.externalCA=true"]);
    let judged = stage.judged();
    let before = stage.bed.get(ROOTS).unwrap();

    let ours = stage.file("ours.yaml", "identity: {externalCA: false}\n");
    // Helm itself refuses to take over an object.
    let part = match stage.is_by_helm() {
        true => "linkerd-identity-trust-roots",
        false => "from an external ConfigMap (identity.externalCA)",
    };
    stage.refuses(&judged, &["-f", &ours], part);
    stage.assert_unchanged(true);

    let theirs = stage.file("theirs.yaml", "identity: {externalCA: true}\n");
    let run = stage.run(&judged, &["-f", &theirs]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(stage.configured(), TO);
    assert_eq!(stage.bed.get(ROOTS).unwrap(), before);
}
