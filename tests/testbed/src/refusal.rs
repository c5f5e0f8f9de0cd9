//! An admission webhook of somebody else's that refuses whatever it is asked about.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{bed::Bed, injector::tls_acceptor, pki::Pair, webhook::serve};

impl Bed {
    /// Serves such a webhook, which says `message`, until the bed ends. Returns the `clientConfig` that
    /// leads to it.
    pub fn refusing_webhook(&self, message: &'static str) -> anyhow::Result<Value> {
        let home = self.ground.home();
        let Pair { certificate, key } = Pair::self_signed(&home.to_string())?;
        let acceptor = tls_acceptor(certificate.as_bytes(), key.as_bytes())?;
        let listener = self.block_on(TcpListener::bind((home, 0)));
        let listener = listener.context("listening for the webhook")?;
        let url = format!("https://{}/", listener.local_addr()?);
        let journal = self.journal.clone();
        self.spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let (acceptor, journal) = (acceptor.clone(), journal.clone());
                tokio::spawn(async move {
                    let refuse = |review: Bytes| async move { refusal(&review, message) };
                    if let Err(error) = serve(stream, &acceptor, &journal, refuse).await {
                        journal.note("refusing webhook", format!("{peer}: {error:#}"));
                    }
                });
            }
        });
        Ok(json!({ "url": url, "caBundle": STANDARD.encode(certificate) }))
    }
}

fn refusal(review: &[u8], message: &str) -> anyhow::Result<Vec<u8>> {
    let review: Value = serde_json::from_slice(review).context("reading the admission review")?;
    let status = json!({ "message": message });
    let response = json!({ "uid": review["request"]["uid"], "allowed": false, "status": status });
    let answer =
        json!({ "apiVersion": review["apiVersion"], "kind": review["kind"], "response": response });
    Ok(answer.to_string().into_bytes())
}
