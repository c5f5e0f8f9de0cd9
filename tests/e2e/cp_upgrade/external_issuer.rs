//! An issuer that somebody else keeps, such as cert-manager (`identity.issuer.scheme`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh_testbed::{Bed, MeshIdentity};
use mesh_tests::on_both_beds;
use serde_json::{Value, json};

use crate::stage::{FROM, Stage, TO};

on_both_beds! {
    external_issuer_of_a_ha_control_plane_stays_as_it_is_with_the_cli
    [Helm]
    external_issuer_of_a_ha_control_plane_stays_as_it_is_with_helm_4
    external_issuer_that_no_proxy_accepts_is_found_before_the_write
}

const EXTERNAL: [&str; 2] = ["--set", "identity.issuer.scheme=kubernetes.io/tls"];
const SECRET: &str = "/api/v1/namespaces/linkerd/secrets/linkerd-identity-issuer";

/// Keeps the issuer as cert-manager does.
fn keep(bed: &Bed, [certificate, key]: [&str; 2]) {
    let meta = json!({ "name": "linkerd-identity-issuer", "namespace": "linkerd" });
    let [certificate, key] = [certificate, key].map(|pem| STANDARD.encode(pem));
    let data = json!({ "tls.crt": certificate, "tls.key": key });
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": meta, "data": data });
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "linkerd" } });
    bed.apply(&format!("{namespace}\n---\n{secret}\n")).unwrap();
}

/// Keeps the issuer of the bed's own identity.
fn keep_own(bed: &Bed) {
    let values = std::fs::read_to_string(bed.charts(TO).unwrap().values).unwrap();
    let values: Value = serde_json::from_str(&values).unwrap();
    let tls = &values["identity"]["issuer"]["tls"];
    keep(
        bed,
        ["crtPEM", "keyPEM"].map(|key| tls[key].as_str().unwrap()),
    );
}

// Upgrades, and checks that the issuer and the three pods of each component stay.
fn keeps_issuer_and_pods(stage: &Stage, flags: &[&str]) {
    let before = stage.bed.get(SECRET).unwrap();
    let run = stage.run(&stage.judged(), flags);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let progress = run.of("progress").into_iter();
    let wanted = progress.rev().find_map(|it| it["pods"]["wanted"].as_u64());
    assert_eq!(wanted, Some(3));
    assert_eq!(stage.configured(), TO);
    assert_eq!(stage.bed.get(SECRET).unwrap(), before);
}

fn external_issuer_of_a_ha_control_plane_stays_as_it_is_with_helm_4(bed: Bed) {
    keep_own(&bed);
    let helm4 = bed.helm4().to_path_buf();
    let ha = bed.charts(FROM).unwrap().ha_values;
    let ha = ["-f", ha.to_str().unwrap()];
    bed.install_linkerd_by(&helm4, FROM, &[&ha[..], &EXTERNAL].concat())
        .unwrap();
    let stage = Stage::by_helm(bed);
    let ha = stage.charts.ha_values.to_str().unwrap();
    let flags = ["--helm", helm4.to_str().unwrap(), "-f", ha];
    keeps_issuer_and_pods(&stage, &[&flags[..], &EXTERNAL].concat());
}

fn external_issuer_of_a_ha_control_plane_stays_as_it_is_with_the_cli(bed: Bed) {
    keep_own(&bed);
    let ha = bed.charts(FROM).unwrap().ha_values;
    let ha = ["-f", ha.to_str().unwrap()];
    let stage = Stage::by_cli_with(bed, &[&ha[..], &EXTERNAL].concat());
    // The CLI keeps the values of the installation by itself.
    keeps_issuer_and_pods(&stage, &[]);
}

fn external_issuer_that_no_proxy_accepts_is_found_before_the_write(bed: Bed) {
    keep_own(&bed);
    let stage = Stage::with(bed, &EXTERNAL);
    let without = ["--without-gate", "--reason", "a test", "--to", TO];
    let flags = [&without[..], &EXTERNAL, &["--preflight"]].concat();
    let run = stage.run("", &flags);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let refused = |part: &str| {
        let run = stage.run("", &flags);
        assert_eq!(run.code, Some(1), "{}", run.said());
        for part in [
            part,
            "hint: see to it where it is kept, such as in cert-manager",
        ] {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
    };
    let expired = MeshIdentity::expired().unwrap().issuer;
    keep(&stage.bed, [&expired.certificate, &expired.key]);
    refused("the issuer's certificate expired at 2021-01-01T00:00:00Z");
    let webhooks = "/api/v1/namespaces/linkerd/secrets/linkerd-sp-validator-k8s-tls";
    let other = json!({ "data": stage.bed.get(webhooks).unwrap()["data"] });
    stage.bed.merge(SECRET, &other).unwrap();
    refused("no trust anchor signed the issuer's certificate");
    stage.assert_unchanged(false);
}
