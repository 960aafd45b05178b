//! Upload → stored files: decode, parse, gather, write.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::decode::Decoded;
use super::gather::{Gather, Gathered};
use super::libsvm::{self, Grammar};
use super::names::NameList;
use super::stored::{self, RowData};
use super::target::Labels;
use super::{Format, IngestError, Ingested, Meta, RowNnz, Statistics, Upload, json};
use crate::fault::{Code, Fault};

/// What a format hands over beside the matrix.
pub(super) struct Parsed {
    pub(super) labels: Labels,
    pub(super) target_name: String,
    pub(super) features: u64,
    pub(super) names: Option<NameList>,
    pub(super) weights: Option<Vec<f64>>,
    pub(super) offset: Option<Vec<f64>>,
}

/// Parses `body` and writes the stored form to `data`, and the names, where there are any, to `names`; both files are
/// empty and writable. Scratch files are made in `scratch`. Nothing is synced or renamed: that is the store's.
pub fn ingest(body: impl Read, upload: &Upload, data: &File, names: &File, scratch: &Path) -> Result<Ingested, IngestError> {
    let mut body = Decoded::new(body, upload.encoding, upload.limits.decoded_bytes)?;
    let mut gather = Gather::new(&upload.limits, scratch);
    let parsed = match parse(&mut body, upload, &mut gather) {
        Ok(parsed) => parsed,
        Err(IngestError::Io(error)) => return Err(body.explain(error)),
        Err(IngestError::Fault(fault)) if fault.code == Code::MalformedJson && body.is_empty() => return Err(empty().into()),
        Err(fault) => return Err(fault),
    };
    let upload_sha256 = body.sha256();
    if gather.rows() == 0 {
        return Err(empty().into());
    }
    let (target, y) = parsed.labels.finish(parsed.target_name, upload.target_kind)?;
    let mut gathered = gather.finish()?;
    let row_data = RowData { y: &y, weights: parsed.weights.as_deref(), offset: parsed.offset.as_deref() };
    let written = stored::write(&gathered, parsed.features, &row_data, data)?;
    let names_sha256 = parsed.names.as_ref().map(|list| list.write(names)).transpose()?;
    let statistics = Statistics {
        empty_rows: gathered.row_nnz.iter().filter(|&&nnz| nnz == 0).count() as u64,
        empty_columns: parsed.features - written.columns,
        constant_columns: written.constant_columns,
        row_nnz: quantiles(&mut gathered),
    };
    let meta = Meta {
        shape: [y.len() as u64, parsed.features],
        nnz: gathered.nnz,
        stored_columns: written.columns,
        dtype: if written.double { "f64" } else { "f32" }.to_owned(),
        stored_bytes: written.bytes,
        target,
        statistics,
        named: names_sha256.is_some(),
        weighted: row_data.weights.is_some(),
        offset: row_data.offset.is_some(),
        sha256: written.sha256,
        upload_sha256,
    };
    Ok(Ingested { meta, names_sha256 })
}

fn empty() -> Fault {
    Fault::new(Code::EmptyDataset, "the data set has no rows")
}

fn parse<R: Read>(body: &mut Decoded<'_, R>, upload: &Upload, gather: &mut Gather<'_>) -> Result<Parsed, IngestError> {
    match upload.format {
        Format::Libsvm { index_base, n_features } => {
            let grammar = Grammar { index_base, n_features, limits: upload.limits };
            let libsvm::Parsed { labels, features } = libsvm::parse(body, &grammar, gather)?;
            Ok(Parsed { labels, target_name: "y".to_owned(), features, names: None, weights: None, offset: None })
        }
        Format::Json => json::parse(body, &upload.limits, gather),
    }
}

/// Nearest-rank quantiles of the non-zeros a row.
fn quantiles(gathered: &mut Gathered) -> RowNnz {
    let counts = &mut gathered.row_nnz;
    counts.sort_unstable();
    let rank = |share: f64| {
        let rank = (share * counts.len() as f64).ceil() as usize;
        counts.get(rank.saturating_sub(1)).map_or(0, |&nnz| u64::from(nnz))
    };
    RowNnz { min: rank(0.0), p50: rank(0.5), p99: rank(0.99), max: rank(1.0) }
}
