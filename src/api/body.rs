//! Bodies: limited on the wire and once decoded, and never waited for longer than they deserve.
//!
//! Two ways: [`whole`] reads a JSON-sized body into memory; [`pump`] hands a large one, frame by frame, to a blocking
//! reader. In both, bytes are counted as they come; nothing is allocated by what a header says.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use super::error::Problem;
use super::request::bad_header;
use crate::dataset::{Encoding, decode_whole};
use crate::fault::{Code, Fault};

/// A small body must be here whole within this time.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(30);
/// No body may pause longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A large body may take this long beyond what its bytes take at [`RATE_MIN`].
const GRACE: Duration = Duration::from_secs(10);
/// Slowest rate of a large body, bytes a second, after the grace.
const RATE_MIN: u64 = 1024;
/// After an answer is known early, this much of the rest is read, so that the client hears the answer.
const DRAIN_BYTES: u64 = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);
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
    if headers.contains_key(CONTENT_RANGE) {
        return Err(bad_header("Content-Range", "a part of a body has no meaning here"));
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

fn too_slow() -> Fault {
    Fault::new(Code::BodyTooSlow, "the body came too slowly")
}

/// Reads and decodes a whole body of at most `limit` bytes, on the wire and decoded.
pub(crate) async fn whole(headers: &HeaderMap, mut body: Body, limit: u64) -> Result<Bytes, Problem> {
    let encoding = encoding(headers)?;
    admit(headers, limit)?;
    let read = tokio::time::timeout(WHOLE_TIMEOUT, gather(&mut body, limit)).await;
    let bytes = read.map_err(|_| Problem::from(too_slow()))??;
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

fn broken(error: axum::Error) -> Problem {
    let detail = format!("the body broke off: {error}");
    tracing::debug!(%error, "a body broke off");
    Problem::new(Code::MalformedEncoding, detail.split(": ").next().unwrap_or_default())
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
        let mut waited = Duration::ZERO;
        loop {
            let allowed = (GRACE + Duration::from_secs(received / RATE_MIN)).saturating_sub(waited).min(PAUSE_MAX);
            let since = Instant::now();
            let frame = tokio::time::timeout(allowed, body.frame()).await;
            waited += since.elapsed();
            let chunk = match frame {
                Err(_) => return self.stop(too_slow()),
                Ok(None) => Chunk::End,
                Ok(Some(Err(error))) => return self.stop(broken(error).fault),
                Ok(Some(Ok(frame))) => match frame.into_data() {
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

/// A body lent to a handler. What the handler leaves unread comes back, so that a bounded rest can be read before an
/// early answer: closed over unread bytes, the connection would be reset and the answer lost.
struct Lent {
    body: Option<Body>,
    back: Arc<Mutex<Back>>,
}

#[derive(Default)]
struct Back {
    rest: Option<Body>,
    /// Whether reading had begun; a client that waits for `100 Continue` has sent nothing before that.
    begun: bool,
}

/// What came back of a body lent by [`lend`].
pub(crate) struct Rest(Arc<Mutex<Back>>);

/// Lends a body to a handler.
pub(crate) fn lend(body: Body) -> (Body, Rest) {
    let back = Arc::new(Mutex::new(Back::default()));
    (Body::new(Lent { body: Some(body), back: back.clone() }), Rest(back))
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.back.lock().unwrap_or_else(PoisonError::into_inner).begun = true;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        back.rest = self.body.take().filter(|body| !body.is_end_stream());
    }
}

impl Rest {
    /// Reads and drops a bounded rest, unless the client waits to be told that it may send.
    pub(crate) async fn drain(self, client_waits: bool) {
        let (rest, begun) = {
            let mut back = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            (back.rest.take(), back.begun)
        };
        let Some(mut rest) = rest.filter(|_| begun || !client_waits) else { return };
        let read = async {
            let mut dropped = 0u64;
            while let Some(Ok(frame)) = rest.frame().await {
                dropped += frame.into_data().map_or(0, |data| data.len() as u64);
                if dropped > DRAIN_BYTES {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME, read).await;
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
