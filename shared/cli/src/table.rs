//! Records as aligned text for people.

use std::fmt;

use mesh_records::{
    ControlPlane, Finding, HopKind, ProxyCount, Record, Severity, SkewAction, SkewState, Verdict,
    VerdictScope, Workload,
};

use crate::Clean;

/// Collects records and shows them, a block for each type.
#[derive(Debug, Default)]
pub(crate) struct Table {
    control_planes: Block,
    extensions: Block,
    workloads: Block,
    proxies: Block,
    remarks: Vec<String>,
    verdicts: Vec<String>,
}

#[derive(Debug, Default)]
struct Block {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    /// Adds another tool's line. One that is no record of this schema is not shown.
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
                    record.namespace.clone(),
                    record.pod.clone(),
                    or_dash(record.version.as_ref()),
                    record.ready.to_string(),
                ]);
            }
            Record::Anomaly(record) => self.remarks.push(format!("odd: {}", record.message)),
            Record::Unseen(record) => self.remarks.push(format!(
                "not seen: {} {}: {}; allow it with: {}",
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
            "BY",
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
            record.namespace.clone(),
            format!("{}/{}", record.kind, record.name),
            format!("{}/{}", record.pods.ready, record.pods.total),
            format!("{}/{}", record.pods.meshed, record.pods.total),
            proxies(&record.proxies),
        ];
        if let Some(skew) = &record.skew {
            head.extend(["SKEW", "ROLL"]);
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

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<String> = self.head.iter().map(ToString::to_string).collect();
        let rows: Vec<Vec<String>> = std::iter::once(&head)
            .chain(&self.rows)
            .map(|row| row.iter().map(|cell| Clean(cell).to_string()).collect())
            .collect();
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..head.len())
            .map(|column| width(column).unwrap_or(0))
            .collect();
        for row in &rows {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn finding(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let waived = if finding.waived.is_some() {
        " (waived)"
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

fn verdict(verdict: &Verdict) -> String {
    let answer = match (verdict.pass, verdict.scope) {
        (false, _) => "no",
        (true, VerdictScope::Full) => "yes",
        (true, VerdictScope::Partial) => "yes, for the part that was surveyed",
    };
    let target = verdict
        .target
        .as_ref()
        .map(|to| format!(" to {to}"))
        .unwrap_or_default();
    let because = if verdict.blocking.is_empty() {
        String::new()
    } else {
        format!(", because of {}", verdict.blocking.join(", "))
    };
    let Verdict {
        cluster,
        control_plane,
        ask,
        from,
        ..
    } = verdict;
    format!(
        "{cluster}/{control_plane}: {ask}{target} from {}: {answer}{because}",
        from.version
    )
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
        HopKind::Kubernetes => "the cluster to Kubernetes",
        HopKind::Crds => "the definitions to",
        HopKind::ControlPlane => "the control plane to",
        HopKind::Extensions => "the extensions to",
        HopKind::Roll => "the workloads to",
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
