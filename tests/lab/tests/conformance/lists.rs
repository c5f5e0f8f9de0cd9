use serde_json::{Value, json};

use crate::{Server, core, map, names, ok, on_both, text, version};

on_both!(
    a_list_in_pages_is_one_snapshot_in_order,
    label_selectors_choose_what_is_listed,
    a_list_of_metadata_has_nothing_else,
    a_list_knows_its_kind_and_its_items_do_not,
    what_is_missing_is_not_found,
    the_server_says_who_asks_and_what_it_is,
    a_group_lists_its_kinds,
);

fn a_list_in_pages_is_one_snapshot_in_order(server: &Server<'_>) {
    server.home("pages");
    let label = json!({ "paged": "yes" });
    server.create(&core("pages", "configmaps"), &map("x", &json!({})));
    for name in ["c", "d", "a", "b"] {
        server.create(&core("pages", "configmaps"), &map(name, &label));
    }
    let first = server.get("/api/v1/configmaps?labelSelector=paged&limit=2");
    server.create(&core("pages", "configmaps"), &map("e", &label));
    let mut seen = vec![names(&first)];
    let mut page = first.clone();
    while let token @ 1.. = text(&page, "/metadata/continue").len() {
        assert!(token > 0);
        let rest = text(&page, "/metadata/continue");
        page = server.get(&format!(
            "/api/v1/configmaps?labelSelector=paged&limit=2&continue={rest}"
        ));
        assert_eq!(
            version(&page),
            version(&first),
            "one snapshot has one version"
        );
        seen.push(names(&page));
    }
    let wanted: [&[&str]; 3] = [&["a", "b"], &["c", "d"], &[]];
    assert_eq!(
        seen, wanted,
        "a page that is full says nothing about the rest"
    );
    let all = server.get(&core("pages", "configmaps?labelSelector=paged"));
    assert_eq!(names(&all), ["a", "b", "c", "d", "e"]);
    assert!(version(&all) > version(&first));
}

fn label_selectors_choose_what_is_listed(server: &Server<'_>) {
    server.home("selected");
    let maps = core("selected", "configmaps");
    server.create(
        &maps,
        &map("one", &json!({ "app": "web", "tier": "front" })),
    );
    server.create(&maps, &map("two", &json!({ "app": "api" })));
    server.create(&maps, &map("three", &json!({ "tier": "back" })));
    let table: [(&str, &[&str]); 7] = [
        ("app%20in%20(web,none)", &["one"]),
        ("tier,app%20in%20(web,api),app", &["one"]),
        ("app", &["one", "two"]),
        ("app,tier", &["one"]),
        ("app%3Dweb", &["one"]),
        ("app%3D%3Dweb", &["one"]),
        ("app%3Dnone", &[]),
    ];
    for (selector, wanted) in table {
        let found = server.names(&format!("{maps}?labelSelector={selector}"));
        assert_eq!(found, wanted, "{selector}");
    }
    let named = server.names(&format!("{maps}?fieldSelector=metadata.name%3Dtwo"));
    assert_eq!(named, ["two"]);
}

fn a_list_of_metadata_has_nothing_else(server: &Server<'_>) {
    server.home("metadata");
    let (maps, mut object) = (
        core("metadata", "configmaps"),
        map("one", &json!({ "only": "me" })),
    );
    object["data"] = json!({ "a": "b" });
    server.create(&maps, &object);
    let form = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = server.send(
        "GET",
        &format!("{maps}?labelSelector=only"),
        form,
        &Value::Null,
    );
    let list = ok(list, &maps);
    assert_eq!(text(&list, "/kind"), "PartialObjectMetadataList");
    let fields: Vec<_> = list["items"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["apiVersion", "kind", "metadata"]);
    assert_eq!(list["items"][0]["metadata"]["labels"]["only"], "me");
    let form = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let one = format!("{maps}/one");
    let one = ok(server.send("GET", &one, form, &Value::Null), &one);
    assert_eq!(
        (text(&one, "/kind"), one.get("data")),
        ("PartialObjectMetadata", None)
    );
}

fn a_list_knows_its_kind_and_its_items_do_not(server: &Server<'_>) {
    let list = server.get("/api/v1/namespaces");
    assert_eq!(
        (text(&list, "/kind"), text(&list, "/apiVersion")),
        ("NamespaceList", "v1")
    );
    assert!(names(&list).contains(&"kube-system".to_owned()));
    assert_eq!(list["items"][0].get("kind"), None);
    let one = server.get("/api/v1/namespaces/kube-system");
    assert_eq!(
        (text(&one, "/kind"), text(&one, "/apiVersion")),
        ("Namespace", "v1")
    );
    assert_eq!(
        one["metadata"]["labels"]["kubernetes.io/metadata.name"],
        "kube-system"
    );
}

fn what_is_missing_is_not_found(server: &Server<'_>) {
    let paths = [
        core("default", "configmaps/none"),
        core("no-such-namespace", "pods/none"),
    ];
    for path in paths {
        let (code, body) = server.ask(&path);
        assert_eq!(
            (code, text(&body, "/reason"), &body["code"]),
            (404, "NotFound", &json!(404)),
            "{path}"
        );
        assert_eq!(text(&body, "/kind"), "Status");
    }
    let (code, body) = server.ask("/apis/example.com/v1/things");
    assert_eq!((code, body), (404, "404 page not found\n".into()));
    assert!(server.names(&core("no-such-namespace", "pods")).is_empty());
}

fn the_server_says_who_asks_and_what_it_is(server: &Server<'_>) {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let answer = server.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review);
    assert_eq!(answer["status"]["userInfo"]["username"], "testbed-admin");
    let attributes = json!({ "verb": "list", "resource": "pods" });
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    });
    let answer = server.create(
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        &review,
    );
    assert_eq!(answer["status"]["allowed"], true);
    let known = server.get("/version");
    let git = text(&known, "/gitVersion")
        .trim_start_matches('v')
        .to_owned();
    assert_eq!(
        git.split('.')
            .filter(|part| part.parse::<u32>().is_ok())
            .count(),
        3,
        "{known}"
    );
}

fn a_group_lists_its_kinds(server: &Server<'_>) {
    for (path, plural, kind, namespaced) in [
        ("/api/v1", "namespaces", "Namespace", false),
        ("/api/v1", "configmaps", "ConfigMap", true),
        ("/apis/apps/v1", "deployments", "Deployment", true),
        (
            "/apis/policy/v1",
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            true,
        ),
    ] {
        let list = server.get(path);
        let mut kinds = list["resources"].as_array().unwrap().iter();
        let found = kinds.find(|one| one["name"] == plural).unwrap();
        assert_eq!(
            (text(found, "/kind"), &found["namespaced"]),
            (kind, &json!(namespaced))
        );
    }
    assert_eq!(server.ask("/apis/example.com/v1").0, 404);
}

// Only on the lab, because a real server expires tokens only after minutes.
#[test]
fn a_token_that_has_expired_is_gone() {
    let bed = mesh_testbed::Bed::lab().unwrap();
    let server = Server { bed: &bed };
    let page = server.get("/api/v1/namespaces?limit=1");
    let next = format!(
        "/api/v1/namespaces?limit=1&continue={}",
        text(&page, "/metadata/continue")
    );
    server.get(&next);
    bed.as_lab().unwrap().compact();
    let (code, body) = server.ask(&next);
    assert_eq!((code, text(&body, "/reason")), (410, "Expired"));
}

#[test]
fn what_the_lab_does_not_know_is_said_and_kept() {
    let bed = mesh_testbed::Bed::lab().unwrap();
    let server = Server { bed: &bed };
    for path in [
        "/apis/storage.k8s.io/v1/storageclasses",
        "/api/v1/namespaces?sendInitialEvents=true",
    ] {
        assert_eq!(server.ask(path).0, 501, "{path}");
    }
    assert_eq!(bed.as_lab().unwrap().unknown().len(), 2);
}
