//! What one connection is doing, and until when it may go on doing so.
//!
//! At every moment one side owes the other something, and one clock runs: the client a head, a body, or the room for an
//! answer. The clock of a body, and that of a handler, run in the API, which can still answer; the others run here.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::framing::Sending;
use crate::config::TimeLimits;

/// Once the server stops, a body may pause this long; before, the API decides.
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// See the module's head.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    sending: Sending,
    /// Requests whose answers have not been handed over whole.
    in_flight: u32,
    /// Whether a request was ever served here.
    served: bool,
    /// When the connection, the last answer's end, or the present head began.
    since: Instant,
    last_read: Instant,
    /// The client does not take what is written, since then.
    blocked_since: Option<Instant>,
    /// How long it did not, over the present answer, and what it did take.
    blocked: Duration,
    written: u64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            sending: Sending::Nothing,
            in_flight: 0,
            served: false,
            since: now,
            last_read: now,
            blocked_since: None,
            blocked: Duration::ZERO,
            written: 0,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came; `sending` is what the client is in the middle of now.
    pub(super) fn read(&self, sending: Sending) {
        let mut state = self.state();
        state.last_read = Instant::now();
        if state.sending == Sending::Nothing && sending == Sending::Head && state.in_flight == 0 {
            state.since = state.last_read;
        }
        state.sending = sending;
    }

    /// The client does not take what we write.
    pub(super) fn write_blocked(&self) {
        self.state().blocked_since.get_or_insert_with(Instant::now);
    }

    /// The client took bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        let mut state = self.state();
        state.written += bytes as u64;
        if let Some(since) = state.blocked_since.take() {
            state.blocked += since.elapsed();
        }
    }

    /// A request is there; it is in flight until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        (state.blocked, state.written) = (Duration::ZERO, 0);
        InFlight(self.clone())
    }

    /// Whether anybody waits for an answer, or for the rest of one.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.state();
        state.in_flight > 0 || state.blocked_since.is_some()
    }

    /// Until when what is going on may go on, and what it is. `None` while the API's clocks run. `stopping` is when the
    /// server ceased to take requests.
    pub(super) fn deadline(&self, limits: &TimeLimits, stopping: Option<Instant>) -> Option<(Instant, &'static str)> {
        let state = self.state();
        if let Some(since) = state.blocked_since {
            // a client that takes a byte now and then is held to the rate that bodies are held to
            let allowed = Duration::from_millis(limits.pause_ms);
            let earned = Duration::from_secs(state.written / limits.body_bytes_per_s.max(1));
            return Some((since + allowed.min((allowed + earned).saturating_sub(state.blocked)), "the answer is not taken"));
        }
        if state.in_flight > 0 {
            let since = stopping.filter(|_| state.sending == Sending::Body).map(|stop| stop.max(state.last_read));
            return since.map(|since| (since + LAST_PAUSE, "a body that pauses at the end"));
        }
        Some(match state.sending {
            Sending::Nothing if state.served => (state.since + Duration::from_millis(limits.idle_ms), "idle"),
            _ => (state.since + Duration::from_millis(limits.head_ms), "the head does not come"),
        })
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Pulse>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        state.served = true;
        state.since = Instant::now();
    }
}

/// The body of an answer; the request is in flight until it is handed over whole.
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) _in_flight: InFlight,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doing(pulse: &Pulse) -> &'static str {
        pulse.deadline(&TimeLimits::default(), None).map_or("in the API", |(_, what)| what)
    }

    #[test]
    fn one_clock_runs_at_every_moment() {
        let pulse = Arc::new(Pulse::new());
        assert_eq!(doing(&pulse), "the head does not come");
        pulse.read(Sending::Head);
        assert_eq!(doing(&pulse), "the head does not come");
        let request = pulse.begin();
        pulse.read(Sending::Body);
        assert_eq!(doing(&pulse), "in the API");
        pulse.write_blocked();
        assert_eq!(doing(&pulse), "the answer is not taken");
        drop(request);
        assert!(pulse.is_busy(), "the answer is not out yet");
        pulse.wrote(10);
        pulse.read(Sending::Nothing);
        assert_eq!(doing(&pulse), "idle");
        assert!(!pulse.is_busy());
        pulse.read(Sending::Head);
        assert_eq!(doing(&pulse), "the head does not come");
    }

    #[test]
    fn a_body_that_pauses_is_waited_for_until_the_server_stops() {
        let pulse = Arc::new(Pulse::new());
        let _request = pulse.begin();
        pulse.read(Sending::Body);
        assert!(pulse.deadline(&TimeLimits::default(), None).is_none());
        assert!(pulse.deadline(&TimeLimits::default(), Some(Instant::now())).is_some());
        pulse.read(Sending::Nothing);
        assert!(pulse.deadline(&TimeLimits::default(), Some(Instant::now())).is_none(), "the handler is waited for");
    }

    #[test]
    fn a_client_that_takes_a_byte_now_and_then_gains_no_time() {
        let (pulse, limits) = (Pulse::new(), TimeLimits::default());
        pulse.write_blocked();
        let (first, _) = pulse.deadline(&limits, None).expect("a clock runs");
        pulse.state().blocked = Duration::from_millis(limits.pause_ms);
        pulse.wrote(1);
        pulse.write_blocked();
        let (second, _) = pulse.deadline(&limits, None).expect("a clock runs");
        assert!(second < first, "its time is used up");
    }
}
