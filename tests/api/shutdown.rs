//! How a server begins and ends.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use sparsefit::ambient::Ambient;
use sparsefit::client::Client;
use sparsefit::config::Limits;
use sparsefit::serve::{Server, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{TestApp, config};
use crate::data::TINY;

#[tokio::test]
async fn a_server_beyond_loopback_without_keys_does_not_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut exposed = config(dir.path().join("data"));
    exposed.listen = "0.0.0.0:0".parse().expect("an address");
    let refused = Server::start(&exposed, Limits::default(), Ambient::system()).await;
    assert!(matches!(refused, Err(StartError::Exposed(_))));
    exposed.insecure_no_auth = true;
    let server = Server::start(&exposed, Limits::default(), Ambient::system()).await.expect("told to");
    server.shutdown().await;
    exposed.insecure_no_auth = false;
    let again = Server::start(&exposed, Limits::default(), Ambient::system()).await;
    assert!(matches!(again, Err(StartError::Exposed(_))), "having been told once is not having a key");
    let made = sparsefit(&exposed.data_dir, &["create", "--name", "first", "--project", "p", "--scopes", "jobs:read"]);
    assert!(made.0, "{made:?}");
    let server = Server::start(&exposed, Limits::default(), Ambient::system()).await.expect("there is a key");
    let client = Client::new(SocketAddr::from(([127, 0, 0, 1], server.addr.port())));
    assert_eq!(client.get("/api/v1/jobs").await.expect("an answer").status, 401);
    server.shutdown().await;
}

/// `sparsefit keys …` on a data directory: whether it went well, and what it said on stdout and stderr.
pub(crate) fn sparsefit(data_dir: &Path, words: &[&str]) -> (bool, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sparsefit"));
    let output = command.arg("keys").args(words).arg("--data-dir").arg(data_dir).output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = config(dir.path().join("data"));
    let first = Server::start(&config, Limits::default(), Ambient::system()).await.expect("starts");
    let client = Client::new(first.addr);
    let upload =
        client.send("POST", "/api/v1/datasets?name=tiny", &[("content-type", "text/libsvm")], TINY.into()).await.expect("an answer");
    let job = client.post_json("/api/v1/jobs", &[], &crate::app::fit("tiny", json!({}))).await.expect("an answer").json().expect("JSON");
    first.shutdown().await;
    let second = Server::start(&config, Limits::default(), Ambient::system()).await.expect("starts again");
    let client = Client::new(second.addr);
    let found = client.get("/api/v1/datasets/tiny/versions/1").await.expect("an answer");
    assert_eq!(found.json().expect("JSON"), upload.json().expect("JSON"));
    let found = client.get(job["links"]["self"].as_str().expect("a link")).await.expect("an answer").json().expect("JSON");
    assert_eq!(found["status"], "queued");
    second.shutdown().await;
}

#[tokio::test]
async fn a_waiting_request_is_answered_when_the_server_stops() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let job = app.submit("tiny", json!({})).await.expect(202).json;
    let addr = app.addr();
    let path = job["links"]["self"].as_str().expect("a link").to_owned();
    let mut stream = TcpStream::connect(addr).await.expect("connects");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nPrefer: wait=60\r\n\r\n").as_bytes()).await.expect("sends");
    // A second connection that never finishes its head must not hold the server.
    let mut half = TcpStream::connect(addr).await.expect("connects");
    half.write_all(b"GET /livez HTT").await.expect("sends");
    app.shutdown().await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the answer is whole");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"queued\""), "{answer}");
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens");
}
