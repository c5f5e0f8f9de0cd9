use serde_json::{Value, json};

use crate::{Server, core, map, on_both, text, version};

on_both!(
    a_watch_goes_on_where_a_list_ended,
    an_object_that_ceases_to_match_is_deleted_for_its_watcher,
    a_watch_ends_in_time_and_with_a_bookmark,
    a_watch_without_a_version_begins_with_what_there_is,
);

fn kinds(events: &[Value]) -> Vec<(&str, &str)> {
    let events = events.iter();
    events
        .map(|event| (text(event, "/type"), text(event, "/object/metadata/name")))
        .collect()
}

fn a_watch_goes_on_where_a_list_ended(server: &Server<'_>) {
    server.home("followed");
    let maps = core("followed", "configmaps");
    server.create(&maps, &map("before", &json!({ "seen": "" })));
    let from = version(&server.get(&maps));
    server.create(&maps, &map("after", &json!({ "seen": "" })));
    server.patch(&format!("{maps}/after"), &json!({ "data": { "a": "b" } }));
    let last = version(&server.get(&format!("{maps}/after")));
    server.delete(&format!("{maps}/after"), &Value::Null);
    let watch =
        format!("{maps}?labelSelector=seen&watch=true&timeoutSeconds=30&resourceVersion={from}");
    let events = server
        .bed
        .events(&watch, |events| events.len() == 3)
        .unwrap();
    assert_eq!(
        kinds(&events),
        [
            ("ADDED", "after"),
            ("MODIFIED", "after"),
            ("DELETED", "after")
        ]
    );
    assert!(
        version(&events[2]["object"]) > last,
        "the end has a version of its own"
    );
    assert_eq!(text(&events[0], "/object/kind"), "ConfigMap");
}

fn an_object_that_ceases_to_match_is_deleted_for_its_watcher(server: &Server<'_>) {
    server.home("transitions");
    let maps = core("transitions", "configmaps");
    let from = version(&server.get(&maps));
    server.create(&maps, &map("one", &json!({ "in": "no" })));
    let label = |value: &str| json!({ "metadata": { "labels": { "in": value } } });
    for value in ["yes", "no", "yes"] {
        server.patch(&format!("{maps}/one"), &label(value));
    }
    let left = version(&server.get(&format!("{maps}/one")));
    let watch = format!(
        "{maps}?labelSelector=in%3Dyes&watch=true&timeoutSeconds=30&resourceVersion={from}"
    );
    let events = server
        .bed
        .events(&watch, |events| events.len() == 3)
        .unwrap();
    assert_eq!(
        kinds(&events),
        [("ADDED", "one"), ("DELETED", "one"), ("ADDED", "one")]
    );
    assert_eq!(
        events[1]["object"]["metadata"]["labels"]["in"], "yes",
        "as it was when it matched"
    );
    assert!(version(&events[1]["object"]) > version(&events[0]["object"]));
    assert_eq!(version(&events[2]["object"]), left);
}

fn a_watch_ends_in_time_and_with_a_bookmark(server: &Server<'_>) {
    server.home("marked");
    let maps = core("marked", "configmaps");
    let from = version(&server.get(&maps));
    let made = server.create(&maps, &map("one", &json!({})));
    let watch = format!(
        "{maps}?watch=true&timeoutSeconds=8&allowWatchBookmarks=true&resourceVersion={from}"
    );
    // A busy server may end a watch before it sends the bookmark; bookmarks are not guaranteed.
    let marked = || {
        let events = server.bed.events(&watch, |_| false).unwrap();
        events
            .into_iter()
            .rfind(|event| event["type"] == "BOOKMARK")
    };
    let mark = std::iter::repeat_with(marked).take(5).flatten().next();
    let mark = &mark.expect("one watch of five ends with a bookmark");
    assert!(version(&mark["object"]) >= version(&made));
    assert_eq!(text(mark, "/object/kind"), "ConfigMap");
}

fn a_watch_without_a_version_begins_with_what_there_is(server: &Server<'_>) {
    server.home("begun");
    let maps = core("begun", "configmaps");
    server.create(&maps, &map("one", &json!({ "begun": "" })));
    for from in ["", "&resourceVersion=0"] {
        let watch = format!("{maps}?labelSelector=begun&watch=true&timeoutSeconds=30{from}");
        let events = server
            .bed
            .events(&watch, |events| !events.is_empty())
            .unwrap();
        assert_eq!(kinds(&events), [("ADDED", "one")], "{from}");
    }
}

#[test]
fn a_version_that_is_too_old_is_gone_and_open_watches_go_on() {
    let bed = mesh_testbed::Bed::lab().unwrap();
    let server = Server { bed: &bed };
    let maps = core("default", "configmaps");
    let from = version(&server.get(&maps));
    server.create(&maps, &map("one", &json!({})));
    let watch = format!("{maps}?watch=true&timeoutSeconds=30&resourceVersion={from}");
    let mut compacted = false;
    let events = bed.events(&watch, |events| {
        if !compacted {
            compacted = true;
            bed.as_lab().unwrap().compact();
            let late = map("two", &json!({}));
            bed.spawn({
                let client = bed.client();
                async move {
                    let body = late.to_string().into_bytes();
                    let post = http::Request::post("/api/v1/namespaces/default/configmaps")
                        .body(body)
                        .unwrap();
                    drop(client.request_text(post).await);
                }
            });
        }
        events.len() == 2
    });
    assert_eq!(
        kinds(&events.unwrap()),
        [("ADDED", "one"), ("ADDED", "two")]
    );
    let events = bed.events(&watch, |_| false).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (text(&events[0], "/type"), &events[0]["object"]["code"]),
        ("ERROR", &json!(410))
    );
}
