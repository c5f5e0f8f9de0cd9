//! The rules, and how severe each is for each question: the heart of the judge.

use mesh_records::{Ask, Decided, Severity};

use Grade::{E, I, N, W};

/// What a rule's answer means for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// Error: the answer is no.
    E,
    /// Warning.
    W,
    /// Info.
    I,
    /// Never: the rule does not belong to the question.
    N,
}

/// How much of its grade a hit deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// The grade of the table.
    Full,
    /// A warning at most.
    Soft,
    /// An info at most.
    Slight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rule {
    ProxyTooOld,
    ProxyAhead,
    ControlPlaneNotAtTarget,
    ProxyBehind,
    ProxyUnknown,
    HopSkipsMinor,
    Downgrade,
    TargetUnknown,
    NewerThanKnown,
    TargetNotLatestPatch,
    TargetPrerelease,
    KubernetesTooOld,
    KubernetesUntested,
    MixedChannels,
    EdgeNotRecommended,
    VersionPinned,
    TrustAnchorStale,
    CertificateExpired,
    CertificateExpiring,
    ControlPlaneUnhealthy,
    UpgradeInProgress,
    OperatorManaged,
    GitopsManaged,
    InjectorFailsOpen,
    InjectorNotReady,
    ExtensionBehind,
    CniBehind,
    UnmeshedButAnnotated,
    DowntimeOutage,
    JobHoldsBack,
    WorkloadUnhealthy,
    SurveyPartial,
    GatewayApiUnprotected,
    HelmChartSplit,
    WaiverUnused,
}

struct Row {
    rule: Rule,
    id: &'static str,
    binding: Binding,
    asked: [Grade; 4],
    blind: [Grade; 4],
}

/// Whether a person may answer for breaking a rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Binding {
    Mandatory,
    Waivable,
}

use Binding::{Mandatory as M, Waivable as V};

/// For each rule its grade under upgrade, drift, roll and done; and its grade there when the facts
/// do not suffice to decide it, which is never better than "cannot tell".
#[rustfmt::skip]
const TABLE: [Row; 35] = [
    //                                                                       hit           cannot tell
    //                                                                       up dr ro do   up dr ro do
    row(Rule::ProxyTooOld,             "proxy-too-old",               V, [E, E, I, E], [N, N, N, N]),
    row(Rule::ProxyAhead,              "proxy-ahead",                 V, [E, E, I, E], [N, N, N, N]),
    row(Rule::ControlPlaneNotAtTarget, "control-plane-not-at-target", M, [N, N, N, E], [N, N, N, E]),
    row(Rule::ProxyBehind,             "proxy-behind",                V, [I, I, I, E], [N, N, N, N]),
    row(Rule::ProxyUnknown,            "proxy-unknown",               V, [E, W, W, E], [E, W, W, E]),
    row(Rule::HopSkipsMinor,           "hop-skips-minor",             M, [E, N, N, N], [E, N, N, N]),
    row(Rule::Downgrade,               "downgrade",                   M, [E, N, N, N], [N, N, N, N]),
    row(Rule::TargetUnknown,           "target-unknown",              M, [E, N, N, E], [N, N, N, N]),
    row(Rule::NewerThanKnown,          "newer-than-known",            V, [E, W, I, W], [N, N, N, N]),
    row(Rule::TargetNotLatestPatch,    "target-not-latest-patch",     V, [W, N, N, N], [N, N, N, N]),
    row(Rule::TargetPrerelease,        "target-prerelease",           V, [W, N, N, N], [N, N, N, N]),
    row(Rule::KubernetesTooOld,        "kubernetes-too-old",          M, [E, N, N, N], [E, N, N, N]),
    row(Rule::KubernetesUntested,      "kubernetes-untested",         V, [W, N, N, N], [N, N, N, N]),
    row(Rule::MixedChannels,           "mixed-channels",              V, [W, W, I, W], [N, N, N, N]),
    row(Rule::EdgeNotRecommended,      "edge-not-recommended",        V, [W, W, I, I], [N, N, N, N]),
    row(Rule::VersionPinned,           "version-pinned",              V, [W, W, I, W], [N, N, N, N]),
    row(Rule::TrustAnchorStale,        "trust-anchor-stale",          V, [E, W, I, E], [W, W, I, E]),
    row(Rule::CertificateExpired,      "certificate-expired",         M, [E, E, E, E], [E, W, E, W]),
    row(Rule::CertificateExpiring,     "certificate-expiring",        V, [E, W, E, W], [N, N, N, N]),
    row(Rule::ControlPlaneUnhealthy,   "control-plane-unhealthy",     M, [E, W, E, E], [E, W, E, E]),
    row(Rule::UpgradeInProgress,       "upgrade-in-progress",         V, [E, W, E, E], [W, W, W, W]),
    row(Rule::OperatorManaged,         "operator-managed",            V, [E, I, E, I], [N, N, N, N]),
    row(Rule::GitopsManaged,           "gitops-managed",              V, [I, I, I, I], [N, N, N, N]),
    row(Rule::InjectorFailsOpen,       "injector-fails-open",         V, [I, I, W, I], [I, I, W, I]),
    row(Rule::InjectorNotReady,        "injector-not-ready",          M, [W, W, E, W], [W, W, E, W]),
    row(Rule::ExtensionBehind,         "extension-behind",            V, [W, W, W, W], [I, I, I, I]),
    row(Rule::CniBehind,               "cni-behind",                  V, [W, W, W, W], [I, I, I, I]),
    row(Rule::UnmeshedButAnnotated,    "unmeshed-but-annotated",      V, [W, W, I, E], [N, N, N, N]),
    row(Rule::DowntimeOutage,          "downtime-outage",             V, [N, N, W, N], [N, N, N, N]),
    row(Rule::JobHoldsBack,            "job-holds-back",              V, [E, I, I, I], [N, N, N, N]),
    row(Rule::WorkloadUnhealthy,       "workload-unhealthy",          V, [W, W, I, W], [N, N, N, N]),
    row(Rule::SurveyPartial,           "survey-partial",              M, [E, E, I, E], [N, N, N, N]),
    row(Rule::GatewayApiUnprotected,   "gateway-api-unprotected",     M, [E, N, N, N], [E, N, N, N]),
    row(Rule::HelmChartSplit,          "helm-chart-split",            M, [E, N, N, N], [N, N, N, N]),
    row(Rule::WaiverUnused,            "waiver-unused",               V, [W, W, W, W], [N, N, N, N]),
];

const fn row(
    rule: Rule,
    id: &'static str,
    binding: Binding,
    asked: [Grade; 4],
    blind: [Grade; 4],
) -> Row {
    Row {
        rule,
        id,
        binding,
        asked,
        blind,
    }
}

impl Rule {
    /// The name in findings, verdicts and flags.
    pub(crate) fn id(self) -> &'static str {
        self.row().id
    }

    /// The rule of this name.
    pub(crate) fn named(id: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.id == id).map(|row| row.rule)
    }

    /// Whether nobody can answer for breaking it.
    pub(crate) fn is_mandatory(self) -> bool {
        self.row().binding == Binding::Mandatory
    }

    /// How bad it is for a question; none where it does not belong to it.
    pub(crate) fn severity(self, ask: Ask, decided: Decided, weight: Weight) -> Option<Severity> {
        let grades = match decided {
            Decided::Yes => &self.row().asked,
            Decided::CannotTell => &self.row().blind,
        };
        match (grades[column(ask)], weight) {
            (N, _) => None,
            (E, Weight::Full) => Some(Severity::Error),
            (E, Weight::Soft) | (W, Weight::Full | Weight::Soft) => Some(Severity::Warning),
            (E | W, Weight::Slight) | (I, _) => Some(Severity::Info),
        }
    }

    fn row(self) -> &'static Row {
        TABLE
            .iter()
            .find(|row| row.rule == self)
            .expect("every rule has its row, says a test")
    }
}

fn column(ask: Ask) -> usize {
    match ask {
        Ask::Upgrade => 0,
        Ask::Drift => 1,
        Ask::Roll => 2,
        Ask::Done => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_stand_in_the_order_of_the_rules_and_each_has_a_name_of_its_own() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.rule as usize, index, "{}", row.id);
            assert_eq!(Rule::named(row.id), Some(row.rule), "{}", row.id);
        }
        assert_eq!(Rule::WaiverUnused as usize + 1, TABLE.len());
    }

    #[test]
    fn a_weight_never_makes_a_grade_worse() {
        for row in &TABLE {
            for ask in [Ask::Upgrade, Ask::Drift, Ask::Roll, Ask::Done] {
                let of = |weight| row.rule.severity(ask, Decided::Yes, weight);
                assert!(of(Weight::Full) <= of(Weight::Soft), "{} {ask}", row.id);
                assert!(of(Weight::Soft) <= of(Weight::Slight), "{} {ask}", row.id);
            }
        }
    }

    #[test]
    fn what_is_not_known_of_a_mandatory_fact_is_never_an_info_where_a_hit_is_an_error() {
        for row in TABLE.iter().filter(|row| row.rule.is_mandatory()) {
            for (asked, blind) in row.asked.iter().zip(&row.blind) {
                let decided_elsewhere = *blind == N;
                assert!(
                    decided_elsewhere || *asked != E || *blind != I,
                    "{}",
                    row.id
                );
            }
        }
    }
}
