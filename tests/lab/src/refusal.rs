//! Error answers.

use std::fmt::Display;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::kind::Key;

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Value,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    /// Makes the answer to an unsupported request, which fails the test.
    pub(crate) fn unsupported(what: impl Display) -> Self {
        Self::new(
            501,
            "NotImplemented",
            format!("the lab does not know {what}"),
        )
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn not_found(key: &Key) -> Self {
        Self::new(404, "NotFound", format!("{key} not found"))
    }

    /// Makes the plain text answer to a path that no server has.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "", "404 page not found\n")
    }

    pub(crate) fn body(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.code,
            "reason": self.reason, "message": self.message, "details": self.details,
        })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).expect("the codes are known");
        match self.reason {
            "" if self.details.is_null() => (code, self.message).into_response(),
            _ => (code, Json(self.body())).into_response(),
        }
    }
}
