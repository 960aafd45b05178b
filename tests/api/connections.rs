//! Connections of clients that are slow, silent or many: each is closed in its time, and the others are served meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sparsefit::config::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::TestApp;
use crate::data::TINY;

/// No clock but those that a test sets runs out while it runs.
fn patient() -> Limits {
    let mut limits = Limits::default();
    for clock in [
        &mut limits.time.head_ms,
        &mut limits.time.idle_ms,
        &mut limits.time.body_grace_ms,
        &mut limits.time.pause_ms,
        &mut limits.time.request_ms,
    ] {
        *clock = 3_600_000;
    }
    limits.time.linger_ms = 0;
    limits
}

async fn connect(app: &TestApp) -> TcpStream {
    TcpStream::connect(app.addr()).await.expect("connects")
}

/// What still comes until the server closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // a reset is a way to close
    let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer, whose body has a length.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let seen = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = seen.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().expect("a number"));
            if body.len() >= length {
                return seen;
            }
        }
        text.push(stream.read_u8().await.expect("an answer"));
    }
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for_and_others_are_served_meanwhile() {
    let mut limits = patient();
    limits.time.head_ms = 200;
    let app = TestApp::start_with(limits).await;
    let mut slow = Vec::new();
    for half in ["", "GET /livez HTT", "POST /api/v1/datasets?name=d HTTP/1.1\r\nHost: localhost\r\nA: "] {
        let mut stream = connect(&app).await;
        stream.write_all(half.as_bytes()).await.expect("sends");
        slow.push(stream);
        app.get("/livez").await.expect(200);
    }
    for stream in slow {
        assert_eq!(rest(stream).await, "", "nothing was asked");
    }
    app.get("/livez").await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn a_head_that_trickles_is_not_waited_for_either() {
    let mut limits = patient();
    limits.time.head_ms = 200;
    let app = TestApp::start_with(limits).await;
    let mut stream = connect(&app).await;
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n").await.expect("sends");
    // a byte now and then until the server closes: were the clock set anew by a byte, this would not end
    let trickling = async {
        while stream.write_all(b"A: b\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await
        }
    };
    tokio::time::timeout(Duration::from_secs(60), trickling).await.expect("the server closes");
    app.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_one_with_a_request_is_not() {
    let mut limits = patient();
    limits.time.idle_ms = 200;
    let app = TestApp::start_with(limits).await;
    app.upload("tiny", TINY).await.expect(201);
    let job = app.submit("tiny", json!({})).await.expect(202).json;
    let path = job["links"]["self"].as_str().expect("a link");
    let mut waiting = connect(&app).await;
    waiting.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=60\r\n\r\n").as_bytes()).await.expect("sends");
    let mut idle = connect(&app).await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sends");
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(idle).await, "", "closed without a word");
    // longer idle than is allowed, but somebody is waited for
    app.work().await;
    assert!(answer(&mut waiting).await.starts_with("HTTP/1.1 200"));
    app.stop().await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_with_408_and_leaves_no_trace() {
    let mut limits = patient();
    limits.time.body_grace_ms = 200;
    let app = TestApp::start_with(limits).await;
    for (path, media) in [("/api/v1/datasets?name=d", "text/libsvm"), ("/api/v1/jobs", "application/json")] {
        let mut stream = connect(&app).await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\nContent-Length: 1000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sends");
        let (mut reading, mut writing) = stream.into_split();
        let trickling = tokio::spawn(async move {
            while writing.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(60), reading.read_to_end(&mut answer)).await.expect("the server closes");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"body_too_slow\""), "{path}: {answer}");
        assert!(answer.contains("connection: close"), "{path}: {answer}");
        drop(reading);
        trickling.await.expect("ends with the connection");
    }
    assert_eq!(app.stored().await, json!([[], [], []]));
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_let_go() {
    let mut limits = patient();
    limits.time.pause_ms = 200;
    let app = TestApp::start_with(limits).await;
    let stream = connect(&app).await;
    let (reading, mut writing) = stream.into_split();
    // asks until nothing is taken any more, and then still until the server closes
    let asking = async { while writing.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n").await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect("the server closes");
    app.get("/livez").await.expect(200);
    drop(reading);
    app.stop().await;
}

#[tokio::test]
async fn one_address_with_too_many_connections_is_told_so_and_the_others_stay() {
    let app = TestApp::start_with(Limits { connections_per_address: 3, ..patient() }).await;
    let mut held = Vec::new();
    app.get("/livez").await.expect(200);
    for _ in 0..2 {
        let mut stream = connect(&app).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sends");
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        held.push(stream);
    }
    let refused = rest(connect(&app).await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.to_lowercase().contains("retry-after"), "{refused}");
    app.get("/livez").await.expect(200);
    held.clear();
    // what they held is free again, as soon as the server has seen them go
    let again = async {
        loop {
            let mut stream = connect(&app).await;
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sends");
            let mut first = [0; 12];
            if stream.read_exact(&mut first).await.is_ok() && &first == b"HTTP/1.1 200" {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.expect("a place");
    app.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_lets_requests_in_flight_end() {
    let mut limits = patient();
    limits.time.linger_ms = 3000;
    limits.time.drain_ms = 3_600_000;
    let app = Arc::new(TestApp::start_with(limits).await);
    let head = format!(
        "POST /api/v1/datasets?name=d HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/libsvm\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        TINY.len()
    );
    let mut uploading = connect(&app).await;
    uploading.write_all(head.as_bytes()).await.expect("sends");
    // it is in flight once its body is asked for
    assert!(answer(&mut uploading).await.starts_with("HTTP/1.1 100"));
    let mut half = connect(&app).await;
    half.write_all(b"GET /livez HTT").await.expect("sends");
    let mut idle = connect(&app).await;
    let ask = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    idle.write_all(ask).await.expect("sends");
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    let addr = app.addr();
    let app = Arc::into_inner(app).expect("nobody else has it");
    let stopping = tokio::spawn(app.shutdown());
    // from the word on, and while it still listens, it says that it is not ready, and closes
    loop {
        let mut asked = TcpStream::connect(addr).await.expect("it still listens");
        asked.write_all(ask).await.expect("sends");
        let text = answer(&mut asked).await;
        if text.starts_with("HTTP/1.1 503") {
            assert!(text.contains("\"draining\":true") && text.contains("connection: close"), "{text}");
            break;
        }
    }
    // kept alive: the same, and a job is not admitted
    idle.write_all(b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await.expect("sends");
    let refused = rest(idle).await;
    assert!(refused.contains("\"shutting_down\"") && refused.contains("retry-after"), "{refused}");
    assert_eq!(rest(half).await, "", "a half-read head is not waited for");
    uploading.write_all(TINY.as_bytes()).await.expect("sends");
    let stored = rest(uploading).await;
    assert!(stored.starts_with("HTTP/1.1 201") && stored.contains("connection: close"), "{stored}");
    stopping.await.expect("stops");
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens");
}

/// Asks one thing after another, as a well-behaved client does, until nobody takes a connection any more; answers how
/// often it was answered.
async fn ask_until_the_end(addr: SocketAddr) -> usize {
    let mut answers = 0;
    while let Ok(mut stream) = TcpStream::connect(addr).await {
        let ask = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n";
        // the system takes connections for a listener that is just going away; that is nobody's request yet
        if stream.write_all(ask).await.is_err() || !stream.peek(&mut [0]).await.is_ok_and(|bytes| bytes > 0) {
            break;
        }
        loop {
            let text = answer(&mut stream).await;
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            answers += 1;
            if text.contains("connection: close") {
                break;
            }
            stream.write_all(ask).await.expect("a connection that was not said to close takes a request");
        }
    }
    answers
}

#[tokio::test]
async fn no_request_fails_because_the_server_stops() {
    let mut limits = patient();
    limits.time.linger_ms = 2000;
    let app = TestApp::start_with(limits).await;
    let addr = app.addr();
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(ask_until_the_end(addr))).collect();
    app.get("/livez").await.expect(200);
    app.shutdown().await;
    for client in clients {
        assert!(client.await.expect("no request failed") > 0);
    }
}
