//! The part of the chart's values that the injector reads.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::release::Release;

/// The control plane's namespace.
pub(crate) const NAMESPACE: &str = "linkerd";
pub(super) const SERVICE: &str = "linkerd-proxy-injector";
/// The X of the first 2.X with native sidecars.
const FIRST_WITH_NATIVE: u32 = 15;
/// The X of the first 2.X whose proxies have tokens of their own, and a hash of the trust roots.
const FIRST_WITH_TOKENS: u32 = 12;
/// The X of the first 2.X whose proxy image also does the work of `linkerd-init`.
const FIRST_WITHOUT_INIT_IMAGE: u32 = 20;

/// The chart's values from the ConfigMap `linkerd-config`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Values {
    linkerd_version: String,
    #[serde(default)]
    cni_enabled: bool,
    proxy: ProxyValues,
    #[serde(default)]
    proxy_init: InitValues,
    #[serde(default)]
    identity: IdentityValues,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct IdentityValues {
    service_account_token_projection: bool,
}

impl Default for IdentityValues {
    fn default() -> Self {
        Self {
            service_account_token_projection: true,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProxyValues {
    image: Image,
    #[serde(default)]
    native_sidecar: bool,
    #[serde(default = "yes", rename = "await")]
    awaited: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct InitValues {
    image: Option<Image>,
}

#[derive(Clone, Debug, Deserialize)]
struct Image {
    name: String,
    #[serde(default)]
    version: Option<String>,
}

fn yes() -> bool {
    true
}

// === impl Values ===

impl Values {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(serde_norway::from_str(text)?)
    }

    pub(super) fn minor(&self) -> u32 {
        Release::parse(&self.linkerd_version).map_or(FIRST_WITH_NATIVE - 1, |release| release.minor)
    }

    /// Returns true if a proxy gets a token of its own, so that its pod needs none.
    pub(super) fn projects_tokens(&self) -> bool {
        self.minor() >= FIRST_WITH_TOKENS && self.identity.service_account_token_projection
    }

    /// Returns true if the injector writes the hash of the trust roots on pods.
    pub(super) fn stamps_anchors(&self) -> bool {
        self.minor() >= FIRST_WITH_TOKENS && self.linkerd_version != "stable-2.12.0"
    }

    pub(super) fn version(&self) -> &str {
        &self.linkerd_version
    }

    pub(super) fn proxy_image(&self) -> &str {
        &self.proxy.image.name
    }

    pub(super) fn awaits_proxy(&self) -> bool {
        self.proxy.awaited
    }

    /// Returns true if the proxy is a native sidecar; `asked` is the annotation's value.
    pub(super) fn is_native(&self, asked: Option<&str>) -> bool {
        self.minor() >= FIRST_WITH_NATIVE
            && match asked {
                Some("true") => true,
                Some("false") => false,
                Some(_) | None => self.proxy.native_sidecar,
            }
    }

    pub(super) fn proxy_tag(&self) -> String {
        let pinned = self
            .proxy
            .image
            .version
            .as_ref()
            .filter(|version| !version.is_empty());
        pinned.unwrap_or(&self.linkerd_version).clone()
    }

    pub(super) fn init_container(&self, proxy_image: &str) -> Value {
        if self.cni_enabled {
            return json!({ "name": "linkerd-network-validator", "image": proxy_image });
        }
        match &self.proxy_init.image {
            Some(image) if self.minor() < FIRST_WITHOUT_INIT_IMAGE => {
                let tag = image.version.as_deref().unwrap_or_default();
                json!({ "name": "linkerd-init", "image": format!("{}:{tag}", image.name) })
            }
            Some(_) | None => {
                let command = ["/usr/lib/linkerd/linkerd2-proxy-init"];
                json!({ "name": "linkerd-init", "image": proxy_image, "command": command })
            }
        }
    }
}
