//! The sender against real sockets on loopback: what is spoken, to whom, and to whom not.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::sender::{Message, Resolve, Resolved, Sender};
use super::{Guard, Net};
use receiver::{BROKEN, OK, Receiver, SILENCE};

#[path = "../../tests/support/receiver.rs"]
mod receiver;

const AUTHORITY: &[u8] = include_bytes!("../../tests/support/tls/authority.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../tests/support/tls/hooks.example.pem");
const KEY: &[u8] = include_bytes!("../../tests/support/tls/hooks.example.key.pem");

/// A resolver that answers what it was told to, in that order, and counts.
#[derive(Default)]
struct Told(Mutex<VecDeque<Vec<IpAddr>>>);

impl Told {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(parse).collect())))
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolve for Told {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolved<'a> {
        let answer = self.0.lock().unwrap().pop_front();
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such name")) })
    }
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(AUTHORITY).unwrap()).unwrap();
    roots
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A sender that may reach 127.0.0.1 and nothing else on this machine.
fn sender(resolver: &Arc<Told>) -> Sender {
    Sender::with(Guard::new(&["127.0.0.1/32".parse::<Net>().unwrap()]), resolver.clone(), roots())
}

fn message(url: String) -> Message {
    Message { url, id: "msg_1".into(), timestamp: 1_614_265_330, signature: "v1,abc".into(), body: r#"{"test": 2432232314}"#.into() }
}

fn url(scheme: &str, name: &str, address: SocketAddr) -> String {
    format!("{scheme}://{name}:{}/hooks?x=1", address.port())
}

#[tokio::test]
async fn a_message_is_spoken_as_the_specification_says() {
    let mut receiver = Receiver::start(&[OK]).await;
    let sender = sender(&Told::new(&[]));
    assert_eq!(sender.send(&message(url("http", "127.0.0.1", receiver.address))).await, Ok(204));
    let heard = receiver.next().await;
    assert_eq!(heard.line(), "POST /hooks?x=1 HTTP/1.1");
    assert_eq!(
        (heard.header("webhook-id"), heard.header("webhook-timestamp"), heard.header("webhook-signature")),
        ("msg_1", "1614265330", "v1,abc")
    );
    assert_eq!((heard.header("host"), heard.header("content-type")), (&*receiver.address.to_string(), "application/json"));
    assert_eq!(heard.body, r#"{"test": 2432232314}"#);
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_connection_goes_to_the_address_that_was_judged() {
    let outside = Receiver::start(&[OK]).await;
    let inside = Receiver::start_on(SocketAddr::new("127.0.0.2".parse().unwrap(), outside.address.port()), &[OK], None).await;
    // the name is rebound between two questions; the second is never asked
    let resolver = Told::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let sender = sender(&resolver);
    let message = message(url("http", "rebound.example", outside.address));
    assert_eq!(sender.send(&message).await, Ok(204));
    assert_eq!((outside.connections(), inside.connections(), resolver.left()), (1, 0, 1));
    // and once it is asked, the new address is judged
    assert_eq!(sender.send(&message).await, Err("the address is not on the public internet".into()));
    assert_eq!((outside.connections(), inside.connections(), resolver.left()), (1, 0, 0));
    assert_eq!(sender.send(&message).await, Err("the name does not resolve".into()));
}

#[tokio::test]
async fn one_address_that_may_not_be_reached_spoils_them_all() {
    let receiver = Receiver::start(&[OK]).await;
    for inside in ["10.0.0.1", "127.0.0.2", "::1", "169.254.169.254", "fd00::1", "::ffff:127.0.0.1"] {
        for addresses in [["127.0.0.1", inside], [inside, "127.0.0.1"]] {
            let sent = sender(&Told::new(&[&addresses])).send(&message(url("http", "mixed.example", receiver.address))).await;
            assert_eq!(sent, Err("the address is not on the public internet".into()), "{inside}");
        }
    }
    let public = sender(&Told::new(&[&["8.8.8.8"]])).send(&message(url("http", "plain.example", receiver.address))).await;
    assert_eq!(public, Err("https is required".into()));
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_second_address_is_tried_when_the_first_does_not_answer() {
    let receiver = Receiver::start(&[OK]).await;
    let guard = Guard::new(&["127.0.0.0/8".parse().unwrap()]);
    // nobody listens on 127.0.0.3
    let sender = Sender::with(guard, Told::new(&[&["127.0.0.3", "127.0.0.1"]]), roots());
    assert_eq!(sender.send(&message(url("http", "two.example", receiver.address))).await, Ok(204));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_an_invitation() {
    let elsewhere = Receiver::start(&[OK]).await;
    let away = format!("HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", elsewhere.address);
    let receiver = Receiver::start(&[&away]).await;
    assert_eq!(sender(&Told::new(&[])).send(&message(url("http", "127.0.0.1", receiver.address))).await, Ok(302));
    assert_eq!((receiver.connections(), elsewhere.connections()), (1, 0));
}

#[tokio::test]
async fn answers_that_are_long_strange_or_never_come_end_an_attempt() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n{}", "x".repeat(8 << 10));
    let heads = format!("HTTP/1.1 200 OK\r\n{}\r\n", format!("A: {}\r\n", "b".repeat(1000)).repeat(40));
    let cut = "HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nx";
    let receiver = Receiver::start(&[&long, BROKEN, &heads, "no http\r\n\r\n", cut, SILENCE]).await;
    let mut sender = sender(&Told::new(&[]));
    let message = message(url("http", "127.0.0.1", receiver.address));
    assert_eq!(sender.send(&message).await, Ok(200), "the rest is not waited for");
    assert_eq!(sender.send(&message).await, Ok(500));
    for _ in 0..2 {
        let answer = sender.send(&message).await;
        assert!(answer.as_ref().is_err_and(|what| what.starts_with("the exchange broke off")), "{answer:?}");
    }
    sender.patience = Duration::from_millis(500);
    assert_eq!(sender.send(&message).await, Ok(202), "a body that does not end changes no status");
    assert_eq!(sender.send(&message).await, Err("no answer in time".into()));
}

#[tokio::test]
async fn over_https_the_certificate_must_be_trusted_and_of_the_name() {
    let any = "127.0.0.1:0".parse().unwrap();
    let mut receiver = Receiver::start_on(any, &[OK], Some(acceptor())).await;
    let resolved: &[&str] = &["127.0.0.1"];
    let trusting = sender(&Told::new(&[resolved, resolved]));
    assert_eq!(trusting.send(&message(url("https", "hooks.example", receiver.address))).await, Ok(204));
    assert_eq!(receiver.next().await.header("host"), format!("hooks.example:{}", receiver.address.port()));
    let answer = trusting.send(&message(url("https", "other.example", receiver.address))).await;
    assert!(answer.as_ref().is_err_and(|what| what.starts_with("TLS: ")), "{answer:?}");
    let guard = Guard::new(&["127.0.0.1/32".parse().unwrap()]);
    let wary = Sender::with(guard, Told::new(&[resolved]), RootCertStore::empty());
    let answer = wary.send(&message(url("https", "hooks.example", receiver.address))).await;
    assert!(answer.as_ref().is_err_and(|what| what.starts_with("TLS: ")), "{answer:?}");
}
