//! Counts the pods of one owner.

mod record;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_records::{PinPlace, PodCounts, ProxyCount};
use mesh_versions::Use;

use super::counts::{Common, Counts};
use super::oddity::{Oddity, Oddly};
use super::usage::uses;
use crate::ground::{Ground, Short};
use mesh_cluster::control_plane::Trust;
use mesh_cluster::object::label;
use mesh_cluster::object::{Pod, RestartPolicy};
use mesh_cluster::workload::pin::asked_pin;
use mesh_cluster::workload::proxy::{self, Sidecar};

/// The counts of one owner's pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Group {
    pods: PodCounts,
    /// Pods without a proxy to which the injector would give one, and those that do not exist.
    wanting: u32,
    /// Pods with a proxy whose successors the webhook would leave out.
    left_out: u32,
    /// Pods that end by themselves, as those of a Job do.
    ending: u32,
    proxies: Counts,
    /// The proxies of pods that are on their way out.
    leaving: Counts,
    /// The namespaces of the control planes that its pods name, each with how many; nearly always one.
    control_planes: Vec<(Arc<str>, u32)>,
    anchors: Anchors,
    pins: BTreeSet<(Pinned, Option<String>)>,
    oddities: BTreeMap<Oddity, Oddly>,
    uses: BTreeSet<Use>,
    listed: Vec<Listed>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Anchors {
    stale: u32,
    unknown: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pinned {
    Asked,
    ByHand,
}

/// A proxy that gets its own record (`mesh-survey --pods`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    pod: String,
    uid: String,
    proxy: Arc<ProxyCount>,
    ready: bool,
    node: Option<String>,
}

// === impl Group ===

impl Group {
    /// Returns true if the owner is a workload: it has pods that are meshed or should be.
    pub(crate) fn is_workload(&self) -> bool {
        self.pods.meshed > 0 || self.wanting > 0
    }

    /// Returns true if there is anything to report about the owner.
    pub(crate) fn is_notable(&self) -> bool {
        self.is_workload() || !self.oddities.is_empty()
    }

    /// Returns the uses that upgrade notes are about.
    pub(crate) fn uses(&self) -> &BTreeSet<Use> {
        &self.uses
    }

    /// How many of its pods were listed and had not ended.
    pub(crate) fn size(&self) -> u32 {
        self.pods.total + self.pods.terminating
    }

    pub(crate) fn add(&mut self, pod: &Pod, ground: &Ground, common: &mut Common) {
        if pod.is_terminating() {
            return self.leave(pod, common);
        }
        self.pods.total += 1;
        self.pods.ready += u32::from(pod.is_ready());
        self.ending += u32::from(pod.spec.restart_policy != RestartPolicy::Always);
        let labelled = pod.meta.labels.get(label::CONTROL_PLANE_NS);
        if let Some(control_plane) = labelled {
            self.belong(common.name(control_plane), 1);
            if ground.is_gone(control_plane) {
                self.odd(Oddity::UnknownControlPlane, &pod.meta.name);
            }
        }
        match (proxy::sidecar(&pod.spec), labelled) {
            (Some(sidecar), labelled) => {
                if labelled.is_none() {
                    self.odd(Oddity::ProxyWithoutLabel, &pod.meta.name);
                }
                let there = labelled.filter(|it| !ground.is_gone(it));
                let control_plane = there.unwrap_or(&ground.fallback);
                self.add_meshed(pod, sidecar, (control_plane, ground), common);
            }
            (None, labelled) => {
                if labelled.is_some() {
                    self.odd(Oddity::LabelWithoutProxy, &pod.meta.name);
                }
                let wanting = ground.wants_proxy(&pod.meta.namespace, &pod.meta, &pod.spec);
                self.wanting += u32::from(wanting);
                if !wanting && ground.rules(&pod.meta.namespace).is_asked(&pod.meta) {
                    self.uses.insert(Use::AsksButSkipped);
                }
            }
        }
    }

    fn belong(&mut self, control_plane: Arc<str>, pods: u32) {
        let mut all = self.control_planes.iter_mut();
        match all.find(|(name, _)| *name == control_plane) {
            Some((_, known)) => *known += pods,
            None => {
                self.control_planes.reserve_exact(1);
                self.control_planes.push((control_plane, pods));
            }
        }
    }

    // A pod on its way out asks for nothing any more, but its proxy may still serve.
    fn leave(&mut self, pod: &Pod, common: &mut Common) {
        self.pods.terminating += 1;
        if let Some(sidecar) = proxy::sidecar(&pod.spec) {
            let version = proxy::version(&sidecar.container.image, &pod.meta.annotations);
            self.leaving.add(common.proxy(version, sidecar.native), 1);
        }
    }

    fn add_meshed(
        &mut self,
        pod: &Pod,
        sidecar: Sidecar<'_>,
        (control_plane, ground): (&str, &Ground),
        common: &mut Common,
    ) {
        self.pods.meshed += 1;
        self.left_out += u32::from(ground.leaves_out(control_plane, &pod.meta));
        self.pods.held_by_proxy += u32::from(proxy::holds(pod));
        let annotations = &pod.meta.annotations;
        let version = proxy::version(&sidecar.container.image, annotations);
        if proxy::contradiction(&version, annotations).is_some() {
            self.odd(Oddity::ImageContradictsAnnotation, &pod.meta.name);
        }
        let trust = ground.bundles.get(control_plane).and_then(Option::as_ref);
        match trust.and_then(|trust| has_current_anchors(pod, sidecar, trust)) {
            Some(is_current) => self.anchors.stale += u32::from(!is_current),
            None => self.anchors.unknown += 1,
        }
        self.add_pins(pod, ground);
        self.uses.extend(uses(pod));
        let policies = ground.policies.as_ref();
        if policies.is_some_and(|it| it.leave_out_proxy(&pod.meta)) {
            self.uses.insert(Use::ProxyPortLeftOut);
        }
        let proxy = common.proxy(version, sidecar.native);
        if ground.list_proxies {
            self.listed.push(Listed {
                pod: pod.meta.name.clone(),
                uid: pod.meta.uid.clone(),
                proxy: Arc::clone(&proxy),
                ready: proxy::is_ready(pod),
                node: pod.spec.node_name.clone(),
            });
        }
        self.proxies.add(proxy, 1);
    }

    // Reads pins from a pod, for owners whose template is not read. The injector copies a
    // namespace's annotations to the pod, so a pin that equals the namespace's is not the pod's
    // own.
    fn add_pins(&mut self, pod: &Pod, ground: &Ground) {
        let rules = ground.rules(&pod.meta.namespace);
        let namespaces = rules.pin().map(|pin| &pin.version);
        if let Some(pin) = asked_pin(&pod.meta, PinPlace::Template)
            && namespaces != Some(&pin.version)
        {
            self.pins.insert((Pinned::Asked, pin.version));
        }
        let by_hand = pod.meta.annotations.get(label::CREATED_BY);
        if let Some((_, version)) = by_hand.and_then(|text| text.split_once("linkerd/cli ")) {
            self.pins.insert((Pinned::ByHand, Some(version.to_owned())));
        }
    }

    pub(crate) fn odd(&mut self, oddity: Oddity, pod: &str) {
        let example = Oddly {
            pods: 1,
            example: pod.to_owned(),
        };
        match self.oddities.get_mut(&oddity) {
            Some(known) => known.add(example),
            None => {
                self.oddities.insert(oddity, example);
            }
        }
    }

    /// Adds the pods of a group that turned out to have the same owner.
    pub(crate) fn merge(&mut self, other: Self) {
        let Self {
            pods,
            wanting,
            left_out,
            ending,
            proxies,
            leaving,
            control_planes,
            anchors,
            pins,
            oddities,
            uses,
            listed,
        } = other;
        self.pods.total += pods.total;
        self.pods.ready += pods.ready;
        self.pods.meshed += pods.meshed;
        self.pods.terminating += pods.terminating;
        self.pods.held_by_proxy += pods.held_by_proxy;
        self.wanting += wanting;
        self.left_out += left_out;
        self.ending += ending;
        self.proxies.merge(proxies);
        self.leaving.merge(leaving);
        for (control_plane, pods) in control_planes {
            self.belong(control_plane, pods);
        }
        self.anchors.stale += anchors.stale;
        self.anchors.unknown += anchors.unknown;
        self.pins.extend(pins);
        for (oddity, oddly) in oddities {
            self.oddities.entry(oddity).or_default().add(oddly);
        }
        self.uses.extend(uses);
        self.listed.extend(listed);
    }

    /// Records that pods do not exist which the owner asks for and which would be meshed.
    pub(crate) fn miss(&mut self, wanted: u32, short: &Short, is_meshed: bool) {
        let missing = wanted.saturating_sub(self.pods.total);
        if missing == 0 || !(is_meshed || self.is_workload()) {
            return;
        }
        self.wanting += missing;
        let oddly = Oddly {
            pods: missing,
            example: short.refusal.clone().unwrap_or_default(),
        };
        self.oddities.insert(Oddity::PodsMissing, oddly);
    }

    /// Records that the owner asks for a proxy itself, and not in its template.
    pub(crate) fn ask_aside(&mut self) {
        if self.pods.total > 0 && !self.is_workload() {
            self.uses.insert(Use::AsksButSkipped);
        }
    }

    /// Records that the owner no longer exists.
    pub(crate) fn orphan(&mut self) {
        self.odd(Oddity::OwnerGone, "");
    }

    pub(super) fn is_orphaned(&self) -> bool {
        self.oddities.contains_key(&Oddity::OwnerGone)
    }

    /// Sorts what was collected, so that the order of the pods does not matter.
    pub(crate) fn settle(&mut self) {
        self.proxies.settle();
        self.leaving.settle();
        self.listed.sort();
        self.control_planes.sort();
        if !self.leaving.is_empty() && !self.is_workload() {
            let pods = self.leaving.pods();
            let example = String::new();
            self.oddities
                .insert(Oddity::OnlyTerminating, Oddly { pods, example });
        }
        if self.control_planes.len() > 1 {
            let pods = self.control_planes.iter().map(|(_, pods)| pods).sum();
            let oddly = Oddly {
                pods,
                example: String::new(),
            };
            self.oddities.insert(Oddity::SeveralControlPlanes, oddly);
        }
    }

    /// Returns the namespace of the control plane that most of the pods belong to. Those that name
    /// one that is gone count to the control plane that would inject their successors.
    pub(crate) fn control_plane<'a>(&'a self, ground: &'a Ground) -> &'a str {
        let all = self.control_planes.iter();
        let there = all.filter(|(name, _)| !ground.is_gone(name));
        let most = there.max_by_key(|(name, pods)| (*pods, Reverse(name)));
        most.map_or(&ground.fallback, |(namespace, _)| namespace)
    }
}

// The certificates that the proxy was given decide, else the hash of the bundle's bytes.
fn has_current_anchors(pod: &Pod, sidecar: Sidecar<'_>, trust: &Trust) -> Option<bool> {
    let given = sidecar.container.trust_bundle.as_deref();
    let by_certificates = given.and_then(|bundle| trust.is_same(bundle));
    by_certificates.or_else(|| Some(trust.is_stamped(proxy::trust_anchors(&pod.meta)?)))
}
