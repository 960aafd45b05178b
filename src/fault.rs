//! What can be wrong with a request, in words: one closed list of codes, and the place in the input.
//!
//! The domain rooms answer with a [`Fault`]; which HTTP status a code has is known to `api/error.rs` alone.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $text:literal,)*) => {
        /// The closed list of error codes; its texts are part of the public contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The machine word of the code.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    MalformedJson => "malformed_json",
    /// The body is not what `Content-Encoding` says.
    MalformedEncoding => "malformed_encoding",
    /// A line of a text format does not follow its grammar.
    MalformedLine => "malformed_line",
    /// A header cannot be understood, or has no meaning here.
    MalformedHeader => "malformed_header",
    /// The `Content-Type` is absent or not served by this route.
    UnsupportedMediaType => "unsupported_media_type",
    /// The `Content-Encoding` is not gzip, zstd or identity.
    UnsupportedEncoding => "unsupported_encoding",
    /// The `Accept` header cannot be met.
    NotAcceptable => "not_acceptable",
    /// More bytes on the wire than allowed.
    PayloadTooLarge => "payload_too_large",
    /// More bytes after decompression than allowed, or a window larger than allowed.
    DecompressedTooLarge => "decompressed_too_large",
    /// The body arrived too slowly.
    BodyTooSlow => "body_too_slow",
    /// The body does not have the checksum sent beside it.
    DigestMismatch => "digest_mismatch",
    /// The data set has no rows.
    EmptyDataset => "empty_dataset",
    /// A feature index lies below the index base.
    IndexBase => "index_base",
    /// A feature index lies outside its range.
    IndexOutOfRange => "index_out_of_range",
    /// A feature occurs twice in one row.
    DuplicateIndex => "duplicate_index",
    /// A JSON key or feature name occurs twice.
    DuplicateField => "duplicate_field",
    /// A number is NaN, infinite, or too large for a double.
    NonFiniteValue => "non_finite_value",
    /// A number has too many characters.
    NumberTooLong => "number_too_long",
    /// A line has too many bytes.
    LineTooLong => "line_too_long",
    /// A published limit is passed.
    LimitExceeded => "limit_exceeded",
    /// Lengths or shapes do not agree.
    ShapeMismatch => "shape_mismatch",
    /// A field has a wrong type or an illegal text.
    InvalidField => "invalid_field",
    /// The target cannot serve the loss or the kind asked for.
    InvalidTarget => "invalid_target",
    /// A sample weight is negative, or all are zero.
    InvalidWeight => "invalid_weight",
    /// A value is missing and missing values were not allowed.
    MissingValue => "missing_value",
    /// A parameter of a query or of a specification is wrong.
    InvalidParameter => "invalid_parameter",
    /// A field that does not exist.
    UnknownField => "unknown_field",
    /// A feature that the model does not know, where that was to be an error.
    UnknownFeature => "unknown_feature",
    /// A prediction request without rows.
    EmptyBatch => "empty_batch",
    /// A result is not a finite number.
    NumericalError => "numerical_error",
    /// The cursor was not made by this server for this list.
    InvalidCursor => "invalid_cursor",
    /// No valid key came with the request.
    Unauthenticated => "unauthenticated",
    /// The key may not do this.
    Forbidden => "forbidden",
    /// Too many wrong keys came from one address.
    TooManyAttempts => "too_many_attempts",
    /// Too many requests a second.
    RateLimited => "rate_limited",
    /// The thing does not exist, or may not be seen.
    NotFound => "not_found",
    /// The model was not chosen by cross-validation.
    NoCv => "no_cv",
    /// The features of the model were not chosen by stability selection.
    NoStability => "no_stability",
    /// The model is of another kind than a tree.
    NoTree => "no_tree",
    /// The model is no network.
    NoLayers => "no_layers",
    /// The model was not distilled, or the job that did it has been deleted.
    NoFidelity => "no_fidelity",
    /// The job is of another type than `compare`.
    NoComparison => "no_comparison",
    /// The model is of another kind than rules.
    NoRules => "no_rules",
    /// The model is of a kind that has no coefficients.
    NoCoefficients => "no_coefficients",
    /// The picture shows what this model does not have.
    NoPlot => "no_plot",
    /// The coefficients of the model's path are not stored.
    NoPath => "no_path",
    /// The route exists, but not for this method.
    MethodNotAllowed => "method_not_allowed",
    /// The request contradicts the present state.
    Conflict => "conflict",
    /// The thing is not in the state that `If-Match` or `If-None-Match` names.
    PreconditionFailed => "precondition_failed",
    /// The change must say by `If-Match` of which state it speaks.
    PreconditionRequired => "precondition_required",
    /// The job has ended and cannot be cancelled.
    AlreadyFinished => "already_finished",
    /// The queue is full.
    QueueFull => "queue_full",
    /// As many event streams are open as may be.
    TooManyStreams => "too_many_streams",
    /// A storage or count quota is used up.
    QuotaExceeded => "quota_exceeded",
    /// The fit can never get the memory it would need.
    FitTooLarge => "fit_too_large",
    /// The `Idempotency-Key` is empty, too long, doubled, or has characters that are not visible.
    InvalidIdempotencyKey => "invalid_idempotency_key",
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused => "idempotency_key_reused",
    /// The first request with this `Idempotency-Key` has not been answered yet.
    IdempotencyInProgress => "idempotency_in_progress",
    /// An action on many things without a filter.
    MissingFilter => "missing_filter",
    /// The `Host` header names another server.
    Misdirected => "misdirected",
    /// The request line is too long.
    UriTooLong => "uri_too_long",
    /// The headers take too many bytes.
    HeadersTooLarge => "headers_too_large",
    /// The request took too long.
    RequestTimeout => "request_timeout",
    /// The disk is full.
    InsufficientStorage => "insufficient_storage",
    /// A stored file does not have its checksum.
    ArtifactCorrupt => "artifact_corrupt",
    /// The server is stopping.
    ShuttingDown => "shutting_down",
    /// The store cannot be reached.
    StoreUnavailable => "store_unavailable",
    /// A bug of ours; the log has more under the request id.
    InternalError => "internal_error",
}

/// One place in the input and what is wrong there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// JSON Pointer in URI fragment form, `#/spec/penalty/l1_ratio`.
    pub pointer: Option<String>,
    /// Name of the query parameter or header.
    pub parameter: Option<String>,
    /// 1-based line of a text format.
    pub line: Option<u64>,
    /// 1-based byte within that line.
    pub column: Option<u64>,
    /// Code of this entry: a [`Code`]'s text, or `out_of_range`, `conflict`, `unknown_value`, `missing`.
    pub code: &'static str,
    /// What is wrong, for a person.
    pub detail: String,
}

impl Place {
    /// A place in a JSON document; `pointer` starts with `#/` (or is `#` for the whole).
    pub fn pointer(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), code, detail: detail.into(), ..Self::default() }
    }

    /// A place in a text; line and column count from 1, the column in bytes.
    pub fn line(line: u64, column: u64, code: &'static str, detail: impl Into<String>) -> Self {
        Self { line: Some(line), column: Some(column), code, detail: detail.into(), ..Self::default() }
    }

    /// A query parameter or header.
    pub fn parameter(name: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { parameter: Some(name.into()), code, detail: detail.into(), ..Self::default() }
    }
}

/// A request that cannot be served, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What is wrong.
    pub code: Code,
    /// What is wrong, for a person; never a path, a type name or an internal of ours.
    pub detail: String,
    /// Where it is wrong, at most [`Fault::PLACES_MAX`] entries.
    pub places: Vec<Place>,
}

impl Fault {
    /// No answer lists more places than this.
    pub const PLACES_MAX: usize = 20;

    /// A fault without a place.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), places: Vec::new() }
    }

    /// A fault at one place; its detail is the place's.
    pub fn at(code: Code, place: Place) -> Self {
        Self { code, detail: place.detail.clone(), places: vec![place] }
    }

    /// A fault at one place of a JSON document.
    pub fn at_pointer(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::at(code, Place::pointer(pointer, code.as_str(), detail))
    }

    /// A fault at one line of a text.
    pub fn at_line(code: Code, line: u64, column: u64, detail: impl Into<String>) -> Self {
        Self::at(code, Place::line(line, column, code.as_str(), detail))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Fault {}
