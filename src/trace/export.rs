//! From a batch of spans to the collector: OTLP's bytes are the library's, the exchange is hyper's, as everywhere here.
//!
//! Runs on the library's own thread, never on the server's runtime. A batch the collector does not take is gone: spans
//! are worth less than the memory they would wait in.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::tls;

/// One exchange with the collector; less than a graceful stop waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is read of an answer; it says at most how many spans were refused.
const ANSWER_MAX: usize = 64 << 10;
/// A collector that stays away is spoken of this often.
const SAY_EVERY: Duration = Duration::from_secs(300);

/// Where the collector is: what OTLP calls the base, to which `/v1/traces` is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut url = Url::parse(text).map_err(|_| "is no address; it should be like http://collector:4318")?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("must begin with http:// or https:// and name a host");
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("must have neither user, query nor fragment; secrets go into OTEL_EXPORTER_OTLP_HEADERS");
        }
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self(url))
    }
}

/// What sends batches to the endpoint.
pub(super) fn exporter(endpoint: &Endpoint) -> Result<Exporter, String> {
    let tls = (endpoint.0.scheme() == "https").then(|| tls::connector(tls::native_roots("traces")));
    let why = Arc::<Mutex<String>>::default();
    let inner = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Post { tls, why: why.clone() })
        .with_endpoint(endpoint.0.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        // the next batch is soon enough: what waits for another try would hold up a graceful stop
        .with_retry_policy(RetryPolicy::disabled())
        .build();
    Ok(Exporter { inner: inner.map_err(|error| error.to_string())?, lost: Lost::default(), why })
}

/// The library's exporter, whose failures are counted here.
#[derive(Debug)]
pub(super) struct Exporter {
    inner: opentelemetry_otlp::SpanExporter,
    lost: Lost,
    why: Arc<Mutex<String>>,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        match self.inner.export(batch).await {
            Ok(()) => self.lost.none(),
            Err(error) => {
                let why = self.why.lock().map(|mut why| std::mem::take(&mut *why)).unwrap_or_default();
                self.lost.some(spans, &error, &why);
            }
        }
        // said and counted: the library would say it once more for each batch
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let lost = self.lost.spans.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "so many spans were not taken by the collector in all");
        }
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Spans that no collector took, and when that was last said.
#[derive(Debug, Default)]
struct Lost {
    /// In all.
    spans: AtomicU64,
    /// Since the collector last heard; while there are some, it is away.
    in_a_row: AtomicU64,
    said: Mutex<Option<Instant>>,
}

impl Lost {
    fn some(&self, spans: u64, error: &dyn std::error::Error, why: &str) {
        let lost = self.spans.fetch_add(spans, Ordering::Relaxed) + spans;
        self.in_a_row.fetch_add(spans, Ordering::Relaxed);
        let Ok(mut said) = self.said.lock() else { return };
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            *said = Some(Instant::now());
            tracing::warn!(%error, why, lost, "the collector did not take spans; they are dropped");
        }
    }

    fn none(&self) {
        let lost = self.in_a_row.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::info!(lost, "the collector takes spans again");
        }
    }
}

/// One request, one connection.
#[derive(Clone)]
struct Post {
    tls: Option<TlsConnector>,
    /// Why the last exchange failed: the library keeps that to itself.
    why: Arc<Mutex<String>>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Post")
    }
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

// As `async_trait` would write it, without naming it.
impl HttpClient for Post {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Answering<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let (tls, why) = (self.tls.clone(), self.why.clone());
        Box::pin(async move {
            // The library's thread has no runtime and waits for nothing else, so it may block on one of its own.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange(request, tls)).await });
            // a name that is still being resolved is not waited for
            runtime.shutdown_background();
            let answer = answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
            if let (Err(error), Ok(mut why)) = (&answer, why.lock()) {
                *why = error.to_string();
            }
            answer
        })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

async fn exchange(mut request: Request<Bytes>, tls: Option<TlsConnector>) -> Result<Response<Bytes>, HttpError> {
    let uri = std::mem::take(request.uri_mut());
    let (Some(authority), Some(path)) = (uri.authority(), uri.path_and_query()) else { return Err("no host".into()) };
    let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    let stream: Box<dyn Duplex> = match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.connect(ServerName::try_from(host.to_owned())?, stream).await?),
    };
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(concat!("sparsefit/", env!("CARGO_PKG_VERSION"))));
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    *request.uri_mut() = Uri::from(path.clone());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let speak = async move {
        let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        Ok(Response::from_parts(head, Limited::new(body, ANSWER_MAX).collect().await?.to_bytes()))
    };
    // both on this task: the connection ends with the exchange
    tokio::pin!(speak);
    tokio::select! {
        answer = &mut speak => answer,
        ended = connection => match ended {
            Ok(()) => speak.await,
            Err(error) => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_to_which_the_path_of_traces_is_added() {
        for (given, whole) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://otlp.example/api/otel", "https://otlp.example/api/otel/v1/traces"),
        ] {
            assert_eq!(given.parse::<Endpoint>().expect("legal").0.as_str(), whole);
        }
        for bad in ["", "collector:4318", "/v1/traces", "grpc://collector:4317", "http://user:secret@c", "http://c/?a=b", "http://c/#a"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
