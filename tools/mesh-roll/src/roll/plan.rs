//! The plan: what will be done and in which order, written before the first change.

use std::collections::BTreeMap;

use mesh_cli::DryRun;
use mesh_records::{
    Deed, DowntimeGrade, Intent, Obstacle, Record, SkipClass, Strategy, command, whole_seconds,
};

use super::decide::Decision;
use super::event::Action;
use super::forecast;
use super::item::Item;
use super::limits::{Hold, Stop, may_write};
use super::order::{Rank, Wave};
use super::state::{Phase, Roll, Settings};
use super::way::downtime;

impl Roll {
    /// Writes the plan once every list has been read.
    pub(super) fn plan(&mut self) {
        if self.stop.is_some() {
            self.finish();
            return;
        }
        if !self.world.is_complete() || self.waits_for_nodes() {
            return;
        }
        match self.planned() {
            Ok(plan) => self.propose(plan),
            Err(stop) => {
                self.stop(stop);
                self.finish();
            }
        }
    }

    // Returns the workloads in the order in which they start, with what is done with each, or why the
    // run is refused.
    fn planned(&mut self) -> Result<Vec<(Item, Decision)>, Stop> {
        let (world, expected) = (&self.world, &self.settings.expected);
        if let Err(Hold::Stop(stop)) = may_write(world, expected, &self.times(), self.now) {
            return Err(stop);
        }
        if let Some(flag) = self.idle() {
            let what = format!("{flag} matches no workload in the input");
            return Err(Stop::Idle(what));
        }
        self.world.keep_target();
        let plan = self.order();
        let plan =
            plan.map_err(|why| Stop::Idle(format!("a workload of --canary cannot begin: {why}")))?;
        match self.lacking(&plan) {
            Some(stop) => Err(stop),
            None => Ok(plan),
        }
    }

    // With --fail-on attention, a workload that would be skipped for a missing right refuses the run.
    // The labels that -l asks for are known only now.
    fn lacking(&self, plan: &[(Item, Decision)]) -> Option<Stop> {
        if !self.settings.refuses_forbidden {
            return None;
        }
        let forbidden = Decision::Skip(Obstacle::Forbidden);
        let mut lacking = plan
            .iter()
            .filter(|(item, decision)| *decision == forbidden && item.task.stale_at.is_some());
        let (Item { task, .. }, _) = lacking.next()?;
        let rule = self.settings.wishes.forbidden.get(&task.key)?;
        Some(Stop::Forbidden {
            workload: task.key.to_string(),
            rule: rule.clone(),
        })
    }

    fn propose(&mut self, plan: Vec<(Item, Decision)>) {
        self.phase = Phase::Asking;
        let deeds = self.deeds(&plan);
        let is_idle = deeds.is_empty();
        let intent = self.intent(deeds, &plan);
        let summary = self.summary(&intent, &plan);
        self.emit(Record::Intent(intent.clone()));
        for (item, decision) in plan {
            match decision {
                Decision::Skip(obstacle) => self.skip(item, obstacle, None),
                Decision::Roll(_) | Decision::Later(_) | Decision::Adopt => {
                    self.waiting.insert(item.rank.clone(), item);
                }
            }
        }
        if self.settings.dry_run == DryRun::Client {
            self.hold_the_unhealthy();
        }
        if is_idle || self.settings.dry_run == DryRun::Client {
            self.finish();
            return;
        }
        self.out.push(Action::Ask(Box::new(intent), summary));
    }

    // Returns the flag that concerns none of the workloads, as their labels tell: as if nothing had
    // to be restarted. What their names tell was checked before anything was read.
    fn idle(&self) -> Option<String> {
        let has = |is: &dyn Fn(&BTreeMap<String, String>) -> bool| {
            let choice = &self.settings.wishes.choice;
            let keys = self.waiting.values().map(|item| &item.task.key);
            let keys = keys.filter(|key| choice.takes(key));
            let mut observed = keys.filter_map(|key| self.world.workload(key));
            observed.any(|observed| is(&observed.labels))
        };
        if self.waiting.is_empty() {
            return None;
        }
        let labels = self.settings.wishes.choice.labels.as_ref();
        let labels = labels.filter(|labels| !has(&|of| labels.selects(of)));
        let labels = labels.map(|labels| format!("-l {labels}"));
        let group_by = self.settings.group_by.as_ref();
        let group_by = group_by.filter(|label| !has(&|of| of.contains_key(*label)));
        labels.or(group_by.map(|label| format!("--group-by {label}")))
    }

    // Takes the workloads in the order in which they start, with what is done with each. The error
    // says why there is no canary.
    fn order(&mut self) -> Result<Vec<(Item, Decision)>, String> {
        let group_by = self.settings.group_by.clone();
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let mut plan: Vec<(Item, Decision)> = waiting
            .map(|mut item| {
                let key = &item.task.key;
                item.rank = Rank::of(key, self.world.workload(key), group_by.as_deref());
                let decision = self.decide(&item);
                (item, decision)
            })
            .collect();
        plan.sort_by(|(one, _), (other, _)| one.rank.cmp(&other.rank));
        if let Some(why) = self.choose_canaries(&mut plan) {
            return Err(why);
        }
        plan.sort_by(|(one, _), (other, _)| one.rank.cmp(&other.rank));
        let rolled = plan
            .iter()
            .filter(|(_, decision)| verb(*decision).is_some());
        let mut waves: Vec<Wave> = rolled.map(|(item, _)| item.rank.wave.clone()).collect();
        waves.dedup();
        self.pace.waves = waves;
        Ok(plan)
    }

    fn deeds(&self, plan: &[(Item, Decision)]) -> Vec<Deed> {
        let deeds = plan.iter().filter_map(|(item, decision)| {
            Some(Deed {
                wave: self.number(&item.rank.wave),
                expected_seconds: self.takes(item, *decision).map(forecast::seconds),
                patch: self.patch(item, *decision),
                ..Deed::new(verb(*decision)?, item.task.key.to_string())
            })
        });
        deeds.collect()
    }

    fn intent(&self, deeds: Vec<Deed>, plan: &[(Item, Decision)]) -> Intent {
        let evictions = count(plan, |it| it.strategy() == Some(Strategy::Evict));
        let restarts = count(plan, |it| it.strategy().is_some()) - evictions;
        let adopted = count(plan, |it| it == Decision::Adopt);
        let injects = self.world.target().injects.clone().unwrap_or_default();
        let most = self.settings.max_in_flight;
        let adopted = match adopted {
            0 => String::new(),
            number => format!(", and wait for {number} that are already rolling out"),
        };
        let workloads = if restarts == 1 {
            "workload"
        } else {
            "workloads"
        };
        let evicted = match evictions {
            0 => String::new(),
            1 => ", evict the pods of 1 more one by one,".to_owned(),
            number => format!(", evict the pods of {number} more one by one,"),
        };
        let gate = self.settings.gate.as_ref();
        let gate = gate.map_or(String::new(), |gate| {
            format!(", and ask `{}` between two waves", command(&gate.said()))
        });
        let message = format!(
            "restart {restarts} {workloads}{evicted} to get {injects}, {most} at a time{adopted}{gate}"
        );
        let Settings {
            cluster,
            cluster_uid,
            warnings,
            ..
        } = &self.settings;
        let now = whole_seconds(self.now);
        Intent::new(cluster, cluster_uid, now, message, deeds)
            .with_warnings(warnings.clone())
            .with_waves(self.titles())
            .with_forecast(self.forecast(plan))
    }

    fn titles(&self) -> Vec<String> {
        let group_by = self.settings.group_by.as_deref();
        let waves = self.pace.waves.iter();
        waves.map(|wave| wave.title(group_by)).collect()
    }

    // The text of the question: counts, risks, and skipped workloads.
    fn summary(&self, intent: &Intent, plan: &[(Item, Decision)]) -> String {
        let mut lines = vec![intent.message.clone()];
        lines.extend(intent.waves().into_iter().map(|it| format!("  {it}")));
        for deed in &intent.deeds {
            if let Some(patch) = &deed.patch {
                lines.push(format!("  {} {}", deed.verb, deed.object));
                lines.extend(patch.lines().iter().map(|it| format!("    {it}")));
            }
        }
        let mut grades: BTreeMap<DowntimeGrade, usize> = BTreeMap::new();
        for (item, decision) in plan {
            if let Some(strategy) = decision.strategy()
                && let Some(observed) = self.world.workload(&item.task.key)
            {
                let grade = downtime(observed, strategy).grade;
                *grades.entry(grade).or_default() += 1;
            }
        }
        for (grade, number) in grades {
            lines.push(match grade {
                DowntimeGrade::None => format!("  {number} without downtime"),
                DowntimeGrade::Reduced => format!("  {number} with fewer pods during the restart"),
                DowntimeGrade::Outage => format!("  {number} will be DOWN during the restart"),
            });
        }
        let attention = |decision| match decision {
            Decision::Skip(obstacle) => Obstacle::class(obstacle) == SkipClass::Attention,
            Decision::Roll(_) | Decision::Later(_) | Decision::Adopt => false,
        };
        let later = count(plan, |it| matches!(it, Decision::Later(_)));
        if later > 0 {
            let wait = if later == 1 {
                "waits until it is"
            } else {
                "wait until they are"
            };
            lines.push(format!(
                "  {later} {wait} healthy; skipped if that does not come before the end of the run"
            ));
        }
        let left = count(plan, attention);
        if left > 0 {
            lines.push(format!("  {left} skipped, need attention"));
        }
        let warnings = intent.warnings.iter();
        lines.extend(warnings.map(|it| format!("  the verdict warns: {it}")));
        let forecast = intent.forecast.as_ref();
        lines.extend(forecast.map(|it| format!("  {}", it.sentence())));
        lines.push(format!("  digest {}", intent.digest));
        lines.join("\n")
    }

    pub(super) fn agreed(&mut self) {
        if self.phase != Phase::Asking {
            return;
        }
        self.phase = match self.settings.dry_run {
            DryRun::None => {
                self.out.push(Action::Lock);
                Phase::Locking
            }
            DryRun::Client | DryRun::Server => Phase::Rolling,
        };
        self.check_all_pods();
        if self.phase == Phase::Rolling {
            self.hold_the_unhealthy();
        }
    }

    /// Continues after the lock was taken. From now on no other run changes the control plane, so
    /// an earlier change is detected here.
    pub(super) fn locked(&mut self, version: &str) {
        if self.phase != Phase::Locking {
            return;
        }
        self.phase = Phase::Rolling;
        self.check_all_pods();
        let before = self.world.mesh().config_resource_version.as_deref();
        if before != Some(version) {
            self.stop(Stop::Changed(
                "somebody wrote to its linkerd-config".to_owned(),
            ));
        }
        self.hold_the_unhealthy();
    }
}

fn verb(decision: Decision) -> Option<&'static str> {
    match (decision, decision.strategy()) {
        (_, Some(Strategy::Restart | Strategy::RestartAt)) => Some("restart"),
        (_, Some(Strategy::Evict)) => Some("evict the pods of"),
        (Decision::Adopt, None) => Some("wait for"),
        (Decision::Roll(_) | Decision::Later(_) | Decision::Skip(_), None) => None,
    }
}

fn count(plan: &[(Item, Decision)], is: impl Fn(Decision) -> bool) -> usize {
    plan.iter().filter(|(_, decision)| is(*decision)).count()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use mesh_cli::Exit;
    use mesh_cluster::Change;
    use mesh_cluster::object::label::CONFIG;
    use mesh_cluster::object::{ConfigMap, Deployment, Pod};
    use mesh_cluster::workload::injection::Rules;
    use mesh_cluster::workload::rollout::{Observed, PodSeen};
    use mesh_records::{Forecast, Paste, RollBy, WorkloadKind, WorkloadRef};

    use super::super::decide::{Task, Wishes};
    use super::super::event::Event;
    use super::super::limits::Expected;
    use super::super::watched::{NamespaceRules, Watched};
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";
    const NEW: &str = "stable-2.14.10";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn key() -> WorkloadRef {
        WorkloadRef {
            namespace: "shop".to_owned(),
            kind: WorkloadKind::Deployment,
            name: "web".to_owned(),
        }
    }

    fn settings() -> Settings {
        Settings {
            cluster: "eu".to_owned(),
            cluster_uid: "u".to_owned(),
            paste: Paste::default(),
            wishes: Wishes::default(),
            warnings: Vec::new(),
            kinds: [WorkloadKind::Deployment].into(),
            expected: Expected {
                namespace: "linkerd".to_owned(),
                version: NEW.to_owned(),
                config_resource_version: None,
                injects: None,
                anchors: None,
            },
            canary: None,
            group_by: None,
            gate: None,
            max_in_flight: 1,
            max_failures: 0,
            timeout: SignedDuration::from_mins(10),
            settle: SignedDuration::from_secs(30),
            deadline: None,
            verdict_until: "2026-01-02T04:00:00Z".parse().unwrap(),
            dry_run: DryRun::None,
            fail_on_attention: false,
            refuses_forbidden: false,
            diff: false,
        }
    }

    // What the watches show of one Deployment of team shop with one old pod.
    fn world() -> Vec<Watched> {
        let of = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        let deployment = of(
            r#"{"metadata": {"namespace": "shop", "name": "web", "uid": "u", "labels": {"team": "shop"},
            "managedFields": [{"manager": "kubectl"}, {"manager": "mesh-roll"}, {"manager": "loop", "subresource": "status"}]},
            "spec": {"replicas": 1, "template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}, "spec": {"containers": [{"name": "web"}]}}},
            "status": {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}}"#,
        );
        let pod = of(
            r#"{"metadata": {"namespace": "shop", "name": "web-h-1", "labels": {"pod-template-hash": "h"},
            "creationTimestamp": "2026-01-02T03:00:00Z",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-h", "uid": "r", "controller": true}]},
            "spec": {"containers": [{"name": "linkerd-proxy", "image": "m/p:stable-2.13.7"}]},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:00:20Z"}]}}"#,
        );
        let namespace = of(r#"{"metadata": {"annotations": {"linkerd.io/inject": "enabled"}}}"#);
        let namespace: mesh_cluster::object::Namespace = serde_json::from_value(namespace).unwrap();
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let mut config = ConfigMap::default();
        config.meta.name = CONFIG.to_owned();
        let values = format!("linkerdVersion: {NEW}");
        config.data.insert("values".to_owned(), values);
        let workload = |change| Watched::Workload(WorkloadKind::Deployment, Box::new(change));
        vec![
            workload(Change::Seen(Observed::of(&deployment))),
            workload(listed()),
            Watched::Pod(Box::new(Change::Seen(PodSeen::of(&pod)))),
            Watched::Pod(Box::new(listed())),
            Watched::Namespace(Change::Seen(NamespaceRules {
                namespace: "shop".to_owned(),
                rules: Rules::of(&namespace.meta),
                ends: false,
            })),
            Watched::Namespace(listed()),
            Watched::Budget(Box::new(listed())),
            Watched::Config(Change::Seen(config)),
            Watched::Config(listed()),
            Watched::Slice(listed()),
        ]
    }

    fn listed<T>() -> Change<T> {
        Change::Listed {
            resource_version: String::new(),
        }
    }

    // What a run does once it has read everything.
    fn planned(settings: Settings) -> Vec<Action> {
        let task = Task {
            key: key(),
            uid: "u".to_owned(),
            stale_at: Some(now()),
            by: RollBy::Restart,
            managed_by: Some("argocd".to_owned()),
        };
        let mut core = Roll::new(settings, [task], now());
        let events = world().into_iter().map(Event::Watched);
        events.flat_map(|event| core.on(event, now())).collect()
    }

    fn emitted(actions: Vec<Action>) -> Vec<Record> {
        let records = actions.into_iter().filter_map(|action| {
            if let Action::Emit(record) = action {
                Some(*record)
            } else {
                None
            }
        });
        records.collect()
    }

    #[test]
    fn a_missing_right_refuses_a_strict_run_also_where_labels_select() {
        let planned = |labels: &str, strict| {
            let mut settings = settings();
            settings.wishes.choice.labels = Some(labels.parse().unwrap());
            let rule = "verbs: [patch]".to_owned();
            settings.wishes.forbidden.insert(key(), rule);
            settings.fail_on_attention = strict;
            settings.refuses_forbidden = strict;
            planned(settings)
        };
        let refused = planned("team=shop", true);
        let [Action::Finish(finish)] = &refused[..] else {
            panic!("{refused:?}");
        };
        assert_eq!(finish.exit, Exit::Failed);
        let reason = finish.reason.as_deref().unwrap();
        assert!(
            reason.contains("may not restart shop/Deployment/web"),
            "{reason}"
        );
        assert!(finish.hint.contains("verbs: [patch]"), "{}", finish.hint);
        let [Record::Intent(_), Record::Skipped(skipped)] =
            &emitted(planned("team=shop", false))[..]
        else {
            panic!("without --fail-on it is skipped");
        };
        assert_eq!(skipped.reason, Obstacle::Forbidden);
    }

    #[test]
    fn the_plan_has_what_is_written_if_asked_for_and_how_long_it_takes_outside_of_the_digest() {
        let intent = |diff| {
            let settings = Settings { diff, ..settings() };
            let mut records = emitted(planned(settings)).into_iter();
            match records.next() {
                Some(Record::Intent(intent)) => intent,
                other => panic!("{other:?}"),
            }
        };
        let shown = intent(true);
        let plain = intent(false);
        assert_eq!(shown.digest, plain.digest);
        assert_eq!(plain.deeds[0].patch, None);
        let patch = shown.deeds[0].patch.as_ref().unwrap();
        assert_eq!(patch.value, NOW);
        assert_eq!(patch.before.as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(patch.managers, ["kubectl"]);
        assert_eq!(patch.managed_by.as_deref(), Some("argocd"));
        assert_eq!(plain.deeds[0].expected_seconds, Some(20));
        let forecast = Forecast {
            seconds: Some(50),
            unknown: 0,
        };
        assert_eq!(plain.forecast, Some(forecast), "with --settle");
    }
}
