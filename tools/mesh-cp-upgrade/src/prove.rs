//! Asks with dry-run pods which proxy new pods get: before the write and after it, where the mesh's
//! workloads are.
//!
//! What a quota or a policy refuses is that namespace's obstacle and is said; it says nothing of the
//! upgrade. The upgrade has failed only where the injector gives no proxy or the wrong one, and where
//! it was not so before the write.

use std::sync::Arc;

use futures::StreamExt as _;
use mesh_actor::{Ending, Outcome};
use mesh_cluster::clock::later;
use mesh_cluster::{AT_ONCE, Cluster, Error, Injected, Probe, Refuser};
use mesh_records::{StepName, WorkloadRef};
use tokio::time::{Duration, Instant};

use crate::args::Args;
use crate::plan;
use crate::session::Session;

/// How long the injector is asked. The API server may keep a connection to a stopped injector open
/// for some seconds.
const PROOF: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The namespace of the last resort: where no workload's pod could show anything.
const DEFAULT: &str = "default";

/// Where a dry-run pod is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// From this workload's template.
    Workload(WorkloadRef),
    /// A plain pod that asks for a proxy, in this namespace.
    Plain(String),
}

/// What a dry-run pod showed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    /// It got the expected proxy; this is its image.
    Right(String),
    /// It got no proxy.
    Bare(String),
    /// It got another proxy, or the injector could not be called.
    Wrong(String),
    /// It got no proxy, but a plain pod in its namespace got one: its template is why.
    Declined(String),
    /// Something else than the injector stands in the way.
    Refused(String),
    /// As [`Shown::Refused`], but it may pass at once.
    Away(String),
}

/// The places, and what was shown there.
#[derive(Debug)]
pub(crate) struct Proof {
    places: Vec<Place>,
    /// What was shown before the write; `None` if nobody asked then.
    before: Option<Before>,
}

/// What was shown before the write.
#[derive(Debug, Default)]
struct Before {
    /// The places where new pods had the proxy of that day.
    right: Vec<Place>,
    /// The places where they had no proxy, or another one.
    wrong: Vec<Place>,
}

/// Where the proxy of new pods is asked for: in one namespace, or where these workloads are.
pub(crate) fn places(args: &Args, workloads: &[WorkloadRef]) -> Proof {
    let places = match (&args.prove_in, workloads.is_empty()) {
        (Some(namespace), _) => vec![Place::Plain(namespace.clone())],
        (None, true) => vec![Place::Plain(DEFAULT.to_owned())],
        (None, false) => workloads.iter().cloned().map(Place::Workload).collect(),
    };
    Proof {
        places,
        before: None,
    }
}

/// Asks before the write which proxy new pods get, once, and says where they do not get the one of
/// today. Returns a sentence for the step. Fails without the right to ask.
pub(crate) async fn rehearse(
    session: &mut Session<'_>,
    proof: &mut Proof,
    today: Option<&str>,
) -> Outcome<String> {
    if let Some(before) = &proof.before {
        return Ok(before.sentence(proof.places.len()));
    }
    let mut before = Before::default();
    let cluster = &*Arc::clone(&session.cluster);
    let places = futures::stream::iter(proof.places.clone());
    let asking = places.map(|place| async move {
        let shown = ask(cluster, &place, today).await;
        (place, shown)
    });
    let asking = asking.buffered(AT_ONCE).collect::<Vec<_>>();
    for (place, shown) in session.unless_stopped(asking).await? {
        let said = match shown? {
            Shown::Right(_) => {
                before.right.push(place);
                continue;
            }
            Shown::Bare(why) | Shown::Wrong(why) => {
                before.wrong.push(place.clone());
                format!("{why}, before the upgrade already")
            }
            Shown::Declined(why) | Shown::Refused(why) | Shown::Away(why) => why,
        };
        session.says_waiting(format!("warning: {place} {said}"), said)?;
    }
    let said = before.sentence(proof.places.len());
    proof.before = Some(before);
    Ok(said)
}

/// Checks with dry-run pods that new pods get the target's proxy. Returns what is not proven.
pub(crate) async fn prove(
    session: &mut Session<'_>,
    target: &str,
    injects: &str,
    mut proof: Proof,
) -> Outcome<Option<String>> {
    session.begin(StepName::Prove, &proof.question())?;
    let deadline = later(PROOF);
    let mut right: Vec<(Place, String)> = Vec::new();
    let (mut warned, mut wrong) = (Vec::new(), None);
    let mut places = std::mem::take(&mut proof.places);
    while !places.is_empty() {
        let asked = std::mem::take(&mut places);
        for (place, shown) in at_all(session, &proof, asked, injects, deadline).await? {
            let shown = shown?;
            let said = match &shown {
                Shown::Right(image) => {
                    right.push((place, image.clone()));
                    continue;
                }
                Shown::Bare(why) | Shown::Wrong(why) => {
                    let what = format!("{place} {why}");
                    if proof.is_new(&place, &shown) {
                        return Err(failed(&what));
                    }
                    wrong.get_or_insert(what);
                    why.clone()
                }
                Shown::Declined(why) if proof.was_right(&place) => {
                    return Err(failed(&format!("{place} {why}; before, it got one")));
                }
                Shown::Declined(why) | Shown::Refused(why) | Shown::Away(why) => why.clone(),
            };
            session.says_waiting(format!("warning: {place} {said}"), said)?;
            warned.push(place);
        }
        let is_plain = |place: &Place| matches!(place, Place::Plain(_));
        if right.is_empty() && !warned.iter().any(is_plain) {
            places.push(Place::Plain(DEFAULT.to_owned()));
        }
    }
    let Some((place, image)) = right.first() else {
        // Where nobody gets a proxy, it is the injector, also if it was so before.
        if let Some(why) = wrong {
            return Err(failed(&why));
        }
        let what = unshown(target);
        session.done(&what)?;
        return Ok(Some(what));
    };
    let unproven = not_shown(warned.len());
    let count = right.len();
    session.done(&format!(
        "{place} gets {image} ({count} dry-run pods get the target's proxy{unproven})"
    ))?;
    // Its pods have proxies today, so that new ones without are worth a look.
    Ok(wrong)
}

fn not_shown(places: usize) -> String {
    match places {
        0 => String::new(),
        1 => "; not shown in 1 other place".to_owned(),
        count => format!("; not shown in {count} other places"),
    }
}

// Asks at these places until each answer is final, or until the deadline. An error at one place hides
// nothing of those before it.
async fn at_all(
    session: &mut Session<'_>,
    proof: &Proof,
    places: Vec<Place>,
    injects: &str,
    deadline: Instant,
) -> Outcome<Vec<(Place, Result<Shown, Error>)>> {
    let cluster = &*Arc::clone(&session.cluster);
    let asking = futures::stream::iter(places).map(|place| async move {
        let was_right = proof.was_right(&place);
        let shown = until(cluster, &place, injects, was_right, deadline).await;
        (place, shown)
    });
    session
        .unless_stopped(asking.buffered(AT_ONCE).collect())
        .await
}

async fn until(
    cluster: &Cluster,
    place: &Place,
    injects: &str,
    was_right: bool,
    deadline: Instant,
) -> Result<Shown, Error> {
    loop {
        let answer = ask(cluster, place, Some(injects)).await;
        let is_over = Instant::now() >= deadline;
        match answer {
            Ok(shown @ (Shown::Right(_) | Shown::Refused(_))) => return Ok(shown),
            Ok(shown @ Shown::Declined(_)) if !was_right => return Ok(shown),
            Ok(shown) if is_over => return Ok(shown),
            Err(error) if is_over || error.rule().is_some() => return Err(error),
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn ask(cluster: &Cluster, place: &Place, injects: Option<&str>) -> Result<Shown, Error> {
    let probe = match place {
        Place::Workload(key) => cluster.probe(key).await?,
        Place::Plain(namespace) => cluster.probe_plain(namespace).await?,
    };
    let shown = shown(probe, injects);
    if let (Shown::Bare(_), Place::Workload(key)) = (&shown, place)
        && let Ok(Some(Probe::Injected(_))) = cluster.probe_plain(&key.namespace).await
    {
        let why = "gets no proxy, but a plain pod in its namespace gets one";
        return Ok(Shown::Declined(why.to_owned()));
    }
    Ok(shown)
}

// Without a version to expect, any proxy is right.
fn shown(probe: Option<Probe>, injects: Option<&str>) -> Shown {
    let Some(probe) = probe else {
        return Shown::Refused("does not exist any more".to_owned());
    };
    match probe {
        Probe::Injected(Injected { version, image, .. })
            if injects.is_none_or(|injects| version.is(injects)) =>
        {
            Shown::Right(image)
        }
        Probe::Injected(Injected {
            image,
            is_pinned: true,
            ..
        }) => Shown::Refused(format!("gets {image}, because something pins its version")),
        Probe::Injected(Injected { image, .. }) => {
            let expected = injects.unwrap_or_default();
            Shown::Wrong(format!("gets {image}, not {expected}"))
        }
        Probe::NotInjected => Shown::Bare("gets no proxy".to_owned()),
        Probe::Refused(refusal) => {
            let words = format!("is refused by the API server: {}", refusal.words);
            match refusal.by {
                Refuser::AwayInjector | Refuser::Injector => Shown::Wrong(words),
                Refuser::AwayWebhook => Shown::Away(words),
                Refuser::Quota | Refuser::Policy | Refuser::NoDryRuns => Shown::Refused(words),
            }
        }
    }
}

fn unshown(target: &str) -> String {
    format!(
        "no dry-run pod could show that new pods get the proxy of {target} (--prove-in chooses another namespace)"
    )
}

fn failed(why: &str) -> Ending {
    plan::failed(&format!("every component is at the target, but {why}"))
}

// === impl Proof ===

impl Proof {
    fn question(&self) -> String {
        let names: Vec<String> = self.places.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        format!("checking with dry-run pods which proxy they get: {names}")
    }

    // Returns true if what is wrong came with the upgrade. A run that continues another one did not
    // ask before the write; then a place without a proxy may be one that never had it.
    fn is_new(&self, place: &Place, shown: &Shown) -> bool {
        match &self.before {
            Some(before) => !before.wrong.contains(place),
            None => matches!(shown, Shown::Wrong(_)),
        }
    }

    // Returns true if new pods got the right proxy there before the write.
    fn was_right(&self, place: &Place) -> bool {
        let before = self.before.as_ref();
        before.is_some_and(|before| before.right.contains(place))
    }
}

// === impl Before ===

impl Before {
    fn sentence(&self, all: usize) -> String {
        let shown = self.right.len();
        format!("{shown} of {all} dry-run pods get today's proxy")
    }
}

// === impl Place ===

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workload(key) => write!(f, "a new pod of {key}"),
            Self::Plain(namespace) => write!(f, "a new pod in {namespace}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_cluster::Refusal;
    use mesh_cluster::workload::proxy::ProxyVersion;
    use mesh_records::VersionSource;

    use super::*;

    fn injected(version: &str, is_pinned: bool) -> Option<Probe> {
        Some(Probe::Injected(Injected {
            version: ProxyVersion {
                version: Some(version.to_owned()),
                tag: None,
                source: VersionSource::Image,
            },
            image: format!("m/p:{version}"),
            native: false,
            anchors: None,
            is_pinned,
            labels: BTreeMap::new(),
        }))
    }

    fn refused(by: Refuser) -> Option<Probe> {
        let words = "no room".to_owned();
        Some(Probe::Refused(Refusal { by, words }))
    }

    #[test]
    fn only_the_injector_can_be_wrong() {
        let new = Some("stable-2.14.10");
        let said = || "is refused by the API server: no room".to_owned();
        let table = [
            (
                injected("stable-2.14.10", false),
                new,
                Shown::Right("m/p:stable-2.14.10".to_owned()),
            ),
            (
                injected("stable-2.13.7", false),
                None,
                Shown::Right("m/p:stable-2.13.7".to_owned()),
            ),
            (
                injected("stable-2.13.7", false),
                new,
                Shown::Wrong("gets m/p:stable-2.13.7, not stable-2.14.10".to_owned()),
            ),
            (
                injected("stable-2.13.7", true),
                new,
                Shown::Refused(
                    "gets m/p:stable-2.13.7, because something pins its version".to_owned(),
                ),
            ),
            (
                Some(Probe::NotInjected),
                new,
                Shown::Bare("gets no proxy".to_owned()),
            ),
            (refused(Refuser::AwayInjector), new, Shown::Wrong(said())),
            (refused(Refuser::AwayWebhook), new, Shown::Away(said())),
            (refused(Refuser::Quota), new, Shown::Refused(said())),
            (refused(Refuser::Policy), new, Shown::Refused(said())),
            (refused(Refuser::NoDryRuns), new, Shown::Refused(said())),
            (
                None,
                new,
                Shown::Refused("does not exist any more".to_owned()),
            ),
        ];
        for (number, (probe, injects, expected)) in table.into_iter().enumerate() {
            assert_eq!(shown(probe, injects), expected, "row {number}");
        }
    }
}
