//! A body on loan: what every request's body goes through before a handler reads it.
//!
//! It is held to a pace and to the checksums sent beside it; both end it with a [`Refused`] in place of its end. And what
//! the handler leaves unread comes back, so that a bounded rest can be read before an early answer: closed over unread
//! bytes, the connection would be reset and the answer lost.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::digest::Digests;
use super::pace::Pace;
use crate::fault::{Code, Fault};

/// After an answer is known early, this much of the rest is read, so that the client hears the answer.
const DRAIN_BYTES: u64 = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// A body that was refused on its way.
#[derive(Debug)]
struct Refused(Fault);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Error for Refused {}

/// What a body was refused for, if it was; else it broke off by itself.
pub(crate) fn refused(error: &axum::Error) -> Option<Fault> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Refused(fault)) = error.downcast_ref() {
            return Some(fault.clone());
        }
        cause = error.source();
    }
    None
}

struct Lent {
    body: Option<Body>,
    pace: Pace,
    digests: Digests,
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
pub(crate) fn lend(body: Body, pace: Pace, digests: Digests) -> (Body, Rest) {
    let back = Arc::new(Mutex::new(Back::default()));
    (Body::new(Lent { body: Some(body), pace, digests, back: back.clone() }), Rest(back))
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.back.lock().unwrap_or_else(PoisonError::into_inner).begun = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        match &polled {
            Poll::Pending if self.pace.is_over(context) => {
                let slow = Fault::new(Code::BodyTooSlow, "the body came too slowly");
                return Poll::Ready(Some(Err(axum::Error::new(Refused(slow)))));
            }
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.data_ref().map_or(&[][..], |data| &data[..]);
                self.pace.came(data.len() as u64);
                self.digests.update(data);
            }
            Poll::Ready(None) => {
                if let Err(fault) = self.digests.check() {
                    return Poll::Ready(Some(Err(axum::Error::new(Refused(fault)))));
                }
            }
            Poll::Pending | Poll::Ready(Some(Err(_))) => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        // with a checksum the end is only known once it was asked for
        self.digests.is_empty() && self.body.as_ref().is_none_or(HttpBody::is_end_stream)
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
