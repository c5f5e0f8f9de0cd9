//! Properties that hold for every cluster, tried on generated ones.

use std::collections::BTreeSet;

use mesh_cli::Exit;
use mesh_records::Rule;
use serde_json::{Value, json};

use super::dice::{Dice, LADDER, QUESTIONS, any_world, cases};
use super::world::{Judged, World, judge, workload};

fn conclusions<'a>(judged: &'a Judged, cluster: &str) -> Vec<&'a Value> {
    let own = judged.records.iter().filter(|it| it["cluster"] == cluster);
    own.filter(|it| ["finding", "plan", "verdict"].contains(&it["type"].as_str().unwrap()))
        .collect()
}

fn answers(judged: &Judged) -> (bool, Vec<Value>) {
    let verdict = judged.verdict();
    let blocking = verdict["blocking"].as_array().unwrap().clone();
    (verdict["pass"] == true, blocking)
}

#[test]
fn a_verdict_never_gets_better_when_a_proxy_falls_further_behind() {
    let mut dice = Dice::new(1);
    let mut turned = 0;
    for _ in 0..cases(300) {
        let mut world = any_world(&mut dice);
        let args = *dice.pick(&QUESTIONS);
        let running = world.plane["version"].as_str().unwrap().to_owned();
        let place = LADDER.iter().position(|it| *it == running).unwrap();
        let base = args.last().filter(|it| it.contains('.')).copied();
        let base = base.map_or(place, |to| LADDER.iter().position(|it| *it == to).unwrap());
        let from = dice.roll(base + 1);
        let to = dice.roll(from + 1);
        world.workloads.push(workload("faller", LADDER[from]));
        let before = judge(args, &world.survey());
        *world.workloads.last_mut().unwrap() = workload("faller", LADDER[to]);
        let after = judge(args, &world.survey());
        let (was, is) = (answers(&before), answers(&after));
        let what = format!(
            "{args:?}: {} to {}\n{}",
            LADDER[from], LADDER[to], after.text
        );
        assert!(was.0 || !is.0, "{what}");
        assert!(
            was.1
                .iter()
                .all(|it| is.1.contains(it) || is.1.contains(&json!("proxy-too-old"))),
            "{what}"
        );
        turned += usize::from(was.0 && !is.0);
    }
    assert!(turned > 5, "only {turned} turned from yes to no");
}

#[test]
fn neither_the_order_of_workloads_nor_another_cluster_changes_a_verdict() {
    let mut dice = Dice::new(2);
    for _ in 0..cases(300) {
        let mut world = any_world(&mut dice);
        let other = any_world(&mut dice).survey().replace("\"eu\"", "\"us\"");
        let other = other.replace("uid-eu", "uid-us");
        let args = *dice.pick(&QUESTIONS);
        let alone = judge(args, &world.survey());
        dice.shuffle(&mut world.workloads);
        let both = match dice.once_in(2) {
            true => format!("{}{other}", world.survey()),
            false => format!("{other}{}", world.survey()),
        };
        let both = judge(args, &both);
        assert_eq!(
            conclusions(&both, "eu"),
            conclusions(&alone, "eu"),
            "{args:?}"
        );
        assert_eq!(both.of_type("verdict").len(), 2);
    }
}

/// Whether a rule is about what no act in the cluster changes: the target was a mistake, or another
/// program has the say.
fn is_a_fact(id: &Value) -> bool {
    let facts = [
        Rule::Downgrade,
        Rule::HopSkipsMinor,
        Rule::TargetUnknown,
        Rule::OperatorManaged,
    ];
    facts.iter().any(|rule| *id == rule.as_str())
}

/// What the operator does about a finding; false if it is a fact of the world that no act changes.
fn act(id: &str, world: &mut World, args: &mut Vec<String>) -> bool {
    let to = args
        .iter()
        .position(|it| it == "--to")
        .map(|at| args[at + 1].clone());
    let rule = Rule::named(id).expect("a finding has the id of a rule");
    match rule {
        // The target was a mistake, or goes one step at a time.
        Rule::Downgrade | Rule::HopSkipsMinor | Rule::TargetUnknown => return false,
        Rule::ControlPlaneNotAtTarget => {
            let place = |it: &str| LADDER.iter().position(|one| *one == it);
            let running = world.plane["version"].as_str().unwrap().to_owned();
            let to = to.unwrap();
            match place(&running) > place(&to) {
                true => *args.last_mut().unwrap() = running,
                false => install(world, &to),
            }
        }
        Rule::UpgradeInProgress | Rule::ComponentPinned => {
            let running = world.plane["version"].as_str().unwrap().to_owned();
            install(world, &running);
        }
        Rule::KubernetesTooOld => world.plane["kubernetes"] = json!("v1.27.3"),
        Rule::CertificateExpired | Rule::CertificateExpiring => {
            world.plane["certificates"][0]["not_after"] = json!("2036-01-01T00:00:00Z");
            world.plane["certificates"][1]["not_after"] = json!("2027-01-01T00:00:00Z");
        }
        Rule::CertificateUnreadable => args.extend(["--ack".to_owned(), id.to_owned()]),
        Rule::NewerThanKnown => args.extend(["--ack".to_owned(), id.to_owned()]),
        Rule::SurveyPartial => args.push("--partial".to_owned()),
        Rule::ControlPlaneUnhealthy
        | Rule::InjectorNotReady
        | Rule::InjectorBypassed
        | Rule::WebhookCertificateExpired
        | Rule::CrdsBehind => {
            let running = world.plane["version"].as_str().unwrap().to_owned();
            install(world, &running);
        }
        Rule::CniBehind => {
            world.plane["facts"]["cni_rolling"] = json!(false);
            world.others.clear();
        }
        Rule::OperatorManaged => return false,
        Rule::JobHoldsBack | Rule::JobStuckOnProxy => {
            world.workloads.retain(|it| it["kind"] != "Job");
        }
        Rule::ProxyTooOld
        | Rule::ProxyAhead
        | Rule::ProxyBehind
        | Rule::ProxyUnknown
        | Rule::TrustAnchorStale
        | Rule::UnmeshedButAnnotated
        | Rule::PodsMissing
        | Rule::WorkloadUnhealthy => {
            // The values pin what the injector gives, as version-pinned says.
            world.plane["injects"] = world.plane["version"].clone();
            let injects = world.plane["version"].as_str().unwrap().to_owned();
            roll_all(world, &injects);
        }
        Rule::LeftoverComponent
        | Rule::WouldLoseProxy
        | Rule::TargetNotLatestPatch
        | Rule::TargetPrerelease
        | Rule::KubernetesUntested
        | Rule::CrdStoredVersion
        | Rule::InstallerUnknown
        | Rule::MixedChannels
        | Rule::EdgeNotRecommended
        | Rule::VersionPinned
        | Rule::TrustAnchorUnknown
        | Rule::AnchorExpired
        | Rule::GitopsManaged
        | Rule::InjectorFailsOpen
        | Rule::ExtensionBehind
        | Rule::ProxyTerminating
        | Rule::ProxiesOutside
        | Rule::DowntimeOutage
        | Rule::GatewayApiUnprotected
        | Rule::HelmChartSplit
        | Rule::WaiverUnused
        | Rule::WaiverExpired
        | Rule::SurveyCached
        | Rule::AsksButSkipped
        | Rule::FleetMixed => panic!("no generated cluster is blocked by {id}"),
    }
    true
}

fn install(world: &mut World, release: &str) {
    let healthy = World::at(release);
    for field in [
        "version",
        "injects",
        "components",
        "state",
        "webhooks",
        "crds",
    ] {
        world.plane[field] = healthy.plane[field].clone();
    }
    let facts = world.plane["facts"].as_object_mut().unwrap();
    facts.retain(|name, _| name != "injector_bypassed");
}

/// Restarts every workload, or has its owner create it again.
fn roll_all(world: &mut World, injects: &str) {
    for it in &mut world.workloads {
        let mut new = workload(it["name"].as_str().unwrap(), injects);
        for field in ["kind", "namespace", "roll"] {
            new[field] = it[field].clone();
        }
        *it = new;
    }
}

#[test]
fn nobody_is_locked_in() {
    let mut dice = Dice::new(3);
    let (mut opened, mut facts) = (0, 0);
    for _ in 0..cases(300) {
        let mut world = any_world(&mut dice);
        let mut args: Vec<String> = dice
            .pick(&QUESTIONS)
            .iter()
            .map(ToString::to_string)
            .collect();
        let first = args.clone();
        let mut done = BTreeSet::new();
        let mut is_open = false;
        let mut is_fact = false;
        for _ in 0..12 {
            let words: Vec<&str> = args.iter().map(String::as_str).collect();
            let judged = judge(&words, &world.survey());
            if judged.exit == Ok(Exit::Yes) {
                is_open = true;
                break;
            }
            let before = (world.survey(), args.clone());
            let ids = answers(&judged).1;
            let ids = ids.iter().map(|id| id.as_str().unwrap().to_owned());
            is_fact = !ids.into_iter().any(|id| {
                let findings = judged.of_type("finding");
                let mut own = findings.iter().filter(|it| it["id"] == id.as_str());
                assert!(
                    own.all(|it| it.get("hint").is_some()),
                    "{id} has no way out"
                );
                done.insert(id.clone());
                // What is a fact of the world changes nothing.
                act(&id, &mut world, &mut args) && before != (world.survey(), args.clone())
            });
            if is_fact {
                let facts = answers(&judged).1;
                assert!(
                    facts.iter().any(is_a_fact),
                    "{first:?}: locked in by {facts:?}"
                );
                break;
            }
        }
        opened += usize::from(is_open);
        facts += usize::from(is_fact);
        assert!(
            is_open || is_fact,
            "{first:?}: locked in after {done:?}\n{}",
            world.survey()
        );
    }
    assert!(opened > facts, "{opened} were opened, {facts} were facts");
}

#[test]
fn a_waiver_opens_what_is_not_mandatory() {
    let mut dice = Dice::new(4);
    let mut opened = 0;
    for _ in 0..cases(150) {
        let world = any_world(&mut dice);
        let args = *dice.pick(&QUESTIONS);
        let (_, blocking) = answers(&judge(args, &world.survey()));
        let is_free =
            |it: &&Value| !crate::rule::is_mandatory(Rule::named(it.as_str().unwrap()).unwrap());
        let (free, bound): (Vec<&Value>, Vec<&Value>) = blocking.iter().partition(is_free);
        if free.is_empty() {
            continue;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = free.iter().map(|id| {
            format!(
                "{}\n",
                json!({"id": id, "reason": "r", "who": "w", "expires": "2099-01-01"})
            )
        });
        std::fs::write(file.path(), lines.collect::<String>()).unwrap();
        let path = file.path().to_str().unwrap();
        let judged = judge(&[args, &["--waivers", path]].concat(), &world.survey());
        let left = answers(&judged).1;
        assert_eq!(
            left.iter().collect::<Vec<_>>(),
            bound,
            "{args:?}: {}",
            judged.text
        );
        opened += 1;
    }
    assert!(opened > 20, "only {opened} had something to waive");
}
