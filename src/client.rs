//! A small HTTP/1.1 client of the public API: the demo, the health check and the tests speak to a server through it.
//!
//! It knows sockets, headers and JSON, and nothing of what the server is made of: everything it can see, a stranger with `curl` sees too.
//! One client is one address; requests share one kept-alive connection, one at a time, and a connection the server has closed is opened anew.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// The longest a whole exchange may take. Above the 60 s for which the server may hold a `Prefer: wait`.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(120);

/// A client of one server. Cheap to make; clones nothing and dials at the first request.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// What came back: any status is an answer, only a broken exchange is an [`Error`].
#[derive(Clone, Debug)]
pub struct Response {
    /// The status of the answer.
    pub status: StatusCode,
    /// Its header fields; names compare without case.
    pub headers: HeaderMap,
    /// Its whole body, after transfer decoding.
    pub body: Bytes,
}

impl Client {
    /// A client of the server at `address`. Does not connect yet.
    pub fn new(address: SocketAddr) -> Client {
        Client { address, connection: Mutex::new(None) }
    }

    /// The address this client speaks to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One exchange. `path_and_query` starts with `/` and is sent as it stands; `Host` is added unless `headers` names one.
    ///
    /// A connection that turns out to be closed before anything was answered is replaced once, for requests without side effects only;
    /// dropping the future mid-exchange closes the connection, so a stale answer never meets a later question.
    ///
    /// # Errors
    /// When the request cannot be written as HTTP, the server cannot be reached, or the exchange breaks or exceeds two minutes.
    pub async fn send(&self, method: &str, path_and_query: &str, headers: &[(&str, &str)], body: Bytes) -> Result<Response, Error> {
        let request = build(self.address, method, path_and_query, headers, body)?;
        let mut slot = self.connection.lock().await;
        let reused = slot.take().filter(|connection| !connection.is_closed());
        let may_retry = reused.is_some() && request.method().is_safe();
        let connection = match reused {
            Some(connection) => connection,
            None => connect(self.address).await?,
        };
        let exchanged = match exchange(connection, request.clone()).await {
            Err(Error::Broken(_)) if may_retry => exchange(connect(self.address).await?, request).await,
            exchanged => exchanged,
        };
        let (response, connection) = exchanged?;
        *slot = Some(connection);
        Ok(response)
    }

    /// `GET` without a body.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, path_and_query: &str) -> Result<Response, Error> {
        self.send("GET", path_and_query, &[], Bytes::new()).await
    }

    /// `POST` of a JSON value with its media type; further `headers` as given.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn post_json(&self, path_and_query: &str, headers: &[(&str, &str)], body: &Value) -> Result<Response, Error> {
        let mut all = vec![(CONTENT_TYPE.as_str(), "application/json")];
        all.extend_from_slice(headers);
        self.send("POST", path_and_query, &all, Bytes::from(body.to_string())).await
    }
}

impl Response {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON; the error quotes its beginning.
    pub fn json(&self) -> Result<Value, Error> {
        serde_json::from_slice(&self.body).map_err(|cause| Error::NotJson {
            status: self.status,
            cause: cause.to_string(),
            beginning: self.text().chars().take(200).collect(),
        })
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of this name, when present and printable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

fn build(
    address: SocketAddr,
    method: &str,
    path_and_query: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Error> {
    let mut fields = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::Request(format!("`{name}` is no header name")))?;
        let value = HeaderValue::from_str(value).map_err(|_| Error::Request(format!("the value of `{name}` cannot stand in a header")))?;
        fields.append(name, value);
    }
    if !fields.contains_key(HOST) {
        let host = HeaderValue::from_str(&address.to_string()).map_err(|cause| Error::Request(cause.to_string()))?;
        fields.insert(HOST, host);
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Error::Request(format!("`{method}` is no method")))?;
    let mut request =
        Request::builder().method(method).uri(path_and_query).body(Full::new(body)).map_err(|cause| Error::Request(cause.to_string()))?;
    *request.headers_mut() = fields;
    Ok(request)
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Error> {
    let stream = TcpStream::connect(address).await.map_err(|cause| Error::Unreachable { address, cause })?;
    stream.set_nodelay(true).map_err(|cause| Error::Unreachable { address, cause })?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|cause| Error::Broken(cause.to_string()))?;
    // The task ends with the connection; its error reaches us through the exchange that it breaks.
    tokio::spawn(connection);
    Ok(sender)
}

type Exchanged = (Response, SendRequest<Full<Bytes>>);

async fn exchange(connection: SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Result<Exchanged, Error> {
    match tokio::time::timeout(EXCHANGE_LIMIT, exchange_untimed(connection, request)).await {
        Ok(exchanged) => exchanged,
        Err(_) => Err(Error::TimedOut),
    }
}

async fn exchange_untimed(mut connection: SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Result<Exchanged, Error> {
    let broken = |cause: hyper::Error| Error::Broken(chain(&cause));
    connection.ready().await.map_err(broken)?;
    let answer = connection.send_request(request).await.map_err(broken)?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(broken)?.to_bytes();
    Ok((Response { status: head.status, headers: head.headers, body }, connection))
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Why there is no answer, or not one of the kind asked for.
#[derive(Debug)]
pub enum Error {
    /// The request cannot be written as HTTP.
    Request(String),
    /// No connection could be opened.
    Unreachable {
        /// Where to.
        address: SocketAddr,
        /// Why not.
        cause: std::io::Error,
    },
    /// The connection broke before the answer was whole.
    Broken(String),
    /// No whole answer in two minutes.
    TimedOut,
    /// The answer is whole, but it is not JSON.
    NotJson {
        /// The status it came with.
        status: StatusCode,
        /// What the parser says.
        cause: String,
        /// The first characters of the body.
        beginning: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Request(what) => write!(f, "the request cannot be sent: {what}"),
            Error::Unreachable { address, cause } => write!(f, "no connection to {address}: {cause}"),
            Error::Broken(cause) => write!(f, "the exchange broke: {cause}"),
            Error::TimedOut => write!(f, "no whole answer within {} s", EXCHANGE_LIMIT.as_secs()),
            Error::NotJson { status, cause, beginning } => write!(f, "answer {status} is not JSON ({cause}): {beginning}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server of canned answers: one connection for each inner list, one answer for each request on it, then it hangs up.
    /// Ends with the requests it saw.
    async fn canned(connections: &'static [&'static [&'static str]]) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            let mut seen = Vec::new();
            for answers in connections {
                let (mut stream, _) = listener.accept().await.expect("a client");
                for answer in *answers {
                    let mut request = String::new();
                    while !request.contains("\r\n\r\n") {
                        let mut piece = [0; 4096];
                        let n = stream.read(&mut piece).await.expect("readable");
                        assert!(n > 0, "the client hung up after {request:?}");
                        request.push_str(&String::from_utf8_lossy(&piece[..n]));
                    }
                    seen.push(request);
                    stream.write_all(answer.as_bytes()).await.expect("writable");
                }
            }
            seen
        });
        (address, task)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{\"a\": 1}";

    #[tokio::test]
    async fn two_requests_share_one_connection_and_carry_host_and_headers() {
        let (address, server) = canned(&[&[OK, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]]).await;
        let client = Client::new(address);
        let first = client.send("GET", "/a?b=c", &[("Prefer", "wait=1")], Bytes::new()).await.expect("an answer");
        assert_eq!((first.status.as_u16(), first.json().expect("JSON")["a"].as_u64()), (200, Some(1)));
        assert_eq!(first.header("content-type"), Some("application/json"));
        let second = client.get("/none").await.expect("an error status is an answer");
        assert_eq!(second.status, StatusCode::NOT_FOUND);
        let seen = server.await.expect("the server saw both on one connection");
        assert!(seen[0].starts_with("GET /a?b=c HTTP/1.1\r\n"), "{seen:?}");
        assert!(seen[0].to_lowercase().contains(&format!("host: {address}\r\n")), "{seen:?}");
        assert!(seen[0].to_lowercase().contains("prefer: wait=1\r\n"), "{seen:?}");
    }

    #[tokio::test]
    async fn a_connection_the_server_closed_is_opened_anew() {
        let (address, server) = canned(&[&[OK], &[OK]]).await;
        let client = Client::new(address);
        client.get("/1").await.expect("first");
        client.get("/2").await.expect("second, on a new connection");
        assert_eq!(server.await.expect("served").len(), 2);
    }

    #[tokio::test]
    async fn an_answer_cut_short_is_an_error_and_a_text_answer_is_not_json() {
        let (address, _server) =
            canned(&[&["HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"], &["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"]]).await;
        let client = Client::new(address);
        let cut = client.send("POST", "/", &[], Bytes::new()).await.expect_err("cut short");
        assert!(matches!(cut, Error::Broken(_)), "{cut}");
        let text = client.get("/").await.expect("whole");
        assert!(text.json().expect_err("not JSON").to_string().contains("no"));
    }

    #[tokio::test]
    async fn nobody_listening_is_said_with_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let error = Client::new(address).get("/").await.expect_err("nobody there");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_stand_in_a_request_is_refused_before_dialling() {
        let client = Client::new(SocketAddr::from(([127, 0, 0, 1], 9)));
        for (method, path, headers) in
            [("G T", "/", vec![]), ("GET", "/ a", vec![]), ("GET", "/", vec![("a b", "c")]), ("GET", "/", vec![("a", "b\r\nc: d")])]
        {
            let error = client.send(method, path, &headers, Bytes::new()).await.expect_err("refused");
            assert!(matches!(error, Error::Request(_)), "{error}");
        }
    }
}
