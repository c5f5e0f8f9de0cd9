//! Commands for people that work as pasted into a shell: they reach the run's own cluster.

use serde::{Deserialize, Serialize};

use crate::Release;

/// The flags with which a person chose a cluster and a user. It makes every command that a message
/// shows: with these flags, as each program spells them, and quoted for a shell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Paste {
    /// `--kubeconfig`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
    /// `--context`, or the context that is in use
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// `--as`
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub as_user: Option<String>,
    /// `--as-group`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub as_groups: Vec<String>,
    /// `--cluster-name`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
}

/// How a program spells the flags: kubeconfig, context, user, group.
type Spelling = [&'static str; 4];

/// The spelling of kubectl, the linkerd CLI and the mesh tools.
const KUBECTL: Spelling = ["--kubeconfig", "--context", "--as", "--as-group"];
const HELM: Spelling = [
    "--kubeconfig",
    "--kube-context",
    "--kube-as-user",
    "--kube-as-group",
];

impl Paste {
    /// Returns the flags as kubectl, the linkerd CLI and the mesh tools spell them.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        self.spelled(KUBECTL)
    }

    /// Returns the flags as helm spells them.
    #[must_use]
    pub fn helm_flags(&self) -> Vec<String> {
        self.spelled(HELM)
    }

    /// Returns the command that stores every object of a definition again, in the version for new
    /// objects, and the one that then lets its status forget all versions but that one (`storage`).
    #[must_use]
    pub fn migrate_storage(&self, definition: &str, storage: &str) -> [String; 2] {
        let get = self.kubectl(&["get", definition, "-A", "-o", "json"]);
        let replace = self.kubectl(&["replace", "-f", "-"]);
        let status = format!(r#"{{"status":{{"storedVersions":["{storage}"]}}}}"#);
        let patch = ["patch", "crd", definition, "--subresource=status"];
        let merge = ["--type=merge", "-p", &status];
        let forget = self.kubectl(&[&patch[..], &merge[..]].concat());
        [format!("{get} | {replace}"), forget]
    }

    /// Returns the commands that give the objects of the one release of 2.11, `linkerd2` unless another
    /// is known, to the two releases that follow it. Nothing is deleted but the record of the old
    /// release.
    #[must_use]
    pub fn split_release(&self, release: Option<&Release>, namespace: &str) -> String {
        const DEFINITIONS: [&str; 3] = [
            "servers.policy.linkerd.io",
            "serverauthorizations.policy.linkerd.io",
            "serviceprofiles.linkerd.io",
        ];
        let (name, place) = release.map_or(("linkerd2", "default"), |it| (&it.name, &it.namespace));
        let of = |release: &str| {
            [
                format!("meta.helm.sh/release-name={release}"),
                format!("meta.helm.sh/release-namespace={namespace}"),
            ]
        };
        let (new, crds) = (of("linkerd-control-plane"), of("linkerd-crds"));
        let install = |release: &str, more: &[&str]| {
            let chart = format!("linkerd/{release}");
            let words = [&["install", release, &chart, "-n", namespace], more];
            self.helm("helm", &words.concat())
        };
        let selector = format!("owner=helm,name={name}");
        let annotate = ["annotate", "--overwrite"];
        let objects = self.helm("helm", &["get", "manifest", name, "-n", place]);
        let to_new = [&annotate[..], &["-f", "-"], &[&new[0], &new[1]]].concat();
        let to_crds = [&annotate[..], &["crd"], &DEFINITIONS, &[&crds[0], &crds[1]]].concat();
        [
            format!("{objects} | {}", self.kubectl(&to_new)),
            self.kubectl(&to_crds),
            install("linkerd-crds", &[]),
            install("linkerd-control-plane", &["-f", "VALUES.yaml"]),
            self.kubectl(&["delete", "secret", "-n", place, "-l", &selector]),
        ]
        .join(" && ")
    }

    /// Returns a kubectl command with these words.
    #[must_use]
    pub fn kubectl(&self, words: &[&str]) -> String {
        let mut all = vec!["kubectl".to_owned()];
        all.extend(self.flags());
        all.extend(words.iter().map(ToString::to_string));
        command(&all)
    }

    /// Returns a command of the linkerd CLI, which is at `program`, with these words.
    #[must_use]
    pub fn linkerd(&self, program: &str, words: &[&str]) -> String {
        with_flags(program, words, self.flags())
    }

    /// Returns the pipeline that passes what the linkerd CLI prints for `words` to kubectl's `verb`
    /// (`apply` or `delete`).
    #[must_use]
    pub fn linkerd_to_kubectl(&self, words: &[&str], verb: &str) -> String {
        let printed = self.linkerd("linkerd", words);
        format!("{printed} | {}", self.kubectl(&[verb, "-f", "-"]))
    }

    /// Returns a command of helm, which is at `program`, with these words.
    #[must_use]
    pub fn helm(&self, program: &str, words: &[&str]) -> String {
        with_flags(program, words, self.helm_flags())
    }

    /// Returns the command of a mesh tool that uses a cluster, with these words.
    #[must_use]
    pub fn mesh(&self, tool: &str, words: &[&str]) -> String {
        let mut flags = self.flags();
        let label = self.cluster_name.iter();
        flags.extend(label.flat_map(|label| ["--cluster-name".to_owned(), label.clone()]));
        with_flags(tool, words, flags)
    }

    /// Returns the pipeline that surveys the cluster and asks mesh-skewcheck the `question`.
    #[must_use]
    pub fn judged(&self, question: &[&str]) -> String {
        let judge = with_flags("mesh-skewcheck", question, Vec::new());
        format!("{} | {judge}", self.mesh("mesh-survey", &[]))
    }

    /// Returns the pipeline that passes the answer to a `question` to `action`, a mesh tool.
    #[must_use]
    pub fn pipeline(&self, question: &[&str], action: &str) -> String {
        format!("{} | {}", self.judged(question), self.mesh(action, &[]))
    }

    fn spelled(&self, spelling: Spelling) -> Vec<String> {
        let Self {
            kubeconfig,
            context,
            as_user,
            as_groups,
            cluster_name: _,
        } = self;
        let [of_kubeconfig, of_context, of_user, of_group] = spelling;
        let ones = [
            (of_kubeconfig, kubeconfig),
            (of_context, context),
            (of_user, as_user),
        ];
        let ones = ones
            .into_iter()
            .filter_map(|(flag, value)| Some((flag, value.as_ref()?)));
        ones.chain(as_groups.iter().map(|group| (of_group, group)))
            .flat_map(|(flag, value)| [flag.to_owned(), value.clone()])
            .collect()
    }
}

/// Returns a command of these words, each quoted for a shell if it needs quotes.
#[must_use]
pub fn command(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    quoted.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn with_flags(program: &str, words: &[&str], flags: Vec<String>) -> String {
    let words = words.iter().map(ToString::to_string);
    let all: Vec<String> = [program.to_owned()]
        .into_iter()
        .chain(words)
        .chain(flags)
        .collect();
    command(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_gets_the_flags_of_the_cluster_in_its_own_spelling_and_quoted() {
        let paste = Paste {
            kubeconfig: Some("/k".to_owned()),
            context: Some("eu west".to_owned()),
            as_user: Some("ops".to_owned()),
            as_groups: vec!["a".to_owned(), "b".to_owned()],
            cluster_name: Some("it's".to_owned()),
        };
        let at = "--kubeconfig /k --context 'eu west' --as ops --as-group a --as-group b";
        assert_eq!(
            paste.kubectl(&["-n", "shop", "logs", "web-1"]),
            format!("kubectl {at} -n shop logs web-1")
        );
        assert_eq!(
            paste.helm("/opt/my helm", &["rollback", "cp", "3"]),
            "'/opt/my helm' rollback cp 3 --kubeconfig /k --kube-context 'eu west' \
             --kube-as-user ops --kube-as-group a --kube-as-group b"
        );
        assert_eq!(
            paste.linkerd("linkerd", &["prune"]),
            format!("linkerd prune {at}")
        );
        assert_eq!(
            paste.linkerd_to_kubectl(&["viz", "install"], "apply"),
            format!("linkerd viz install {at} | kubectl {at} apply -f -")
        );
        let mesh = format!(r"{at} --cluster-name 'it'\''s'");
        assert_eq!(
            paste.pipeline(&["--ask", "roll"], "mesh-roll"),
            format!("mesh-survey {mesh} | mesh-skewcheck --ask roll | mesh-roll {mesh}")
        );
    }

    #[test]
    fn without_flags_there_are_none_and_a_word_is_quoted_only_where_a_shell_needs_it() {
        let paste = Paste::default();
        assert_eq!(
            paste.judged(&["--to", "stable-2.14.10"]),
            "mesh-survey | mesh-skewcheck --to stable-2.14.10"
        );
        let table = [
            ("a-b_c=./:,@%+1", "a-b_c=./:,@%+1"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(rm)", "'$(rm)'"),
            ("a;b", "'a;b'"),
            ("*", "'*'"),
            ("~", "'~'"),
            ("é", "'é'"),
            ("it's", r"'it'\''s'"),
            ("a\nb", "'a\nb'"),
        ];
        for (word, expected) in table {
            let words = ["get".to_owned(), word.to_owned()];
            assert_eq!(command(&words), format!("get {expected}"));
        }
    }
}
