//! A receiver of webhooks: hears whole requests, answers each with what it was told to, and counts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// No request of a test takes this long to come; one that does has failed. Never part of what is asserted.
const LONGEST: Duration = Duration::from_secs(60);

/// An answer that never comes.
pub(crate) const SILENCE: &str = "";
pub(crate) const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
pub(crate) const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

/// What came.
#[derive(Debug)]
pub(crate) struct Heard {
    head: String,
    pub(crate) body: String,
}

impl Heard {
    /// The request line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// The only header of this name.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut found =
            self.head.lines().skip(1).filter_map(|line| line.split_once(": ")).filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let (Some((_, value)), None) = (found.next(), found.next()) else { panic!("not one {name} in {}", self.head) };
        value
    }
}

/// See the head of this file; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    heard: UnboundedReceiver<Heard>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Listens on loopback; the answers are given in their order, the last for ever.
    pub(crate) async fn start(answers: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0".parse().expect("an address"), answers, None).await
    }

    /// As [`Receiver::start`], where and with TLS if so wished.
    pub(crate) async fn start_on(address: SocketAddr, answers: &[&str], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (tell, heard) = unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let counter = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let answer = answers[number.min(answers.len() - 1)].clone();
                let (tls, tell) = (tls.clone(), tell.clone());
                tokio::spawn(async move {
                    match tls {
                        None => hear(stream, &answer, &tell).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                hear(stream, &answer, &tell).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, heard, connections, task }
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Heard {
        tokio::time::timeout(LONGEST, self.heard.recv()).await.expect("a request in time").expect("the receiver lives")
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hear(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str, tell: &UnboundedSender<Heard>) {
    let mut bytes = Vec::new();
    let heard = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                break Heard { head: head.to_owned(), body: body.to_owned() };
            }
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    };
    // nobody may be listening any more
    let _ = tell.send(heard);
    if answer == SILENCE {
        std::future::pending::<()>().await;
    }
    let _ = stream.write_all(answer.as_bytes()).await;
    // the other side decides when it has heard enough
    let _ = stream.read_to_end(&mut bytes).await;
}
