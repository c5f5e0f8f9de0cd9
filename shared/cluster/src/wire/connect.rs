//! Chooses the cluster: kubeconfig, client and user; and keeps the server's clock.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use http::uri::Scheme;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, KubeconfigError};
use mesh_records::{Explain as _, Explained, Paste, parse_timeout, sayable};

use crate::wire::credentials::Credentials;
use crate::wire::kubeconfig::{Choice, IN_CLUSTER, Kubeconfig, NO_CLUSTER};

/// kubectl's flags for choosing a cluster and a user.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// The kubeconfig file; the default is $KUBECONFIG, ~/.kube/config or the pod's service account
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub context: Option<String>,

    /// Impersonate this user
    #[arg(long = "as", value_name = "USER", help_heading = "Cluster")]
    pub as_user: Option<String>,

    /// Impersonate a member of this group (may be repeated)
    #[arg(long = "as-group", value_name = "GROUP", help_heading = "Cluster")]
    pub as_groups: Vec<String>,

    /// Time limit for one request to the API server
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_timeout, help_heading = "Cluster")]
    pub request_timeout: Duration,

    /// The name of the cluster in records, instead of the context's name
    #[arg(long, value_name = "LABEL", help_heading = "Cluster",
          value_parser = NonEmptyStringValueParser::new())]
    pub cluster_name: Option<String>,
}

/// A cluster's API server.
pub struct Cluster {
    pub(crate) client: kube::Client,
    pub(crate) deadline: Duration,
    /// Whether the API server runs on this machine.
    pub(crate) is_near: bool,
    clock: Mutex<Option<Reading>>,
    label: String,
    server: String,
    namespace: String,
    kubeconfig: Kubeconfig,
    paste: Paste,
    pub(crate) credentials: Credentials,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    server: Timestamp,
    at: Instant,
}

// === impl ClusterArgs ===

impl ClusterArgs {
    /// Returns the cluster's label for records if the cluster cannot be chosen.
    pub fn label(&self) -> Option<String> {
        self.cluster_name.clone().or_else(|| self.context.clone())
    }

    /// Returns what makes commands for the same cluster and user that work as pasted.
    pub fn paste(&self) -> Paste {
        let kubeconfig = self.kubeconfig.as_ref();
        Paste {
            kubeconfig: kubeconfig.map(|path| path.display().to_string()),
            context: self.context.clone(),
            as_user: self.as_user.clone(),
            as_groups: self.as_groups.clone(),
            cluster_name: self.cluster_name.clone(),
        }
    }

    /// Makes the client. Sends no request yet.
    ///
    /// # Errors
    /// No kubeconfig, context or service account can be used.
    pub async fn open(&self, agent: &str) -> Result<Cluster, Explained> {
        let kubeconfig = self.kubeconfig().await?;
        let paste = Paste {
            context: kubeconfig.context.clone(),
            ..self.paste()
        };
        let see = paste.kubectl(&["get", "namespaces"]);
        let opening = Credentials::of(&kubeconfig, self.request_timeout, see);
        let (credentials, user) = opening.await?;
        let mut config = config(&kubeconfig, user).await?;
        // Each tool decides what it repeats. An automatic retry could repeat a write or hold a
        // request for minutes.
        config.default_retry = false;
        config.connect_timeout = Some(self.request_timeout);
        let agent = agent
            .parse()
            .explain("the user agent is not a valid HTTP header", "")?;
        config.headers.push((http::header::USER_AGENT, agent));
        let server = sayable(&config.cluster_url.to_string());
        let is_near = is_loopback(&config.cluster_url);
        let namespace = config.default_namespace.clone();
        let label = self.cluster_name.clone().or(kubeconfig.context.clone());
        // It reads the files of a client certificate, which may be pipes.
        let making = tokio::task::spawn_blocking(move || client(config));
        let made = tokio::time::timeout(self.request_timeout, making).await;
        let Ok(Ok(client)) = made else {
            let what = "the files of the client certificate cannot be read in time";
            return Err(Explained::new(what, NO_CLUSTER));
        };
        Ok(Cluster {
            client: client?,
            deadline: self.request_timeout,
            is_near,
            clock: Mutex::new(None),
            label: label.unwrap_or_else(|| IN_CLUSTER.to_owned()),
            server,
            namespace,
            kubeconfig,
            paste,
            credentials,
        })
    }

    // Reading blocks on a pipe that nobody writes; on a thread of its own it delays no signal.
    async fn kubeconfig(&self) -> Result<Kubeconfig, Explained> {
        let choice = Choice {
            file: self.kubeconfig.clone(),
            context: self.context.clone(),
            as_user: self.as_user.clone(),
            as_groups: self.as_groups.clone(),
        };
        let reading = tokio::task::spawn_blocking(move || Kubeconfig::read(&choice));
        let read = tokio::time::timeout(self.request_timeout, reading).await;
        let Ok(Ok(kubeconfig)) = read else {
            let what = "the kubeconfig, or a file that it names, cannot be read in time";
            return Err(Explained::new(what, NO_CLUSTER));
        };
        kubeconfig
    }
}

async fn config(kubeconfig: &Kubeconfig, user: AuthInfo) -> Result<Config, Explained> {
    let file = kubeconfig.with_user(user);
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| {
        let why = match error {
            KubeconfigError::MissingClusterUrl => "its cluster has no `server`",
            KubeconfigError::ParseClusterUrl(_) => "the `server` of its cluster is not an address",
            KubeconfigError::ParseProxyUrl(_) => {
                "`proxy-url`, or the proxy in HTTPS_PROXY, is not an address"
            }
            KubeconfigError::ParseNoProxy(_) => "NO_PROXY cannot be read",
            KubeconfigError::LoadCertificateAuthority(_)
            | KubeconfigError::ParseCertificates(_) => {
                "the certificate authority of its cluster is not PEM in base64"
            }
            // We made the file from a cluster and a user.
            KubeconfigError::CurrentContextNotSet
            | KubeconfigError::KindMismatch
            | KubeconfigError::ApiVersionMismatch
            | KubeconfigError::LoadContext(_)
            | KubeconfigError::LoadClusterOfContext(_)
            | KubeconfigError::FindPath
            | KubeconfigError::ReadConfig(..)
            | KubeconfigError::Parse(_)
            | KubeconfigError::LoadClientCertificate(_)
            | KubeconfigError::LoadClientKey(_) => "its parts do not fit together",
        };
        let context = kubeconfig.context.as_deref().unwrap_or(IN_CLUSTER);
        Explained::new(
            format!("cannot use the context `{context}`: {why}"),
            NO_CLUSTER,
        )
    })?;
    // A pod reaches its own API server without a proxy.
    let is_direct = kubeconfig.context.is_none() || is_loopback(&config.cluster_url);
    if kubeconfig.cluster.proxy_url.is_none() && is_direct {
        config.proxy_url = None;
    }
    if config.root_cert.is_none() && verifies_nothing(&config) {
        config.root_cert = Some(Vec::new());
    }
    Ok(config)
}

/// Whether no certificate authority is asked, not even those of this machine, of which a bare container
/// has none.
fn verifies_nothing(config: &Config) -> bool {
    let is_plain = config.cluster_url.scheme() == Some(&Scheme::HTTP);
    config.accept_invalid_certs || (is_plain && config.proxy_url.is_none())
}

fn client(config: Config) -> Result<kube::Client, Explained> {
    let server = sayable(&config.cluster_url.to_string());
    let authority = match config.root_cert {
        Some(_) => "the certificate authority",
        None => "the certificate authorities of this machine (the kubeconfig names none)",
    };
    kube::Client::try_from(config).map_err(|error| {
        let of_proxy = matches!(error, kube::Error::ProxyProtocolUnsupported { .. });
        let what = match of_proxy {
            true => "the proxy in `proxy-url` or HTTPS_PROXY is none of http, https and socks5"
                .to_owned(),
            false => {
                format!("cannot use the client certificate, its key or {authority} for {server}")
            }
        };
        Explained::new(what, NO_CLUSTER)
    })
}

/// Requests to this machine itself do not go through the proxy in `HTTPS_PROXY`, as in every Go
/// program, such as kubectl.
fn is_loopback(server: &http::Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = |address: IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

// === impl Cluster ===

impl Cluster {
    #[cfg(test)]
    pub(crate) fn over(client: kube::Client, deadline: Duration) -> Self {
        Self {
            client,
            deadline,
            is_near: true,
            clock: Mutex::new(None),
            label: "test".to_owned(),
            server: "https://test".to_owned(),
            namespace: "default".to_owned(),
            kubeconfig: Kubeconfig::default(),
            paste: Paste::default(),
            credentials: Credentials::default(),
        }
    }

    /// Returns the API server's time: its latest `Date` plus the time since then by a monotonic
    /// clock. It never goes back. It is behind the server's clock by at most a second and the time
    /// that an answer takes.
    ///
    /// `None` before the first answer.
    pub fn now(&self) -> Option<Timestamp> {
        let clock = self
            .clock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        clock.map(|reading| reading.at(Instant::now()))
    }

    pub(crate) fn read_clock(&self, headers: &http::HeaderMap) {
        let date = headers
            .get(http::header::DATE)
            .and_then(|date| date.to_str().ok());
        let Some(server) = date.and_then(http_date) else {
            return;
        };
        let reading = Reading {
            server,
            at: Instant::now(),
        };
        let mut clock = self
            .clock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // `Date` is cut to whole seconds, so the reading that is furthest ahead is the most exact.
        if clock.is_none_or(|known| known.at(reading.at) < reading.server) {
            *clock = Some(reading);
        }
    }

    /// Returns the label for people.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the API server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns the kubeconfig's context, or `None` with a service account.
    pub fn context(&self) -> Option<&str> {
        self.kubeconfig.context.as_deref()
    }

    /// Returns a kubeconfig of this cluster and user, for programs that this process starts. It holds
    /// nothing that the user's own kubeconfig does not, so it has secrets.
    pub fn kubeconfig(&self) -> Vec<u8> {
        self.kubeconfig.to_json()
    }

    /// As [`ClusterArgs::paste`], with the context that is in use.
    pub fn paste(&self) -> Paste {
        self.paste.clone()
    }

    /// Returns the context's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the longest time that one request may take.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("label", &self.label)
            .field("server", &self.server)
            .finish()
    }
}

// === impl Reading ===

impl Reading {
    fn at(&self, instant: Instant) -> Timestamp {
        let passed = instant.saturating_duration_since(self.at);
        self.server.checked_add(passed).unwrap_or(self.server)
    }
}

// RFC 9110's IMF-fixdate, which every server sends, is an RFC 2822 date in GMT.
fn http_date(text: &str) -> Option<Timestamp> {
    let date = rfc2822::parse(text).ok()?;
    text.ends_with(" GMT").then(|| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_bypass_https_proxy() {
        let table = [
            ("http://127.0.0.1:8001", true),
            ("https://127.8.0.1", true),
            ("https://[::1]:6443", true),
            ("https://localhost:6443", true),
            ("https://10.0.0.1", false),
            ("https://localhost.example.com", false),
        ];
        for (server, expected) in table {
            assert_eq!(is_loopback(&server.parse().unwrap()), expected, "{server}");
        }
    }

    #[test]
    fn only_what_verifies_a_server_needs_certificate_authorities() {
        let config = |server: &str| Config::new(server.parse().unwrap());
        let (plain, secure) = (config("http://127.0.0.1:1"), config("https://127.0.0.1:1"));
        let mut insecure = secure.clone();
        insecure.accept_invalid_certs = true;
        let mut behind = plain.clone();
        behind.proxy_url = Some("https://proxy:1".parse().unwrap());
        for (config, expected) in [
            (plain, true),
            (insecure, true),
            (secure, false),
            (behind, false),
        ] {
            assert_eq!(verifies_nothing(&config), expected, "{config:?}");
        }
    }

    #[test]
    fn http_date_reads_an_imf_fixdate() {
        let read = |text| http_date(text).map(|time| time.to_string());
        assert_eq!(
            read("Sun, 06 Nov 1994 08:49:37 GMT").as_deref(),
            Some("1994-11-06T08:49:37Z")
        );
        for wrong in [
            "",
            "yesterday",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Foo 1994 08:49:37 GMT",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
