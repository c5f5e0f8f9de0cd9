//! Makes the findings and the verdict from the results of all rules.

use std::collections::{BTreeMap, BTreeSet};

use mesh_records::{
    Ask, Closed, Consistency, ControlPlane, Decided, Extension, Finding, From, Plan, Rule, Source,
    Verdict, VerdictScope,
};

use crate::next::next;
use crate::notes::{self, Shown};
use crate::plan::plan;
use crate::question::{Question, Standpoint};
use crate::remark::Remark;
use crate::rule::severity;
use crate::rules::{certificates, definitions, extension, health, target};
use crate::sentence::sentence;
use crate::tally::Tally;
use crate::waiver::Waiver;

/// The findings, plan and verdict for one control plane.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) findings: Vec<Finding>,
    pub(crate) plan: Option<Plan>,
    pub(crate) verdict: Verdict,
    /// The lines of the waivers that had an effect or would have had one before they expired.
    pub(crate) waivers: BTreeSet<usize>,
    /// The upgrade notes on the way to the target that concern it, or may.
    pub(crate) notes: Vec<Shown>,
}

/// Facts about the survey that a control plane belongs to.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub(crate) closed: &'a Closed,
    pub(crate) extensions: &'a [Extension],
    /// Whether a request that the survey needs was refused.
    pub(crate) lacks_required: bool,
}

/// Judges one control plane after all its workloads have been counted.
pub(crate) fn conclude(
    plane: &ControlPlane,
    at: &Standpoint<'_>,
    tally: &Tally,
    around: &Around<'_>,
) -> Judgement {
    let stream = &around.closed.stream;
    let (mut findings, waivers) = findings(plane, at, tally, around);
    let notes = match at.ask() {
        Ask::Upgrade => notes::shown(plane, around.extensions, is_full(around), at),
        Ask::Drift | Ask::Roll | Ask::Done => Vec::new(),
    };
    findings.extend(notes.iter().map(|shown| shown.finding(plane)));
    sort(&mut findings);
    let (waived, blocking) = answer(&findings, at.question);
    let plan = match at.ask() {
        Ask::Upgrade => plan(plane, around.extensions, tally, &notes, at),
        Ask::Drift | Ask::Roll | Ask::Done => None,
    };
    let verdict = Verdict {
        cluster: plane.cluster.clone(),
        cluster_uid: stream.cluster_uid.clone(),
        control_plane: plane.namespace.clone(),
        ask: at.ask(),
        pass: blocking.is_empty(),
        from: From {
            version: at.running.to_string(),
            config_resource_version: plane.config_resource_version.clone(),
        },
        target: about(at),
        next: next(plane, at, &blocking, tally),
        scope: if is_full(around) {
            VerdictScope::Full
        } else {
            VerdictScope::Partial
        },
        // Without a `source` the survey may be a dump, so it counts as one.
        source: stream.source.unwrap_or(Source::Dump),
        surveyed: stream.time,
        blocking,
        waived,
        thresholds: thresholds(&waivers, at),
        releases_sha256: at.releases().sha256().to_owned(),
        counts: tally.counts().as_record(),
    };
    Judgement {
        findings,
        plan,
        verdict,
        waivers,
        notes,
    }
}

fn findings(
    plane: &ControlPlane,
    at: &Standpoint<'_>,
    tally: &Tally,
    around: &Around<'_>,
) -> (Vec<Finding>, BTreeSet<usize>) {
    let mut remarks = target::remarks(plane, at);
    remarks.extend(target::versions(plane, at));
    remarks.extend(health::remarks(plane, at));
    remarks.extend(definitions::remarks(plane, at));
    remarks.extend(certificates::remarks(plane, &around.closed.stream, at));
    remarks.extend(extension::remarks(plane, around.extensions, at));
    remarks.extend(partial(at, around));
    remarks.extend(cached(at, around));
    remarks.extend(expired(at));
    let mut waivers: BTreeSet<usize> = at.waivers.expired.iter().map(|it| it.line).collect();
    let mut findings: Vec<Finding> = remarks
        .into_iter()
        .filter_map(|remark| {
            let waiver = at.waivers.of_plane(remark.rule);
            let finding = weigh(remark, at.ask(), &plane.cluster, &plane.namespace)?;
            waivers.extend(waiver.map(|it| it.line));
            let waived = waiver.map(Waiver::said);
            Some(Finding { waived, ..finding })
        })
        .collect();
    for (severity, rule, group) in tally.groups() {
        let (message, hint) = sentence(rule, group, at);
        waivers.extend(group.waiver);
        let waiver = group.waiver.and_then(|line| at.waivers.at_line(line));
        findings.push(Finding {
            cluster: plane.cluster.clone(),
            id: rule.as_str().to_owned(),
            severity,
            control_plane: plane.namespace.clone(),
            message,
            hint,
            page: None,
            decided: Decided::Yes,
            waived: waiver.map(Waiver::said),
            count: group.count,
            workloads: group.workloads.iter().cloned().collect(),
        });
    }
    for finding in &mut findings {
        let mut acknowledged = at.question.acknowledged.iter();
        if acknowledged.any(|rule| rule.as_str() == finding.id) {
            finding.waived = Some("acknowledged".to_owned());
        }
    }
    (findings, waivers)
}

/// The options that differ from their defaults, and the waivers that had an effect.
fn thresholds(lines: &BTreeSet<usize>, at: &Standpoint<'_>) -> BTreeMap<String, String> {
    let used = lines.iter().filter_map(|line| at.waivers.at_line(*line));
    let used: Vec<String> = used
        .map(|it| format!("{}: {}", it.named(), it.said()))
        .collect();
    let mut thresholds = at.question.thresholds.clone();
    if !used.is_empty() {
        thresholds.insert("waivers".to_owned(), used.join("; "));
    }
    thresholds
}

fn expired(at: &Standpoint<'_>) -> Option<Remark> {
    let expired = at.waivers.expired.iter().map(|it| {
        let (line, named, expires) = (it.line, it.named(), it.expires);
        format!("line {line} ({named}) at {expires}")
    });
    let expired: Vec<String> = expired.collect();
    let message = format!(
        "waivers that have expired count as absent: {}",
        expired.join(", ")
    );
    let hint = "fix what they are for, or give them a new reason and a new end";
    (!expired.is_empty()).then(|| Remark::new(Rule::WaiverExpired, message).hint(hint))
}

pub(crate) fn weigh(
    remark: Remark,
    ask: Ask,
    cluster: &str,
    control_plane: &str,
) -> Option<Finding> {
    let Remark {
        rule,
        decided,
        weight,
        message,
        hint,
        page,
    } = remark;
    Some(Finding {
        cluster: cluster.to_owned(),
        id: rule.as_str().to_owned(),
        severity: severity(rule, ask, decided, weight)?,
        control_plane: control_plane.to_owned(),
        message,
        hint,
        page: page.map(str::to_owned),
        decided,
        waived: None,
        count: 1,
        workloads: Vec::new(),
    })
}

/// Sorts the findings and makes the answer of them. A judgement that no longer passes offers no next
/// command, because what it offered rested on the former answer.
pub(crate) fn settle(judgement: &mut Judgement, question: &Question) {
    let Judgement {
        findings, verdict, ..
    } = judgement;
    sort(findings);
    let (waived, blocking) = answer(findings, question);
    if verdict.pass && !blocking.is_empty() {
        verdict.next = None;
    }
    verdict.pass = blocking.is_empty();
    (verdict.waived, verdict.blocking) = (waived, blocking);
}

/// Returns the ids of the findings that would block, the waived ones apart.
fn answer(findings: &[Finding], question: &Question) -> (Vec<String>, Vec<String>) {
    let grave = findings.iter().filter(|it| it.severity <= question.fail_on);
    let (waived, blocking): (Vec<&Finding>, Vec<&Finding>) =
        grave.partition(|finding| finding.waived.is_some());
    (ids(&waived), ids(&blocking))
}

fn sort(findings: &mut [Finding]) {
    // Notes come after the rules, in the order of the path.
    findings.sort_by_key(|finding| {
        let rule = Rule::named(&finding.id);
        (finding.severity, rule.is_none(), rule)
    });
}

/// With --fail-on one rule may be broken with two severities, which stand apart.
fn ids(findings: &[&Finding]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = findings.iter().map(|finding| &finding.id);
    all.filter(|id| seen.insert(*id)).cloned().collect()
}

fn is_full(around: &Around<'_>) -> bool {
    around.closed.is_full() && !around.lacks_required
}

fn partial(at: &Standpoint<'_>, around: &Around<'_>) -> Option<Remark> {
    if is_full(around) || at.question.partial {
        return None;
    }
    let message = if around.closed.thinned {
        "a filter removed records from the survey, so this is not the whole cluster"
    } else if around.lacks_required {
        "mesh-survey had no permission to read all that the survey needs"
    } else {
        "the survey covers only a part of the cluster"
    };
    let hint = match at.ask() {
        Ask::Upgrade => {
            "survey the whole cluster, without a filter and with all permissions; with --partial the \
             answer covers this part only, and mesh-cp-upgrade refuses it"
        }
        Ask::Drift | Ask::Roll | Ask::Done => {
            "survey the whole cluster, without a filter and with all permissions; or ask about this \
             part only with --partial"
        }
    };
    Some(Remark::new(Rule::SurveyPartial, message).hint(hint))
}

fn cached(at: &Standpoint<'_>, around: &Around<'_>) -> Option<Remark> {
    match around.closed.stream.consistency? {
        Consistency::Current => None,
        Consistency::Cached => {
            let message = "the survey is from the API server's watch cache, so what changed last may be missing";
            let hint = format!(
                "survey again without --consistency cached: {}",
                at.paste.mesh("mesh-survey", &[])
            );
            Some(Remark::new(Rule::SurveyCached, message).hint(hint))
        }
    }
}

fn about(at: &Standpoint<'_>) -> Option<String> {
    match at.ask() {
        Ask::Upgrade | Ask::Done => at.target.as_ref().map(ToString::to_string),
        Ask::Roll => at.injects.as_ref().map(ToString::to_string),
        Ask::Drift => None,
    }
}
