//! The rules about the control plane's certificates. Validity is compared with the time of the
//! survey.

use std::time::Duration;

use jiff::Timestamp;
use mesh_records::{Certificate, CertificateRole, ControlPlane, Rule, Source, Stream};

use crate::question::Standpoint;
use crate::remark::Remark;
use crate::rule::Weight;

/// Trust anchors are renewed by hand, so the warning comes many days before.
const ANCHOR_WARNING_DAYS: i64 = 60;
const ANCHOR_ERROR_DAYS: i64 = 14;
/// A longer validity counts as this one.
const LONGEST_LIFETIME: i64 = 10 * 365 * DAY;
const REPLACE_PAGE: &str = "https://linkerd.io/2/tasks/replacing_expired_certificates/";
const RENEW: &str =
    "renew it, or see why what renews it (cert-manager, an upgrade) has not done so";
const DAY: i64 = 24 * 60 * 60;

/// Judges the certificates at the time of the survey.
pub(crate) fn remarks(plane: &ControlPlane, stream: &Stream, at: &Standpoint<'_>) -> Vec<Remark> {
    let all = &plane.certificates;
    let mut remarks: Vec<Remark> = unreadable(all, stream.source, at).into_iter().collect();
    let Some(now) = stream.time else {
        let message = "the survey has no time, so the expiry of certificates cannot be checked";
        let hint = "tell mesh-survey when the dump was taken: --taken-at TIME";
        remarks.push(Remark::cannot_tell(Rule::CertificateExpired, message).hint(hint));
        return remarks;
    };
    let horizon = at.question.cert_horizon;
    remarks.extend(all.iter().filter_map(|it| remark(it, all, now, horizon)));
    remarks.dedup();
    remarks
}

/// Judges which of the certificates that the mesh stands on could not be read. A dump has no Secret,
/// and nobody can do anything about that.
fn unreadable(all: &[Certificate], source: Option<Source>, at: &Standpoint<'_>) -> Option<Remark> {
    let is_read = |role| {
        let mut of_role = all.iter().filter(|it| it.role == role).peekable();
        of_role.peek().is_some() && of_role.all(|it| it.readable && it.not_after.is_some())
    };
    let unread =
        [CertificateRole::Anchor, CertificateRole::Issuer].map(|role| (role, is_read(role)));
    let unread = unread.into_iter().filter(|(_, is_read)| !is_read);
    let unread: Vec<CertificateRole> = unread.map(|(role, _)| role).collect();
    let names: Vec<&str> = unread.iter().map(|role| name(*role)).collect();
    let message = format!(
        "{} could not be read, so it may have expired",
        names.join(" and ")
    );
    let remark = match source {
        Some(Source::Dump) => Remark::new(Rule::CertificateUnreadable, message)
            .weighing(Weight::Soft)
            .hint("survey the cluster itself: a dump has no Secret"),
        Some(Source::Server) | None => {
            let object = match unread.first() {
                Some(CertificateRole::Anchor) => "configmap/linkerd-identity-trust-roots",
                Some(_) | None => "secret/linkerd-identity-issuer",
            };
            let get = at
                .paste
                .kubectl(&["get", object, "-n", &at.namespace, "-o", "yaml"]);
            Remark::new(Rule::CertificateUnreadable, message).hint(format!(
                "allow mesh-survey to get {object}, or check it yourself ({get}) and pass --ack \
                 certificate-unreadable"
            ))
        }
    };
    (!names.is_empty()).then_some(remark)
}

fn remark(
    certificate: &Certificate,
    all: &[Certificate],
    now: Timestamp,
    horizon: Option<Duration>,
) -> Option<Remark> {
    let Certificate {
        role,
        name: holder,
        not_before,
        not_after,
        readable,
        signs_issuer,
    } = certificate;
    let name = match holder
        .as_deref()
        .filter(|_| *role == CertificateRole::Webhook)
    {
        Some(holder) => format!("the certificate of {holder}"),
        None => name(*role).to_owned(),
    };
    let end = not_after.filter(|_| *readable)?;
    let left = end.duration_since(now).as_secs();
    let invalid = match not_before.filter(|start| *start > now) {
        Some(start) => Some(format!("{name} is not valid before {start}")),
        None => (left <= 0).then(|| format!("{name} expired at {end}")),
    };
    let soon = weight(certificate, left, end, horizon);
    // The issuer stands on another anchor, which is valid.
    let is_beside = *signs_issuer == Some(false)
        && all
            .iter()
            .any(|it| it.signs_issuer == Some(true) && is_valid(it, now));
    match (role, invalid) {
        (CertificateRole::Anchor, Some(message)) if is_beside => {
            let hint = "remove it from the bundle when the control plane is upgraded next";
            Some(Remark::new(Rule::AnchorExpired, message).hint(hint))
        }
        (CertificateRole::Anchor | CertificateRole::Issuer, Some(message)) => {
            let hint = "replace it before anything else: until then no restarted pod becomes ready";
            let remark = Remark::new(Rule::CertificateExpired, message).hint(hint);
            Some(remark.page(REPLACE_PAGE))
        }
        (CertificateRole::Anchor | CertificateRole::Issuer, None) => {
            let message = format!("{name} expires at {end}");
            let most = if is_beside {
                Weight::Soft
            } else {
                Weight::Full
            };
            let remark = Remark::new(Rule::CertificateExpiring, message).hint(RENEW);
            Some(remark.weighing(soon?.max(most)))
        }
        (CertificateRole::Webhook, invalid) => {
            let is_needed = leaves_bare(certificate, all, now);
            webhook(&name, end, invalid, soon, is_needed)
        }
    }
}

/// Judges a webhook's certificate. An upgrade makes a new one, so it never blocks an upgrade.
fn webhook(
    name: &str,
    end: Timestamp,
    invalid: Option<String>,
    soon: Option<Weight>,
    is_needed: bool,
) -> Option<Remark> {
    match invalid {
        Some(message) if is_needed => {
            let message = format!("{message}, so new pods get no proxy");
            let hint = "an upgrade makes a new one, unless you or cert-manager keep its Secret: then \
                        renew that";
            Some(Remark::new(Rule::WebhookCertificateExpired, message).hint(hint))
        }
        // No pod of a workload needs it.
        Some(message) => {
            let remark = Remark::new(Rule::CertificateExpiring, message).hint(RENEW);
            Some(remark.weighing(Weight::Soft))
        }
        None => {
            let message = format!("{name} expires at {end}");
            let soon = soon.filter(|weight| *weight == Weight::Full)?;
            let remark = Remark::new(Rule::CertificateExpiring, message).hint(RENEW);
            Some(remark.weighing(soon.max(Weight::Soft)))
        }
    }
}

fn weight(
    certificate: &Certificate,
    left: i64,
    end: Timestamp,
    horizon: Option<Duration>,
) -> Option<Weight> {
    let within = |horizon: Duration| i64::try_from(horizon.as_secs()).is_ok_and(|it| left < it);
    if horizon.is_some_and(within) {
        return Some(Weight::Full);
    }
    match (certificate.role, certificate.not_before) {
        (CertificateRole::Issuer | CertificateRole::Webhook, Some(start)) => {
            by_fraction(left, end.duration_since(start).as_secs())
        }
        (CertificateRole::Issuer | CertificateRole::Webhook, None)
        | (CertificateRole::Anchor, _) => by_days(left),
    }
}

fn by_days(left: i64) -> Option<Weight> {
    if left < ANCHOR_ERROR_DAYS * DAY {
        Some(Weight::Full)
    } else if left < ANCHOR_WARNING_DAYS * DAY {
        Some(Weight::Soft)
    } else {
        None
    }
}

// A start far in the past, or an end that never comes, would make a third of the lifetime centuries.
fn by_fraction(left: i64, lifetime: i64) -> Option<Weight> {
    let lifetime = lifetime.min(LONGEST_LIFETIME);
    if left < lifetime / 10 {
        Some(Weight::Full)
    } else if left < lifetime / 3 {
        Some(Weight::Soft)
    } else {
        None
    }
}

// Returns true if the API server cannot call the injector for this certificate: it holds the only
// one, or every one of the webhook's bundle is invalid.
fn leaves_bare(certificate: &Certificate, all: &[Certificate], now: Timestamp) -> bool {
    let name = certificate.name.as_deref();
    name.is_some_and(|name| name.contains("proxy-injector"))
        && !all
            .iter()
            .any(|it| it.name == certificate.name && is_valid(it, now))
}

fn is_valid(certificate: &Certificate, now: Timestamp) -> bool {
    let Certificate {
        not_before,
        not_after,
        ..
    } = certificate;
    not_before.is_none_or(|start| start <= now) && not_after.is_none_or(|end| end > now)
}

fn name(role: CertificateRole) -> &'static str {
    match role {
        CertificateRole::Anchor => "a trust anchor",
        CertificateRole::Issuer => "the issuer's certificate",
        CertificateRole::Webhook => "a webhook's certificate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_never_expires_or_was_always_valid_is_no_finding() {
        let now: Timestamp = "2026-08-01T12:00:00Z".parse().unwrap();
        let roles = [
            CertificateRole::Anchor,
            CertificateRole::Issuer,
            CertificateRole::Webhook,
        ];
        let validity = [
            ("2026-01-01T00:00:00Z", "9999-12-30T22:00:00Z"),
            ("0000-01-01T00:00:00Z", "9999-12-30T22:00:00Z"),
            ("1950-01-01T00:00:00Z", "2036-01-01T00:00:00Z"),
            ("-009999-01-02T01:59:59Z", "2036-01-01T00:00:00Z"),
        ];
        for role in roles {
            for (start, end) in validity {
                let certificate = Certificate {
                    role,
                    name: None,
                    not_before: Some(start.parse().unwrap()),
                    not_after: Some(end.parse().unwrap()),
                    readable: true,
                    signs_issuer: None,
                };
                assert_eq!(
                    remark(&certificate, &[], now, None),
                    None,
                    "{role:?} {start} {end}"
                );
                let late = remark(&certificate, &[], Timestamp::MAX, None);
                assert!(late.is_some(), "{role:?} {start} {end}");
            }
        }
    }
}
