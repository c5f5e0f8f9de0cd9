//! The command that runs the same pipeline again.

use mesh_cluster::ClusterArgs;

use crate::actor::Actor;

/// The pipeline with this run's own arguments, fit to be pasted into a shell.
pub(crate) fn again(actor: &Actor, cluster: &ClusterArgs, argv: &[String]) -> String {
    let mut words = Vec::new();
    if let Some(question) = &actor.question {
        words.push("mesh-survey".to_owned());
        words.extend(survey_flags(cluster));
        words.push(format!("| mesh-skewcheck {question} |"));
    }
    words.push(actor.tool.name().to_owned());
    // A digest is one plan's, and the next run's plan is another.
    let own = argv.iter().skip(1).filter(|arg| !arg.starts_with("--yes="));
    words.extend(own.map(|arg| quoted(arg)));
    words.join(" ")
}

fn survey_flags(cluster: &ClusterArgs) -> Vec<String> {
    let kubeconfig = cluster.kubeconfig.as_ref();
    let kubeconfig = kubeconfig.map(|path| path.display().to_string());
    let one = [
        ("--kubeconfig", kubeconfig),
        ("--context", cluster.context.clone()),
        ("--as", cluster.as_user.clone()),
        ("--cluster-name", cluster.cluster_name.clone()),
    ];
    let one = one
        .into_iter()
        .filter_map(|(flag, value)| Some((flag, value?)));
    let groups = cluster.as_groups.iter().cloned();
    let groups = groups.map(|group| ("--as-group", group));
    one.chain(groups)
        .flat_map(|(flag, value)| [flag.to_owned(), quoted(&value)])
        .collect()
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
