//! What goes wrong, as `application/problem+json` with a stable code.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Every code there is. A code once published keeps its meaning and its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// No such path.
    UnknownRoute,
    /// The path is there, the method is not.
    MethodNotAllowed,
    /// No view of that name.
    UnknownView,
    /// No source of that name that takes records.
    UnknownSource,
    /// No query of that id.
    UnknownQuery,
    /// No plugin of that name.
    UnknownPlugin,
    /// The view has no row of that key.
    KeyNotFound,
    /// A parameter of the URL cannot be read.
    BadParameter,
    /// A key does not have the view's key columns.
    BadKey,
    /// The body is not what the route takes.
    BadBody,
    /// The SQL cannot be planned or run.
    BadSql,
    /// A record was refused; nothing of the body was taken.
    BadRecord,
    /// The body is over its limit.
    BodyTooLarge,
    /// The answer is over what a route can give at once.
    AnswerTooLarge,
    /// `require=final` and the answer is not.
    NotFinal,
    /// The plugin stays as it is.
    SwapRefused,
    /// The `Host` or `Origin` is not this server's.
    ForeignOrigin,
    /// Too many requests at once.
    Busy,
    /// The answer took longer than the limit.
    Timeout,
    /// The source cannot take records now.
    SourceUnavailable,
    /// The store cannot be read now.
    StoreUnavailable,
    /// The deployment has not committed anything yet.
    NotReady,
    /// A column's type cannot be given in this form.
    Unsupported,
    /// An epoch's delta is missing. Never answered with a smaller number.
    Hole,
    /// A segment is not what was written. Never served.
    Damaged,
    /// A bug, or a failure without a better name.
    Internal,
}

impl Code {
    /// All of them, for tests and documentation.
    pub const ALL: [Code; 26] = [
        Code::UnknownRoute,
        Code::MethodNotAllowed,
        Code::UnknownView,
        Code::UnknownSource,
        Code::UnknownQuery,
        Code::UnknownPlugin,
        Code::KeyNotFound,
        Code::BadParameter,
        Code::BadKey,
        Code::BadBody,
        Code::BadSql,
        Code::BadRecord,
        Code::BodyTooLarge,
        Code::AnswerTooLarge,
        Code::NotFinal,
        Code::SwapRefused,
        Code::ForeignOrigin,
        Code::Busy,
        Code::Timeout,
        Code::SourceUnavailable,
        Code::StoreUnavailable,
        Code::NotReady,
        Code::Unsupported,
        Code::Hole,
        Code::Damaged,
        Code::Internal,
    ];

    /// The status, the code as it is written, and the title.
    pub fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Code::UnknownRoute => (404, "unknown_route", "There is nothing at this path"),
            Code::MethodNotAllowed => (405, "method_not_allowed", "This path has other methods"),
            Code::UnknownView => (404, "unknown_view", "There is no such view"),
            Code::UnknownSource => (404, "unknown_source", "There is no such source for records"),
            Code::UnknownQuery => (404, "unknown_query", "There is no such query"),
            Code::UnknownPlugin => (404, "unknown_plugin", "There is no such plugin"),
            Code::KeyNotFound => (404, "key_not_found", "The view has no such key"),
            Code::BadParameter => (400, "bad_parameter", "A parameter cannot be read"),
            Code::BadKey => (400, "bad_key", "The key does not fit the view"),
            Code::BadBody => (400, "bad_body", "The body cannot be read"),
            Code::BadSql => (400, "bad_sql", "The SQL cannot be answered"),
            Code::BadRecord => (400, "bad_record", "A record was refused"),
            Code::BodyTooLarge => (413, "body_too_large", "The body is over the limit"),
            Code::AnswerTooLarge => (422, "answer_too_large", "The answer is over the limit"),
            Code::NotFinal => (409, "not_final", "The answer is not final"),
            Code::SwapRefused => (409, "swap_refused", "The plugin stays as it is"),
            Code::ForeignOrigin => (403, "foreign_origin", "The request is from elsewhere"),
            Code::Busy => (503, "busy", "Too many requests at once"),
            Code::Timeout => (504, "timeout", "The answer took too long"),
            Code::SourceUnavailable => (503, "source_unavailable", "The source takes no records"),
            Code::StoreUnavailable => (503, "store_unavailable", "The store cannot be read now"),
            Code::NotReady => (503, "not_ready", "The deployment is not ready"),
            Code::Unsupported => (501, "unsupported", "This type has no such form"),
            Code::Hole => (500, "hole", "An epoch is missing"),
            Code::Damaged => (500, "damaged", "Stored rows are damaged"),
            Code::Internal => (500, "internal", "Something failed"),
        }
    }
}

/// One thing that went wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// What exactly, and what to do.
    pub detail: String,
}

impl Problem {
    /// What a client should wait before it tries again, in seconds.
    pub const RETRY_AFTER_SECONDS: u64 = 1;

    /// A problem with its detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The document that says so.
    pub fn body(&self) -> Value {
        let (status, code, title) = self.code.parts();
        json!({
            "type": format!("urn:braid:problem:{code}"),
            "title": title,
            "status": status,
            "code": code,
            "detail": self.detail,
        })
    }

    /// A failure that no caller can mend: logged here, where it is answered.
    pub fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request failed");
        Self::new(Code::Internal, reason.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, _, _) = self.code.parts();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(Self::RETRY_AFTER_SECONDS));
        }
        response
    }
}
