//! Data sets: upload, lists, one version, its rows and feature names, deletion.
//!
//! An upload runs from the socket through a bounded channel into `dataset::ingest` on a blocking thread; nothing of it
//! is visible before the store has taken it whole.

pub(super) mod uploads;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::body::{self, Pump, PumpedBody};
use crate::api::wire::idempotency::{self, Turn};
use crate::api::wire::json::{Raw, raw, rfc3339, tagged, whole_number};
use crate::api::wire::page;
use crate::api::wire::request::{Caller, MediaType, Query, Segments, bad_parameter, content_type};
use crate::dataset::{self, Encoding, Format, IngestError, Ingested, Row, Statistics, Target, TargetKind, Upload};
use crate::fault::{Code, Fault, Place};
use crate::id::Kind;
use crate::spec::{is_name, version_number};
use crate::store::{Answer, DatasetRow, Deletion, Incoming, Once, StoreError};

/// Where uploads keep their answers.
const UPLOAD: &str = "POST /api/v1/datasets";

/// A data set version as clients see it.
#[derive(Serialize)]
struct DatasetOut<'a> {
    object: &'static str,
    dataset: &'a str,
    version: i64,
    id: &'a str,
    status: &'static str,
    parent: Option<i64>,
    operation: &'static str,
    sha256: &'a str,
    upload_sha256: &'a str,
    created_at: String,
    shape: [u64; 2],
    nnz: u64,
    density: f64,
    dtype: &'a str,
    index_bits: u32,
    stored_columns: u64,
    stored_bytes: u64,
    dense_bytes_would_be: Value,
    weighted: bool,
    offset: bool,
    target: &'a Target,
    statistics: Statistics,
    features: FeaturesOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<Vec<i64>>,
}

#[derive(Serialize)]
struct FeaturesOut {
    named: bool,
    href: String,
}

#[derive(Serialize)]
struct RowsOut {
    object: &'static str,
    data: Vec<Row>,
}

/// One feature and its name.
#[derive(Serialize)]
struct FeatureOut<'a> {
    index: u32,
    name: &'a str,
}

fn href(row: &DatasetRow) -> String {
    format!("/api/v1/datasets/{}/versions/{}", row.name, row.version)
}

fn show(row: &DatasetRow, versions: Option<Vec<i64>>) -> Result<Raw, Problem> {
    let meta = &row.meta;
    let cells = u128::from(meta.shape[0]) * u128::from(meta.shape[1]);
    raw(&DatasetOut {
        object: "dataset_version",
        dataset: &row.name,
        version: row.version,
        id: row.id.as_str(),
        status: "ready",
        parent: None,
        operation: "upload",
        sha256: &meta.sha256,
        upload_sha256: &meta.upload_sha256,
        created_at: rfc3339(row.created_at),
        shape: meta.shape,
        nnz: meta.nnz,
        density: if cells == 0 { 0.0 } else { meta.nnz as f64 / cells as f64 },
        dtype: &meta.dtype,
        index_bits: 32,
        stored_columns: meta.stored_columns,
        stored_bytes: meta.stored_bytes,
        dense_bytes_would_be: whole_number(cells * 8),
        weighted: meta.weighted,
        offset: meta.offset,
        target: &meta.target,
        statistics: meta.statistics,
        features: FeaturesOut { named: meta.named, href: format!("{}/features", href(row)) },
        versions,
    })
}

/// `POST /api/v1/datasets?name=N` with the data as body.
pub(crate) async fn upload(State(api): State<Api>, caller: Caller, query: Query, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let mut asked = Asked::read(&api, query, &head.headers)?;
    let _place = api.uploads.begin(caller.project(), api.limits.quota.uploads)?;
    let turn = Turn::begin(&api, &caller, UPLOAD, &head.headers)?;
    if let Some(turn) = &turn
        && let Some(kept) = turn.before(&api).await?
    {
        let sha256 = hashed(&asked.upload, body, asked.wire_limit).await?;
        return idempotency::replay(&kept, &asked.fingerprint(&sha256));
    }
    asked.upload.limits.room_bytes = uploads::room(&api, caller.project()).await?;
    let incoming = {
        let store = api.store.clone();
        tokio::task::spawn_blocking(move || store.incoming()).await.map_err(|error| Problem::internal(error.to_string()))??
    };
    let (incoming, ingested) = receive(incoming, asked.upload.clone(), body, asked.wire_limit).await?;
    let (row, answer) = match turn {
        None => {
            let row = api.store.add_dataset(caller.project(), &asked.name, incoming, ingested).await?;
            let answer = created(&row)?;
            (row, answer)
        }
        Some(turn) => {
            let fingerprint = asked.fingerprint(&ingested.meta.upload_sha256);
            let render = |row: &DatasetRow| created(row).map_err(|problem| StoreError::Row(problem.fault.detail));
            match api.store.add_dataset_once(&asked.name, incoming, ingested, turn.keyed(&fingerprint), render).await? {
                Once::Done(row, answer) => (row, answer),
                Once::Refused(never) => match never {},
                Once::Before(kept) => return idempotency::replay(&kept, &fingerprint),
                Once::TooMany => return Err(idempotency::too_many()),
            }
        }
    };
    tracing::info!(dataset = row.name, version = row.version, nnz = row.meta.nnz, "dataset stored");
    idempotency::respond(&answer)
}

fn created(row: &DatasetRow) -> Result<Answer, Problem> {
    Ok(Answer { status: StatusCode::CREATED.as_u16(), location: href(row), body: show(row, None)?.get().to_owned() })
}

/// What an upload's head asks for, checked.
struct Asked {
    name: String,
    upload: Upload,
    wire_limit: u64,
}

impl Asked {
    fn read(api: &Api, mut query: Query, headers: &HeaderMap) -> Result<Self, Problem> {
        let limits = &api.limits;
        let encoding = body::encoding(headers)?;
        let wire_limit = match encoding {
            Encoding::Identity => limits.upload.decoded_bytes,
            Encoding::Gzip | Encoding::Zstd => limits.upload_encoded_bytes,
        };
        body::admit(headers, wire_limit)?;
        let format = query.take("format");
        let format = format_of(format.as_deref(), content_type(headers).as_ref())?;
        let name = query.take("name");
        let target_kind = query.take_as("target_kind", "auto, binary, multiclass, regression or count", target_kind)?.flatten();
        query.finish()?;
        let name = legal_name(name)?;
        Ok(Self { name, upload: Upload { format, encoding, target_kind, limits: limits.upload }, wire_limit })
    }

    /// Two uploads are the same when the same bytes, once decoded, are read in the same way into the same name.
    fn fingerprint(&self, upload_sha256: &str) -> String {
        let reading = format!("{:?} {:?}", self.upload.format, self.upload.target_kind);
        idempotency::fingerprint(&[self.name.as_bytes(), reading.as_bytes(), upload_sha256.as_bytes()])
    }
}

fn legal_name(name: Option<String>) -> Result<String, Problem> {
    let wrong = |code, detail: &str| Problem::from(Fault::at(Code::InvalidField, Place::parameter("name", code, detail)));
    match name {
        None => Err(wrong("missing", "the name of the data set is missing: ?name=")),
        Some(name) if is_name(&name) => Ok(name),
        Some(_) => Err(wrong("invalid_field", "a name is 1 to 63 of a-z, 0-9, `.`, `_`, `-`, and begins with a letter or digit")),
    }
}

/// Outer `None` = not a kind; inner `None` = by the values.
fn target_kind(word: &str) -> Option<Option<TargetKind>> {
    match word {
        "auto" => Some(None),
        "binary" => Some(Some(TargetKind::Binary)),
        "multiclass" => Some(Some(TargetKind::Multiclass)),
        "regression" => Some(Some(TargetKind::Regression)),
        "count" => Some(Some(TargetKind::Count)),
        _ => None,
    }
}

/// The format, by `?format=` or else by the media type; LIBSVM's parameters come with the media type.
fn format_of(asked: Option<&str>, media: Option<&MediaType>) -> Result<Format, Problem> {
    let word = match (asked, media.map(|media| media.essence.as_str())) {
        (Some(word), _) => word,
        (None, Some("text/libsvm" | "text/x-libsvm" | "text/x-svmlight")) => "libsvm",
        (None, Some("application/json")) => "json",
        (None, Some(_)) => {
            return Err(Problem::new(Code::UnsupportedMediaType, "data come as text/libsvm or application/json"));
        }
        (None, None) => return Err(Problem::new(Code::UnsupportedMediaType, "the Content-Type is missing")),
    };
    let parameters = media.map_or(&[][..], |media| &media.parameters);
    match word {
        "libsvm" | "svmlight" => {
            let (index_base, n_features) = libsvm_parameters(parameters)?;
            Ok(Format::Libsvm { index_base, n_features })
        }
        "json" => Ok(Format::Json),
        _ => Err(bad_parameter("format", "unknown_value", "must be libsvm or json")),
    }
}

/// `index-base` (default 1) and `n-features` of a LIBSVM media type; other parameters are none of ours.
pub(crate) fn libsvm_parameters(parameters: &[(String, String)]) -> Result<(u32, Option<u64>), Problem> {
    let find = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let index_base = match find("index-base") {
        None | Some("1") => 1,
        Some("0") => 0,
        Some(_) => return Err(bad_parameter("index-base", "out_of_range", "must be 0 or 1")),
    };
    let n_features = match find("n-features") {
        None => None,
        Some(text) => match text.parse::<u64>() {
            Ok(number) if (1..=1 << 31).contains(&number) && text.bytes().all(|byte| byte.is_ascii_digit()) => Some(number),
            _ => return Err(bad_parameter("n-features", "out_of_range", "must be a whole number from 1 to 2147483648")),
        },
    };
    Ok((index_base, n_features))
}

async fn receive(incoming: Incoming, upload: Upload, body: Body, wire_limit: u64) -> Result<(Incoming, Ingested), Problem> {
    let ingest = move |reader| {
        let ingested = dataset::ingest(incoming.metered(reader), &upload, incoming.data(), incoming.names(), incoming.scratch())?;
        Ok((incoming, ingested))
    };
    read_beside(body, wire_limit, ingest).await
}

/// SHA-256 of a body that is compared with one read before.
async fn hashed(upload: &Upload, body: Body, wire_limit: u64) -> Result<String, Problem> {
    let (encoding, limit) = (upload.encoding, upload.limits.decoded_bytes);
    read_beside(body, wire_limit, move |reader| dataset::hash_decoded(reader, encoding, limit)).await
}

/// Runs body and reader side by side. The body's own fault explains a reader that stopped for want of bytes.
async fn read_beside<T: Send + 'static>(
    body: Body,
    wire_limit: u64,
    read: impl FnOnce(PumpedBody) -> Result<T, IngestError> + Send + 'static,
) -> Result<T, Problem> {
    let (pump, reader): (Pump, PumpedBody) = body::pump();
    let fault = pump.fault();
    let reading = tokio::task::spawn_blocking(move || read(reader));
    pump.run(body, wire_limit).await;
    let result = reading.await.map_err(|error| Problem::internal(format!("ingest: {error}")))?;
    if let Some(fault) = fault.get() {
        return Err(fault.clone().into());
    }
    result.map_err(|error| match error {
        IngestError::Fault(fault) => fault.into(),
        IngestError::Io(error) => error.into(),
    })
}

/// `GET /api/v1/datasets`: the latest version of each name.
pub(crate) async fn list(State(api): State<Api>, mut query: Query, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let project = caller.project();
    let list = api.list(&caller, "datasets");
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let found = api.store.datasets(project, window.row(Kind::Dataset)?.as_ref(), window.limit).await?;
    let data = found.items.iter().map(|row| show(row, None)).collect::<Result<_, _>>()?;
    Ok(page::list(&uri, data, found.next.map(|next| page::seal(&list, &page::row_position(&next)))))
}

/// `GET /api/v1/datasets/{dataset}`: the latest version, and the numbers of all.
pub(crate) async fn latest(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    query.finish()?;
    let project = caller.project();
    let row = api.store.dataset(project, &name, None).await?.ok_or_else(|| Problem::not_found("data set"))?;
    let versions = api.store.dataset_versions(project, &name).await?;
    // beneath one latest version the others can only become fewer: their number names them
    let tag = format!("{}-{}", row.id, versions.len());
    Ok(tagged(&tag, &show(&row, Some(versions))?))
}

/// `GET /api/v1/datasets/{dataset}/versions/{version}`.
pub(crate) async fn version(
    State(api): State<Api>,
    Segments(path): Segments<(String, String)>,
    query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    query.finish()?;
    let row = find(&api, &caller, &path).await?;
    Ok(tagged(row.id.as_str(), &show(&row, None)?))
}

async fn find(api: &Api, caller: &Caller, (name, version): &(String, String)) -> Result<DatasetRow, Problem> {
    let absent = || Problem::not_found("data set version");
    let version = version_number(version).ok_or_else(absent)?;
    api.store.dataset(caller.project(), name, Some(version)).await?.ok_or_else(absent)
}

/// `DELETE /api/v1/datasets/{dataset}/versions/{version}`.
pub(crate) async fn remove(
    State(api): State<Api>,
    Segments((name, version)): Segments<(String, String)>,
    query: Query,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    let absent = || Problem::not_found("data set version");
    let version = version_number(&version).ok_or_else(absent)?;
    match api.store.delete_dataset(caller.project(), &name, version).await? {
        Deletion::Done => Ok(StatusCode::NO_CONTENT),
        Deletion::Absent => Err(absent()),
        Deletion::InUse => Err(Problem::new(Code::Conflict, "a queued or running job needs this version")),
    }
}

/// `GET …/rows?offset=&limit=`: rows as they were understood.
pub(crate) async fn rows(
    State(api): State<Api>,
    Segments(path): Segments<(String, String)>,
    mut query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    let offset = query.take_number("offset", 0)?.unwrap_or(0);
    let limit = query.take_number("limit", 1)?.unwrap_or(20).min(api.limits.page_max);
    query.finish()?;
    let row = find(&api, &caller, &path).await?;
    let dataset = api.store.open_dataset(&row).await?;
    let rows = tokio::task::spawn_blocking(move || dataset::rows(&dataset, offset, limit)).await;
    let rows = rows.map_err(|error| Problem::internal(format!("rows: {error}")))?;
    Ok(Json(RowsOut { object: "rows", data: rows }).into_response())
}

/// `GET …/features`: names by index; no entries for a data set without names.
pub(crate) async fn features(
    State(api): State<Api>,
    Segments(path): Segments<(String, String)>,
    mut query: Query,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let row = find(&api, &caller, &path).await?;
    let list = api.list(&caller, &format!("{}/features", row.id));
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let Some(names) = api.store.open_dataset(&row).await?.names.clone() else {
        return Ok(page::list(&uri, Vec::new(), None));
    };
    let begin = window.offset()?;
    let end = begin.saturating_add(window.limit).min(names.len() as u64);
    let entry = |index: u64| {
        let index = u32::try_from(index).ok()?;
        Some(raw(&FeatureOut { index, name: names.get(index)? }))
    };
    let data = (begin..end).filter_map(entry).collect::<Result<_, _>>()?;
    let next = (end < names.len() as u64).then(|| page::seal(&list, &end.to_string()));
    Ok(page::list(&uri, data, next))
}
