//! Records as text for people.

mod account;
mod answer;
mod columns;
mod headline;
mod look;
mod sight;
mod text;
mod workloads;

use jiff::Timestamp;
use mesh_records::{End, Proxy, Record, Tool};

use account::Account;
use answer::Answer;
use columns::{Cell, Column, Columns};
pub(crate) use look::Look;
use look::Tone;
use sight::Sight;
pub(crate) use text::folded;
use workloads::{Rows, Workloads};

/// How much of the records a person sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What fits the screen.
    Short,
    /// Only what somebody should look at.
    Problems,
    /// Everything.
    Wide,
    /// The names of the workloads alone.
    Names,
}

/// Collects records and shows them as text.
#[derive(Debug)]
pub(crate) struct Screen {
    detail: Detail,
    look: Look,
    sight: Sight,
    workloads: Workloads,
    proxies: Vec<Proxy>,
    answer: Answer,
    account: Account,
    last: Option<Timestamp>,
    end: Option<End>,
}

// === impl Screen ===

impl Screen {
    pub(crate) fn new(detail: Detail, look: Look) -> Self {
        Self {
            detail,
            look,
            sight: Sight::default(),
            workloads: Workloads::default(),
            proxies: Vec::new(),
            answer: Answer::default(),
            account: Account::new(detail == Detail::Wide),
            last: None,
            end: None,
        }
    }

    /// Leaves the plan to the question that shows it.
    pub(crate) fn leave_plan_to_the_question(&mut self) {
        self.account.is_asked = true;
    }

    /// Leaves what is in flight to a line that changes.
    pub(crate) fn leave_flights_to_the_gauge(&mut self) {
        self.account.is_live = true;
    }

    /// Adds a record, and returns what is shown at once.
    pub(crate) fn add(&mut self, record: &Record) -> Option<String> {
        if self.detail == Detail::Names {
            return name(record);
        }
        let look = self.look;
        match record {
            Record::Stream(record) => self.sight.stream(record),
            Record::ControlPlane(record) => self.sight.control_plane(record, look),
            Record::Extension(record) => self.sight.extension(record),
            Record::Workload(record) => self.workloads.add(record),
            Record::Proxy(record) => self.proxies.push((**record).clone()),
            Record::Anomaly(record) => {
                self.sight
                    .remark(Tone::Warn, format!("anomaly: {}", record.message));
            }
            Record::Unseen(record) => self.sight.remark(
                Tone::Warn,
                format!(
                    "no permission: {} {}: {}; add the RBAC rule: {}",
                    record.verb, record.resource, record.reason, record.rule
                ),
            ),
            Record::Finding(record) => self.answer.finding(record),
            Record::Plan(record) => self.answer.plan(record),
            Record::Verdict(record) => self.answer.verdict(record),
            Record::End(record) => self.end = Some((**record).clone()),
            Record::Intent(it) => self.last = Some(it.time),
            Record::Step(it) => self.last = Some(it.time),
            Record::Progress(it) => self.last = Some(it.time),
            Record::Rolled(it) => self.last = Some(it.time),
            Record::Skipped(it) => self.last = Some(it.time),
        }
        self.account.line(record, look)
    }

    /// Returns what is shown when all records are there.
    pub(crate) fn close(&self) -> String {
        let look = self.look;
        let end = self.end.as_ref();
        let sum = end.map_or(String::new(), |end| self.account.sum(end, self.last, look));
        if matches!(
            end.map(|end| end.tool),
            Some(Tool::MeshCpUpgrade | Tool::MeshRoll)
        ) {
            return sum;
        }
        let rows = match self.detail {
            Detail::Names => return String::new(),
            Detail::Short => Rows::Fitting,
            Detail::Problems => Rows::Problems,
            Detail::Wide => Rows::All,
        };
        let is_judged = !self.answer.is_empty();
        let clusters = self.sight.clusters();
        let (table, proxies) = (self.table(rows), self.proxies());
        let mut parts = vec![];
        // A survey says what is there; of a judgement the answer counts, and then what it is about.
        if !is_judged || rows == Rows::All {
            parts.extend([self.sight.heads(look), table, proxies]);
            if !self.workloads.is_empty() {
                parts.push(self.workloads.sums(clusters, look));
            }
        } else {
            parts.push(self.table(Rows::Problems));
        }
        parts.push(self.sight.remarks(look));
        parts.retain(|part| !part.is_empty());
        let body = parts.join("\n");
        if !is_judged {
            return body;
        }
        let first = self.answer.first(look);
        let gap = if body.is_empty() { "" } else { "\n" };
        let before = format!("{first}{body}{gap}");
        // The answer comes last too, once it may have left the screen.
        let is_apart = before.lines().count() > 8;
        before + &self.answer.last(is_apart, look)
    }

    fn table(&self, rows: Rows) -> String {
        match self.workloads.is_empty() {
            true => String::new(),
            false => self
                .workloads
                .table(rows, self.sight.clusters() > 1, self.look),
        }
    }

    fn proxies(&self) -> String {
        if self.proxies.is_empty() {
            return String::new();
        }
        let mut table = Columns::new(vec![
            Column::shrinking("NAMESPACE", 9),
            Column::shrinking("POD", 18),
            Column::fixed("PROXY"),
            Column::fixed("READY"),
        ]);
        for proxy in &self.proxies {
            table.rows.push(vec![
                Cell::plain(&proxy.identity.namespace),
                Cell::plain(&proxy.pod),
                Cell::plain(proxy.version.as_deref().unwrap_or("unknown")),
                Cell::plain(if proxy.ready { "yes" } else { "no" }),
            ]);
        }
        table.lines(self.look)
    }
}

// The name of the workload that a record is the result of.
fn name(record: &Record) -> Option<String> {
    let identity = match record {
        Record::Workload(record) => &record.identity,
        Record::Rolled(record) => &record.identity,
        Record::Stream(_)
        | Record::ControlPlane(_)
        | Record::Extension(_)
        | Record::Proxy(_)
        | Record::Anomaly(_)
        | Record::Unseen(_)
        | Record::Finding(_)
        | Record::Plan(_)
        | Record::Verdict(_)
        | Record::Intent(_)
        | Record::Step(_)
        | Record::Progress(_)
        | Record::Skipped(_)
        | Record::End(_) => return None,
    };
    Some(format!("{identity}\n"))
}

#[cfg(test)]
mod tests;
