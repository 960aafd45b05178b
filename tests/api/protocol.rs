//! The protocol itself, over raw sockets: what no well-behaved client sends.

use sparsefit::config::Limits;

use crate::app::TestApp;
use crate::data::TINY;

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[tokio::test]
async fn requests_that_no_parser_should_trust_are_refused_and_the_connection_closed() {
    let app = TestApp::start().await;
    let host = format!("Host: {}\r\n", app.addr());
    let rows: Vec<(&str, String, &[&str])> = vec![
        ("70 two lengths", format!("POST /api/v1/jobs HTTP/1.1\r\n{host}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"), &["400"]),
        ("70 negative length", format!("POST /api/v1/jobs HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"), &["400"]),
        ("70 huge length", format!("POST /api/v1/jobs HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n"), &["400"]),
        ("70 bare line feed", format!("GET /livez HTTP/1.1\n{host}\r\n"), &["400"]),
        ("70 bare line feed among headers", format!("GET /livez HTTP/1.1\r\n{host}A: b\nC: d\r\n\r\n"), &["400"]),
        (
            "70 chunked, then a length",
            format!("POST /api/v1/jobs HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
            &["400"],
        ),
        ("70 NUL in a header", format!("GET /livez HTTP/1.1\r\n{host}A: \0\r\n\r\n"), &["400"]),
        ("70 no host", "GET /livez HTTP/1.1\r\n\r\n".into(), &["400"]),
        ("70 two hosts", format!("GET /livez HTTP/1.1\r\n{host}{host}\r\n"), &["400"]),
        ("70 absolute URI of another host", format!("GET http://evil.example/livez HTTP/1.1\r\n{host}\r\n"), &["400"]),
        ("71 many headers", format!("GET /livez HTTP/1.1\r\n{host}{}\r\n", "A: b\r\n".repeat(200)), &["431"]),
        ("71 long header", format!("GET /livez HTTP/1.1\r\n{host}A: {}\r\n\r\n", "b".repeat(64 << 10)), &["431"]),
        ("71 long URI", format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(64 << 10)), &["414"]),
        ("71 too long for the buffer", format!("GET /livez HTTP/1.1\r\n{host}A: {}\r\n\r\n", "b".repeat(1 << 20)), &["431", "none"]),
        ("72 foreign host", "GET /livez HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".into(), &["421"]),
        ("73 HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), &["400", "505", "none"]),
        ("73 random bytes", "\u{7f}\u{1}\u{2}no http\r\n\r\n".into(), &["400", "none"]),
    ];
    for (about, bytes, allowed) in rows {
        let answer = app.raw(bytes.as_bytes()).await;
        assert!(allowed.contains(&status(&answer)), "{about}: {answer}");
        app.get("/livez").await.expect(200);
    }
    let hello = app.raw(&[0x16, 0x03, 0x01, 0x00, 0x05, 0x01, 0x00, 0x00, 0x01, 0x00]).await;
    assert!(["400", "none"].contains(&status(&hello)), "73 TLS hello: {hello}");
    app.stop().await;
}

#[tokio::test]
async fn a_length_beside_chunks_is_refused_and_what_follows_is_not_answered() {
    let app = TestApp::start().await;
    let smuggled = "0\r\n\r\nGET /version HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let bytes = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}",
        smuggled.len()
    );
    let answer = app.raw(bytes.as_bytes()).await;
    assert_eq!(status(&answer), "400", "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "what follows is not answered: {answer}");
    app.stop().await;
}

#[tokio::test]
async fn too_long_a_body_is_refused_before_it_is_sent_when_the_client_asks_first() {
    let app = TestApp::start().await;
    let bytes = format!(
        "POST /api/v1/datasets?name=d HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/libsvm\r\nContent-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        u64::from(u32::MAX) * 4
    );
    let answer = app.raw(bytes.as_bytes()).await;
    assert_eq!(status(&answer), "413", "no 100 comes first: {answer}");
    assert!(answer.contains("payload_too_large"), "{answer}");
    app.stop().await;
}

#[tokio::test]
async fn a_chunked_body_that_passes_the_limit_midway_is_refused_without_a_trace() {
    let mut limits = Limits::default();
    limits.upload.decoded_bytes = 1000;
    let app = TestApp::start_with(limits).await;
    let chunk = format!("{:x}\r\n{}\r\n", 600, " ".repeat(600));
    let bytes = format!(
        "POST /api/v1/datasets?name=d HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/libsvm\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let answer = app.raw(bytes.as_bytes()).await;
    assert_eq!(status(&answer), "413", "{answer}");
    assert_eq!(app.get("/api/v1/datasets").await.json["data"], serde_json::json!([]));
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_midway_leaves_no_trace() {
    let app = TestApp::start().await;
    let bytes = format!(
        "POST /api/v1/datasets?name=d HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/libsvm\r\nContent-Length: 1000\r\n\r\n{TINY}"
    );
    app.raw_and_leave(bytes.as_bytes()).await;
    app.get("/api/v1/datasets/d").await.expect_problem(404, "not_found");
    assert_eq!(app.stored().await, serde_json::json!([[], [], []]));
    app.store().sweep(std::time::Duration::ZERO).await.expect("the store answers");
    assert!(app.files().is_empty(), "no file is left: {:?}", app.files());
    app.stop().await;
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let app = TestApp::start().await;
    let one = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = app.raw(format!("{one}{one}{last}").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    app.stop().await;
}
