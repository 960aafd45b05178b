//! Bodies: limited on the wire and once decoded. How long they are waited for is watched over in `door/lend.rs`.
//!
//! Two ways: [`whole`] reads a JSON-sized body into memory; [`pump`] hands a large one, frame by frame, to a blocking
//! reader. In both, bytes are counted as they come; nothing is allocated by what a header says.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;

use super::request::{bad_header, content_type};
use crate::api::door::lend::refused;
use crate::api::error::Problem;
use crate::dataset::{Encoding, decode_whole};
use crate::fault::{Code, Fault};

/// Frames on their way between the socket and a blocking reader.
const FRAMES_AHEAD: usize = 8;

/// The one encoding of a body.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let mut values = headers.get_all("content-encoding").iter();
    let (first, second) = (values.next(), values.next());
    let word = first.map(|value| value.as_bytes().to_ascii_lowercase());
    match (word.as_deref().map(<[u8]>::trim_ascii), second) {
        (None | Some(b"identity" | b""), None) => Ok(Encoding::Identity),
        (Some(b"gzip" | b"x-gzip"), None) => Ok(Encoding::Gzip),
        (Some(b"zstd"), None) => Ok(Encoding::Zstd),
        _ => Err(Problem::new(Code::UnsupportedEncoding, "Content-Encoding must be one of gzip, zstd, identity")),
    }
}

/// Refuses, before a byte is read, what the headers already give away.
pub(crate) fn admit(headers: &HeaderMap, wire_limit: u64) -> Result<(), Problem> {
    for (header, name) in [(CONTENT_RANGE, "Content-Range"), (RANGE, "Range")] {
        if headers.contains_key(header) {
            return Err(bad_header(name, "a part of a body has no meaning here"));
        }
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    if length.is_some_and(|length| length > wire_limit) {
        return Err(too_large(wire_limit).into());
    }
    Ok(())
}

fn too_large(limit: u64) -> Fault {
    Fault::new(Code::PayloadTooLarge, format!("the body has more than {limit} bytes"))
}

/// Reads and decodes a whole body of at most `limit` bytes, on the wire and decoded.
pub(crate) async fn whole(headers: &HeaderMap, mut body: Body, limit: u64) -> Result<Bytes, Problem> {
    let encoding = encoding(headers)?;
    admit(headers, limit)?;
    let bytes = gather(&mut body, limit).await?;
    if encoding == Encoding::Identity {
        return Ok(bytes);
    }
    let decoded = tokio::task::spawn_blocking(move || decode_whole(&bytes, encoding, limit)).await;
    Ok(decoded.map_err(|error| Problem::internal(error.to_string()))??.into())
}

async fn gather(body: &mut Body, limit: u64) -> Result<Bytes, Problem> {
    let mut frames: Vec<Bytes> = Vec::new();
    let mut received = 0u64;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        received += data.len() as u64;
        if received > limit {
            return Err(too_large(limit).into());
        }
        frames.push(data);
    }
    if frames.len() == 1 {
        return Ok(frames.swap_remove(0));
    }
    Ok(frames.concat().into())
}

/// Refused on its way for a reason of ours, or broken off by the client.
fn broken(error: axum::Error) -> Problem {
    refused(&error).map_or_else(|| Problem::new(Code::MalformedEncoding, "the body broke off"), Problem::from)
}

enum Chunk {
    Data(Bytes),
    End,
}

/// The reading end of a [`pump`]: blocks for the next frame. A body that ended before its time is an error, not an end.
pub(crate) struct PumpedBody {
    frames: mpsc::Receiver<Chunk>,
    current: Bytes,
    ended: bool,
}

impl Read for PumpedBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.frames.blocking_recv() {
                Some(Chunk::Data(data)) => self.current = data,
                Some(Chunk::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body broke off")),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// The sending end of a [`pump`].
pub(crate) struct Pump {
    frames: mpsc::Sender<Chunk>,
    fault: Arc<OnceLock<Fault>>,
}

/// A bounded bridge from a body to a blocking reader.
pub(crate) fn pump() -> (Pump, PumpedBody) {
    let (sender, receiver) = mpsc::channel(FRAMES_AHEAD);
    let pump = Pump { frames: sender, fault: Arc::default() };
    (pump, PumpedBody { frames: receiver, current: Bytes::new(), ended: false })
}

impl Pump {
    /// Why the pump stopped early, if it was the body's fault; readable after [`Pump::run`].
    pub(crate) fn fault(&self) -> Arc<OnceLock<Fault>> {
        self.fault.clone()
    }

    /// Moves frames until the body or the reader ends.
    pub(crate) async fn run(self, mut body: Body, wire_limit: u64) {
        let mut received = 0u64;
        loop {
            let chunk = match body.frame().await {
                None => Chunk::End,
                Some(Err(error)) => return self.stop(broken(error).fault),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Chunk::Data(data),
                    Err(_) => continue,
                },
            };
            let last = matches!(chunk, Chunk::End);
            if let Chunk::Data(data) = &chunk {
                received += data.len() as u64;
            }
            if received > wire_limit {
                return self.stop(too_large(wire_limit));
            }
            if self.frames.send(chunk).await.is_err() || last {
                return;
            }
        }
    }

    fn stop(self, fault: Fault) {
        let _ = self.fault.set(fault);
    }
}

/// Refuses a body that does not say that it is JSON.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    match content_type(headers) {
        Some(media) if media.essence == "application/json" => Ok(()),
        _ => Err(Problem::new(Code::UnsupportedMediaType, "this route takes application/json")),
    }
}

/// An action needs no body; one that is sent must be an empty object.
pub(crate) fn check_empty(body: &[u8]) -> Result<(), Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        Problem::from(Fault::at_line(Code::MalformedJson, error.line() as u64, error.column() as u64, "the body is not JSON"))
    })?;
    match value.as_object() {
        None => Err(Fault::at_pointer(Code::InvalidField, "#", "must be an object").into()),
        Some(fields) => match fields.keys().next() {
            None => Ok(()),
            Some(_) => Err(Fault::at_pointer(Code::UnknownField, "#", "this action knows no fields").into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pump_dropped_before_the_end_is_an_error_to_its_reader() {
        let (pump, mut reader) = pump();
        drop(pump);
        assert!(reader.read(&mut [0; 8]).is_err());
    }

    #[tokio::test]
    async fn a_body_over_the_limit_midway_stops_the_reader_with_the_fault() {
        let (pump, mut reader) = pump();
        let fault = pump.fault();
        let reading = tokio::task::spawn_blocking(move || io::copy(&mut reader, &mut io::sink()));
        pump.run(Body::from(vec![0; 100]), 99).await;
        assert!(reading.await.expect("no panic").is_err());
        assert_eq!(fault.get().map(|fault| fault.code), Some(Code::PayloadTooLarge));
    }
}
