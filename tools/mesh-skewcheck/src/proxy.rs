//! Compares a proxy's version with the version in question.

use std::collections::HashMap;

use mesh_versions::{Channel, Confidence, Skew, Version};

use crate::question::Standpoint;
use crate::seen::SeenProxy;

/// How many versions are cached. A mesh has only a few; hostile input could have many.
const REMEMBERED: usize = 1024;

/// The comparison of one proxy version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) standing: Standing,
    /// Whether its minor version is a guess.
    pub(crate) guessed: bool,
    pub(crate) channel: Option<Channel>,
    pub(crate) not_recommended: bool,
    /// Whether it is the release that a new pod gets.
    injected: bool,
}

/// How a proxy's version compares with the version in question; from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// The same release.
    There,
    /// A release of the same minor version in another channel.
    Beside,
    /// A later patch of the same minor version.
    AheadByPatch,
    /// Older, within the allowed skew.
    Behind {
        minors: u32,
    },
    Unknown,
    Ahead {
        minors: u32,
    },
    TooOld {
        minors: u32,
    },
}

/// The comparisons for one control plane, cached by version.
#[derive(Debug, Default)]
pub(crate) struct Sights {
    by_text: HashMap<String, Sight>,
}

impl Sights {
    pub(crate) fn of(&mut self, proxy: &SeenProxy<'_>, at: &Standpoint<'_>) -> Sight {
        let text = proxy.text();
        if let Some(sight) = self.by_text.get(text) {
            return *sight;
        }
        let sight = sight_of(text, at);
        if self.by_text.len() < REMEMBERED {
            self.by_text.insert(text.to_owned(), sight);
        }
        sight
    }

    /// Returns true if a new pod would get the proxy's version, or its tag.
    pub(crate) fn is_injected(&mut self, proxy: &SeenProxy<'_>, at: &Standpoint<'_>) -> bool {
        let injects = at.injects.as_ref();
        self.of(proxy, at).injected || injects.is_some_and(|it| proxy.has_tag_of(it.as_str()))
    }
}

fn sight_of(text: &str, at: &Standpoint<'_>) -> Sight {
    let releases = at.releases();
    let version = Version::of_tag(text);
    let confidence = releases.minor_of(&version).map(|of| of.confidence);
    Sight {
        standing: if text.is_empty() {
            Standing::Unknown
        } else {
            standing_of(&version, at)
        },
        guessed: confidence == Some(Confidence::Guessed),
        channel: releases.canonical(&version).channel(),
        not_recommended: releases.is_not_recommended(&version),
        injected: at
            .injects
            .as_ref()
            .is_some_and(|it| it.same_release(&version)),
    }
}

fn standing_of(version: &Version, at: &Standpoint<'_>) -> Standing {
    match at.releases().skew(version, at.base()).0 {
        Skew::Same if at.same_release(version, at.base()) => Standing::There,
        Skew::Same => Standing::Beside,
        Skew::Behind { minors } if minors > at.question.max_behind => Standing::TooOld { minors },
        Skew::Behind { minors } => Standing::Behind { minors },
        Skew::Ahead { minors: 0 } => Standing::AheadByPatch,
        Skew::Ahead { minors } => Standing::Ahead { minors },
        Skew::Unknown => Standing::Unknown,
    }
}
