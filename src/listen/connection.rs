//! One HTTP/1.1 connection, from its first byte to its last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::pulse::{Answer, Pulse};
use super::stream::Watched;
use crate::config::TimeLimits;

/// Room for one head and the bytes read ahead of a body.
const BUFFER: usize = 128 << 10;
const HEADERS_MAX: usize = 100;
/// A clock that was set anew is looked at this soon.
const TICK: Duration = Duration::from_secs(1);

/// Serves a connection until either side has had enough of it, or the server stops.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, limits: TimeLimits, stop: watch::Receiver<bool>) {
    // Answers are small and whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let pulse = Arc::new(Pulse::new());
    let (inner, counted) = (TowerToHyperService::new(router), pulse.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let in_flight = counted.begin();
        request.extensions_mut().insert(ConnectInfo(peer));
        let answering = inner.call(request);
        async move { answering.await.map(|response: Response<Body>| response.map(|body| Answer { body, _in_flight: in_flight })) }
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER).max_headers(HEADERS_MAX);
    let http = builder.serve_connection(TokioIo::new(Watched::new(stream, pulse.clone())), service);
    tokio::pin!(http);
    let ended = tokio::select! {
        ended = http.as_mut() => ended,
        what = overdue(&pulse, &limits, None) => return tracing::debug!(%peer, what, "a connection took too long"),
        () = stopped(stop, limits.linger()) => {
            // Nobody waits for an answer here: a half-read head, or nothing at all.
            if !pulse.is_busy() {
                return;
            }
            http.as_mut().graceful_shutdown();
            tokio::select! {
                ended = http.as_mut() => ended,
                what = overdue(&pulse, &limits, Some(Instant::now())) => return tracing::debug!(%peer, what, "a connection was cut off"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended");
    }
}

/// Resolves when a clock has run out; says which.
async fn overdue(pulse: &Pulse, limits: &TimeLimits, stopping: Option<Instant>) -> &'static str {
    loop {
        let now = Instant::now();
        let until = match pulse.deadline(limits, stopping) {
            Some((deadline, what)) if deadline <= now => return what,
            Some((deadline, _)) => deadline.min(now + TICK),
            None => now + TICK,
        };
        tokio::time::sleep_until(until).await;
    }
}

/// Resolves a moment after the server began to stop; a sender that is gone is a server that is gone.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>, linger: Duration) {
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::time::sleep(linger).await;
}
