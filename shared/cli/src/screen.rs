//! Records as text for people.

mod account;
mod answer;
mod columns;
mod headline;
mod look;
mod notes;
mod results;
mod sight;
mod text;
mod workloads;

use clap::ValueEnum;
use jiff::Timestamp;
use mesh_records::{End, EndOutcome, Outcome, Proxy, Record, Tool};

use account::Account;
use answer::Answer;
pub(crate) use answer::names;
use columns::{Cell, Column, Columns};
pub(crate) use headline::but;
pub(crate) use look::Look;
use look::Tone;
use sight::Sight;
use text::beside;
pub(crate) use text::folded;
use workloads::{Rows, Workloads};

/// What a table lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// Workloads that somebody should look at.
    Problems,
}

/// How much of the records a person sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What fits the screen.
    Short,
    /// Only what somebody should look at.
    Problems,
    /// Everything.
    Wide,
    /// The names of the workloads alone: of all, or of those that somebody should look at.
    Names(Option<Only>),
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
        if let Detail::Names(only) = self.detail {
            return name(record, only);
        }
        let look = self.look;
        match record {
            Record::Stream(record) => self.sight.stream(record),
            Record::ControlPlane(record) => self.sight.control_plane(record, look),
            Record::Extension(record) => self.sight.extension(record),
            Record::Workload(record) => self.workloads.add(record),
            Record::Proxy(record) => self.proxies.push((**record).clone()),
            Record::Anomaly(record) => {
                let said = format!("anomaly: {}", record.message);
                self.sight.remark(&record.cluster, said);
            }
            Record::Unseen(record) => {
                let place = record.namespace.as_ref().map(|it| format!(" in {it}"));
                let said = format!(
                    "no permission: {} {}{}: {}; add the RBAC rule: {}",
                    record.verb,
                    record.resource,
                    place.unwrap_or_default(),
                    record.reason,
                    record.rule
                );
                self.sight.remark(&record.cluster, said);
            }
            Record::Finding(record) => self.answer.finding(record),
            Record::Plan(record) => self.answer.plan(record),
            Record::Verdict(record) => {
                self.workloads.asked(record.ask);
                self.answer.verdict(record);
            }
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
            Detail::Names(_) => return String::new(),
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
            parts.push(self.table(match rows {
                Rows::Fitting => Rows::Judged,
                Rows::All | Rows::Problems | Rows::Judged => rows,
            }));
        }
        parts.push(self.sight.remarks(look));
        parts.retain(|part| !part.is_empty());
        let body = parts.join("\n");
        let broken = end.map_or(String::new(), |end| self.broken(end));
        if !is_judged || !broken.is_empty() {
            let mut parts = vec![broken.as_str(), body.as_str(), broken.as_str()];
            if body.is_empty() {
                parts.pop();
            }
            parts.retain(|part| !part.is_empty());
            return parts.join("\n");
        }
        let first = self.answer.first(look);
        // The answer comes last too, once it may have left the screen.
        let is_apart = first.lines().count().saturating_add(body.lines().count()) > 8;
        let last = self.answer.last(is_apart, look);
        let gap = if body.is_empty() || last.is_empty() {
            ""
        } else {
            "\n"
        };
        format!("{first}{body}{gap}{last}")
    }

    // What is shown is a part, or nothing was judged: that has to be seen first and last.
    fn broken(&self, end: &End) -> String {
        let (word, tone) = match end.outcome {
            EndOutcome::Complete => return String::new(),
            EndOutcome::Stopped => ("STOPPED", Tone::Warn),
            EndOutcome::Failed => ("FAILED", Tone::Bad),
        };
        let why = end.reason.as_deref().unwrap_or("it does not say why");
        let said = format!("{} did not complete: {why}", end.tool);
        beside(self.look, (tone, word), word.len(), (Tone::Plain, &said))
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

// The name of the workload that a record is about, or that it is the proof of.
fn name(record: &Record, only: Option<Only>) -> Option<String> {
    let identity = match record {
        Record::Workload(record) => match only {
            Some(Only::Problems) if !workloads::is_problem(record) => return None,
            Some(Only::Problems) | None => &record.identity,
        },
        Record::Rolled(record) if record.outcome == Outcome::Proven => &record.identity,
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
        | Record::Rolled(_)
        | Record::Skipped(_)
        | Record::End(_) => return None,
    };
    Some(format!("{identity}\n"))
}

#[cfg(test)]
mod tests;
