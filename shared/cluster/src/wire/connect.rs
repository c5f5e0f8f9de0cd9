//! Chooses the cluster: kubeconfig, client and user; and keeps the server's clock.

use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::Config;
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use mesh_records::{Explain as _, Explained, parse_timeout};

use crate::wire::error::chain;

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
    clock: Mutex<Option<Reading>>,
    label: String,
    server: String,
    context: Option<String>,
    namespace: String,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    server: Timestamp,
    at: Instant,
}

const NO_CLUSTER: &str =
    "check --kubeconfig, $KUBECONFIG and --context; `kubectl config get-contexts` lists contexts";

// === impl ClusterArgs ===

impl ClusterArgs {
    /// Returns the cluster's label for records if the cluster cannot be chosen.
    pub fn label(&self) -> Option<String> {
        self.cluster_name.clone().or_else(|| self.context.clone())
    }

    /// The flags that choose the same cluster and user, as kubectl spells them.
    pub fn flags(&self) -> Vec<String> {
        let kubeconfig = self.kubeconfig.as_ref();
        let kubeconfig = kubeconfig.map(|path| path.display().to_string());
        let all = [
            ("--kubeconfig", kubeconfig),
            ("--context", self.context.clone()),
            ("--as", self.as_user.clone()),
        ];
        let all = all
            .into_iter()
            .filter_map(|(flag, value)| Some((flag, value?)));
        let groups = self.as_groups.iter().cloned();
        all.chain(groups.map(|group| ("--as-group", group)))
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }

    /// Makes the client. Sends no request yet.
    ///
    /// # Errors
    /// No kubeconfig, context or service account can be used.
    pub async fn open(&self, agent: &str) -> Result<Cluster, Explained> {
        let (mut config, context) = self.config().await?;
        // Each tool decides what it repeats. An automatic retry could repeat a write or hold a
        // request for minutes.
        config.default_retry = false;
        config.connect_timeout = Some(self.request_timeout);
        config.auth_info.impersonate.clone_from(&self.as_user);
        config.auth_info.impersonate_groups =
            (!self.as_groups.is_empty()).then(|| self.as_groups.clone());
        let agent = agent
            .parse()
            .explain("the user agent is not a valid HTTP header", "")?;
        config.headers.push((http::header::USER_AGENT, agent));
        let server = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let client = kube::Client::try_from(config).explain(
            format!("cannot use the credentials for {server}"),
            NO_CLUSTER,
        )?;
        let label = self.cluster_name.clone().or_else(|| context.clone());
        Ok(Cluster {
            client,
            deadline: self.request_timeout,
            clock: Mutex::new(None),
            label: label.unwrap_or_else(|| "in-cluster".to_owned()),
            server,
            context,
            namespace,
        })
    }

    async fn config(&self) -> Result<(Config, Option<String>), Explained> {
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path).map_err(|error| {
                let what = format!("cannot use the kubeconfig `{}`", path.display());
                Explained::new(format!("{what}: {}", first_line(&error)), NO_CLUSTER)
            })?,
            None => match Kubeconfig::read() {
                Ok(kubeconfig) => kubeconfig,
                Err(_) if self.context.is_none() && Config::incluster_env().is_ok() => {
                    let config = Config::incluster_env();
                    return Ok((config.explain("cannot use the service account", "")?, None));
                }
                Err(error) => {
                    let what = format!("cannot read the kubeconfig: {}", first_line(&error));
                    return Err(Explained::new(what, NO_CLUSTER));
                }
            },
        };
        let mut kubeconfig = kubeconfig;
        keep_off_stdin(&mut kubeconfig);
        let context = self
            .context
            .clone()
            .or_else(|| kubeconfig.current_context.clone());
        let options = KubeConfigOptions {
            context: context.clone(),
            ..KubeConfigOptions::default()
        };
        let name = context.clone().unwrap_or_else(|| "(none)".to_owned());
        let names_a_proxy = kubeconfig
            .clusters
            .iter()
            .any(|it| it.cluster.as_ref().is_some_and(|it| it.proxy_url.is_some()));
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .explain(format!("cannot use the context `{name}`"), NO_CLUSTER)?;
        if !names_a_proxy && is_loopback(&config.cluster_url) {
            config.proxy_url = None;
        }
        Ok((config, context))
    }
}

/// Requests to this machine itself do not go through the proxy in `HTTPS_PROXY`, as in every Go
/// program, such as kubectl.
fn is_loopback(server: &http::Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = |address: IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

// The lines after the first quote the file, including tokens.
fn first_line(error: &dyn std::error::Error) -> String {
    chain(error).lines().next().unwrap_or_default().to_owned()
}

// A credential plugin inherits standard input and could read the records from it.
fn keep_off_stdin(kubeconfig: &mut Kubeconfig) {
    if std::io::stdin().is_terminal() {
        return;
    }
    let users = kubeconfig
        .auth_infos
        .iter_mut()
        .filter_map(|user| user.auth_info.as_mut());
    for plugin in users.filter_map(|user| user.exec.as_mut()) {
        plugin.interactive_mode = Some(ExecInteractiveMode::Never);
    }
}

// === impl Cluster ===

impl Cluster {
    #[cfg(test)]
    pub(crate) fn over(client: kube::Client, deadline: Duration) -> Self {
        Self {
            client,
            deadline,
            clock: Mutex::new(None),
            label: "test".to_owned(),
            server: "https://test".to_owned(),
            context: None,
            namespace: "default".to_owned(),
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
        self.context.as_deref()
    }

    /// As [`ClusterArgs::flags`], with the context that is in use.
    pub fn flags(&self, args: &ClusterArgs) -> Vec<String> {
        let context = self.context.clone();
        ClusterArgs {
            context,
            ..args.clone()
        }
        .flags()
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

    #[tokio::test]
    async fn an_error_never_quotes_a_broken_kubeconfig() {
        let path = std::env::temp_dir().join(format!("mesh-kubeconfig-{}", std::process::id()));
        let broken = "users:\n- name: x\n  user:\n    token: hush\n   oops: [\n";
        std::fs::write(&path, broken).unwrap();
        let args = ClusterArgs {
            kubeconfig: Some(path.clone()),
            context: None,
            as_user: None,
            as_groups: Vec::new(),
            request_timeout: Duration::from_secs(1),
            cluster_name: None,
        };
        let error = args.config().await.map(|_| ()).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        let text = chain(&error);
        assert!(text.contains("cannot use the kubeconfig"), "{text}");
        assert!(!text.contains("hush") && !text.contains('\n'), "{text}");
    }

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
