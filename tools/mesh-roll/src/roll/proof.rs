//! Decides whether a pod is current, and whether a whole workload is proven.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh_cluster::object::label::PROXY;
use mesh_cluster::workload::rollout::{Passes, PodSeen, Problem};
use mesh_records::Trouble;

use super::watched::Mesh;

/// What the list of a workload's pods shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Every pod is ready and has the proxy that the injector gives.
    Proven(ProvenBy),
    /// Some pods are not ready or still old, but nothing has failed.
    NotYet(Lack),
    /// A pod that the roll created has no proxy or the wrong one.
    Broken(Problem),
}

/// Which pods this run created.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ours<'a> {
    /// None: somebody else rolls it out.
    None,
    /// Those with this restart annotation. Every pod of the workload must have it.
    Restarted(&'a str),
    /// Those that were created since the `restartAt` of an Argo Rollout.
    Since(Timestamp),
    /// All but these, which were there before the evictions.
    Besides(&'a BTreeSet<String>),
}

/// The pods that prove a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProvenBy {
    pub(crate) uids: BTreeSet<String>,
    /// The hashes of their templates; a partition has two.
    pub(crate) templates: BTreeSet<Option<String>>,
    /// When the last of them was created.
    pub(crate) newest: Option<Timestamp>,
}

/// What is missing for the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// The workload wants more pods than there are.
    TooFew,
    /// A pod from before the restart.
    OldPod,
    ProxyNotReady,
    PodNotReady,
}

/// Returns what is wrong with the proxy of a pod, compared with what the injector gives.
pub(crate) fn fault(pod: &PodSeen, mesh: &Mesh) -> Option<Problem> {
    let (trouble, said) = match &pod.proxy {
        None => (Trouble::NotInjected, "it has no proxy"),
        Some(proxy) => {
            let injects = mesh.injects.as_deref();
            let same = injects.is_some_and(|injects| proxy.version.is(injects));
            if same && !has_stale_anchors(pod, mesh) {
                return None;
            }
            let other = "it has the wrong proxy version or trust anchors";
            (Trouble::StillOld, other)
        }
    };
    Some(Problem {
        trouble,
        pod: Some(pod.name.clone()),
        container: pod.proxy.is_some().then(|| PROXY.to_owned()),
        said: said.to_owned(),
        passes: Passes::Never,
    })
}

/// Returns what is wrong with the proxy of a pod that our restart created: `image` is the one that
/// the dry run of the same template showed, which tells more than the annotations of a pod.
pub(crate) fn own_fault(pod: &PodSeen, mesh: &Mesh, image: Option<&str>) -> Option<Problem> {
    if let Some(problem) = fault(pod, mesh) {
        return Some(problem);
    }
    let (expected, proxy) = (image?, pod.proxy.as_ref()?);
    (proxy.image != expected).then(|| Problem {
        trouble: Trouble::StillOld,
        pod: Some(pod.name.clone()),
        container: Some(PROXY.to_owned()),
        said: format!(
            "its proxy's image is {}, and the dry run of its pod showed {expected}",
            proxy.image
        ),
        passes: Passes::Never,
    })
}

/// Returns true if a pod has the proxy that the injector gives now.
pub(crate) fn is_current(pod: &PodSeen, mesh: &Mesh) -> bool {
    fault(pod, mesh).is_none()
}

// Releases before 2.12 do not record the trust anchors; then they count as current.
fn has_stale_anchors(pod: &PodSeen, mesh: &Mesh) -> bool {
    match (&pod.anchors, &mesh.anchors) {
        (Some(given), Some(current)) => given != current,
        (None, _) | (_, None) => false,
    }
}

/// Decides what `pods` show for a workload of which this run created `ours`.
///
/// If the list is newer than the controller's "done", an old pod belongs to a later change. The
/// roll has then not failed, but it is not proven either. A pod that is being deleted proves nothing,
/// and the one that replaces it may not be there yet, so there must be as many as are `wanted`.
pub(crate) fn judge<'a>(
    pods: impl Iterator<Item = &'a PodSeen>,
    mesh: &Mesh,
    ours: Ours<'_>,
    image: Option<&str>,
    wanted: u32,
) -> Proof {
    let mut proven = ProvenBy::default();
    let mut lack = None;
    for pod in pods.filter(|pod| !pod.over) {
        let is_ours = ours.has(pod);
        let image = image.filter(|_| is_ours);
        match (own_fault(pod, mesh, image), is_ours) {
            (Some(problem), true) => return Proof::Broken(problem),
            (Some(_), false) => lack = Some(Lack::OldPod),
            (None, false) if matches!(ours, Ours::Restarted(_)) => lack = Some(Lack::OldPod),
            (None, _) => match readiness(pod) {
                Some(missing) => lack = lack.or(Some(missing)),
                None => proven.add(pod),
            },
        }
    }
    match lack {
        Some(lack) => Proof::NotYet(lack),
        None if proven.pods() < wanted.max(1) => Proof::NotYet(Lack::TooFew),
        None => Proof::Proven(proven),
    }
}

// === impl Ours ===

impl Ours<'_> {
    /// Returns true if this run created the pod.
    pub(crate) fn has(self, pod: &PodSeen) -> bool {
        match self {
            Self::None => false,
            Self::Restarted(value) => pod.restarted_at.as_deref() == Some(value),
            Self::Since(at) => pod.created.is_some_and(|created| created >= at),
            Self::Besides(old) => !old.contains(&pod.uid),
        }
    }
}

// === impl ProvenBy ===

impl ProvenBy {
    /// Returns the number of pods.
    pub(crate) fn pods(&self) -> u32 {
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }

    fn add(&mut self, pod: &PodSeen) {
        self.uids.insert(pod.uid.clone());
        self.templates.insert(pod.template.clone());
        self.newest = self.newest.max(pod.created);
    }
}

fn readiness(pod: &PodSeen) -> Option<Lack> {
    if !pod.proxy.as_ref().is_some_and(|proxy| proxy.ready) {
        return Some(Lack::ProxyNotReady);
    }
    (!pod.ready).then_some(Lack::PodNotReady)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mesh_cluster::workload::proxy::ProxyVersion;
    use mesh_cluster::workload::rollout::ProxySeen;
    use mesh_records::VersionSource;

    use super::*;

    const RESTART: &str = "2026-01-02T03:04:05Z";

    fn mesh() -> Mesh {
        Mesh {
            injects: Some("stable-2.14.10".to_owned()),
            anchors: Some("a".to_owned()),
            ..Mesh::default()
        }
    }

    fn pod(version: &str) -> PodSeen {
        let version = ProxyVersion {
            version: Some(version.to_owned()),
            tag: None,
            source: VersionSource::Image,
        };
        PodSeen {
            namespace: "shop".to_owned(),
            name: "web-0".to_owned(),
            uid: "u".to_owned(),
            labels: BTreeMap::new(),
            created: None,
            owner: None,
            set: None,
            node: None,
            template: None,
            restarted_at: Some(RESTART.to_owned()),
            proxy: Some(ProxySeen {
                image: format!("m/proxy:{}", version.version.clone().unwrap_or_default()),
                version,
                ready: true,
            }),
            anchors: Some("a".to_owned()),
            ready: true,
            ready_since: None,
            unready_since: None,
            over: false,
            leaves_after: None,
            unready: None,
            problem: None,
        }
    }

    fn one() -> Proof {
        Proof::Proven(ProvenBy {
            uids: ["u".to_owned()].into(),
            templates: [None].into(),
            newest: None,
        })
    }

    #[test]
    fn judge_proves_only_ready_pods_with_the_injected_proxy() {
        let good = pod("stable-2.14.10");
        let bare = PodSeen {
            proxy: None,
            ..good.clone()
        };
        let unready = PodSeen {
            ready: false,
            ..good.clone()
        };
        let mut proxy_unready = good.clone();
        proxy_unready.proxy.as_mut().unwrap().ready = false;
        let anchors = PodSeen {
            anchors: Some("b".to_owned()),
            ..good.clone()
        };
        let before = PodSeen {
            restarted_at: None,
            ..good.clone()
        };
        let old_before = PodSeen {
            restarted_at: None,
            ..pod("stable-2.13.7")
        };
        let going = PodSeen {
            over: true,
            ..bare.clone()
        };
        let proven = one();
        let broken = |pod: &PodSeen| Proof::Broken(fault(pod, &mesh()).unwrap());
        let (no_proxy, old, stale) = (broken(&bare), pod("stable-2.13.7"), broken(&anchors));
        assert!(matches!(&no_proxy, Proof::Broken(it) if it.trouble == Trouble::NotInjected));
        assert!(matches!(&stale, Proof::Broken(it) if it.trouble == Trouble::StillOld));
        let table = [
            (vec![good.clone()], proven.clone()),
            (vec![good.clone(), going], proven),
            (vec![], Proof::NotYet(Lack::TooFew)),
            (vec![bare], no_proxy),
            (vec![old.clone()], broken(&old)),
            (vec![anchors], stale),
            (
                vec![good.clone(), unready],
                Proof::NotYet(Lack::PodNotReady),
            ),
            (vec![proxy_unready], Proof::NotYet(Lack::ProxyNotReady)),
            (vec![good.clone(), before], Proof::NotYet(Lack::OldPod)),
            (vec![good, old_before], Proof::NotYet(Lack::OldPod)),
        ];
        for (number, (pods, expected)) in table.into_iter().enumerate() {
            let proof = judge(pods.iter(), &mesh(), Ours::Restarted(RESTART), None, 1);
            assert_eq!(proof, expected, "row {number}");
        }
        let one = [pod("stable-2.14.10")];
        let proof = judge(one.iter(), &mesh(), Ours::Restarted(RESTART), None, 2);
        assert_eq!(proof, Proof::NotYet(Lack::TooFew));
    }

    #[test]
    fn an_own_pod_proves_only_with_the_image_of_its_dry_run() {
        let with = |image: &str| {
            let mut pod = pod("stable-2.14.10");
            pod.proxy.as_mut().unwrap().image = image.to_owned();
            pod
        };
        let digest = "m/proxy@sha256:00";
        // Each row: the image of the dry run, that of the pod, whether it proves the workload.
        let table = [
            (
                Some("m/proxy:stable-2.14.10"),
                "m/proxy:stable-2.14.10",
                true,
            ),
            (
                Some("m/proxy:stable-2.14.10"),
                "evil.test/x/proxy:latest",
                false,
            ),
            (Some("m/proxy:stable-2.14.10"), digest, false),
            (Some(digest), digest, true),
            (None, "evil.test/x/proxy:latest", true),
        ];
        for (expected, image, proves) in table {
            let pod = with(image);
            let proof = judge(
                [pod.clone()].iter(),
                &mesh(),
                Ours::Restarted(RESTART),
                expected,
                1,
            );
            assert_eq!(proof == one(), proves, "{expected:?} {image}: {proof:?}");
            let foreign = PodSeen {
                restarted_at: None,
                ..pod
            };
            let proof = judge([foreign].iter(), &mesh(), Ours::None, expected, 1);
            assert_eq!(proof, one(), "a pod that somebody else rolled out");
        }
        let evil = with("evil.test/x/proxy:latest");
        let problem = own_fault(&evil, &mesh(), Some("m/proxy:stable-2.14.10")).unwrap();
        assert_eq!(problem.trouble, Trouble::StillOld);
        for image in ["evil.test/x/proxy:latest", "m/proxy:stable-2.14.10"] {
            assert!(problem.said.contains(image), "{}", problem.said);
        }
    }

    #[test]
    fn a_pod_that_replaces_an_evicted_one_proves_only_with_the_image_of_its_dry_run() {
        let old = BTreeSet::from(["old".to_owned()]);
        let since: Timestamp = RESTART.parse().unwrap();
        let with = |uid: &str, image: &str, created: Option<Timestamp>| {
            let mut pod = pod("stable-2.14.10");
            pod.proxy.as_mut().unwrap().image = image.to_owned();
            PodSeen {
                uid: uid.to_owned(),
                created,
                restarted_at: None,
                ..pod
            }
        };
        let dry = "m/proxy:stable-2.14.10";
        let evil = "evil.test/x/proxy:latest";
        let is_broken = |ours, pod: &PodSeen| {
            let proof = judge([pod].into_iter(), &mesh(), ours, Some(dry), 1);
            matches!(proof, Proof::Broken(_))
        };
        for (uid, image, expected) in [
            ("new", dry, false),
            ("new", evil, true),
            ("old", evil, false),
        ] {
            let pod = with(uid, image, None);
            assert_eq!(
                is_broken(Ours::Besides(&old), &pod),
                expected,
                "{uid} {image}"
            );
        }
        let before = since.checked_sub(jiff::SignedDuration::from_secs(1)).ok();
        for (created, expected) in [(before, false), (Some(since), true)] {
            let pod = with("a", evil, created);
            assert_eq!(is_broken(Ours::Since(since), &pod), expected, "{created:?}");
        }
        let stale = PodSeen {
            uid: "new".to_owned(),
            ..pod("stable-2.13.7")
        };
        assert!(
            is_broken(Ours::Besides(&old), &stale),
            "the injector gave the old proxy"
        );
    }

    #[test]
    fn without_a_restart_judge_ignores_restarted_at() {
        let before = PodSeen {
            restarted_at: None,
            ..pod("stable-2.14.10")
        };
        assert_eq!(judge([before].iter(), &mesh(), Ours::None, None, 1), one());
        let old = pod("stable-2.13.7");
        assert_eq!(
            judge([old].iter(), &mesh(), Ours::None, None, 1),
            Proof::NotYet(Lack::OldPod)
        );
    }

    #[test]
    fn without_injects_nothing_is_proven() {
        let unknown = Mesh::default();
        let proof = judge(
            [pod("stable-2.14.10")].iter(),
            &unknown,
            Ours::Restarted(RESTART),
            None,
            1,
        );
        assert!(matches!(proof, Proof::Broken(it) if it.trouble == Trouble::StillOld));
    }
}
