//! Kubeconfig files, as JSON, which is YAML.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::pki::Pair;

/// How a client proves who it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Credentials<'a> {
    Certificate(&'a Pair),
    Token(&'a str),
}

pub(crate) fn render(
    context: &str,
    server: &str,
    authority: &str,
    credentials: Credentials<'_>,
) -> Vec<u8> {
    let user = match credentials {
        Credentials::Certificate(pair) => json!({
            "client-certificate-data": STANDARD.encode(&pair.certificate),
            "client-key-data": STANDARD.encode(&pair.key),
        }),
        Credentials::Token(token) => json!({ "token": token }),
    };
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{ "name": context, "context": { "cluster": "testbed", "user": "testbed" } }],
        "clusters": [{ "name": "testbed", "cluster": {
            "server": server,
            "certificate-authority-data": STANDARD.encode(authority),
        } }],
        "users": [{ "name": "testbed", "user": user }],
    });
    serde_json::to_vec_pretty(&config).expect("a JSON value serializes")
}
