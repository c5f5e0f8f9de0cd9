//! The table of faults.

use std::time::Duration;

use When::{AfterForward, BeforeForward};
use http::StatusCode;
use mesh_testbed::{On, Victim, When};

/// A fault at one request of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    HungUp(When),
    HeadAlone,
    CutAtTen,
    CutInTheMiddle,
    Halved,
    Garbled,
    /// A small gzip answer that grows.
    Bomb,
    /// A failure instead of the answer, with a success status.
    Misanswered,
    Delayed,
    Silent(When),
    /// The proxy is silent from then on.
    SilentForGood,
    Error(StatusCode, When),
    Busy,
    /// The `Date` of the answer is so many seconds off.
    Misdated(i64),
    Killed(When),
}

const HOUR: i64 = 3600;

const FAILURE: &str = r#"{
    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 500,
    "reason": "InternalError", "message": "etcdserver: leader changed"
}"#;

impl Harm {
    pub(crate) const ALL: [Self; 24] = [
        Self::HungUp(BeforeForward),
        Self::HungUp(AfterForward),
        Self::HeadAlone,
        Self::CutAtTen,
        Self::CutInTheMiddle,
        Self::Halved,
        Self::Garbled,
        Self::Bomb,
        Self::Misanswered,
        Self::Delayed,
        Self::Silent(BeforeForward),
        Self::Silent(AfterForward),
        Self::SilentForGood,
        Self::Error(StatusCode::CONFLICT, BeforeForward),
        Self::Error(StatusCode::GONE, BeforeForward),
        Self::Busy,
        Self::Error(StatusCode::INTERNAL_SERVER_ERROR, BeforeForward),
        Self::Error(StatusCode::INTERNAL_SERVER_ERROR, AfterForward),
        Self::Error(StatusCode::SERVICE_UNAVAILABLE, BeforeForward),
        Self::Error(StatusCode::GATEWAY_TIMEOUT, AfterForward),
        Self::Misdated(HOUR),
        Self::Misdated(-HOUR),
        Self::Killed(BeforeForward),
        Self::Killed(AfterForward),
    ];

    /// Sets the fault for a request; if it kills a process, it is `client`.
    pub(crate) fn befall(self, request: On<'_>, client: &Victim) {
        match self {
            Self::HungUp(when) => request.hang_up(when),
            Self::HeadAlone => request.cut(0),
            Self::CutAtTen => request.cut(10),
            Self::CutInTheMiddle => request.cut_in_the_middle(),
            Self::Halved => request.halve(),
            Self::Garbled => request.garble(),
            Self::Bomb => request.bomb(),
            Self::Misanswered => request.answer_with(StatusCode::OK, FAILURE),
            Self::Delayed => request.delay(Duration::from_millis(300)),
            Self::Silent(when) => request.silence(when),
            Self::SilentForGood => request.silence_from_here(),
            Self::Error(status, when) => request.answer_once(status, when),
            Self::Busy => request.busy(Duration::from_secs(1)),
            Self::Misdated(seconds) => request.misdate(seconds),
            Self::Killed(when) => request.kill(client, when),
        }
    }

    pub(crate) fn kills(self) -> bool {
        matches!(self, Self::Killed(_))
    }

    pub(crate) fn silences(self) -> bool {
        matches!(self, Self::Silent(_) | Self::SilentForGood)
    }
}
