//! Reads files instead of a server: the output of `kubectl get … -o json` or `-o yaml`. The actions
//! refuse a verdict on such a survey.

mod objects;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mesh_records::{Explain as _, Explained, Scope, Source, Stream, Tool};

use crate::args::{Args, DumpArgs};
use crate::report::Looked;
use objects::Dump;

const KINDS: &str = "namespaces,pods,deployments,statefulsets,daemonsets,replicasets,\
replicationcontrollers,jobs,configmaps,endpointslices,mutatingwebhookconfigurations,\
validatingwebhookconfigurations,customresourcedefinitions,nodes";

/// Reads a dump; returns the `stream` record and the survey.
pub(crate) fn survey(args: &Args, cluster: &str) -> (Stream, Looked) {
    let DumpArgs { from, taken_at } = &args.dump;
    let mut stream = Stream {
        cluster: Some(cluster.to_owned()),
        time: *taken_at,
        source: Some(Source::Dump),
        ..Stream::of(Tool::MeshSurvey, env!("CARGO_PKG_VERSION"))
    };
    let words = ["get", KINDS, "-A", "-o", "json"];
    let paste = args.cluster.paste();
    let hint = format!(
        "{} > dump.json; {} > version.json",
        paste.kubectl(&words),
        paste.kubectl(&["version", "-o", "json"])
    );
    match read(from, &hint) {
        Err(error) => (
            stream,
            Looked::Failed {
                error,
                unseen: Vec::new(),
            },
        ),
        Ok(dump) => {
            stream.cluster_uid = dump.cluster_uid().map(str::to_owned);
            let wish = args.wish();
            let (survey, missing) = dump.survey(cluster, wish);
            stream.scope = Some(Scope {
                missing,
                ..Scope::default()
            });
            (stream, Looked::Whole(Box::new(survey)))
        }
    }
}

fn read(paths: &[PathBuf], hint: &str) -> Result<Dump> {
    let mut dump = Dump::default();
    for path in paths {
        let mut files = vec![path.clone()];
        if path.is_dir() {
            files = within(path, hint)?;
        }
        for file in files {
            let what = || format!("cannot read the dump `{}`", file.display());
            let text = text(&file).explain(what(), hint)?;
            dump.add(&text).explain(what(), hint)?;
        }
    }
    Ok(dump)
}

// The files of a folder and of the folders in it, as `kubectl cluster-info dump` writes them.
fn within(folder: &Path, hint: &str) -> Result<Vec<PathBuf>> {
    let mut files = files_of(folder)?;
    files.sort();
    if files.is_empty() {
        let none = format!(
            "cannot read the dump directory `{}`: it has no *.json, *.ndjson, *.yaml or *.yml file",
            folder.display()
        );
        return Err(Explained::new(none, hint).into());
    }
    Ok(files)
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    const FORMATS: [&str; 4] = ["json", "ndjson", "yaml", "yml"];
    let what = || format!("cannot read the dump directory `{}`", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(what)? {
        let entry = entry.with_context(what)?;
        let path = entry.path();
        // A link to a folder may lead back to this one.
        if entry.file_type().with_context(what)?.is_dir() {
            files.extend(files_of(&path)?);
        } else if FORMATS
            .iter()
            .any(|it| path.extension().is_some_and(|own| own == *it))
        {
            files.push(path);
        }
    }
    Ok(files)
}

fn text(path: &Path) -> std::io::Result<String> {
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
