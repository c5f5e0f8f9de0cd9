//! The identity settings of a mesh. None of them changes unless `--allow-change` says so.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use mesh_cluster::control_plane::{Config, pem};
use mesh_cluster::object::ConfigMap;
use mesh_cluster::object::label;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::render::Rendered;

/// The identity settings of a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) anchors: Anchors,
    pub(crate) issuer: Issuer,
    pub(crate) trust_domain: String,
    pub(crate) cluster_domain: String,
    pub(crate) cni: bool,
    pub(crate) replicas: u64,
    pub(crate) failure_policy: String,
}

/// The fingerprints of certificates; their order does not matter.
pub(crate) type Certificates = BTreeSet<String>;

/// Where the trust anchors come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Anchors {
    /// From the values.
    Chart(Certificates),
    /// From a ConfigMap that somebody else keeps (`identity.externalCA`); an upgrade does not change
    /// it.
    External,
}

/// Where the issuer's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Issuer {
    /// From the values.
    Chart(Certificates),
    /// Kept by somebody else, such as cert-manager; an upgrade does not change it.
    External,
    /// The certificate could not be read.
    Unreadable,
}

/// A value that an upgrade may be allowed to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Key {
    /// The trust anchors
    Anchors,
    /// The issuer's certificate
    Issuer,
    /// The trust domain
    TrustDomain,
    /// The cluster domain
    ClusterDomain,
    /// Whether the Linkerd CNI plugin sets up the network of pods
    Cni,
    /// High availability: replicas and the webhooks' failure policy
    Ha,
    /// The deletion of custom resource definitions (CRDs) and all their objects
    Crds,
    /// Images that stay as they are and whose tag is no Linkerd version
    Images,
}

/// A value that would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) from: String,
    pub(crate) to: String,
    /// What else to call it.
    pub(crate) known_as: Option<&'static str>,
}

/// Returns the settings that would change.
pub(crate) fn changes(live: &Identity, rendered: &Identity) -> Vec<Change> {
    let both = live.settings().into_iter().zip(rendered.settings());
    let table = both.map(|((key, from), (_, to))| (key, from, to));
    let differing = table.filter(|(_, from, to)| from != to);
    let switched = match (live.is_ha(), rendered.is_ha()) {
        (true, false) => Some("high availability would be switched off"),
        (false, true) => Some("high availability would be switched on"),
        (true, true) | (false, false) => None,
    };
    differing
        .map(|(key, from, to)| Change {
            key,
            from,
            to,
            known_as: switched.filter(|_| key == Key::Ha),
        })
        .collect()
}

// === impl Identity ===

impl Identity {
    /// Reads the identity settings from a configuration and its objects. For absent values the
    /// chart's defaults count. `anchors` is read unless they are kept elsewhere.
    pub(crate) fn of(
        config: &Config,
        anchors: Option<&ConfigMap>,
        issuer: Issuer,
    ) -> anyhow::Result<Self> {
        let facts = config.facts();
        let text = |name: &str| facts.get(name).and_then(Value::as_str);
        let cluster_domain = text("cluster_domain").unwrap_or("cluster.local");
        let trust_domain = text("trust_domain").unwrap_or(cluster_domain);
        let anchors = match anchors {
            None => Anchors::External,
            Some(anchors) => {
                let bundle = anchors.data.get("ca-bundle.crt");
                let bundle = bundle
                    .context("the ConfigMap linkerd-identity-trust-roots has no ca-bundle.crt")?;
                let all = certificates(bundle).context("cannot read the trust anchors")?;
                Anchors::Chart(all)
            }
        };
        Ok(Self {
            anchors,
            issuer,
            trust_domain: trust_domain.to_owned(),
            cluster_domain: cluster_domain.to_owned(),
            cni: facts
                .get("cni_enabled")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            replicas: facts
                .get("controller_replicas")
                .and_then(Value::as_u64)
                .unwrap_or(1),
            failure_policy: text("failure_policy").unwrap_or("Ignore").to_owned(),
        })
    }

    /// Reads the identity settings from rendered objects.
    pub(crate) fn rendered(rendered: &Rendered) -> anyhow::Result<Self> {
        let issuer = match rendered.find("Secret", label::ISSUER) {
            None => Issuer::External,
            Some(secret) => {
                let data = |key| secret.body.get("data")?.get(key)?.as_str();
                let encoded = data("crt.pem").or_else(|| data("tls.crt"));
                Issuer::of_secret(encoded.context("the rendered issuer has no certificate")?)?
            }
        };
        let config = rendered.config()?;
        let anchors = match keeps_anchors_elsewhere(&config) {
            true => None,
            false => Some(rendered.config_map(label::TRUST_ROOTS)?),
        };
        Self::of(&config, anchors.as_ref(), issuer)
    }

    /// Returns each setting's value in words.
    pub(crate) fn settings(&self) -> [(Key, String); 6] {
        let cni = if self.cni { "on" } else { "off" };
        [
            (Key::Anchors, self.anchors.to_string()),
            (Key::Issuer, self.issuer.to_string()),
            (Key::TrustDomain, self.trust_domain.clone()),
            (Key::ClusterDomain, self.cluster_domain.clone()),
            (Key::Cni, cni.to_owned()),
            (Key::Ha, self.availability()),
        ]
    }

    fn availability(&self) -> String {
        let Self {
            replicas,
            failure_policy,
            ..
        } = self;
        format!("controllerReplicas {replicas} and webhookFailurePolicy {failure_policy}")
    }

    // As `values-ha.yaml` and `linkerd install --ha` set it.
    fn is_ha(&self) -> bool {
        self.replicas > 1 && self.failure_policy == "Fail"
    }
}

/// Returns true if the chart renders no trust anchors, because somebody else keeps them.
pub(crate) fn keeps_anchors_elsewhere(config: &Config) -> bool {
    config.facts().get("external_ca") == Some(&Value::Bool(true))
}

// === impl Anchors ===

impl fmt::Display for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chart(certificates) => f.write_str(&list(certificates)),
            Self::External => f.write_str("an external ConfigMap (identity.externalCA)"),
        }
    }
}

// === impl Issuer ===

impl Issuer {
    /// Reads the certificate from a Secret's data.
    pub(crate) fn of_secret(encoded: &str) -> anyhow::Result<Self> {
        let what = "cannot read the issuer's certificate";
        Self::of_pem(&STANDARD.decode(encoded.trim()).context(what)?)
    }

    /// Reads the certificate from PEM text.
    pub(crate) fn of_pem(pem: &[u8]) -> anyhow::Result<Self> {
        let what = "cannot read the issuer's certificate";
        let pem = std::str::from_utf8(pem).context(what)?;
        Ok(Self::Chart(certificates(pem).context(what)?))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chart(certificates) => f.write_str(&list(certificates)),
            Self::External => f.write_str("an external issuer"),
            Self::Unreadable => f.write_str("a certificate that cannot be read"),
        }
    }
}

// Returns the fingerprint of every certificate in a bundle, as `openssl x509 -fingerprint -sha256`
// shows it.
fn certificates(pem: &str) -> anyhow::Result<Certificates> {
    let mut found = Certificates::new();
    for certificate in pem::certificates(pem) {
        let certificate = certificate.context("it is not valid PEM")?;
        found.insert(format!("{:x}", Sha256::digest(certificate)));
    }
    ensure!(!found.is_empty(), "it contains no certificate");
    Ok(found)
}

fn list(certificates: &Certificates) -> String {
    let short = certificates
        .iter()
        .map(|hash| format!("sha256:{}", &hash[..16]));
    short.collect::<Vec<_>>().join(" ")
}

// === impl Key ===

impl Key {
    /// Returns the setting's name for a message.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Anchors => "the trust anchors",
            Self::Issuer => "the issuer's certificate",
            Self::TrustDomain => "the trust domain",
            Self::ClusterDomain => "the cluster's domain",
            Self::Cni => "the use of the CNI plugin",
            Self::Ha => "high availability",
            Self::Crds => "some CRDs",
            Self::Images => "the images",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            from,
            to,
            known_as,
        } = self;
        match known_as {
            Some(known_as) if from == to => write!(f, "{known_as}: {from}"),
            Some(known_as) => write!(f, "{known_as}: from {from} to {to}"),
            None => write!(f, "{} would change from {from} to {to}", key.sentence()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(bytes: &str) -> String {
        let body = STANDARD.encode(bytes);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    fn identity(yaml: &str, anchors: &str, issuer: Issuer) -> Identity {
        let map = |key: &str, text: &str| ConfigMap {
            data: [(key.to_owned(), text.to_owned())].into(),
            ..ConfigMap::default()
        };
        let config = Config::of(&map("values", yaml)).unwrap();
        let anchors = map("ca-bundle.crt", anchors);
        let anchors = (!keeps_anchors_elsewhere(&config)).then_some(&anchors);
        Identity::of(&config, anchors, issuer).unwrap()
    }

    fn keys(live: &Identity, rendered: &Identity) -> Vec<Key> {
        changes(live, rendered)
            .into_iter()
            .map(|change| change.key)
            .collect()
    }

    fn issuer(name: &str) -> Issuer {
        Issuer::of_secret(&STANDARD.encode(pem(name))).unwrap()
    }

    #[test]
    fn changes_reports_each_key_that_changes() {
        let base =
            "{clusterDomain: cluster.local, controllerReplicas: 3, webhookFailurePolicy: Fail}";
        let live = identity(base, &pem("anchor"), issuer("issuer"));
        let table = [
            (identity(base, &pem("anchor"), issuer("issuer")), vec![]),
            (
                identity(base, &pem("other"), issuer("issuer")),
                vec![Key::Anchors],
            ),
            (
                identity(base, &pem("anchor"), issuer("other")),
                vec![Key::Issuer],
            ),
            (
                identity(base, &pem("anchor"), Issuer::External),
                vec![Key::Issuer],
            ),
            (
                identity(
                    &base.replace("cluster.local", "corp"),
                    &pem("anchor"),
                    issuer("issuer"),
                ),
                vec![Key::TrustDomain, Key::ClusterDomain],
            ),
            (
                identity(
                    &base.replace('}', ", cniEnabled: true}"),
                    &pem("anchor"),
                    issuer("issuer"),
                ),
                vec![Key::Cni],
            ),
            (
                identity(&base.replace("3", "1"), &pem("anchor"), issuer("issuer")),
                vec![Key::Ha],
            ),
            (
                identity(
                    &base.replace("Fail", "Ignore"),
                    &pem("anchor"),
                    issuer("issuer"),
                ),
                vec![Key::Ha],
            ),
        ];
        for (number, (rendered, expected)) in table.into_iter().enumerate() {
            assert_eq!(keys(&live, &rendered), expected, "row {number}");
        }
    }

    #[test]
    fn a_change_of_high_availability_says_whether_it_is_switched_on_or_off() {
        let of = |yaml: &str| identity(yaml, &pem("a"), Issuer::External);
        let ha = of("{controllerReplicas: 3, webhookFailurePolicy: Fail}");
        let five = of("{controllerReplicas: 5, webhookFailurePolicy: Fail}");
        let said = |from: &Identity, to: &Identity| changes(from, to)[0].to_string();
        assert_eq!(
            said(&ha, &of("{}")),
            "high availability would be switched off: from controllerReplicas 3 and \
             webhookFailurePolicy Fail to controllerReplicas 1 and webhookFailurePolicy Ignore"
        );
        assert!(said(&of("{}"), &ha).starts_with("high availability would be switched on: from"));
        assert!(said(&ha, &five).starts_with("high availability would change from"));
    }

    #[test]
    fn external_anchors_are_not_compared_but_their_keeper_is() {
        let outside = "{identity: {externalCA: true}}";
        let live = identity(outside, &pem("theirs"), Issuer::External);
        let same = identity(outside, "none is rendered", Issuer::External);
        assert!(changes(&live, &same).is_empty());
        let ours = identity("{}", &pem("theirs"), Issuer::External);
        assert_eq!(keys(&live, &ours), [Key::Anchors]);
        assert_eq!(keys(&ours, &live), [Key::Anchors]);
    }

    #[test]
    fn an_unreadable_issuer_counts_as_a_change() {
        let unreadable = identity("{}", &pem("anchor"), Issuer::Unreadable);
        let rendered = identity("{}", &pem("anchor"), issuer("issuer"));
        assert_eq!(keys(&unreadable, &rendered), [Key::Issuer]);
    }

    #[test]
    fn bundles_are_compared_by_their_certificates_not_their_text() {
        let (a, b) = (pem("a"), pem("b"));
        let live = identity("{}", &format!("{a}{b}"), Issuer::External);
        let same = identity("{}", &format!("# ours\n{b}\r\n\n  {a}"), Issuer::External);
        assert!(changes(&live, &same).is_empty());
        let fewer = identity("{}", &a, Issuer::External);
        assert_eq!(keys(&live, &fewer), [Key::Anchors]);
    }

    #[test]
    fn an_empty_or_broken_bundle_is_an_error() {
        for text in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----",
        ] {
            assert!(certificates(text).is_err(), "{text}");
        }
    }
}
