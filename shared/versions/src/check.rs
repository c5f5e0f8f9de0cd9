//! Checks a releases file: versions it refers to exist, lists are in order, nothing is listed
//! twice.

use sha2::{Digest as _, Sha256};

use crate::channel::Channel;
use crate::check_lists::{aliases_of, charts_of, repositories_of, sources_of};
use crate::check_notes::notes_of;
use crate::field::{ascends, edge, version, wrong};
use crate::kubernetes::{Fit, KubernetesVersion, Support};
use crate::minor::Minor;
use crate::parts::ShippedDefinition;
use crate::place::line_of as place_of;
use crate::releases::{Line, Releases};
use crate::schema::{File, FileKubernetes, FileLine, ReleasesError, SCHEMA, Trouble};
use crate::version::Version;

/// The releases file that is built into the binary.
pub(crate) const EMBEDDED: &[u8] = include_bytes!("../data/releases.json");

impl Releases {
    /// Returns the releases of the built-in file.
    pub fn embedded() -> Self {
        Self::parse(EMBEDDED).expect("the embedded file is read by a test")
    }

    /// Parses a releases file. An unknown field, a duplicate or a floor out of order is an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReleasesError> {
        Ok(Self {
            sha256: format!("{:x}", Sha256::digest(bytes)),
            ..read(bytes).map_err(|error| error.on_line(|field| place_of(bytes, field)))?
        })
    }
}

/// Parses the file and checks all of it; the caller sets the digest.
fn read(bytes: &[u8]) -> Result<Releases, ReleasesError> {
    let File {
        schema,
        known_until,
        lines,
        not_recommended,
        charts,
        repositories,
        aliases,
        sources,
        notes,
    } = serde_json::from_slice(bytes).map_err(ReleasesError::Json)?;
    if schema != SCHEMA {
        return Err(wrong("schema", Trouble::Schema(schema)));
    }
    let lines = lines_of(lines)?;
    let known_until = edge("known_until", &known_until)?;
    let last = lines.last().ok_or_else(|| wrong("lines", Trouble::Empty))?;
    ascends("known_until", &last.floor, &known_until, true)?;
    let releases = Releases {
        notes: notes_of(notes)?,
        sources: sources_of(sources, &known_until)?,
        lines,
        known_until,
        not_recommended: not_recommended_of(&not_recommended)?,
        charts: charts_of(charts)?,
        repositories: repositories_of(repositories)?,
        aliases: aliases_of(aliases)?,
        sha256: String::new(),
    };
    recommended_belong(&releases)?;
    Ok(releases)
}

fn lines_of(file: Vec<FileLine>) -> Result<Vec<Line>, ReleasesError> {
    let mut lines: Vec<Line> = Vec::with_capacity(file.len());
    for (index, line) in file.into_iter().enumerate() {
        let at = format!("lines[{index}]");
        let line = line_of(&at, &line)?;
        if let Some(before) = lines.last() {
            let trouble = Trouble::Unsorted(line.minor.to_string(), before.minor.to_string());
            if line.minor != before.minor.next() {
                return Err(wrong(&format!("{at}.line"), trouble));
            }
            ascends(
                &format!("{at}.floor.edge"),
                &before.floor,
                &line.floor,
                false,
            )?;
        }
        lines.push(line);
    }
    Ok(lines)
}

fn line_of(at: &str, file: &FileLine) -> Result<Line, ReleasesError> {
    let FileLine {
        line,
        floor,
        releases,
        recommended,
        kubernetes,
        components,
        definitions,
        reads,
    } = file;
    let field = format!("{at}.line");
    let minor = line
        .parse::<Minor>()
        .map_err(|_| wrong(&field, Trouble::Not(line.clone(), "a minor version (2.X)")))?;
    Ok(Line {
        minor,
        floor: edge(&format!("{at}.floor.edge"), &floor.edge)?,
        source: floor.source,
        releases: numbered_of(&format!("{at}.releases"), minor, releases)?,
        recommended: recommended_of(&format!("{at}.recommended"), recommended)?,
        kubernetes: kubernetes_of(&format!("{at}.kubernetes"), kubernetes)?,
        components: components.clone(),
        definitions: definitions_of(&format!("{at}.definitions"), definitions)?,
        reads: reads.clone(),
    })
}

fn numbered_of(at: &str, minor: Minor, texts: &[String]) -> Result<Vec<Version>, ReleasesError> {
    let mut releases: Vec<Version> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{at}[{index}]");
        let release = version(&field, text)?;
        if release.numbered_minor() != Some(minor) {
            return Err(wrong(&field, Trouble::Foreign(text.clone(), minor)));
        }
        if let Some(before) = releases
            .iter()
            .rev()
            .find(|before| before.channel() == release.channel())
        {
            ascends(&field, before, &release, false)?;
        }
        releases.push(release);
    }
    Ok(releases)
}

fn recommended_of(at: &str, texts: &[String]) -> Result<Vec<Version>, ReleasesError> {
    let mut releases: Vec<Version> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{at}[{index}]");
        let release = version(&field, text)?;
        if releases
            .iter()
            .any(|other| other.channel() == release.channel())
        {
            let channel = release.channel().map_or("", Channel::as_str).to_owned();
            return Err(wrong(&field, Trouble::Duplicate(channel)));
        }
        releases.push(release);
    }
    Ok(releases)
}

fn recommended_belong(releases: &Releases) -> Result<(), ReleasesError> {
    for (index, line) in releases.lines.iter().enumerate() {
        for (nth, release) in line.recommended.iter().enumerate() {
            let field = format!("lines[{index}].recommended[{nth}]");
            let foreign = Trouble::Foreign(release.to_string(), line.minor);
            let belongs = releases
                .minor_of(release)
                .is_some_and(|of| of.minor == line.minor);
            let listed = release.numbered_minor().is_none() || line.releases.contains(release);
            if !belongs || !listed {
                return Err(wrong(&field, foreign));
            }
            if releases.is_not_recommended(release) {
                let trouble = Trouble::Not(
                    release.to_string(),
                    "allowed here: it is in `not_recommended`",
                );
                return Err(wrong(&field, trouble));
            }
        }
    }
    Ok(())
}

fn kubernetes_of(at: &str, file: &FileKubernetes) -> Result<Support, ReleasesError> {
    let read = |name: &str, text: &str| {
        let trouble = || Trouble::Not(text.to_owned(), "a Kubernetes version");
        KubernetesVersion::of(text).ok_or_else(|| wrong(&format!("{at}.{name}"), trouble()))
    };
    let support = Support {
        min: read("min", &file.min)?,
        tested: read("tested", &file.tested)?,
    };
    if support.fit(&support.tested) == Fit::TooOld {
        let trouble = Trouble::Unsorted(file.tested.clone(), file.min.clone());
        return Err(wrong(&format!("{at}.tested"), trouble));
    }
    Ok(support)
}

fn definitions_of(
    at: &str,
    file: &[ShippedDefinition],
) -> Result<Vec<ShippedDefinition>, ReleasesError> {
    for (index, definition) in file.iter().enumerate() {
        let ShippedDefinition {
            name,
            served,
            storage,
        } = definition;
        if !served.contains(storage) {
            let trouble = Trouble::Not(storage.clone(), "one of the versions that it serves");
            return Err(wrong(&format!("{at}[{index}].storage"), trouble));
        }
        if let Some(before) = file[..index].last().filter(|before| before.name >= *name) {
            let trouble = Trouble::Unsorted(name.clone(), before.name.clone());
            return Err(wrong(&format!("{at}[{index}].name"), trouble));
        }
    }
    Ok(file.to_vec())
}

fn not_recommended_of(texts: &[String]) -> Result<Vec<Version>, ReleasesError> {
    let mut edges: Vec<Version> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("not_recommended[{index}]");
        let release = edge(&field, text)?;
        if let Some(before) = edges.last() {
            ascends(&field, before, &release, false)?;
        }
        edges.push(release);
    }
    Ok(edges)
}
