//! Answers that refuse a request: a status, and a line that says what would help.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    /// After how many seconds asking again may help.
    again_after: u64,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), again_after: 1 }
    }

    pub(crate) fn again_after(mut self, seconds: u64) -> Self {
        self.again_after = seconds;
        self
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = self.text + "\n";
        let mut response = (self.status, body).into_response();
        let more = match self.status {
            StatusCode::UNAUTHORIZED => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"trace\"")))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => {
                Some((header::RETRY_AFTER, HeaderValue::from(self.again_after)))
            }
            _ => None,
        };
        response.headers_mut().extend(more);
        response
    }
}
