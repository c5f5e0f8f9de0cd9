//! The kubeconfig: read once, and reduced to one cluster and one user.
//!
//! What was read is kept, so a file that somebody changes later cannot lead a run, or a program
//! that it starts, to another cluster. Key files, token files and credential plugins stay
//! references, because they may be renewed.
//!
//! kube parses and merges the files, and makes the client of the result. In its place we choose the
//! files and the context, because as in kubectl a file that `$KUBECONFIG` names may be missing and a
//! pod's service account counts only where there is no file; we read the certificate authority,
//! because it tells one cluster from another; and we write the errors, because those of the parser
//! quote the file. `credentials` does what remains.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, ExecConfig, Kubeconfig as File, KubeconfigError, NamedAuthInfo,
    NamedCluster, NamedContext,
};
use mesh_records::Explained;
use secrecy::ExposeSecret as _;

/// One cluster and one user.
#[derive(Clone, Default)]
pub(crate) struct Kubeconfig {
    /// `None` with a service account.
    pub(crate) context: Option<String>,
    namespace: Option<String>,
    pub(crate) cluster: Cluster,
    pub(crate) user: AuthInfo,
}

/// What chooses the cluster and the user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) file: Option<PathBuf>,
    pub(crate) context: Option<String>,
    pub(crate) as_user: Option<String>,
    pub(crate) as_groups: Vec<String>,
}

/// What to do if no cluster can be chosen.
pub(crate) const NO_CLUSTER: &str = "check --kubeconfig, $KUBECONFIG and --context";
/// The largest number of contexts that a hint names.
const NAMED: usize = 10;
/// The name of a cluster that a service account chose.
pub(crate) const IN_CLUSTER: &str = "in-cluster";

impl Kubeconfig {
    /// Reads the files. Blocks, for example on a pipe that nobody writes.
    ///
    /// # Errors
    /// No file, context or service account can be used. No error quotes a file.
    pub(crate) fn read(choice: &Choice) -> Result<Self, Explained> {
        let paths = match &choice.file {
            Some(path) => vec![path.clone()],
            None => default_paths(),
        };
        // A file that the command line names must be there. Of the others kubectl takes those that
        // are.
        let is_there = |path: &&PathBuf| !path.try_exists().is_ok_and(|exists| !exists);
        let named = choice.file.is_some();
        let files = paths.iter().filter(|path| named || is_there(path));
        let files = files
            .map(|path| file(path))
            .collect::<Result<Vec<_>, _>>()?;
        let merged = files
            .into_iter()
            .map(Ok)
            .reduce(|all, next| all?.merge(next?));
        let mut kubeconfig = match merged {
            Some(merged) => Self::of_files(
                merged.map_err(|_| unusable("its files differ in kind or apiVersion"))?,
                choice.context.as_deref(),
            )?,
            None => Self::of_service_account(choice, &paths)?,
        };
        kubeconfig.finish(choice)?;
        Ok(kubeconfig)
    }

    /// Returns a file of this cluster with another `user`.
    pub(crate) fn with_user(&self, user: AuthInfo) -> File {
        let name = self.context.as_deref().unwrap_or(IN_CLUSTER);
        let context = Context {
            cluster: name.to_owned(),
            user: Some(name.to_owned()),
            namespace: self.namespace.clone(),
            ..Context::default()
        };
        File {
            api_version: Some("v1".to_owned()),
            kind: Some("Config".to_owned()),
            current_context: Some(name.to_owned()),
            contexts: vec![NamedContext {
                name: name.to_owned(),
                context: Some(context),
                ..NamedContext::default()
            }],
            clusters: vec![NamedCluster {
                name: name.to_owned(),
                cluster: Some(self.cluster.clone()),
                ..NamedCluster::default()
            }],
            auth_infos: vec![NamedAuthInfo {
                name: name.to_owned(),
                auth_info: Some(user),
                ..NamedAuthInfo::default()
            }],
            ..File::default()
        }
    }

    /// Returns a file for programs that this process starts. It holds nothing that the user's own
    /// does not, so it has secrets.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut user = self.user.clone();
        if let Some(exec) = &mut user.exec {
            silence(exec);
        }
        serde_json::to_vec(&self.with_user(user)).expect("its keys are text")
    }

    fn of_files(files: File, context: Option<&str>) -> Result<Self, Explained> {
        let File {
            contexts,
            clusters,
            auth_infos,
            current_context,
            ..
        } = files;
        let choose = choose(&contexts);
        let Some(name) = context.map(str::to_owned).or(current_context) else {
            let what = "the kubeconfig does not choose a context";
            return Err(Explained::new(what, choose));
        };
        let missing = |what: &str, name: &str| {
            Explained::new(format!("the kubeconfig has no {what} `{name}`"), NO_CLUSTER)
        };
        let context = contexts.into_iter().find(|it| it.name == name);
        let context = context.and_then(|it| it.context);
        let context = context.ok_or_else(|| {
            let what = format!("the kubeconfig has no context `{name}`");
            Explained::new(what, choose)
        })?;
        let cluster = clusters.into_iter().find(|it| it.name == context.cluster);
        let cluster = cluster.and_then(|it| it.cluster);
        let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?;
        let user = match filled(context.user) {
            Some(user) => {
                let found = auth_infos.into_iter().find(|it| it.name == user);
                let found = found.ok_or_else(|| missing("user", &user))?;
                found.auth_info.unwrap_or_default()
            }
            None => AuthInfo::default(),
        };
        Ok(Self {
            context: Some(name),
            namespace: filled(context.namespace),
            cluster,
            user,
        })
    }

    fn of_service_account(choice: &Choice, paths: &[PathBuf]) -> Result<Self, Explained> {
        let found = Config::incluster_env().ok();
        let Some(found) = found.filter(|_| choice.context.is_none()) else {
            let all: Vec<String> = paths.iter().map(|it| it.display().to_string()).collect();
            let what = format!("there is no kubeconfig `{}`", all.join(":"));
            return Err(Explained::new(what, NO_CLUSTER));
        };
        let authority = found.root_cert_file.map(|it| it.display().to_string());
        Ok(Self {
            context: None,
            namespace: Some(found.default_namespace),
            cluster: Cluster {
                server: Some(found.cluster_url.to_string()),
                certificate_authority: authority,
                ..Cluster::default()
            },
            user: found.auth_info,
        })
    }

    fn finish(&mut self, choice: &Choice) -> Result<(), Explained> {
        let Self { cluster, user, .. } = self;
        let data = filled(cluster.certificate_authority_data.take());
        let file = filled(cluster.certificate_authority.take());
        cluster.certificate_authority_data = match (data, file) {
            (None, Some(file)) => {
                let bytes = std::fs::read(&file).map_err(|error| {
                    unusable(&format!(
                        "cannot read the certificate authority `{file}`: {error}"
                    ))
                })?;
                Some(STANDARD.encode(bytes))
            }
            (data, _) => data,
        };
        // A token that was pasted from a file ends with a newline, which no header can hold.
        let trimmed = user
            .token
            .as_ref()
            .map(|token| token.expose_secret().trim());
        user.token = trimmed.map(|token| token.to_owned().into());
        if let Some(name) = &choice.as_user {
            user.impersonate = Some(name.clone());
        }
        if !choice.as_groups.is_empty() {
            user.impersonate_groups = Some(choice.as_groups.clone());
        }
        Ok(())
    }
}

// A Go program passes on what a plugin writes to standard error, and its own errors are quoted.
fn silence(exec: &mut ExecConfig) {
    const QUIET: &str = r#"exec "$0" "$@" 2>/dev/null"#;
    if let Some(command) = exec.command.replace("/bin/sh".to_owned()) {
        let args = exec.args.take().unwrap_or_default();
        let quiet = ["-c".to_owned(), QUIET.to_owned(), command];
        exec.args = Some(quiet.into_iter().chain(args).collect());
    }
}

fn choose(contexts: &[NamedContext]) -> String {
    let names: Vec<&str> = contexts.iter().map(|it| it.name.as_str()).collect();
    let more = match names.len().checked_sub(NAMED) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    match names.get(..NAMED).unwrap_or(&names) {
        [] => NO_CLUSTER.to_owned(),
        some => format!(
            "choose one of its contexts with --context: {}{more}",
            some.join(", ")
        ),
    }
}

fn default_paths() -> Vec<PathBuf> {
    let variable = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let paths = std::env::split_paths(&variable).filter(|path| !path.as_os_str().is_empty());
    let mut paths: Vec<PathBuf> = paths.collect();
    if paths.is_empty() {
        paths.extend(std::env::home_dir().map(|home| home.join(".kube/config")));
    }
    paths
}

fn file(path: &Path) -> Result<File, Explained> {
    let cannot = |why: &str| {
        let what = format!("cannot use the kubeconfig `{}`: {why}", path.display());
        Explained::new(what, NO_CLUSTER)
    };
    // Paths in it are relative to its folder, and a child reads them in a file elsewhere.
    let absolute = std::path::absolute(path).map_err(|error| cannot(&error.to_string()))?;
    let mut file = File::read_from(absolute).map_err(|error| {
        if let KubeconfigError::ReadConfig(error, _) = error {
            return cannot(&error.to_string());
        }
        let line = if let KubeconfigError::Parse(error) = &error
            && let Some(at) = error.location()
        {
            format!(" (line {})", at.line())
        } else {
            String::new()
        };
        cannot(&format!(
            "it is not YAML, or a field has another form{line}"
        ))
    })?;
    file.current_context = filled(file.current_context);
    Ok(file)
}

fn unusable(why: &str) -> Explained {
    Explained::new(format!("cannot use the kubeconfig: {why}"), NO_CLUSTER)
}

/// Returns the text unless it is empty, which counts as absent.
pub(crate) fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::{Value, json};

    use super::*;

    fn choice(file: &Path) -> Choice {
        Choice {
            file: Some(file.to_owned()),
            ..Choice::default()
        }
    }

    fn kubeconfig(server: &str, user: &str) -> String {
        format!(
            "current-context: eu\n\
             contexts: [{{name: eu, context: {{cluster: c, user: u, namespace: shop}}}}]\n\
             clusters: [{{name: other, cluster: {{server: 'https://other'}}}}, \
                        {{name: c, cluster: {{server: '{server}', certificate-authority: ca.crt}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}, {{name: v, user: {{token: of-another}}}}]\n"
        )
    }

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_link_that_is_switched_later_leads_nobody_to_another_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, "ca.crt", "the authority");
        let one = write(folder, "one", &kubeconfig("https://one", "token: t"));
        let two = write(folder, "two", &kubeconfig("https://two", "token: t"));
        let link = folder.join("config");
        symlink(&one, &link).unwrap();
        let read = Kubeconfig::read(&choice(&link)).unwrap();
        std::fs::remove_file(&link).unwrap();
        symlink(&two, &link).unwrap();
        write(folder, "ca.crt", "another authority");
        let written: Value = serde_json::from_slice(&read.to_json()).unwrap();
        let cluster = &written["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], "https://one");
        let authority = STANDARD.encode("the authority");
        assert_eq!(cluster["certificate-authority-data"], authority);
        assert_eq!(written["current-context"], "eu");
        assert_eq!(written["contexts"][0]["context"]["namespace"], "shop");
        assert!(!written.to_string().contains("of-another"), "{written}");
    }

    #[test]
    fn credentials_stay_references_with_absolute_paths_and_impersonation_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, "ca.crt", "the authority");
        let user = "tokenFile: token, client-key: /k, as: somebody, as-uid: '7', \
                    exec: {command: ./bin/plugin, args: [x]}";
        let file = write(folder, "config", &kubeconfig("https://one", user));
        let choice = Choice {
            as_user: Some("deploy".to_owned()),
            as_groups: vec!["ops".to_owned()],
            ..choice(&file)
        };
        let read = Kubeconfig::read(&choice).unwrap();
        let expected = json!({
            "tokenFile": folder.join("token"), "client-key": "/k", "as": "deploy", "as-uid": "7",
            "as-groups": ["ops"],
            "exec": {
                "command": folder.join("./bin/plugin"), "args": ["x"], "provideClusterInfo": false,
            },
        });
        assert_eq!(json!(read.user), expected);
        let written: Value = serde_json::from_slice(&read.to_json()).unwrap();
        let exec = &written["users"][0]["user"]["exec"];
        let quiet = json!([
            "-c",
            "exec \"$0\" \"$@\" 2>/dev/null",
            folder.join("./bin/plugin"),
            "x"
        ]);
        assert_eq!(
            (&exec["command"], &exec["args"]),
            (&json!("/bin/sh"), &quiet)
        );
    }

    #[test]
    fn an_error_names_the_file_and_never_quotes_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let table = [
            (
                "users:\n- name: x\n  user:\n    token: hush\n   oops: [\n",
                "not YAML, or a field has another form (line",
            ),
            ("hush", "not YAML, or a field has another form (line 1)"),
            ("", "does not choose a context"),
            (
                "current-context: eu\n",
                "no context `eu` check --kubeconfig, $KUBECONFIG and --context",
            ),
            (
                "current-context: eu\ncontexts: [{name: us}, {name: ap}]\n",
                "no context `eu` choose one of its contexts with --context: us, ap",
            ),
            (
                "current-context: eu\ncontexts: [{name: eu, context: {cluster: c}}]\n",
                "no cluster `c`",
            ),
            (
                "current-context: eu\ncontexts: [{name: eu, context: {cluster: [hush]}}]\n",
                "a field has another form (line 2)",
            ),
        ];
        for (broken, part) in table {
            let file = write(folder, "config", broken);
            let Err(error) = Kubeconfig::read(&choice(&file)) else {
                panic!("{broken}");
            };
            let text = format!("{error} {}", error.hint());
            assert!(text.contains(part), "{text}");
            assert!(!text.contains("hush") && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn the_first_file_that_has_a_name_counts() {
        let folder = tempfile::tempdir().unwrap();
        let one = "{current-context: '', users: [{name: u, user: {token: \"one\\n\"}}],
            clusters: [{name: c, cluster: {server: 'https://one'}}]}";
        let two = "{current-context: eu, users: [{name: u, user: {token: two}}],
            contexts: [{name: eu, context: {cluster: c, user: u}}]}";
        let [one, two] = [("one", one), ("two", two)]
            .map(|(name, text)| file(&write(folder.path(), name, text)).unwrap());
        let mut read = Kubeconfig::of_files(one.merge(two).unwrap(), None).unwrap();
        read.finish(&Choice::default()).unwrap();
        assert_eq!(read.context.as_deref(), Some("eu"));
        assert_eq!(read.cluster.server.as_deref(), Some("https://one"));
        assert_eq!(read.user.token.unwrap().expose_secret(), "one");
    }
}
