//! The listener and its connections: who is let in, how long a connection may take for what it does, and how all of
//! them end when the server stops. Knows sockets and HTTP/1.1; never a route.

mod connection;
mod framing;
mod places;
mod pulse;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Limits;
use crate::measure::Measures;
use places::{Place, Places};

/// Longest pause after a failed accept.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Then the door is shut, whoever comes.
const DOORWAY: Duration = Duration::from_millis(20);
/// What somebody hears who has too many connections already.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Accepts and serves until the server stops; then waits, for a bounded time, for the requests in flight.
///
/// For a moment after the word to stop it still accepts: whoever asks then is told so by the API, in place of a door
/// that is shut in his face.
pub(crate) async fn listen(listener: TcpListener, router: Router, limits: Limits, measures: Arc<Measures>, stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let mut listening = Listening { places: Places::new(&limits), listener, pause: Duration::ZERO };
    let time = limits.time;
    let lingered = connection::stopped(stop.clone(), time.linger());
    tokio::pin!(lingered);
    let serve = |connections: &mut JoinSet<()>, (stream, peer, place): (TcpStream, SocketAddr, Place)| {
        let (router, stop, open) = (router.clone(), stop.clone(), measures.connection());
        connections.spawn(async move {
            connection::serve(stream, peer, router, time, stop).await;
            drop((place, open));
        });
    };
    loop {
        tokio::select! {
            next = listening.next() => serve(&mut connections, next),
            () = &mut lingered => break,
        }
        while connections.try_join_next().is_some() {}
    }
    // whoever stands in the doorway already is let in: shut now, the door would break off what he asks
    let doorway = async {
        loop {
            serve(&mut connections, listening.next().await);
        }
    };
    let _: Result<(), _> = tokio::time::timeout(DOORWAY, doorway).await;
    drop(listening);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(time.drain(), ended).await.is_err() {
        tracing::warn!(left = connections.len(), "connections were cut off");
    }
    connections.shutdown().await;
}

/// The listener, and the room there is.
struct Listening {
    places: Places,
    listener: TcpListener,
    pause: Duration,
}

impl Listening {
    /// The next connection there is a place for. May be dropped and called again.
    async fn next(&mut self) -> (TcpStream, SocketAddr, Place) {
        loop {
            let room = self.places.room().await;
            tokio::time::sleep(self.pause).await;
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.pause = Duration::ZERO;
                    match self.places.take(room, peer.ip()) {
                        Some(place) => return (stream, peer, place),
                        None => {
                            tracing::debug!(%peer, "too many connections from one address");
                            // as far as it goes: nobody is waited for here
                            let _ = stream.try_write(TOO_MANY);
                        }
                    }
                }
                Err(error) => {
                    // Out of descriptors, most often: wait for connections to close, and never give up.
                    self.pause = (self.pause * 2).clamp(Duration::from_millis(10), ACCEPT_PAUSE_MAX);
                    tracing::warn!(%error, pause = ?self.pause, "accepting failed");
                }
            }
        }
    }
}
