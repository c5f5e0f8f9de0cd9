//! Reads what helm keeps of a release.

use anyhow::Context as _;
use mesh_records::{Explained, Release};
use serde::Deserialize;

use crate::installer::back::Revisit;
use crate::installer::driver::Driver;
use crate::installer::helm::Helm;
use crate::installer::history::History;
use crate::render::{self, Manifest, Merge, Rendered};
use crate::unseen::{Question, Unseen};
use crate::values::Given;

impl Helm {
    /// Reads a release's revisions.
    pub(crate) async fn history(&self, release: &Release) -> anyhow::Result<History> {
        let name = &release.name;
        let args = self.args(release, &["history", name, "--max", "20", "-o", "json"]);
        let what = format!("cannot read the history of the helm release {name}");
        let answer = self.program.read(&args, Question::Facts, &what).await;
        let answer = answer.map_err(|error| self.elsewhere(error))?;
        match History::parse(&answer) {
            Ok(history) => Ok(history),
            Err(error) => Ok(Unseen::Garbled(error.to_string()).explain(what)?),
        }
    }

    // Adds a hint where helm does not find a release that the cluster's objects name.
    fn elsewhere(&self, error: anyhow::Error) -> anyhow::Error {
        let said = format!("{error:#}");
        if error.is::<Explained>() || !said.contains("not found") {
            return error;
        }
        let others = match self.driver {
            Driver::Secret => "configmap or --helm-driver sql",
            Driver::ConfigMap => "secret or --helm-driver sql",
            Driver::Sql => "secret or --helm-driver configmap",
        };
        let hint = format!(
            "helm looks for releases where HELM_DRIVER says, which is `{}` in this run; if another one \
             was set when the release was installed, pass --helm-driver {others}",
            self.driver
        );
        Explained::new(said, hint).into()
    }

    /// The values that a revision of a release was given. They contain secrets and are never written anywhere.
    pub(crate) async fn values(&self, release: &Release, revision: u32) -> anyhow::Result<Given> {
        let name = &release.name;
        let number = revision.to_string();
        let words = ["get", "values", name, "--revision", &number, "-o", "json"];
        let args = self.args(release, &words);
        let what = format!("cannot read the values of the helm release {name}");
        let answer = self.program.read(&args, Question::Facts, &what).await?;
        match serde_json::from_slice(&answer) {
            Ok(values) => Ok(values),
            // The parser's error would quote the values.
            Err(_) => Ok(Unseen::Garbled("they are no JSON".to_owned()).explain(what)?),
        }
    }

    /// Reads the objects of a release as they were installed, by its newest revision or by this one.
    pub(crate) async fn installed(
        &self,
        release: &Release,
        revision: Option<u32>,
    ) -> anyhow::Result<Vec<Manifest>> {
        let name = &release.name;
        let mut words = vec!["get", "manifest", name];
        let number = revision.map(|number| number.to_string());
        words.extend(number.iter().flat_map(|number| ["--revision", number]));
        let args = self.args(release, &words);
        let what = format!("cannot read the objects of the helm release {name}");
        let answer = self.program.read(&args, Question::Facts, &what).await?;
        let text = String::from_utf8(answer).context("the manifest is not UTF-8 text")?;
        render::manifests(&text)
            .with_context(|| format!("cannot parse the objects of the helm release {name}"))
    }

    /// Reads what a rollback to a revision would write.
    pub(crate) async fn kept(&self, revisit: &Revisit) -> anyhow::Result<Rendered> {
        let Revisit {
            release, revision, ..
        } = revisit;
        let (merge, manifests) = futures::future::try_join(
            self.merge_of(release, *revision),
            self.installed(release, Some(*revision)),
        )
        .await?;
        Ok(Rendered::kept(revisit.chart.clone(), manifests, merge))
    }

    /// Reads how helm would write a revision again. helm 3 knows one way only and does not say it.
    async fn merge_of(&self, release: &Release, revision: u32) -> anyhow::Result<Merge> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            #[serde(default)]
            apply_method: String,
        }
        let (name, number) = (&release.name, revision.to_string());
        let words = ["get", "metadata", name, "--revision", &number, "-o", "json"];
        let what = format!("cannot read how revision {number} of {name} was written");
        let args = self.args(release, &words);
        let answer = self.program.read(&args, Question::Facts, &what).await?;
        match serde_json::from_slice::<Metadata>(&answer) {
            Ok(metadata) if metadata.apply_method == "ssa" => Ok(Merge::OnServer),
            Ok(_) => Ok(Merge::ThreeWay),
            Err(error) => Ok(Unseen::Garbled(error.to_string()).explain(what)?),
        }
    }
}
