//! The one place that knows which HTTP status a fault has, and the one body every error is answered with (RFC 9457).
//!
//! Handlers answer with a [`Problem`]; the door (`api/door/`) renders it once it knows the request's id and path.
//! Nothing internal leaves through here: a cause is logged under the request id and never sent.

use std::any::Any;
use std::error::Error as _;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::fault::{Code, Fault, Place};
use crate::store::StoreError;

/// What is public about a code: its status, a short title, and what a client can do about it.
pub(crate) struct Facts {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) advice: &'static str,
}

/// The table of codes. Exhaustive: a new code does not compile until it has a line here.
pub(crate) fn facts(code: Code) -> Facts {
    use StatusCode as S;
    let (status, title, advice) = match code {
        Code::MalformedJson => {
            (S::BAD_REQUEST, "The body is not JSON", "Send one JSON document in UTF-8, without NaN, comments or trailing commas.")
        }
        Code::MalformedEncoding => {
            (S::BAD_REQUEST, "The body is not what Content-Encoding says", "Send the whole gzip or zstd stream, or drop the header.")
        }
        Code::MalformedLine => (S::UNPROCESSABLE_ENTITY, "A line cannot be read", "Correct the line and column named in `errors`."),
        Code::MalformedHeader => (S::BAD_REQUEST, "A header cannot be understood", "Correct or drop the header named in `errors`."),
        Code::UnsupportedMediaType => (
            S::UNSUPPORTED_MEDIA_TYPE,
            "The media type is not served here",
            "Send a Content-Type that the route lists in /openapi.json, or `?format=`.",
        ),
        Code::UnsupportedEncoding => {
            (S::UNSUPPORTED_MEDIA_TYPE, "The content encoding is not served", "Send gzip, zstd, or no Content-Encoding; one at a time.")
        }
        Code::NotAcceptable => (S::NOT_ACCEPTABLE, "The Accept header cannot be met", "Accept application/json, or send no Accept."),
        Code::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, "The body is too large", "See /api/v1/limits; send fewer bytes, or compress."),
        Code::DecompressedTooLarge => {
            (S::PAYLOAD_TOO_LARGE, "The body is too large once decompressed", "See /api/v1/limits; zstd windows must be at most 8 MiB.")
        }
        Code::BodyTooSlow => (S::REQUEST_TIMEOUT, "The body came too slowly", "Send again over a faster connection."),
        Code::DigestMismatch => {
            (S::UNPROCESSABLE_ENTITY, "The body does not have its checksum", "Send again; the checksum is of the bytes on the wire.")
        }
        Code::EmptyDataset => (S::UNPROCESSABLE_ENTITY, "The data set has no rows", "Send at least one row."),
        Code::IndexBase => (
            S::UNPROCESSABLE_ENTITY,
            "An index lies below the index base",
            "LIBSVM counts from 1; send `Content-Type: text/libsvm; index-base=0` if the data count from 0.",
        ),
        Code::IndexOutOfRange => (
            S::UNPROCESSABLE_ENTITY,
            "An index is out of range",
            "Indices go from the index base to the number of features, at most 2147483647.",
        ),
        Code::DuplicateIndex => (S::UNPROCESSABLE_ENTITY, "A feature occurs twice in one row", "Give every feature once a row."),
        Code::DuplicateField => (S::UNPROCESSABLE_ENTITY, "A key or name occurs twice", "Give every key and every name once."),
        Code::NonFiniteValue => {
            (S::UNPROCESSABLE_ENTITY, "A number is not finite", "NaN, infinities and numbers beyond a double are refused.")
        }
        Code::NumberTooLong => (S::UNPROCESSABLE_ENTITY, "A number has too many characters", "See /api/v1/limits."),
        Code::LineTooLong => (S::UNPROCESSABLE_ENTITY, "A line is too long", "See /api/v1/limits."),
        Code::LimitExceeded => (S::UNPROCESSABLE_ENTITY, "A limit is exceeded", "See /api/v1/limits."),
        Code::ShapeMismatch => (S::UNPROCESSABLE_ENTITY, "Lengths or shapes do not agree", "Compare the lengths named in `errors`."),
        Code::InvalidField => (S::UNPROCESSABLE_ENTITY, "A field is not valid", "Correct the field named in `errors`."),
        Code::InvalidTarget => {
            (S::UNPROCESSABLE_ENTITY, "The target cannot serve this", "Choose another loss, or upload with another `target_kind`.")
        }
        Code::InvalidWeight => (S::UNPROCESSABLE_ENTITY, "A weight is not valid", "Weights are at least 0, and not all of them 0."),
        Code::MissingValue => {
            (S::UNPROCESSABLE_ENTITY, "A value is missing", "Fill the value in, or allow missing values as the format offers.")
        }
        Code::InvalidParameter => (S::UNPROCESSABLE_ENTITY, "A parameter is not valid", "Correct the parameters named in `errors`."),
        Code::UnknownField => (S::UNPROCESSABLE_ENTITY, "A field is not known", "Drop or rename the field named in `errors`."),
        Code::UnknownFeature => {
            (S::UNPROCESSABLE_ENTITY, "A feature is not known to the model", "Drop it, or send `unknown_features=ignore`.")
        }
        Code::EmptyBatch => (S::UNPROCESSABLE_ENTITY, "There is nothing to predict", "Send at least one row."),
        Code::NumericalError => (S::UNPROCESSABLE_ENTITY, "A result is not a finite number", "Scale the input down."),
        Code::InvalidCursor => {
            (S::BAD_REQUEST, "The cursor is not valid here", "Use `next_cursor` of the same list unchanged, or start without a cursor.")
        }
        Code::Unauthenticated => {
            (S::UNAUTHORIZED, "A key is needed", "Send `Authorization: Bearer sk_…`; `sparsefit keys create` makes a key.")
        }
        Code::Forbidden => (S::FORBIDDEN, "The key may not do this", "Use a key with the scope named in `detail`."),
        Code::TooManyAttempts => (S::TOO_MANY_REQUESTS, "Too many wrong keys", "Try again after Retry-After seconds, with a valid key."),
        Code::RateLimited => (S::TOO_MANY_REQUESTS, "Too many requests", "Try again after Retry-After seconds."),
        Code::NotFound => (S::NOT_FOUND, "Not found", "Check the path; names and ids are case-sensitive."),
        Code::NoCv => (S::NOT_FOUND, "The model was not chosen by cross-validation", "Fit with `\"selection\": {\"method\": \"cv\"}`."),
        Code::NoStability => {
            (S::NOT_FOUND, "The features were not chosen by stability selection", "Fit with `\"selection\": {\"method\": \"stability\"}`.")
        }
        Code::NoLayers => (S::NOT_FOUND, "The model is no network", "Fit with `\"kind\": \"network\"`."),
        Code::NoTree => (S::NOT_FOUND, "The model is no tree", "Fit with `\"kind\": \"tree\"`."),
        Code::NoFidelity => (S::NOT_FOUND, "The model was not distilled", "Queue a job of the type `distill`."),
        Code::NoComparison => (S::NOT_FOUND, "The job is no comparison", "Queue one with `POST /api/v1/comparisons`."),
        Code::NoRules => (S::NOT_FOUND, "The model has no rules", "Fit with `\"kind\": \"rules\"`."),
        Code::NoCoefficients => {
            (S::NOT_FOUND, "The model has no coefficients", "What a tree is made of is told by `/tree`, what rules are by `/rules`.")
        }
        Code::NoPlot => (S::NOT_FOUND, "There is no such picture of this model", "`detail` says which models have it."),
        Code::NoPath => (
            S::NOT_FOUND,
            "The points of the path are not stored",
            "Fit a path again: those of a single λ, of paths beyond 32 MiB and of models made by earlier versions are not kept.",
        ),
        Code::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "The method is not allowed here", "See the Allow header."),
        Code::Conflict => (
            S::CONFLICT,
            "The request contradicts the present state",
            "Read the object again; a job must have ended, and nothing alive and no alias may need what is deleted.",
        ),
        Code::PreconditionFailed => (
            S::PRECONDITION_FAILED,
            "The thing is not in the state that the request names",
            "Read it again, decide again, and send the new ETag in If-Match; `If-None-Match: *` only makes what is not there.",
        ),
        Code::PreconditionRequired => {
            (S::PRECONDITION_REQUIRED, "The request must say which state it changes", "Read it, and send its ETag in If-Match.")
        }
        Code::AlreadyFinished => (S::CONFLICT, "The job has already ended", "There is nothing to cancel."),
        Code::QueueFull => (S::TOO_MANY_REQUESTS, "The queue is full", "Try again after Retry-After seconds."),
        Code::TooManyStreams => {
            (S::SERVICE_UNAVAILABLE, "Too many event streams are open", "Try again after Retry-After seconds, or poll.")
        }
        Code::QuotaExceeded => (S::FORBIDDEN, "A quota is used up", "Delete what is not needed."),
        Code::FitTooLarge => {
            (S::UNPROCESSABLE_ENTITY, "The fit can never get the memory it needs", "Send less data, or run a larger server.")
        }
        Code::InvalidIdempotencyKey => {
            (S::BAD_REQUEST, "The Idempotency-Key is not valid", "Send one key of 1 to 255 visible ASCII characters, such as a UUID.")
        }
        Code::IdempotencyKeyReused => {
            (S::UNPROCESSABLE_ENTITY, "The Idempotency-Key was used for another request", "Send a new key with a new request.")
        }
        Code::IdempotencyInProgress => {
            (S::CONFLICT, "The first request with this Idempotency-Key is not answered yet", "Try again after Retry-After seconds.")
        }
        Code::MissingFilter => (S::UNPROCESSABLE_ENTITY, "A filter is missing", "Say which jobs are meant, such as `?status=queued`."),
        Code::Misdirected => {
            (S::MISDIRECTED_REQUEST, "This server does not serve that host", "Use the server's own name, or start it with `--hosts NAME`.")
        }
        Code::UriTooLong => (S::URI_TOO_LONG, "The request line is too long", "Shorten the path and query."),
        Code::HeadersTooLarge => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large", "Send fewer and shorter headers."),
        Code::RequestTimeout => (S::SERVICE_UNAVAILABLE, "The request took too long", "Try again."),
        Code::InsufficientStorage => (S::INSUFFICIENT_STORAGE, "The disk is full", "Delete what is not needed, or try again later."),
        Code::ArtifactCorrupt => {
            (S::INTERNAL_SERVER_ERROR, "A stored file is damaged", "Restore it from a backup; nothing was computed from it.")
        }
        Code::ShuttingDown => (S::SERVICE_UNAVAILABLE, "The server is stopping", "Try again after Retry-After seconds."),
        Code::StoreUnavailable => (S::SERVICE_UNAVAILABLE, "The store cannot be reached", "Try again after Retry-After seconds."),
        Code::InternalError => (S::INTERNAL_SERVER_ERROR, "The server made an error", "Report the request id; the log has more under it."),
    };
    Facts { status, title, advice }
}

/// Whether the same request may succeed when it is sent again.
fn retryable(code: Code) -> bool {
    matches!(
        code,
        Code::BodyTooSlow
            | Code::DigestMismatch
            | Code::QueueFull
            | Code::RateLimited
            | Code::TooManyAttempts
            | Code::TooManyStreams
            | Code::IdempotencyInProgress
            | Code::RequestTimeout
            | Code::InsufficientStorage
            | Code::ShuttingDown
            | Code::StoreUnavailable
    )
}

/// Seconds after which the same request may succeed.
fn retry_after(code: Code) -> Option<u64> {
    match code {
        Code::IdempotencyInProgress => Some(1),
        Code::QueueFull | Code::TooManyStreams | Code::ShuttingDown | Code::StoreUnavailable | Code::RequestTimeout => Some(2),
        _ => None,
    }
}

/// `malformed_line` → `malformed-line`: the last part of the problem type.
pub(crate) fn slug(code: Code) -> String {
    code.as_str().replace('_', "-")
}

/// An error on its way to the client.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) fault: Fault,
    /// For the log only.
    cause: Option<String>,
    /// Seconds after which to ask again, where the code alone does not say.
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A fault without a place.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Fault::new(code, detail).into()
    }

    /// The problem, with the seconds after which to ask again.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The thing named by `what` does not exist, or may not be seen.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// A bug of ours; `cause` goes to the log.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        let detail = "the server made an error; its log has more under the request id";
        Self { cause: Some(cause.into()), ..Fault::new(Code::InternalError, detail).into() }
    }

    /// The problem for a response made by a library without a body of ours.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(Code::NotFound, "there is no such route"),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(Code::MethodNotAllowed, "the route exists, but not for this method"),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::PayloadTooLarge, "the body is too large"),
            StatusCode::REQUEST_TIMEOUT => Self::new(Code::BodyTooSlow, "the request came too slowly"),
            other => Self::internal(format!("a response with status {other} and no problem")),
        }
    }

    /// The whole answer: all members of the contract, and the headers the status asks for.
    pub(crate) fn render(&self, instance: &str, request_id: &str) -> Response<Body> {
        let Facts { status, title, .. } = facts(self.fault.code);
        if status.is_server_error() {
            let cause = self.cause.as_deref().unwrap_or("");
            tracing::error!(request_id, instance, code = self.fault.code.as_str(), detail = %self.fault.detail, cause, "request failed");
        }
        let errors: Vec<Value> = self.fault.places.iter().take(Fault::PLACES_MAX).map(place_json).collect();
        let body = json!({
            "type": format!("/problems/{}", slug(self.fault.code)),
            "title": title,
            "status": status.as_u16(),
            "code": self.fault.code.as_str(),
            "detail": self.fault.detail,
            "instance": instance,
            "request_id": request_id,
            "retryable": retryable(self.fault.code),
            "errors": errors,
        });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let seconds = self.retry_after_s.or_else(|| retry_after(self.fault.code));
        if let Some(seconds) = seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.fault.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn place_json(place: &Place) -> Value {
    let mut entry = serde_json::Map::new();
    let mut put = |key: &str, value: Option<Value>| value.map(|value| entry.insert(key.to_owned(), value));
    put("pointer", place.pointer.clone().map(Value::from));
    put("parameter", place.parameter.clone().map(Value::from));
    put("line", place.line.map(Value::from));
    // A parser that found nothing at all says column 0; columns count from 1.
    put("column", place.column.map(|column| column.max(1).into()));
    put("code", Some(place.code.into()));
    put("detail", Some(place.detail.clone().into()));
    Value::Object(entry)
}

impl IntoResponse for Problem {
    /// An empty response that carries the problem to the door, which renders it.
    fn into_response(self) -> Response<Body> {
        let mut response = facts(self.fault.code).status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self { fault, cause: None, retry_after_s: None }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (code, detail) = match &error {
            StoreError::Database(_) => (Code::StoreUnavailable, "the database did not answer as it should"),
            StoreError::OutcomeUnknown(_) => (Code::StoreUnavailable, "the database did not say whether it committed"),
            StoreError::Broken(_) => (Code::StoreUnavailable, "the server's disk failed, and the server is ending"),
            StoreError::OverQuota(detail) => return Self::new(Code::QuotaExceeded, detail.clone()),
            StoreError::DiskFull => (Code::InsufficientStorage, "the disk is full"),
            StoreError::Damaged(_) => (Code::ArtifactCorrupt, "a stored file does not have its checksum"),
            StoreError::Io(_) | StoreError::Schema(_) | StoreError::InUse(_) | StoreError::Row(_) => {
                (Code::InternalError, "the server's storage failed")
            }
        };
        Self { cause: Some(error.to_string()), ..Fault::new(code, detail).into() }
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return StoreError::DiskFull.into();
        }
        Self::internal(error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}")))
    }
}

/// A panic in a handler: logged with its message, answered without it.
pub(crate) fn of_panic(payload: Box<dyn Any + Send>) -> Response<Body> {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    Problem::internal(format!("panic: {text}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_error_status_a_title_and_advice() {
        for code in Code::ALL {
            let facts = facts(*code);
            assert!(facts.status.is_client_error() || facts.status.is_server_error(), "{code:?}");
            assert!(!facts.title.is_empty() && facts.advice.ends_with('.'), "{code:?}");
        }
    }
}
