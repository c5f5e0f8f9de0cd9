//! Writes kubeconfig files as JSON, which is valid YAML.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::pki::Pair;

/// How a client authenticates.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Credentials<'a> {
    Certificate(&'a Pair),
    Token(&'a str),
    /// No credentials, for the lab.
    None,
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
        Credentials::None => json!({}),
    };
    let mut cluster = json!({ "server": server });
    if server.starts_with("https:") {
        cluster["certificate-authority-data"] = STANDARD.encode(authority).into();
    }
    let config: Value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{ "name": context, "context": { "cluster": "testbed", "user": "testbed" } }],
        "clusters": [{ "name": "testbed", "cluster": cluster }],
        "users": [{ "name": "testbed", "user": user }],
    });
    serde_json::to_vec_pretty(&config).expect("a JSON value serializes")
}
