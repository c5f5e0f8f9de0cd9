use serde_json::{Value, json};

use crate::{Server, apps, core, count, on_both, text, workload};

on_both!(a_webhook_that_must_answer_and_does_not_keeps_pods_away);

const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

fn webhook(home: &str, policy: &str) -> Value {
    let rule = json!({ "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"] });
    let hook = json!({
        "name": "nobody.example.com",
        "clientConfig": { "service": { "name": "nobody", "namespace": home, "path": "/" } },
        "rules": [rule],
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": home } },
        "objectSelector": { "matchExpressions": [{ "key": "spared", "operator": "DoesNotExist" }] },
        "failurePolicy": policy,
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
    });
    json!({ "metadata": { "name": home }, "webhooks": [hook] })
}

fn a_webhook_that_must_answer_and_does_not_keeps_pods_away(server: &Server<'_>) {
    server.home("guarded");
    let configuration = server.create(WEBHOOKS, &webhook("guarded", "Fail"));
    assert_eq!(count(&configuration, "/metadata/generation"), 1);
    // The configuration reaches the admission chain a moment after it is stored.
    server.create(
        &apps("guarded", "deployments"),
        &workload("web", &json!({ "replicas": 0 })),
    );
    let refused = || server.post(&core("guarded", "pods?dryRun=All"), &crate::pod("probe"));
    let mut answer = refused();
    while answer.0 == 201 {
        answer = refused();
    }
    assert_eq!(
        (answer.0, text(&answer.1, "/reason")),
        (500, "InternalError")
    );
    assert!(
        text(&answer.1, "/message").contains("failed calling webhook \"nobody.example.com\""),
        "{}",
        answer.1
    );
    let mut spared = crate::pod("probe");
    spared["metadata"]["labels"]["spared"] = "yes".into();
    assert_eq!(
        server.post(&core("guarded", "pods?dryRun=All"), &spared).0,
        201
    );
    server.patch(
        &apps("guarded", "deployments/web"),
        &json!({ "spec": { "replicas": 1 } }),
    );
    let seen = |event: &Value| count(event, "/object/status/observedGeneration") == 2;
    let events = server.until(&apps("guarded", "deployments"), seen);
    assert_eq!(
        count(&events.last().unwrap()["object"], "/status/replicas"),
        0
    );
    server.patch(
        &format!("{WEBHOOKS}/guarded"),
        &json!({ "webhooks": webhook("guarded", "Ignore")["webhooks"] }),
    );
    let available = |event: &Value| count(event, "/object/status/availableReplicas") == 1;
    server.until(&apps("guarded", "deployments"), available);
    server.delete(&format!("{WEBHOOKS}/guarded"), &Value::Null);
}
