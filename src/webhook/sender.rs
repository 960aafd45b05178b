//! One message, one connection: resolve, judge every address, connect to one that was judged, speak, hear the status.
//!
//! The name is used for TLS and the `Host` header only; it is never resolved a second time. Redirects are not followed.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::guard::Guard;
use super::target::{Host, Target};
use crate::tls::{connector, native_roots};

/// Resolving, connecting and shaking hands take no longer than this; nor does the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// So much of an answer's body is read, and thrown away: a receiver that is not cut off has less to complain of.
const BODY_MAX: usize = 4 << 10;
/// The body is waited for this part of the patience; the status is known by then.
const BODY_PART: u32 = 5;
/// Room for an answer's head.
const HEAD_MAX: usize = 16 << 10;
/// So many addresses of one name are tried.
const ADDRESSES_MAX: usize = 4;

/// The addresses of a name, when they are found.
pub type Resolved<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Turns names into addresses.
pub trait Resolve: Send + Sync {
    /// Every address of a name.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolved<'a>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolved<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
    }
}

/// What is sent.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Message {
    pub url: String,
    pub id: String,
    /// Seconds since 1970.
    pub timestamp: i64,
    pub signature: String,
    pub body: String,
}

/// What came of it: the status of an answer, or why there is none, in words that may be shown to the client.
pub type Answer = Result<u16, String>;

/// Sends messages; cheap to clone.
#[derive(Clone)]
pub struct Sender {
    guard: Guard,
    resolver: Arc<dyn Resolve>,
    /// Filled when first needed: reading the machine's certificates takes a while.
    tls: Arc<OnceCell<TlsConnector>>,
    pub(super) patience: Duration,
}

impl Sender {
    /// Sends to whom the guard admits, and trusts the certificates this machine trusts.
    pub fn new(guard: Guard) -> Self {
        Self { guard, resolver: Arc::new(System), tls: Arc::new(OnceCell::new()), patience: PATIENCE }
    }

    /// As [`Sender::new`], with a resolver and roots of one's own.
    pub fn with(guard: Guard, resolver: Arc<dyn Resolve>, roots: RootCertStore) -> Self {
        Self { resolver, tls: Arc::new(OnceCell::new_with(Some(connector(roots)))), ..Self::new(guard) }
    }

    /// Sends once.
    pub async fn send(&self, message: &Message) -> Answer {
        let target = Target::parse(&message.url).map_err(|what| format!("the address {what}"))?;
        let connected = timeout(self.patience, self.connect(&target)).await;
        let stream = connected.map_err(|_| "no connection in time".to_owned())??;
        let answered = timeout(self.patience, exchange(stream, &target, message, self.patience / BODY_PART)).await;
        answered.map_err(|_| "no answer in time".to_owned())?
    }

    /// A connection to one of the target's addresses, all of which were found good.
    async fn connect(&self, target: &Target) -> Result<Stream, String> {
        let addresses = match target.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.resolver.resolve(name).await.map_err(|_| "the name does not resolve".to_owned())?,
        };
        for address in &addresses {
            self.guard.admits(*address, target.is_secure())?;
        }
        let mut last = "the name does not resolve".to_owned();
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match TcpStream::connect(SocketAddr::new(address, target.port())).await {
                Ok(stream) => return self.secured(stream, target).await,
                Err(error) => last = format!("no connection: {}", error.kind()),
            }
        }
        Err(last)
    }

    async fn secured(&self, stream: TcpStream, target: &Target) -> Result<Stream, String> {
        if !target.is_secure() {
            return Ok(Box::new(stream));
        }
        let name = match target.host() {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| "the name cannot be that of a certificate".to_owned())?,
            Host::Address(address) => ServerName::from(*address),
        };
        let system =
            async || connector(tokio::task::spawn_blocking(|| native_roots("webhooks")).await.unwrap_or_else(|_| RootCertStore::empty()));
        let tls = self.tls.get_or_init(system).await;
        let stream = tls.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
        Ok(Box::new(stream))
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
type Stream = Box<dyn Duplex>;

/// Speaks on a connection and closes it. Of the answer only the status is kept.
async fn exchange(stream: Stream, target: &Target, message: &Message, body_patience: Duration) -> Answer {
    let broken = |error: hyper::Error| format!("the exchange broke off: {error}");
    let (mut sender, connection) = http1::Builder::new().max_buf_size(HEAD_MAX).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let speak = async move {
        let answer = sender.send_request(request(target, message)?).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        // whatever becomes of the body, the status is the answer
        let _ = timeout(body_patience, discard(body)).await;
        Ok(head.status.as_u16())
    };
    // both on this task: when the attempt is dropped the connection is closed with it
    tokio::pin!(speak);
    tokio::select! {
        answer = &mut speak => answer,
        ended = connection => match ended {
            Ok(()) => speak.await,
            Err(error) => Err(broken(error)),
        },
    }
}

async fn discard(mut body: Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read >= BODY_MAX {
            break;
        }
    }
}

fn request(target: &Target, message: &Message) -> Result<Request<Full<Bytes>>, String> {
    Request::builder()
        .method(Method::POST)
        .uri(target.path())
        .header(HOST, target.authority())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("sparsefit/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", message.timestamp)
        .header("webhook-signature", &message.signature)
        .header("connection", "close")
        .body(Full::new(Bytes::from(message.body.clone())))
        .map_err(|error| format!("the request cannot be written: {error}"))
}
