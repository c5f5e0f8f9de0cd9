//! What a run has shown of the control plane before it asks: each fact with its words, so that what
//! is compared can also be said. Pure.

use std::collections::BTreeMap;

use crate::identity::Identity;
use crate::installer::history::Revision;
use crate::live::{Configuration, Installed};

/// What was found, by what it is, in words.
pub(crate) type Facts = BTreeMap<String, String>;

/// The state of a control plane that the plan, and so the consent to it, rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// What an upgrade leaves as it is: what installed the control plane, and the identity settings.
    pub(crate) settings: Facts,
    /// What only a write of the control plane changes.
    pub(crate) control_plane: Facts,
    /// What only a write of the definitions changes.
    pub(crate) definitions: Facts,
}

/// What was written since the run asked, as was agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Nothing,
    /// The definitions, which every later look must find like this.
    Definitions(Facts),
}

/// The newest revisions of helm's two releases, each with the name of its release.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revisions<'a> {
    pub(crate) control_plane: (&'a str, &'a Revision),
    pub(crate) crds: (&'a str, &'a Revision),
}

// === impl Shown ===

impl Shown {
    /// Collects the facts. `identity` is `None` if it cannot be read; `stored` identifies the values
    /// that the linkerd CLI stored.
    pub(crate) fn new(
        installed: &Installed,
        configuration: Configuration<'_>,
        identity: Option<&Identity>,
        revisions: Option<Revisions<'_>>,
        stored: Option<&str>,
    ) -> Self {
        let mut shown = Self::default();
        shown.settings.insert(
            "what installed the control plane".to_owned(),
            installed.to_string(),
        );
        match identity {
            Some(identity) => shown.settings.extend(
                identity
                    .settings()
                    .map(|(key, value)| (key.sentence().to_owned(), value)),
            ),
            None => {
                let unreadable = "not readable".to_owned();
                let what = "the identity settings".to_owned();
                shown.settings.insert(what, unreadable);
            }
        }
        let Configuration {
            version,
            resource_version,
        } = configuration;
        let facts = &mut shown.control_plane;
        let version = version.unwrap_or("not readable").to_owned();
        facts.insert("the version in linkerd-config".to_owned(), version);
        facts.insert(
            "the resourceVersion of linkerd-config".to_owned(),
            resource_version.to_owned(),
        );
        if let Some(stored) = stored {
            let what = "the Secret linkerd-config-overrides with the values of the linkerd CLI";
            facts.insert(what.to_owned(), stored.to_owned());
        }
        if let Some(Revisions {
            control_plane,
            crds,
        }) = revisions
        {
            shown.control_plane.extend([fact(control_plane)]);
            shown.definitions.extend([fact(crds)]);
        }
        shown
    }

    /// Says what differs from what was shown, except by the run's own write.
    pub(crate) fn changed(&self, now: &Self, written: &Written) -> Option<String> {
        let mut changed = changes(&self.settings, &now.settings);
        changed.extend(changes(&self.control_plane, &now.control_plane));
        let definitions = match written {
            Written::Nothing => &self.definitions,
            Written::Definitions(left) => left,
        };
        changed.extend(changes(definitions, &now.definitions));
        (!changed.is_empty()).then(|| changed.join("; "))
    }

    /// Like [`Shown::changed`], of the settings alone.
    pub(crate) fn changed_settings(&self, now: &Self) -> Option<String> {
        let changed = changes(&self.settings, &now.settings);
        (!changed.is_empty()).then(|| changed.join("; "))
    }
}

/// Returns the newest revision of a release as a fact.
pub(crate) fn fact((release, latest): (&str, &Revision)) -> (String, String) {
    (format!("the helm release {release}"), latest.to_string())
}

fn changes(shown: &Facts, now: &Facts) -> Vec<String> {
    let mut all: Vec<&String> = shown.keys().chain(now.keys()).collect();
    all.sort();
    all.dedup();
    let value = |facts: &Facts, what: &str| facts.get(what).cloned();
    let none = || "nothing".to_owned();
    let differs = |what: &&String| shown.get(*what) != now.get(*what);
    let words = |what: &String| {
        let before = value(shown, what).unwrap_or_else(none);
        let now = value(now, what).unwrap_or_else(none);
        format!("{what} was {before}, and now it is {now}")
    };
    all.into_iter().filter(differs).map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installer::history::Status;

    fn revision(number: u32) -> Revision {
        Revision {
            revision: number,
            status: Status::Deployed,
            chart: "chart-1".to_owned(),
            app_version: "stable-2.13.7".to_owned(),
            description: String::new(),
        }
    }

    fn shown(version: &str, resource_version: &str, plane: u32, crds: u32) -> Shown {
        let configuration = Configuration {
            version: Some(version),
            resource_version,
        };
        let (plane, crds) = (revision(plane), revision(crds));
        let revisions = Revisions {
            control_plane: ("plane", &plane),
            crds: ("crds", &crds),
        };
        Shown::new(&Installed::Cli, configuration, None, Some(revisions), None)
    }

    #[test]
    fn every_fact_counts_except_what_the_run_itself_wrote() {
        let before = shown("a", "7", 1, 1);
        let nothing = &Written::Nothing;
        let left = |crds| {
            let left = fact(("crds", &revision(crds)));
            Written::Definitions(Facts::from([left]))
        };
        assert_eq!(before.changed(&before, nothing), None);
        let mut stored = before.clone();
        stored.control_plane.insert("values".into(), "x".into());
        let mut settings = before.clone();
        settings.settings.clear();
        let table = [
            (shown("b", "7", 1, 1), "version in linkerd-config was a"),
            (
                shown("a", "8", 1, 1),
                "linkerd-config was 7, and now it is 8",
            ),
            (shown("a", "7", 2, 1), "plane was revision 1 (chart-1, dep"),
            (stored, "values was nothing, and now it is x"),
            (settings, "the identity settings was not readable"),
        ];
        for (now, part) in table {
            for written in [nothing, &left(1)] {
                let changed = before.changed(&now, written).unwrap();
                assert!(changed.contains(part), "{part}: {changed}");
            }
        }
        let own = shown("a", "7", 1, 2);
        assert!(before.changed(&own, nothing).is_some());
        assert_eq!(before.changed(&own, &left(2)), None);
        let other = shown("a", "7", 1, 3);
        let changed = before.changed(&other, &left(2)).unwrap();
        assert!(changed.contains("crds was revision 2 "), "{changed}");
    }
}
