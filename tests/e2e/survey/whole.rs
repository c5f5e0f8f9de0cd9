//! Tests the control plane, the extensions, and the whole stream.

use mesh_testbed::Bed;
use mesh_tests::{Run, Toolbox, of_type, on_both_beds, toolbox};
use serde_json::Value;

use crate::{counts, records, survey, text, workload};

const OPERATIONS: &str = include_str!("../../../docs/operations.md");

on_both_beds! {
    sharing crate::cluster::CLUSTER;
    a_control_plane_is_described_with_its_components_identity_and_origin
    workloads_whose_policies_leave_out_the_proxys_port_are_named
    extensions_have_the_version_that_their_objects_state
    scope_by_namespace_or_selector_is_said_and_keeps_the_control_plane
    the_same_cluster_gives_the_same_records_in_a_fixed_order
    [Kubectl]
    from_a_dump_shows_what_its_server_shows_but_is_never_a_server
}

fn a_control_plane_is_described_with_its_components_identity_and_origin(bed: &Bed) {
    let records = records(survey(&toolbox!(), bed, &[]));
    let [plane] = of_type(&records, "control_plane")[..] else {
        panic!("one control plane")
    };
    let names: Vec<&str> = plane["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| text(&it["name"]))
        .collect();
    assert_eq!(
        names,
        [
            "linkerd-destination",
            "linkerd-identity",
            "linkerd-proxy-injector"
        ]
    );
    for component in plane["components"].as_array().unwrap() {
        assert_eq!(component["version"], "stable-2.13.7");
        assert_eq!(component["proxies"][0]["count"], 1, "{component}");
    }
    let facts = [
        ("version", "stable-2.13.7"),
        ("injects", "stable-2.13.7"),
        ("state", "settled"),
        (
            "installed_by",
            if bed.as_lab().is_some() {
                "cli"
            } else {
                "helm"
            },
        ),
    ];
    for (field, expected) in facts {
        assert_eq!(plane[field], expected, "{field}");
    }
    // The injector writes its bundle's hash on pods, so the hash on a new pod must equal the
    // survey's.
    let pods = bed
        .get("/api/v1/namespaces/shop/pods?labelSelector=app%3Ddb")
        .unwrap();
    let annotations = &pods["items"][0]["metadata"]["annotations"];
    let stamped = &annotations["linkerd.io/trust-root-sha256"];
    assert_eq!(&plane["trust_anchors_sha256"], stamped);
    assert_eq!(
        workload(&records, "shop/StatefulSet/db")["trust_anchors"],
        "current"
    );
    assert_eq!(plane["webhooks"][0]["ready_endpoints"], 1);
    assert!(
        plane["certificates"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["readable"] == true)
    );
}

fn workloads_whose_policies_leave_out_the_proxys_port_are_named(bed: &Bed) {
    let records = records(survey(&toolbox!(), bed, &[]));
    let plane = of_type(&records, "control_plane")[0];
    let expected = serde_json::json!({"count": 1, "workloads": ["shop/Deployment/web"]});
    assert_eq!(plane["facts"]["network_policies_without_4143"], expected);
}

fn extensions_have_the_version_that_their_objects_state(bed: &Bed) {
    let records = records(survey(&toolbox!(), bed, &[]));
    let found: Vec<[&str; 3]> = of_type(&records, "extension")
        .into_iter()
        .map(|it| ["name", "namespace", "version"].map(|field| text(&it[field])))
        .collect();
    let expected = [
        ["cni", "linkerd-cni", "stable-2.13.7"],
        ["viz", "linkerd-viz", "stable-2.12.6"],
    ];
    assert_eq!(found, expected);
}

fn scope_by_namespace_or_selector_is_said_and_keeps_the_control_plane(bed: &Bed) {
    let tools = toolbox!();
    let whole = records(survey(&tools, bed, &[]));
    let part = records(survey(&tools, bed, &["-n", "shop"]));
    assert_eq!(part[0]["scope"]["namespaces"], serde_json::json!(["shop"]));
    let mut expected = counts(&whole);
    expected.retain(|name, _| name.starts_with("shop/"));
    assert_eq!(counts(&part), expected);
    let selected = records(survey(&tools, bed, &["-l", "app=db"]));
    assert_eq!(
        counts(&selected).into_keys().collect::<Vec<_>>(),
        ["shop/StatefulSet/db"]
    );
    for records in [&part, &selected] {
        let plane = |records| of_type(records, "control_plane")[0]["components"].clone();
        assert_eq!(plane(records), plane(&whole));
    }
}

fn the_same_cluster_gives_the_same_records_in_a_fixed_order(bed: &Bed) {
    let tools = toolbox!();
    let lines = || {
        let survey = survey(&tools, bed, &["--pods"]);
        assert_eq!(survey.code, Some(0), "{}", survey.stderr);
        let order: Vec<String> = survey
            .records
            .iter()
            .map(|it| text(&it["type"]).to_owned())
            .collect();
        (
            survey
                .stdout
                .lines()
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>(),
            order,
        )
    };
    let (first, order) = lines();
    assert_eq!(lines().0, first);
    let rank = |kind: &String| {
        [
            "stream",
            "control_plane",
            "extension",
            "workload",
            "proxy",
            "anomaly",
            "unseen",
            "end",
        ]
        .iter()
        .position(|known| known == kind)
    };
    assert!(order.is_sorted_by_key(rank), "{order:?}");
}

fn from_a_dump_shows_what_its_server_shows_but_is_never_a_server(bed: &Bed) {
    let tools = toolbox!();
    let served = records(survey(&tools, bed, &["--cluster-name", "testbed"]));
    for form in ["json", "yaml"] {
        let dumped = records(dumped(&tools, bed, form));
        assert_eq!(dumped[0]["scope"], serde_json::json!({}), "{form}");
        for kind in ["workload", "extension", "anomaly"] {
            assert_eq!(of_type(&dumped, kind), of_type(&served, kind), "{form}");
        }
        let plane = |records: &[Value]| {
            let mut plane = of_type(records, "control_plane")[0].clone();
            // They are in Secrets.
            plane.as_object_mut().unwrap().remove("certificates");
            for webhook in plane["webhooks"].as_array_mut().unwrap() {
                webhook.as_object_mut().unwrap().remove("trusted");
            }
            plane
        };
        assert_eq!(plane(&dumped), plane(&served), "{form}");
        assert_eq!(dumped[0]["cluster_uid"], served[0]["cluster_uid"]);
        assert_eq!(dumped[0]["time"], TAKEN);
        assert_eq!(
            (&dumped[0]["source"], &served[0]["source"]),
            (&Value::from("dump"), &Value::from("server"))
        );
    }
}

const TAKEN: &str = "2026-03-02T09:15:04Z";

/// Surveys the dump that the command in the docs makes.
fn dumped(tools: &Toolbox, bed: &Bed, form: &str) -> Run {
    let command = OPERATIONS
        .lines()
        .find_map(|line| line.strip_prefix("kubectl get namespaces,"));
    let (kinds, _) = command.unwrap().split_once(' ').unwrap();
    let kinds = kinds.split(',').filter(|kind| {
        // The lab has no such kind.
        bed.as_lab().is_none() || *kind != "replicationcontrollers"
    });
    let kinds: Vec<&str> = ["namespaces"].into_iter().chain(kinds).collect();
    let folder = tools.folder().join(form);
    std::fs::create_dir(&folder).unwrap();
    let write = |name: &str, args: &[&str]| {
        let text = bed.kubectl(args.iter().copied()).unwrap();
        std::fs::write(folder.join(format!("{name}.{form}")), text).unwrap();
    };
    write("dump", &["get", &kinds.join(","), "-A", "-o", form]);
    // An object of two files counts once.
    write("pods", &["get", "pods", "-A", "-o", form]);
    write("version", &["version", "-o", form]);
    let mut command = tools.run("mesh-survey");
    command.args(["--cluster-name", "testbed", "--taken-at", TAKEN, "--from"]);
    command.arg(&folder).output().unwrap().into()
}
