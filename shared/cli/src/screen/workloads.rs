//! The workloads, a row each, and the versions of their proxies in sum.

use std::collections::{BTreeMap, BTreeSet};

use mesh_records::{Ask, PodCounts, ProxyCount, Workload};

use super::columns::{Cell, Column, Columns};
use super::look::{Look, Tone};
use super::notes::{is_behind, judged, needs, notes, stuck};
use super::text::{folded, many};

/// How many rows are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// All of them, with every version.
    All,
    /// Those that somebody should look at.
    Problems,
    /// The problems, but where they do not fit the screen only those of which more is to be said than
    /// that they are behind: the answer counts these.
    Judged,
    /// All, or the problems alone where all do not fit the screen.
    Fitting,
}

/// The rows of all workloads.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    rows: Vec<Row>,
    versions: BTreeMap<String, (u64, u64)>,
    namespaces: BTreeSet<(String, String)>,
    pods: u64,
    is_judged: bool,
    /// Whether the question was if all is done: what is behind within the supported skew is not.
    is_to_be_done: bool,
}

#[derive(Debug)]
struct Row {
    cluster: String,
    namespace: String,
    name: String,
    ready: Cell,
    proxies: Vec<String>,
    lag: Cell,
    roll: Cell,
    note: Cell,
    needs: Tone,
    is_behind: bool,
    /// Whether nothing but its lag makes it a problem.
    is_only_behind: bool,
}

/// What a table of the workloads takes besides its rows: the head, the sums, the verdict.
const OTHER_LINES: usize = 14;

// === impl Workloads ===

impl Workloads {
    pub(super) fn add(&mut self, workload: &Workload) {
        let PodCounts { total, meshed, .. } = workload.pods;
        let place = (
            workload.cluster.clone(),
            workload.identity.namespace.clone(),
        );
        self.namespaces.insert(place);
        self.pods = self.pods.saturating_add(total.into());
        let mut count = |version: String, pods: u32| {
            let (workloads, all) = self.versions.entry(version).or_default();
            *workloads = workloads.saturating_add(1);
            *all = all.saturating_add(pods.into());
        };
        for proxy in &workload.proxies {
            count(version(proxy), proxy.count);
        }
        if meshed < total {
            count("none".to_owned(), total.saturating_sub(meshed));
        }
        self.is_judged |= workload.skew.is_some();
        self.rows.push(Row::of(workload));
    }

    /// Takes the question that the verdict answers.
    pub(super) fn asked(&mut self, ask: Ask) {
        self.is_to_be_done |= ask == Ask::Done;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn needs_something(&self, row: &Row) -> bool {
        row.needs > Tone::Plain || self.is_to_be_done && row.is_behind
    }

    /// Returns the table, and how many rows were left out.
    pub(super) fn table(&self, rows: Rows, is_fleet: bool, look: Look) -> String {
        let fits = |count: usize| {
            let fits = |rows: usize| count <= rows.saturating_sub(OTHER_LINES);
            look.size.is_none_or(|size| fits(size.rows))
        };
        let problems = self.rows.iter().filter(|row| self.needs_something(row));
        let is_short = rows == Rows::Judged && !fits(problems.count());
        let is_all = rows == Rows::All || rows == Rows::Fitting && fits(self.rows.len());
        let is_listed =
            |row: &Row| is_all || self.needs_something(row) && !(is_short && row.is_only_behind);
        let listed: Vec<&Row> = self.rows.iter().filter(|row| is_listed(row)).collect();
        let mut text = String::new();
        if !listed.is_empty() {
            text = self
                .columns(&listed, rows == Rows::All, is_fleet)
                .lines(look);
        }
        let rest = self.rows.len().saturating_sub(listed.len());
        if rest > 0 {
            let others = self.rows.iter().filter(|row| !is_listed(row));
            let behind: Vec<&Row> = others.filter(|row| row.is_behind).collect();
            let is_allowed = !behind.iter().any(|row| self.needs_something(row));
            let allowed = if is_allowed {
                " within the supported skew"
            } else {
                ""
            };
            let behind = match behind.len() {
                _ if is_all => String::new(),
                0 => " with nothing to note".to_owned(),
                behind if behind == rest => format!(", behind{allowed}"),
                behind => format!(", {behind} of them behind{allowed}"),
            };
            let noun = if listed.is_empty() {
                "workload"
            } else {
                "more workload"
            };
            let rest = many(rest.try_into().unwrap_or(u64::MAX), noun);
            let line = format!("{rest}{behind} (-o wide lists all)");
            text += &look.paint(Tone::Dim, folded(look, &line).trim_end());
            text.push('\n');
        }
        text
    }

    fn columns(&self, listed: &[&Row], is_wide: bool, is_fleet: bool) -> Columns {
        let mut columns = Vec::from_iter(is_fleet.then(|| Column::shrinking("CLUSTER", 7)));
        let ready = Column::right("READY");
        let (namespace, workload) = if is_fleet { (9, 20) } else { (9, 22) };
        columns.extend([
            Column::shrinking("NAMESPACE", namespace),
            Column::shrinking("WORKLOAD", workload),
            // The note says what is not ready.
            if self.is_judged { ready.spare() } else { ready },
            Column::shrinking("PROXY", 13),
        ]);
        if self.is_judged {
            // Why a workload cannot be restarted is in the note.
            columns.extend([Column::fixed("LAG"), Column::fixed("ROLL").spare()]);
        }
        columns.push(Column::broken("NOTE", 8));
        let mut table = Columns::new(columns);
        for row in listed {
            let mut cells = Vec::from_iter(is_fleet.then(|| Cell::plain(&row.cluster)));
            cells.extend([
                Cell::plain(&row.namespace),
                Cell::plain(&row.name),
                row.ready.clone(),
                Cell::plain(&proxies(&row.proxies, is_wide)),
            ]);
            if self.is_judged {
                cells.extend([row.lag.clone(), row.roll.clone()]);
            }
            cells.push(row.note.clone());
            table.rows.push(cells);
        }
        table
    }

    /// Returns the versions in sum and the totals.
    pub(super) fn sums(&self, clusters: usize, look: Look) -> String {
        let mut table = Columns::new(vec![
            Column::shrinking("PROXY", 13),
            Column::right("WORKLOADS"),
            Column::right("PODS"),
        ]);
        for (version, (workloads, pods)) in &self.versions {
            table.rows.push(vec![
                Cell::plain(version),
                Cell::plain(&workloads.to_string()),
                Cell::plain(&pods.to_string()),
            ]);
        }
        let count = |length: usize| length.try_into().unwrap_or(u64::MAX);
        let workloads = many(count(self.rows.len()), "workload");
        let (pods, namespaces) = (
            many(self.pods, "pod"),
            many(count(self.namespaces.len()), "namespace"),
        );
        let clusters = match clusters {
            0 | 1 => String::new(),
            number => format!(", {}", many(count(number), "cluster")),
        };
        format!(
            "{}{workloads}, {pods}, {namespaces}{clusters}\n",
            table.lines(look)
        )
    }
}

// === impl Row ===

impl Row {
    fn of(workload: &Workload) -> Self {
        let PodCounts {
            total,
            ready,
            wanted,
            ..
        } = workload.pods;
        let wanted = wanted.map_or(total, |wanted| wanted.max(total));
        let notes = notes(workload);
        let (lag, roll) = judged(workload);
        let worst = notes.iter().map(|it| it.0).max().unwrap_or_default();
        let words: Vec<&str> = notes.iter().map(|it| it.1.as_str()).collect();
        Self {
            cluster: workload.cluster.clone(),
            namespace: workload.identity.namespace.clone(),
            name: format!("{}/{}", workload.identity.kind, workload.identity.name),
            ready: Cell::plain(&format!("{ready}/{wanted}")),
            proxies: workload
                .proxies
                .iter()
                .map(|proxy| counted(proxy, workload))
                .collect(),
            lag: Cell::new(lag.0, &lag.1),
            roll: Cell::plain(roll),
            needs: needs(workload, worst),
            is_behind: is_behind(workload),
            is_only_behind: is_behind(workload) && worst.max(stuck(workload)) <= Tone::Plain,
            note: Cell::new(worst, &words.join(", ")),
        }
    }
}

/// Returns true for a workload that somebody should look at.
pub(super) fn is_problem(workload: &Workload) -> bool {
    let worst = notes(workload).into_iter().map(|it| it.0).max();
    needs(workload, worst.unwrap_or_default()) > Tone::Plain
}

fn version(proxy: &ProxyCount) -> String {
    let version = proxy.version.as_ref().or(proxy.tag.as_ref());
    version.map_or("unknown", String::as_str).to_owned()
}

fn counted(proxy: &ProxyCount, workload: &Workload) -> String {
    match workload.proxies.len() {
        1 => version(proxy),
        _ => format!("{} x{}", version(proxy), proxy.count),
    }
}

fn proxies(all: &[String], is_wide: bool) -> String {
    match all {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] if !is_wide => format!("{first} +{}", rest.len()),
        all => all.join(", "),
    }
}
