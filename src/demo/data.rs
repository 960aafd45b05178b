//! The bundled data: State of the Union addresses as words, exactly as they are uploaded, and who spoke when.
//!
//! `demo-data/README.md` says where they come from. Knows nothing of HTTP.

use std::io::Read as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::Failure;

const TRAIN: &[u8] = include_bytes!("../../demo-data/sotu-train.json.gz");
const HELD_OUT: &[u8] = include_bytes!("../../demo-data/sotu-held-out.json.gz");
const SPEECHES: &[u8] = include_bytes!("../../demo-data/sotu-speeches.json");

/// The two parties of the second act.
pub(super) const PARTIES: [&str; 2] = ["Democratic", "Republican"];
/// The first year in which both could have had a president.
pub(super) const PARTIES_SINCE: u32 = 1854;

/// One address.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Speech {
    pub(super) year: u32,
    pub(super) name: String,
    pub(super) party: String,
}

/// Who spoke when, in the order of the rows.
#[derive(Debug, Deserialize)]
pub(super) struct Speeches {
    pub(super) train: Vec<Speech>,
    pub(super) held_out: Vec<Speech>,
}

/// A `csr` upload.
#[derive(Debug, Serialize, Deserialize)]
struct Csr<Y> {
    format: String,
    shape: [usize; 2],
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f64>,
    y: Vec<Y>,
    feature_names: Vec<String>,
}

/// A predict request.
#[derive(Deserialize)]
struct HeldOut {
    csr: CsrRows,
}

#[derive(Deserialize)]
struct CsrRows {
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f64>,
}

/// The body of the first upload, gzip: words → year.
pub(super) fn train() -> Bytes {
    Bytes::from_static(TRAIN)
}

/// The body of a predict request for the addresses held out, gzip.
pub(super) fn held_out() -> Bytes {
    Bytes::from_static(HELD_OUT)
}

/// Who spoke when.
pub(super) fn speeches() -> Result<Speeches, Failure> {
    Ok(serde_json::from_slice(SPEECHES)?)
}

/// Whether an address takes part in the second act.
pub(super) fn of_a_party(speech: &Speech) -> bool {
    speech.year >= PARTIES_SINCE && PARTIES.contains(&speech.party.as_str())
}

/// The body of the second upload, gzip: the same words → party, of the training addresses that have one.
pub(super) fn train_by_party(speeches: &[Speech]) -> Result<Bytes, Failure> {
    let all: Csr<u32> = unpacked(TRAIN)?;
    let mut chosen = Csr {
        format: all.format,
        shape: [0, all.shape[1]],
        indptr: vec![0],
        indices: Vec::new(),
        values: Vec::new(),
        y: Vec::new(),
        feature_names: all.feature_names,
    };
    for (speech, row) in speeches.iter().zip(all.indptr.windows(2)).filter(|(speech, _)| of_a_party(speech)) {
        chosen.indices.extend_from_slice(&all.indices[row[0]..row[1]]);
        chosen.values.extend_from_slice(&all.values[row[0]..row[1]]);
        chosen.indptr.push(chosen.indices.len());
        chosen.y.push(speech.party.as_str());
    }
    chosen.shape[0] = chosen.y.len();
    packed(&chosen)
}

/// The body of an upload of the addresses held out, gzip: words → year.
pub(super) fn held_out_by_year(speeches: &[Speech]) -> Result<Bytes, Failure> {
    let rows: HeldOut = unpacked(HELD_OUT)?;
    let names = unpacked::<Csr<u32>>(TRAIN)?.feature_names;
    let years: Vec<u32> = speeches.iter().map(|speech| speech.year).collect();
    let CsrRows { indptr, indices, values } = rows.csr;
    packed(&Csr { format: "csr".into(), shape: [years.len(), names.len()], indptr, indices, values, y: years, feature_names: names })
}

fn unpacked<T: for<'a> Deserialize<'a>>(data: &[u8]) -> Result<T, Failure> {
    let mut text = Vec::new();
    GzDecoder::new(data).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn packed(body: &impl Serialize) -> Result<Bytes, Failure> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut packed, body)?;
    Ok(packed.finish()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_speeches_and_years_agree() {
        let speeches = speeches().expect("bundled");
        let train: Csr<u32> = unpacked(TRAIN).expect("JSON");
        let years: Vec<u32> = speeches.train.iter().map(|speech| speech.year).collect();
        assert_eq!(train.y, years);
        assert_eq!(train.shape, [years.len(), train.feature_names.len()]);
        let held_out: serde_json::Value = unpacked(HELD_OUT).expect("JSON");
        assert_eq!(held_out["csr"]["indptr"].as_array().map(Vec::len), Some(speeches.held_out.len() + 1));
        let seen = |speech: &Speech| speeches.train.iter().any(|other| other.year == speech.year && other.name == speech.name);
        assert!(!speeches.held_out.iter().any(seen), "an address is both trained on and held out");
    }

    #[test]
    fn the_second_act_holds_the_same_rows_under_another_target() {
        let speeches = speeches().expect("bundled");
        let all: Csr<u32> = unpacked(TRAIN).expect("JSON");
        let by_party: Csr<String> = unpacked(&train_by_party(&speeches.train).expect("packed")).expect("JSON");
        let rows: Vec<usize> = (0..speeches.train.len()).filter(|row| of_a_party(&speeches.train[*row])).collect();
        assert_eq!(by_party.y.len(), rows.len());
        let last = rows[rows.len() - 1];
        let (from, to) = (by_party.indptr[rows.len() - 1], by_party.indptr[rows.len()]);
        assert_eq!(by_party.indices[from..to], all.indices[all.indptr[last]..all.indptr[last + 1]]);
        assert_eq!(by_party.y[rows.len() - 1], speeches.train[last].party);
        assert!(PARTIES.iter().all(|party| by_party.y.iter().any(|y| y == party)));
    }

    #[test]
    fn the_addresses_held_out_can_be_uploaded_with_their_years() {
        let speeches = speeches().expect("bundled");
        let body: Csr<u32> = unpacked(&held_out_by_year(&speeches.held_out).expect("packed")).expect("JSON");
        assert_eq!((body.y.len(), body.indptr.len()), (speeches.held_out.len(), speeches.held_out.len() + 1));
        assert_eq!(body.shape, [body.y.len(), body.feature_names.len()]);
        assert!(body.indices.iter().all(|&at| (at as usize) < body.feature_names.len()));
    }

    #[test]
    fn the_bundle_is_small() {
        assert!(TRAIN.len() + HELD_OUT.len() + SPEECHES.len() <= 2_000_000);
    }
}
