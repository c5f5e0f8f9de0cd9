//! Records as aligned text for people.

mod block;

use std::fmt;

use mesh_records::{
    Ask, ControlPlane, Finding, HopKind, ProxyCount, Record, Severity, SkewAction, SkewState,
    Verdict, VerdictScope, Workload,
};

use crate::Clean;
use block::Block;

/// Collects records and shows them as text, one block per type.
#[derive(Debug, Default)]
pub(crate) struct Table {
    control_planes: Block,
    extensions: Block,
    workloads: Block,
    proxies: Block,
    remarks: Vec<String>,
    verdicts: Vec<String>,
}

// === impl Table ===

impl Table {
    /// Adds another tool's line. A line that is not a record of this schema is not shown.
    pub(crate) fn add_line(&mut self, line: &str) {
        if let Ok(record) = serde_json::from_str(line) {
            self.add(&record);
        }
    }

    pub(crate) fn add(&mut self, record: &Record) {
        match record {
            Record::ControlPlane(record) => self.add_control_plane(record),
            Record::Extension(record) => {
                self.extensions.head = vec!["EXTENSION", "NAMESPACE", "VERSION"];
                self.extensions.rows.push(vec![
                    record.name.clone(),
                    record.namespace.clone(),
                    or_dash(record.version.as_ref()),
                ]);
            }
            Record::Workload(record) => self.add_workload(record),
            Record::Proxy(record) => {
                self.proxies.head = vec!["NAMESPACE", "POD", "PROXY", "READY"];
                self.proxies.rows.push(vec![
                    record.identity.namespace.clone(),
                    record.pod.clone(),
                    or_dash(record.version.as_ref()),
                    record.ready.to_string(),
                ]);
            }
            Record::Anomaly(record) => self.remarks.push(format!("anomaly: {}", record.message)),
            Record::Unseen(record) => self.remarks.push(format!(
                "no permission: {} {}: {}; add the RBAC rule: {}",
                record.verb, record.resource, record.reason, record.rule
            )),
            Record::Finding(record) => self.remarks.push(finding(record)),
            Record::Plan(record) => self.verdicts.extend(record.hops.iter().map(|hop| {
                format!(
                    "path: {} -> {}: {} {}",
                    hop.from,
                    hop.to,
                    hop_kind(hop.kind),
                    hop.release
                )
            })),
            Record::Verdict(record) => {
                self.verdicts.push(verdict(record));
                let next = record.next.as_ref();
                self.verdicts
                    .extend(next.map(|next| format!("next: {next}")));
            }
            Record::Stream(_)
            | Record::Intent(_)
            | Record::Step(_)
            | Record::Progress(_)
            | Record::Rolled(_)
            | Record::Skipped(_)
            | Record::End(_) => {}
        }
    }

    fn add_control_plane(&mut self, record: &ControlPlane) {
        self.control_planes.head = vec![
            "CLUSTER",
            "CONTROL PLANE",
            "VERSION",
            "INJECTS",
            "STATE",
            "INSTALLED BY",
            "KUBERNETES",
        ];
        self.control_planes.rows.push(vec![
            record.cluster.clone(),
            record.namespace.clone(),
            or_dash(record.version.as_ref()),
            or_dash(record.injects.as_ref()),
            lower(record.state),
            lower(record.installed_by),
            or_dash(record.kubernetes.as_ref()),
        ]);
    }

    fn add_workload(&mut self, record: &Workload) {
        let mut head = vec!["NAMESPACE", "WORKLOAD", "READY", "MESHED", "PROXY"];
        let mut row = vec![
            record.identity.namespace.clone(),
            format!("{}/{}", record.identity.kind, record.identity.name),
            format!("{}/{}", record.pods.ready, record.pods.total),
            format!("{}/{}", record.pods.meshed, record.pods.total),
            proxies(&record.proxies),
        ];
        if let Some(skew) = &record.skew {
            head.extend(["SKEW", "ACTION"]);
            row.extend([state(skew.state).to_owned(), action(skew.action).to_owned()]);
        }
        self.workloads.head = head;
        self.workloads.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = [
            &self.control_planes,
            &self.extensions,
            &self.workloads,
            &self.proxies,
        ];
        let mut gap = "";
        for block in blocks.into_iter().filter(|block| !block.rows.is_empty()) {
            write!(f, "{gap}{block}")?;
            gap = "\n";
        }
        for lines in [&self.remarks, &self.verdicts] {
            if !lines.is_empty() {
                f.write_str(gap)?;
                gap = "\n";
            }
            for line in lines {
                writeln!(f, "{}", Clean(line))?;
            }
        }
        Ok(())
    }
}

// === impl Block ===

fn finding(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let waived = if finding.waived.is_some() {
        " (acknowledged)"
    } else {
        ""
    };
    let hint = finding
        .hint
        .as_ref()
        .map(|hint| format!(" (hint: {hint})"))
        .unwrap_or_default();
    format!(
        "{severity}{waived}: {}: {}{hint}",
        finding.id, finding.message
    )
}

// The answer first, in a word that means the same for every question.
fn verdict(verdict: &Verdict) -> String {
    let Verdict {
        cluster,
        control_plane,
        ask,
        pass,
        from,
        target,
        ..
    } = verdict;
    let running = &from.version;
    let target = target.as_ref().unwrap_or(running);
    let (answer, sentence) = match (ask, pass) {
        (Ask::Upgrade, true) => (
            "OK",
            format!("you can upgrade the control plane from {running} to {target}"),
        ),
        (Ask::Upgrade, false) => (
            "BLOCKED",
            format!("do not upgrade the control plane from {running} to {target} yet"),
        ),
        (Ask::Drift, true) => (
            "OK",
            format!("every proxy is within the supported skew of {running}"),
        ),
        (Ask::Drift, false) => (
            "NOT OK",
            format!("not every proxy is within the supported skew of {running}"),
        ),
        (Ask::Roll, true) => (
            "OK",
            format!("you can restart the workloads to get {target}"),
        ),
        (Ask::Roll, false) => (
            "BLOCKED",
            format!("do not restart workloads yet; they would get {target}"),
        ),
        (Ask::Done, true) => ("DONE", done(verdict, target)),
        (Ask::Done, false) => ("NOT DONE", format!("not everything runs {target}")),
    };
    let but = but(verdict);
    format!("{answer}  {cluster}/{control_plane}: {sentence}{but}")
}

// The rest of a verdict that passes is what no restart reaches or what somebody accepted.
fn done(verdict: &Verdict, target: &str) -> String {
    let (all, same) = (count(verdict, "workloads"), count(verdict, "same"));
    match all.saturating_sub(same) {
        0 => format!("the control plane and the workloads run {target}"),
        rest => format!(
            "the control plane and {same} of {all} workloads run {target}; see the findings for the other {rest}"
        ),
    }
}

fn count(verdict: &Verdict, name: &str) -> u64 {
    verdict.counts.get(name).copied().unwrap_or(0)
}

// What limits the answer: it may rest on a part, on a person's word, or on what is not known.
fn but(verdict: &Verdict) -> String {
    let mut parts = Vec::new();
    if !verdict.blocking.is_empty() {
        parts.push(format!("because of {}", verdict.blocking.join(", ")));
    }
    if verdict.scope == VerdictScope::Partial {
        parts.push("only a part of the cluster was judged".to_owned());
    }
    if !verdict.waived.is_empty() {
        parts.push(format!("acknowledged: {}", verdict.waived.join(", ")));
    }
    let count = |name: &str| count(verdict, name);
    for (name, what) in [("behind", "behind"), ("unknown", "of unknown version")] {
        if verdict.ask == Ask::Drift && count(name) > 0 {
            parts.push(format!(
                "{} of {} workloads {what}",
                count(name),
                count("workloads")
            ));
        }
    }
    match parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", parts.join("; ")),
    }
}

fn proxies(proxies: &[ProxyCount]) -> String {
    let parts: Vec<String> = proxies
        .iter()
        .map(|proxy| {
            let version = proxy.version.as_ref().or(proxy.tag.as_ref());
            let version = version.map_or("?", String::as_str);
            if proxies.len() == 1 {
                version.to_owned()
            } else {
                format!("{version} x{}", proxy.count)
            }
        })
        .collect();
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(", ")
    }
}

fn or_dash(text: Option<&String>) -> String {
    text.map_or("-", String::as_str).to_owned()
}

fn lower(value: impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn hop_kind(kind: HopKind) -> &'static str {
    match kind {
        HopKind::Kubernetes => "upgrade Kubernetes to",
        HopKind::Crds => "upgrade the CRDs to",
        HopKind::ControlPlane => "upgrade the control plane to",
        HopKind::Extensions => "upgrade the extensions to",
        HopKind::Roll => "roll the workloads to",
    }
}

fn state(state: SkewState) -> &'static str {
    match state {
        SkewState::Same => "same",
        SkewState::Behind => "behind",
        SkewState::Ahead => "ahead",
        SkewState::Unknown => "unknown",
    }
}

fn action(action: SkewAction) -> &'static str {
    match action {
        SkewAction::Roll => "roll",
        SkewAction::Leave => "leave",
        SkewAction::Skip => "skip",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERDICT: &str = r#"{"type":"verdict","cluster":"eu","control_plane":"linkerd","ask":"ASK","pass":PASS,"from":{"version":"stable-2.13.7"},"target":"stable-2.14.10","scope":"full","source":"server","blocking":[],"releases_sha256":"0","counts":{"workloads":40,"behind":31}}"#;

    fn said(ask: &str, pass: &str, change: (&str, &str)) -> String {
        let line = VERDICT.replace("ASK", ask).replace("PASS", pass);
        let mut table = Table::default();
        table.add_line(&line.replace(change.0, change.1));
        table.to_string()
    }

    #[test]
    fn a_verdict_begins_with_an_answer_that_means_the_same_for_every_question() {
        let no = (r#""blocking":[]"#, r#""blocking":["proxy-too-old"]"#);
        for (ask, pass, change, answer) in [
            (
                "upgrade",
                "true",
                ("", ""),
                "OK  eu/linkerd: you can upgrade the control plane",
            ),
            (
                "upgrade",
                "false",
                no,
                "BLOCKED  eu/linkerd: do not upgrade",
            ),
            (
                "drift",
                "true",
                ("", ""),
                "OK  eu/linkerd: every proxy is within",
            ),
            (
                "drift",
                "false",
                no,
                "NOT OK  eu/linkerd: not every proxy is within",
            ),
            (
                "roll",
                "true",
                ("", ""),
                "OK  eu/linkerd: you can restart the workloads",
            ),
            ("roll", "false", no, "BLOCKED  eu/linkerd: do not restart"),
            (
                "done",
                "true",
                (r#""behind":31"#, r#""same":40"#),
                "DONE  eu/linkerd: the control plane and the workloads run stable-2.14.10",
            ),
            (
                "done",
                "true",
                (r#""behind":31"#, r#""behind":2,"same":38"#),
                "DONE  eu/linkerd: the control plane and 38 of 40 workloads run stable-2.14.10",
            ),
            (
                "done",
                "false",
                no,
                "NOT DONE  eu/linkerd: not everything runs",
            ),
        ] {
            let said = said(ask, pass, change);
            assert!(said.starts_with(answer), "{said}");
            assert_eq!(said.contains("proxy-too-old"), pass == "false", "{said}");
        }
    }

    #[test]
    fn an_answer_names_what_limits_it() {
        let partial = (r#""scope":"full""#, r#""scope":"partial""#);
        assert!(said("upgrade", "true", partial).contains("only a part of the cluster"));
        let waived = (
            r#""blocking""#,
            r#""waived":["newer-than-known"],"blocking""#,
        );
        assert!(said("upgrade", "true", waived).contains("acknowledged: newer-than-known"));
        let unknown = (r#""behind":31"#, r#""behind":31,"unknown":2"#);
        let said = said("drift", "true", unknown);
        assert!(
            said.contains("31 of 40 workloads behind; 2 of 40 workloads of unknown version"),
            "{said}"
        );
    }
}
