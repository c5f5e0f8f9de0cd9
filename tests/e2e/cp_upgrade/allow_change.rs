//! `--allow-change`.

use mesh_testbed::Bed;
use mesh_tests::on_both_beds;

use crate::stage::Stage;

on_both_beds! {
    allow_change_lets_the_named_value_change_and_no_other
}

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
