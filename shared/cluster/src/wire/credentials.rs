//! The header with which requests authenticate, and how it is renewed.
//!
//! kube would run credential plugins and read token files itself, but blocking, without a time limit,
//! with our standard input, and with errors that quote the plugin's command line and output. So its
//! client gets a user with nothing but a client certificate and an impersonation.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use jiff::Timestamp;
use kube::config::{AuthInfo, AuthProviderConfig};
use mesh_records::Explained;
use secrecy::{ExposeSecret as _, SecretString};

use crate::wire::kubeconfig::{Kubeconfig, NO_CLUSTER, filled};
use crate::wire::plugin::{Issued, Plugin};

/// The credentials of a user.
#[derive(Default)]
pub(crate) struct Credentials {
    source: Source,
    patience: Duration,
}

#[derive(Default)]
enum Source {
    /// Nobody, or a client certificate.
    #[default]
    None,
    Fixed(HeaderValue),
    File {
        path: PathBuf,
        known: Mutex<Option<(HeaderValue, Instant)>>,
    },
    Plugin(Arc<Renewer>),
}

/// Runs a plugin again when its token has ended.
struct Renewer {
    plugin: Plugin,
    /// Held while the plugin runs, so that it runs once for all who wait.
    known: tokio::sync::Mutex<Known>,
}

struct Known {
    issued: Issued,
    /// When the plugin failed last, and how.
    failed: Option<(Instant, Failure)>,
}

#[derive(Clone)]
struct Failure {
    what: String,
    hint: String,
}

/// How long a token that was read from a file is used, as in kubectl.
const FRESH: Duration = Duration::from_secs(60);
/// How long a failure of a plugin counts for all who wait, so that they do not run it in turn.
const FAILED: Duration = Duration::from_secs(5);

impl Credentials {
    /// Reads which credentials a user has, and returns the rest of the user for kube's client. A
    /// plugin is run, because only it knows whether it issues a certificate. `see` is a command that
    /// shows what it says.
    ///
    /// # Errors
    /// The credentials cannot be used, or the plugin fails.
    pub(crate) async fn of(
        kubeconfig: &Kubeconfig,
        patience: Duration,
        see: String,
    ) -> Result<(Self, AuthInfo), Explained> {
        let AuthInfo {
            username,
            password,
            token,
            token_file,
            auth_provider,
            exec,
            ..
        } = kubeconfig.user.clone();
        let mut rest = AuthInfo {
            username: None,
            password: None,
            token: None,
            token_file: None,
            auth_provider: None,
            exec: None,
            ..kubeconfig.user.clone()
        };
        // As in client-go, a file goes before a token, and both before a plugin.
        let source = if let Some(path) = filled(token_file) {
            Source::File {
                path: path.into(),
                known: Mutex::default(),
            }
        } else if let Some(token) = token.filter(|token| !token.expose_secret().is_empty()) {
            Source::Fixed(bearer(token.expose_secret())?)
        } else if let Some(name) = filled(username) {
            Source::Fixed(basic(&name, &password.unwrap_or_default())?)
        } else if let Some(provider) = auth_provider {
            Source::Fixed(bearer(&id_token(provider)?)?)
        } else if let Some(exec) = exec {
            let plugin = Plugin::new(exec, &kubeconfig.cluster, patience, see)?;
            let issued = plugin.run(true).await?;
            if let Some((certificate, key)) = issued.certificate() {
                rest.client_certificate_data = Some(STANDARD.encode(certificate));
                rest.client_key_data = Some(STANDARD.encode(key).into());
            }
            let known = Known {
                issued,
                failed: None,
            };
            Source::Plugin(Arc::new(Renewer {
                plugin,
                known: known.into(),
            }))
        } else {
            Source::None
        };
        Ok((Self { source, patience }, rest))
    }

    /// Returns the header for a request that is sent `now`, by the API server's clock if it is known.
    ///
    /// # Errors
    /// The token file cannot be read, or the plugin fails.
    pub(crate) async fn header(
        &self,
        now: Option<Timestamp>,
    ) -> Result<Option<HeaderValue>, Explained> {
        match &self.source {
            Source::None => Ok(None),
            Source::Fixed(header) => Ok(Some(header.clone())),
            Source::File { path, known } => {
                let last = locked(known).clone();
                if let Some((header, read)) = &last
                    && read.elapsed() < FRESH
                {
                    return Ok(Some(header.clone()));
                }
                match self.read(path, known).await {
                    Ok(header) => Ok(Some(header)),
                    // As in kubectl, the last token goes on.
                    Err(error) => last.map(|(header, _)| Some(header)).ok_or(error),
                }
            }
            Source::Plugin(renewer) => {
                let renewed = renewer.issued(move |issued| {
                    let is_expired = now.is_some_and(|now| issued.is_expired(now));
                    is_expired && issued.token.is_some()
                });
                renewed.await?.token.as_deref().map(bearer).transpose()
            }
        }
    }

    /// Returns another header after the API server refused `used`, or `None` if there is none.
    ///
    /// # Errors
    /// As [`Credentials::header`].
    pub(crate) async fn renewed(
        &self,
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Explained> {
        let header = match &self.source {
            Source::None | Source::Fixed(_) => None,
            Source::File { path, known } => Some(self.read(path, known).await?),
            Source::Plugin(renewer) => {
                let used = used.cloned();
                let renewed = renewer.issued(move |issued| {
                    let token = issued.token.as_deref().map(bearer);
                    used.is_some() && token.is_some_and(|token| token.ok() == used)
                });
                renewed.await?.token.as_deref().map(bearer).transpose()?
            }
        };
        Ok(header.filter(|header| Some(header) != used))
    }

    async fn read(
        &self,
        path: &Path,
        known: &Mutex<Option<(HeaderValue, Instant)>>,
    ) -> Result<HeaderValue, Explained> {
        let file = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || std::fs::read_to_string(file));
        let cannot = |why: &str| {
            let what = format!("cannot read the token file `{}`: {why}", path.display());
            Explained::new(what, NO_CLUSTER)
        };
        let read = match tokio::time::timeout(self.patience, reading).await {
            Ok(Ok(read)) => read.map_err(|error| cannot(&error.to_string()))?,
            Ok(Err(_)) | Err(_) => return Err(cannot("it gave nothing in time")),
        };
        let header = bearer(&read)?;
        *locked(known) = Some((header.clone(), Instant::now()));
        Ok(header)
    }
}

// === impl Renewer ===

impl Renewer {
    // Returns what the plugin issued last, after it ran again if that `is_old`. It runs on a task of
    // its own: whoever waits may give up earlier, such as the renewal of a lock, and others need the
    // token all the same.
    async fn issued(
        self: &Arc<Self>,
        is_old: impl Fn(&Issued) -> bool + Send + 'static,
    ) -> Result<Issued, Explained> {
        let renewer = Arc::clone(self);
        let renewing = tokio::spawn(async move {
            let mut known = renewer.known.lock().await;
            if !is_old(&known.issued) {
                return Ok(known.issued.clone());
            }
            if let Some((at, failure)) = &known.failed
                && at.elapsed() < FAILED
            {
                return Err(failure.clone());
            }
            // Nobody waits at the terminal in the middle of a run, and a question may stand there.
            match renewer.plugin.run(false).await {
                Ok(issued) => {
                    known.failed = None;
                    known.issued = issued;
                    Ok(known.issued.clone())
                }
                Err(error) => {
                    let failure = Failure {
                        what: error.to_string(),
                        hint: error.hint().to_owned(),
                    };
                    known.failed = Some((Instant::now(), failure.clone()));
                    Err(failure)
                }
            }
        });
        match renewing.await {
            Ok(renewed) => renewed.map_err(|Failure { what, hint }| Explained::new(what, hint)),
            Err(_) => Err(Explained::new(
                "the run ended while the credentials plugin ran",
                NO_CLUSTER,
            )),
        }
    }
}

fn basic(name: &str, password: &SecretString) -> Result<HeaderValue, Explained> {
    let pair = format!("{name}:{}", password.expose_secret());
    sensitive(&format!("Basic {}", STANDARD.encode(pair)))
}

fn bearer(token: &str) -> Result<HeaderValue, Explained> {
    sensitive(&format!("Bearer {}", token.trim()))
}

fn sensitive(header: &str) -> Result<HeaderValue, Explained> {
    let mut header = HeaderValue::from_str(header).map_err(|_| {
        let what = "the token has characters that no HTTP header can hold, such as a newline";
        Explained::new(
            what,
            "renew the token in the kubeconfig or in its token file",
        )
    })?;
    header.set_sensitive(true);
    Ok(header)
}

// Kubernetes has removed all of these but `oidc`, whose token is used as long as it lasts.
fn id_token(mut provider: AuthProviderConfig) -> Result<String, Explained> {
    let token = provider.config.remove("id-token");
    token.filter(|_| provider.name == "oidc").ok_or_else(|| {
        let name = provider.name;
        Explained::new(
            format!("the user in the kubeconfig has the auth-provider `{name}`, which is not supported"),
            "use a credentials plugin (`exec`) in its place, such as gke-gcloud-auth-plugin or kubelogin",
        )
    })
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::wire::kubeconfig::Choice;

    const VERSION: &str = "client.authentication.k8s.io/v1";

    fn kubeconfig(folder: &Path, user: &str) -> Kubeconfig {
        let file = folder.join("config");
        let text = format!(
            "{{current-context: eu, contexts: [{{name: eu, context: {{cluster: c, user: u}}}}], \
             clusters: [{{name: c, cluster: {{server: 'https://one'}}}}], \
             users: [{{name: u, user: {{{user}}}}}]}}"
        );
        std::fs::write(&file, text).unwrap();
        let choice = Choice {
            file: Some(file),
            ..Choice::default()
        };
        Kubeconfig::read(&choice).unwrap()
    }

    async fn by_plugin(folder: &Path, script: &str) -> Result<Credentials, Explained> {
        let program = folder.join("plugin");
        std::fs::write(&program, script).unwrap();
        let user = format!(
            "exec: {{apiVersion: {VERSION}, command: /bin/sh, args: ['{}', hush], \
             env: [{{name: MARK, value: hush}}], interactiveMode: Never}}",
            program.display()
        );
        let kubeconfig = kubeconfig(folder, &user);
        let of = Credentials::of(&kubeconfig, Duration::from_secs(2), String::new()).await;
        of.map(|(credentials, _)| credentials)
    }

    fn prints(status: &str) -> String {
        format!(
            "echo '{{\"kind\":\"ExecCredential\",\"apiVersion\":\"{VERSION}\",\"status\":{status}}}'"
        )
    }

    #[tokio::test]
    async fn a_plugin_that_hangs_is_killed_with_its_group() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let script = format!("sleep 600 & echo $! >{}/pid\nwait", folder.display());
        let Err(error) = by_plugin(folder, &script).await else {
            panic!("it hangs");
        };
        assert!(
            error.to_string().ends_with("gave no credentials within 2s"),
            "{error}"
        );
        let pid = std::fs::read_to_string(folder.join("pid")).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // Nobody may have waited for it yet.
        let ended = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z"));
        while !ended() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_error_of_a_plugin_quotes_neither_its_arguments_nor_its_output() {
        let folder = tempfile::tempdir().unwrap();
        for (script, part) in [
            (
                "echo hush; echo hush >&2; exit 3",
                "failed (exit status: 3)",
            ),
            ("echo hush", "printed no credentials"),
            (&prints("{\"token\": \" \"}"), "printed no credentials"),
            (
                &prints("{\"clientKeyData\": \"hush\"}"),
                "printed no credentials",
            ),
        ] {
            let Err(error) = by_plugin(folder.path(), script).await else {
                panic!("{script}");
            };
            let said = format!("{error} {}", error.hint());
            assert!(said.contains(part), "{said}");
            assert!(!said.contains("hush"), "{said}");
        }
    }

    #[tokio::test]
    async fn a_missing_plugin_says_where_it_was_looked_for_and_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let script = folder.join("script");
        std::fs::write(&script, "#!/no/such/shell\n").unwrap();
        let may_run = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&script, may_run).unwrap();
        let script = script.display().to_string();
        let missing = folder.join("plugin").display().to_string();
        let path = std::env::var_os("PATH").unwrap();
        let table = [
            (
                "command: no-such-plugin, installHint: 'Run\n\n  get it'".to_owned(),
                format!(
                    "the credentials plugin `no-such-plugin` is not installed: no folder of $PATH \
                     has it ({}); install it, as the kubeconfig says: Run get it, put its folder \
                     into $PATH, or correct its `command` in the kubeconfig",
                    path.display()
                ),
            ),
            (
                "command: no-such-plugin, env: [{name: PATH, value: /hush}]".to_owned(),
                "the credentials plugin `no-such-plugin` is not installed: no folder of the PATH in \
                 its `env` in the kubeconfig has it; install `no-such-plugin`, put its folder into \
                 $PATH, or correct its `command` in the kubeconfig"
                    .to_owned(),
            ),
            (
                format!("command: {missing}"),
                format!(
                    "the credentials plugin `{missing}` is not installed: there is no such file; \
                     install `{missing}`, or correct its `command` in the kubeconfig"
                ),
            ),
            (
                format!("command: {script}"),
                format!(
                    "the credentials plugin `{script}` is not installed: the program that the \
                     first line of this file names is missing; install `{script}`, or correct its \
                     `command` in the kubeconfig"
                ),
            ),
        ];
        for (user, expected) in table {
            let user = format!("exec: {{apiVersion: {VERSION}, {user}}}");
            let kubeconfig = kubeconfig(folder, &user);
            let of = Credentials::of(&kubeconfig, Duration::from_secs(9), String::new()).await;
            let Err(error) = of else {
                panic!("{user}");
            };
            assert_eq!(format!("{error}; {}", error.hint()), expected);
        }
    }

    #[tokio::test]
    async fn a_plugin_runs_again_before_its_token_ends_and_once_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let counting = format!("echo >>{0}/runs; n=$(wc -l <{0}/runs)\n", folder.display());
        let token = |end: &str| {
            let status = format!("{{\"token\":\"t'$n'\"{end}}}");
            format!("{counting}{}", prints(&status))
        };
        let lasting = by_plugin(folder, &token("")).await.unwrap();
        let first = lasting.header(None).await.unwrap();
        assert_eq!(first.as_ref().unwrap(), "Bearer t1");
        assert_eq!(lasting.header(None).await.unwrap(), first);
        let second = lasting.renewed(first.as_ref()).await.unwrap();
        assert_eq!(second.as_ref().unwrap(), "Bearer t2");
        // Somebody else's request has renewed it already.
        assert_eq!(lasting.renewed(first.as_ref()).await.unwrap(), second);
        let end = ",\"expirationTimestamp\":\"2001-01-01T00:00:00Z\"";
        let ending = by_plugin(folder, &token(end)).await.unwrap();
        let later = "2001-01-01T00:00:00Z".parse().ok();
        assert_eq!(ending.header(later).await.unwrap().unwrap(), "Bearer t4");
    }

    #[tokio::test]
    async fn tokens_may_end_with_a_newline_and_files_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let of = async |user: &str| {
            let kubeconfig = kubeconfig(folder, user);
            let of = Credentials::of(&kubeconfig, Duration::from_secs(9), String::new()).await;
            of.map(|(credentials, _)| credentials)
        };
        let fixed = of("token: \"one\\n\"").await.unwrap();
        assert_eq!(fixed.header(None).await.unwrap().unwrap(), "Bearer one");
        let Err(error) = of("token: \"hu\\nsh\"").await else {
            panic!("no header holds it");
        };
        assert!(!error.to_string().contains("hu"), "{error}");
        let token = folder.join("token");
        std::fs::write(&token, "one\n").unwrap();
        let file = of("tokenFile: token").await.unwrap();
        let first = file.header(None).await.unwrap();
        assert_eq!(first.as_ref().unwrap(), "Bearer one");
        std::fs::write(&token, "two\n").unwrap();
        assert_eq!(
            file.renewed(first.as_ref()).await.unwrap().unwrap(),
            "Bearer two"
        );
    }
}
