//! How severe each rule is for each question: the heart of the judge.

use mesh_records::{Ask, Decided, Rule, Severity};

use Grade::{E, I, N, W};

/// The severity of a broken rule for one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Grade {
    /// Error: it blocks.
    E,
    /// Warning.
    W,
    /// Info.
    I,
    /// None: the rule does not apply to the question.
    N,
}

/// A limit on the severity of one hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// No limit: the severity in the table.
    Full,
    /// A warning at most.
    Soft,
    /// An info at most.
    Slight,
}

struct Row {
    rule: Rule,
    binding: Binding,
    asked: [Grade; 4],
    blind: [Grade; 4],
}

/// Whether `--ack` may accept a broken rule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Binding {
    Mandatory,
    Waivable,
}

use Binding::{Mandatory as M, Waivable as V};

/// For each rule: its severity under the questions upgrade, drift, roll and done if it is broken;
/// and its severity if facts are missing to decide it, which is at least "cannot tell".
#[rustfmt::skip]
const TABLE: [Row; 54] = [
    //                                                                       hit           cannot tell
    //                                                                       up dr ro do   up dr ro do
    row(Rule::ProxyTooOld,             V, [E, E, I, E], [N, N, N, N]),
    row(Rule::ProxyAhead,              V, [E, E, I, E], [N, N, N, N]),
    row(Rule::ControlPlaneNotAtTarget, M, [N, N, N, E], [N, N, N, E]),
    row(Rule::ComponentPinned,         V, [W, W, W, E], [N, N, N, N]),
    row(Rule::LeftoverComponent,       V, [W, W, W, W], [N, N, N, N]),
    row(Rule::ProxyBehind,             V, [I, I, I, E], [N, N, N, N]),
    row(Rule::ProxyUnknown,            V, [E, E, W, E], [N, N, N, N]),
    row(Rule::HopSkipsMinor,           M, [E, N, N, N], [E, N, N, N]),
    row(Rule::Downgrade,               M, [E, N, N, N], [N, N, N, N]),
    row(Rule::TargetUnknown,           M, [E, N, N, E], [N, N, N, N]),
    row(Rule::NewerThanKnown,          V, [E, W, I, W], [N, N, N, N]),
    row(Rule::TargetNotLatestPatch,    V, [W, N, N, N], [N, N, N, N]),
    row(Rule::TargetPrerelease,        V, [W, N, N, N], [N, N, N, N]),
    row(Rule::KubernetesTooOld,        M, [E, N, N, N], [E, N, N, N]),
    row(Rule::KubernetesUntested,      V, [W, N, N, N], [N, N, N, N]),
    row(Rule::CrdsBehind,              V, [I, W, W, E], [I, I, I, W]),
    row(Rule::CrdStoredVersion,        M, [E, N, N, N], [E, N, N, N]),
    row(Rule::InstallerUnknown,        V, [W, I, I, I], [N, N, N, N]),
    row(Rule::MixedChannels,           V, [W, W, I, W], [N, N, N, N]),
    row(Rule::EdgeNotRecommended,      V, [W, W, I, I], [N, N, N, N]),
    row(Rule::VersionPinned,           V, [W, W, I, W], [N, N, N, N]),
    row(Rule::TrustAnchorStale,        V, [E, W, I, E], [N, N, N, N]),
    row(Rule::TrustAnchorUnknown,      V, [W, W, I, W], [N, N, N, N]),
    row(Rule::CertificateExpired,      M, [E, E, E, E], [E, W, E, E]),
    row(Rule::CertificateUnreadable,   V, [E, W, E, W], [N, N, N, N]),
    row(Rule::AnchorExpired,           V, [W, W, W, W], [N, N, N, N]),
    row(Rule::WebhookCertificateExpired, V, [W, W, E, E], [N, N, N, N]),
    row(Rule::CertificateExpiring,     V, [E, W, E, W], [N, N, N, N]),
    row(Rule::ControlPlaneUnhealthy,   M, [E, W, E, E], [E, W, E, E]),
    row(Rule::UpgradeInProgress,       V, [E, W, E, E], [W, I, W, W]),
    row(Rule::OperatorManaged,         V, [E, I, E, I], [N, N, N, N]),
    row(Rule::GitopsManaged,           V, [I, I, I, I], [N, N, N, N]),
    row(Rule::InjectorFailsOpen,       V, [I, I, W, I], [I, I, I, I]),
    row(Rule::InjectorNotReady,        M, [W, W, E, W], [W, W, E, W]),
    row(Rule::InjectorBypassed,        M, [W, W, E, E], [W, W, W, W]),
    row(Rule::ExtensionBehind,         V, [W, W, W, W], [I, I, I, I]),
    row(Rule::CniBehind,               V, [W, W, E, W], [I, I, W, I]),
    row(Rule::UnmeshedButAnnotated,    V, [W, W, I, E], [N, N, N, N]),
    row(Rule::PodsMissing,             V, [W, W, I, E], [N, N, N, N]),
    row(Rule::WouldLoseProxy,          V, [W, I, I, E], [N, N, N, N]),
    row(Rule::ProxyTerminating,        V, [W, I, I, W], [N, N, N, N]),
    row(Rule::ProxiesOutside,          V, [I, I, I, W], [N, N, N, N]),
    row(Rule::DowntimeOutage,          V, [N, N, W, N], [N, N, N, N]),
    row(Rule::JobStuckOnProxy,         V, [E, W, I, W], [N, N, N, N]),
    row(Rule::JobHoldsBack,            V, [E, I, I, I], [N, N, N, N]),
    row(Rule::WorkloadUnhealthy,       V, [W, W, I, E], [N, N, N, N]),
    row(Rule::AsksButSkipped,          V, [I, I, I, W], [N, N, N, N]),
    row(Rule::SurveyPartial,           M, [E, E, I, E], [N, N, N, N]),
    row(Rule::SurveyCached,            V, [W, I, W, E], [N, N, N, N]),
    row(Rule::GatewayApiUnprotected,   M, [E, N, N, N], [E, N, N, N]),
    row(Rule::HelmChartSplit,          M, [E, N, N, N], [N, N, N, N]),
    row(Rule::WaiverUnused,            V, [W, W, W, W], [N, N, N, N]),
    row(Rule::WaiverExpired,           V, [W, W, W, W], [N, N, N, N]),
    row(Rule::FleetMixed,              M, [E, E, E, E], [N, N, N, N]),
];

const fn row(rule: Rule, binding: Binding, asked: [Grade; 4], blind: [Grade; 4]) -> Row {
    Row {
        rule,
        binding,
        asked,
        blind,
    }
}

/// Returns true if `--ack` cannot accept a broken rule.
pub(crate) fn is_mandatory(rule: Rule) -> bool {
    row_of(rule).binding == Binding::Mandatory
}

/// How bad a hit is for a question; none where the rule does not belong to the question.
pub(crate) fn severity(rule: Rule, ask: Ask, decided: Decided, weight: Weight) -> Option<Severity> {
    let row = row_of(rule);
    let grades = match decided {
        Decided::Yes => &row.asked,
        Decided::CannotTell => &row.blind,
    };
    match (grades[column(ask)], weight) {
        (N, _) => None,
        (E, Weight::Full) => Some(Severity::Error),
        (E, Weight::Soft) | (W, Weight::Full | Weight::Soft) => Some(Severity::Warning),
        (E | W, Weight::Slight) | (I, _) => Some(Severity::Info),
    }
}

fn row_of(rule: Rule) -> &'static Row {
    TABLE
        .iter()
        .find(|row| row.rule == rule)
        .expect("every rule has its row, says a test")
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
    fn every_rule_has_its_row_in_the_order_of_the_words() {
        let rows: Vec<Rule> = TABLE.iter().map(|row| row.rule).collect();
        assert_eq!(rows, Rule::ALL);
    }

    #[test]
    fn a_weight_never_raises_a_severity() {
        for row in &TABLE {
            for ask in [Ask::Upgrade, Ask::Drift, Ask::Roll, Ask::Done] {
                let of = |weight| severity(row.rule, ask, Decided::Yes, weight);
                assert!(
                    of(Weight::Full) <= of(Weight::Soft),
                    "{} {ask}",
                    row.rule.as_str()
                );
                assert!(
                    of(Weight::Soft) <= of(Weight::Slight),
                    "{} {ask}",
                    row.rule.as_str()
                );
            }
        }
    }

    /// What cannot be told keeps the grade of a mandatory rule, and only warns of drift. A rule that can
    /// be waived warns where a hit would block, and else informs.
    fn expected(row: &Row) -> [Grade; 4] {
        let waivable = |grade| match grade {
            E => W,
            W | I => I,
            N => N,
        };
        match (row.binding, row.asked) {
            (M, [up, N, ro, done]) => [up, N, ro, done],
            (M, [up, E | W | I, ro, done]) => [up, W, ro, done],
            (V, asked) => asked.map(waivable),
        }
    }

    #[test]
    fn cannot_tell_has_the_grade_that_follows_from_that_of_a_hit() {
        for row in &TABLE {
            let is_always_told = row.blind == [N; 4];
            // Only the API server evaluates a webhook's conditions, and mesh-roll asks it itself.
            let is_asked_later = row.rule == Rule::InjectorBypassed && row.blind == [W; 4];
            assert!(
                is_always_told || is_asked_later || row.blind == expected(row),
                "{}: {:?}",
                row.rule.as_str(),
                row.blind
            );
        }
    }
}
