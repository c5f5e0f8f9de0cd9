use serde_json::{Value, json};

use crate::{Server, core, map, on_both, text, version};

on_both!(
    a_merge_patch_sets_and_removes,
    a_patch_that_changes_nothing_makes_no_version,
    applying_creates_and_then_merges,
    a_json_patch_fails_on_a_failed_test,
);

fn a_merge_patch_sets_and_removes(server: &Server<'_>) {
    server.home("merged");
    let maps = core("merged", "configmaps");
    let mut object = map("one", &json!({ "keep": "1", "drop": "2" }));
    object["data"] = json!({ "a": "1" });
    let made = server.create(&maps, &object);
    let patch =
        json!({ "metadata": { "labels": { "drop": null, "new": "3" } }, "data": { "b": "2" } });
    let patched = server.patch(&format!("{maps}/one"), &patch);
    assert_eq!(
        patched["metadata"]["labels"],
        json!({ "keep": "1", "new": "3" })
    );
    assert_eq!(patched["data"], json!({ "a": "1", "b": "2" }));
    assert!(version(&patched) > version(&made));
    for field in ["uid", "creationTimestamp"] {
        assert_eq!(patched["metadata"][field], made["metadata"][field]);
        assert!(!text(&made["metadata"], &format!("/{field}")).is_empty());
    }
}

fn a_patch_that_changes_nothing_makes_no_version(server: &Server<'_>) {
    server.home("unchanged");
    let maps = core("unchanged", "configmaps");
    let made = server.create(&maps, &map("one", &json!({ "a": "b" })));
    let patched = server.patch(
        &format!("{maps}/one"),
        &json!({ "metadata": { "labels": { "a": "b" } } }),
    );
    assert_eq!(version(&patched), version(&made));
}

fn applying_creates_and_then_merges(server: &Server<'_>) {
    server.home("applied");
    let one = format!(
        "{}?fieldManager=me&force=true",
        core("applied", "configmaps/one")
    );
    let apply = |data: Value| {
        let body = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "one" }, "data": data });
        server.send("PATCH", &one, "application/apply-patch+yaml", &body)
    };
    let (code, made) = apply(json!({ "a": "1" }));
    assert_eq!(code, 201);
    server.patch(
        &core("applied", "configmaps/one"),
        &json!({ "data": { "other": "2" } }),
    );
    let (code, merged) = apply(json!({ "a": "3" }));
    assert_eq!(
        (code, &merged["data"]),
        (200, &json!({ "a": "3", "other": "2" }))
    );
    assert_eq!(merged["metadata"]["uid"], made["metadata"]["uid"]);
    let (_, same) = apply(json!({ "a": "3" }));
    assert_eq!(version(&same), version(&merged), "nothing was to be done");
}

fn a_json_patch_fails_on_a_failed_test(server: &Server<'_>) {
    server.home("tested");
    let one = core("tested", "configmaps/one");
    let mut object = map("one", &json!({}));
    object["data"] = json!({ "a": "1" });
    server.create(&core("tested", "configmaps"), &object);
    let patch = |was: &str| {
        let body = json!([
            { "op": "test", "path": "/data/a", "value": was },
            { "op": "replace", "path": "/data/a", "value": "2" },
        ]);
        server
            .send("PATCH", &one, "application/json-patch+json", &body)
            .0
    };
    assert_eq!((patch("other"), patch("1")), (422, 200));
    assert_eq!(server.get(&one)["data"]["a"], "2");
}
