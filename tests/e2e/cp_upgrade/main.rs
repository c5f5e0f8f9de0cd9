//! `mesh-cp-upgrade` through the real helm on real servers, and through a linkerd CLI on either bed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cli;
mod helm;
mod killed;
mod locked;
mod refused;
mod stage;
mod watched;

use crate::stage::Stage;

// No line of the issuer's key, as PEM or as a Secret has it, in anything that was said.
pub(crate) fn assert_no_secret(stage: &Stage, stdout: &[u8], stderr: &str) {
    let values = std::fs::read_to_string(&stage.charts.values).unwrap();
    let key = values.split("PRIVATE KEY-----").nth(1).unwrap();
    let line = key
        .lines()
        .map(str::trim)
        .find(|line| line.len() > 40)
        .unwrap();
    let issuer = "/api/v1/namespaces/linkerd/secrets/linkerd-identity-issuer";
    let issuer = stage.bed.get(issuer).unwrap();
    let secret = issuer["data"]["key.pem"].as_str().unwrap();
    for needle in [line, secret] {
        assert!(!String::from_utf8_lossy(stdout).contains(needle));
        assert!(!stderr.contains(needle));
    }
}
