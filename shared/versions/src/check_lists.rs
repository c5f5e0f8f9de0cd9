//! Checks the lists of a releases file that are not about one minor version.

use std::cmp::Ordering;

use crate::field::{version, wrong};
use crate::releases::{Charts, Repository, Source};
use crate::schema::{FileAlias, FileCharts, FileRepository, FileSource, ReleasesError, Trouble};
use crate::version::Version;

pub(crate) fn charts_of(file: Vec<FileCharts>) -> Result<Vec<Charts>, ReleasesError> {
    let mut charts: Vec<Charts> = Vec::with_capacity(file.len());
    for (
        index,
        FileCharts {
            release,
            control_plane,
            crds,
        },
    ) in file.into_iter().enumerate()
    {
        let at = format!("charts[{index}]");
        let read = |name: &str, text: Option<String>| {
            text.map(|text| match semver::Version::parse(&text) {
                Ok(_) => Ok(text),
                Err(_) => Err(wrong(
                    &format!("{at}.{name}"),
                    Trouble::Not(text, "a chart version"),
                )),
            })
            .transpose()
        };
        let release = version(&format!("{at}.release"), &release)?;
        if charts
            .iter()
            .any(|other| other.release.same_release(&release))
        {
            let trouble = Trouble::Duplicate(release.to_string());
            return Err(wrong(&format!("{at}.release"), trouble));
        }
        let control_plane = read("control_plane", control_plane)?;
        charts.push(Charts {
            release,
            control_plane,
            crds: read("crds", crds)?,
        });
    }
    Ok(charts)
}

pub(crate) fn repositories_of(file: Vec<FileRepository>) -> Result<Vec<Repository>, ReleasesError> {
    let mut repositories: Vec<Repository> = Vec::with_capacity(file.len());
    for (index, repository) in file.into_iter().enumerate() {
        let FileRepository {
            channel,
            name,
            url,
            control_plane,
            crds,
        } = repository;
        if repositories.iter().any(|other| other.channel == channel) {
            let trouble = Trouble::Duplicate(channel.to_string());
            return Err(wrong(&format!("repositories[{index}].channel"), trouble));
        }
        repositories.push(Repository {
            channel,
            name,
            url,
            control_plane,
            crds,
        });
    }
    Ok(repositories)
}

pub(crate) fn aliases_of(file: Vec<FileAlias>) -> Result<Vec<(String, Version)>, ReleasesError> {
    let mut aliases: Vec<(String, Version)> = Vec::with_capacity(file.len());
    for (index, FileAlias { tag, release }) in file.into_iter().enumerate() {
        let at = format!("aliases[{index}]");
        let field = format!("{at}.tag");
        if !Version::of_tag(&tag).is_opaque() {
            return Err(wrong(
                &field,
                Trouble::Not(tag, "a tag that needs an alias: it is a Linkerd version"),
            ));
        }
        if aliases.iter().any(|(other, _)| *other == tag) {
            return Err(wrong(&field, Trouble::Duplicate(tag)));
        }
        aliases.push((tag, version(&format!("{at}.release"), &release)?));
    }
    Ok(aliases)
}

pub(crate) fn sources_of(
    file: Vec<FileSource>,
    newest: &Version,
) -> Result<Vec<Source>, ReleasesError> {
    let mut sources: Vec<Source> = Vec::with_capacity(file.len());
    for (index, source) in file.into_iter().enumerate() {
        let FileSource {
            facts,
            from,
            page,
            known_until,
        } = source;
        let at = format!("sources[{index}]");
        if sources.iter().any(|other| other.facts == facts) {
            return Err(wrong(&format!("{at}.facts"), Trouble::Duplicate(facts)));
        }
        let field = format!("{at}.known_until");
        let until = version(&field, &known_until)?;
        if newest.order(&until) == Some(Ordering::Less) {
            let trouble = Trouble::Unsorted(newest.to_string(), known_until);
            return Err(wrong(&field, trouble));
        }
        sources.push(Source {
            facts,
            from,
            page,
            known_until: until,
        });
    }
    Ok(sources)
}
