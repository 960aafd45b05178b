//! Events as clients see them: pages, streams, and where both go on.

use serde_json::{Value, json};
use sparsefit::config::Limits;
use sparsefit::job::Progress;
use sparsefit::store::Ending;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{Answer, TestApp};
use crate::data::{TINY, with_model};

const STREAM: (&str, &str) = ("accept", "text/event-stream");

/// One event of a stream: id, event, data.
type Frame = (String, String, Value);

/// The events of a stream's text, chunk sizes and comments passed over.
fn frames(text: &str) -> Vec<Frame> {
    let field = |line: &str, name: &str| line.strip_prefix(name).map(str::to_owned);
    let ids = text.lines().filter_map(|line| field(line, "id: "));
    let events = text.lines().filter_map(|line| field(line, "event: "));
    let data = text.lines().filter_map(|line| field(line, "data: ")).map(|data| serde_json::from_str(&data).expect("data is JSON"));
    ids.zip(events).zip(data).map(|((id, event), data)| (id, event, data)).collect()
}

/// The same of a page of a job's events.
fn as_frames(page: &Value) -> Vec<Frame> {
    let all = page["data"].as_array().expect("a list");
    all.iter().map(|event| (event["seq"].to_string(), event["type"].as_str().expect("a type").to_owned(), event["data"].clone())).collect()
}

/// The first job of the list, and the path of its events.
async fn newest(app: &TestApp) -> (Value, String) {
    let job = app.get("/api/v1/jobs").await.expect(200).json["data"][0].clone();
    let path = job["links"]["events"].as_str().expect("a link").to_owned();
    (job, path)
}

/// A stream that stays open: what was read so far, and the socket.
struct Open {
    socket: TcpStream,
    text: String,
}

impl Open {
    async fn get(app: &TestApp, path: &str, header: &str) -> Self {
        let addr = app.addr();
        let mut socket = TcpStream::connect(addr).await.expect("connects");
        let head = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\n{header}\r\n");
        socket.write_all(head.as_bytes()).await.expect("sends");
        Self { socket, text: String::new() }
    }

    /// Reads until `enough` says so of the whole text.
    async fn until(&mut self, enough: impl Fn(&str) -> bool) -> &str {
        while !enough(&self.text) {
            let mut piece = [0; 4096];
            let n = self.socket.read(&mut piece).await.expect("readable");
            assert!(n > 0, "the stream ended: {}", self.text);
            self.text.push_str(std::str::from_utf8(&piece[..n]).expect("ASCII"));
        }
        &self.text
    }

    /// Reads on until the body is over.
    async fn rest_of_body(&mut self) -> bool {
        self.until(|text| text.ends_with("\r\n0\r\n\r\n")).await.starts_with("HTTP/1.1 200")
    }

    async fn rest(mut self) -> String {
        self.socket.read_to_string(&mut self.text).await.expect("readable");
        self.text
    }
}

#[tokio::test]
async fn a_jobs_events_are_a_list_in_pages_oldest_first() {
    let app = TestApp::start().await;
    with_model(&app).await;
    let (job, path) = newest(&app).await;
    assert_eq!(path, format!("{}/events", job["links"]["self"].as_str().expect("a link")));
    let all = app.get(&path).await.expect(200).json;
    let told: Vec<(&Value, &Value)> = all["data"].as_array().expect("a list").iter().map(|one| (&one["type"], &one["data"])).collect();
    let warning = json!({ "code": "support_not_unique", "features": ["0"] });
    assert_eq!(
        told,
        [
            (&json!("status"), &json!({ "status": "queued" })),
            (&json!("status"), &json!({ "status": "running", "attempt": 1 })),
            (&json!("progress"), &json!({ "fraction": 0.5, "eta_s": null })),
            (&json!("warning"), &warning),
            (&json!("status"), &json!({ "status": "succeeded", "model_version": "m:1" })),
        ]
    );
    assert_eq!((&all["has_more"], &all["data"][4]["seq"], &all["data"][4]["job"]), (&json!(false), &json!(5), &job["id"]));

    let mut paged = Vec::new();
    let mut next = Some(format!("{path}?after=1&limit=2"));
    while let Some(page) = next {
        let page = app.get(&page).await.expect(200);
        let link = page.header("link");
        next = link.strip_prefix('<').and_then(|link| link.split_once('>')).map(|(link, _)| link.to_owned());
        assert_eq!(page.json["has_more"], json!(next.is_some()));
        paged.extend(page.json["data"].as_array().expect("a list").clone());
    }
    assert_eq!(paged, all["data"].as_array().expect("a list")[1..]);
    let some = app.get(&format!("{path}?types=warning,progress")).await.expect(200).json;
    assert_eq!(some["data"].as_array().expect("a list").iter().map(|one| &one["seq"]).collect::<Vec<_>>(), [&json!(3), &json!(4)]);
    assert_eq!(app.get(&format!("{path}?after=99")).await.expect(200).json["data"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn a_stream_replays_exactly_the_rest_from_wherever_it_was_left() {
    let app = TestApp::start().await;
    with_model(&app).await;
    let (_, path) = newest(&app).await;
    let all = as_frames(&app.get(&path).await.expect(200).json);
    for seen in 0..=all.len() {
        let left = seen.to_string();
        let by_header = app.send("GET", &path, &[STREAM, ("last-event-id", &left)], "").await.expect(200);
        assert_eq!(by_header.header("content-type"), "text/event-stream");
        assert_eq!(by_header.header("cache-control"), "no-store");
        assert_eq!(frames(&by_header.text()), all[seen..], "after {seen}");
        let by_query = app.send("GET", &format!("{path}?after={seen}"), &[STREAM], "").await.expect(200);
        assert_eq!(frames(&by_query.text()), all[seen..], "after {seen}");
        let both = app.send("GET", &format!("{path}?after=1"), &[STREAM, ("last-event-id", &left)], "").await.expect(200);
        assert_eq!(frames(&both.text()), all[seen..], "a client that comes back asks the same address");
    }
    let some = app.send("GET", &format!("{path}?types=status"), &[STREAM], "").await.expect(200);
    assert_eq!(frames(&some.text()).iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>(), ["1", "2", "5"]);
    app.send("GET", &format!("{path}?types=checkpoint"), &[STREAM], "").await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn a_stream_follows_its_job_to_the_end() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    app.submit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202);
    let (_, path) = newest(&app).await;
    let (streamed, ()) = tokio::join!(app.send("GET", &path, &[STREAM], ""), app.work());
    let streamed = frames(&streamed.expect(200).text());
    assert_eq!(streamed.last().map(|(_, _, data)| &data["status"]), Some(&json!("succeeded")));
    assert_eq!(streamed, as_frames(&app.get(&path).await.expect(200).json));
    app.stop().await;
}

#[tokio::test]
async fn what_happens_while_a_stream_is_open_comes_through_it() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    app.submit("tiny", json!({})).await.expect(202);
    let (job, path) = newest(&app).await;
    let mut stream = Open::get(&app, &path, "").await;
    stream.until(|text| text.contains("\"queued\"")).await;
    let claim = app.store().claim("boot_test").await.expect("the store").expect("a job");
    stream.until(|text| text.contains("\"running\"")).await;
    app.store().heartbeat(&claim, &Progress { fraction: 0.25, ..Progress::default() }).await.expect("the store");
    stream.until(|text| text.contains("0.25")).await;
    app.post(job["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(202);
    stream.until(|text| text.contains("\"cancelling\"")).await;
    app.store().finish(&claim, Ending::Cancelled).await.expect("the store");
    let text = stream.until(|text| text.ends_with("\r\n0\r\n\r\n")).await.to_owned();
    assert_eq!(frames(&text), as_frames(&app.get(&path).await.expect(200).json));
    app.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    app.submit("tiny", json!({})).await.expect(202);
    let (_, path) = newest(&app).await;
    let mut one = Open::get(&app, &path, "").await;
    let mut all = Open::get(&app, "/api/v1/events", "").await;
    one.until(|text| text.contains("\"queued\"")).await;
    all.until(|text| text.contains("\"queued\"")).await;
    app.shutdown().await;
    for text in [one.rest().await, all.rest().await] {
        assert!(text.ends_with("\r\n0\r\n\r\n"), "the body is whole: {text}");
    }
}

#[tokio::test]
async fn events_of_a_job_that_is_gone_are_gone() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    app.submit("tiny", json!({})).await.expect(202);
    let (job, path) = newest(&app).await;
    app.post(job["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(200);
    assert_eq!(app.get("/api/v1/events").await.expect(200).json["data"].as_array().map(Vec::len), Some(2));
    app.delete(job["links"]["self"].as_str().expect("a link")).await.expect(204);
    app.get(&path).await.expect_problem(404, "not_found");
    app.send("GET", &path, &[STREAM], "").await.expect_problem(404, "not_found");
    app.get("/api/v1/jobs/job_x/events").await.expect_problem(404, "not_found");
    assert_eq!(app.get("/api/v1/events").await.expect(200).json["data"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() {
    let app = TestApp::start().await;
    with_model(&app).await;
    let (_, path) = newest(&app).await;
    for bad in ["", "x", "-1", "1.0", "+1", "6", "99999999999999999999"] {
        app.send("GET", &path, &[STREAM, ("last-event-id", bad)], "").await.expect_problem(400, "malformed_header");
    }
    for bad in ["", "7", "00"] {
        app.send("GET", "/api/v1/events", &[STREAM, ("last-event-id", bad)], "").await.expect_problem(400, "malformed_header");
    }
    app.send("GET", &format!("{path}?after=6"), &[STREAM], "").await.expect_problem(422, "invalid_parameter");
    for bad in ["after=-1", "after=x", "types=", "types=status,,log", "types=state", "limit=0", "sort=id"] {
        app.get(&format!("{path}?{bad}")).await.expect(422);
    }
    app.get(&format!("{path}?cursor=00")).await.expect_problem(400, "invalid_cursor");
    app.get("/api/v1/events?cursor=00").await.expect_problem(400, "invalid_cursor");
    app.get("/api/v1/events?after=1").await.expect_problem(422, "invalid_parameter");
    for path in [&*path, "/api/v1/events"] {
        app.send("GET", path, &[("accept", "text/html")], "").await.expect_problem(406, "not_acceptable");
    }
    app.send("GET", "/api/v1/jobs", &[STREAM], "").await.expect_problem(406, "not_acceptable");
    app.stop().await;
}

#[tokio::test]
async fn the_events_of_a_project_are_one_list_and_one_stream_that_go_on_where_they_were_left() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    for _ in 0..2 {
        app.submit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202);
    }
    app.work().await;
    let all = app.get("/api/v1/events?types=status&limit=100").await.expect(200).json;
    let all = all["data"].as_array().expect("a list");
    let word = |event: &Value| event["data"]["status"].as_str().expect("a status").to_owned();
    assert_eq!(all.iter().map(word).collect::<Vec<_>>(), ["queued", "queued", "running", "succeeded", "running", "succeeded"]);
    let after = |at: usize| all[at]["cursor"].as_str().expect("a cursor");
    let rest = app.get(&format!("/api/v1/events?types=status&cursor={}", after(2))).await.expect(200).json;
    assert_eq!(rest["data"].as_array().map(Vec::as_slice), Some(&all[3..]));
    let first = app.get("/api/v1/events?types=status&limit=3").await.expect(200).json;
    assert_eq!((&first["has_more"], &first["next_cursor"]), (&json!(true), &all[2]["cursor"]));

    let header = format!("Last-Event-ID: {}\r\n", after(3));
    let mut stream = Open::get(&app, "/api/v1/events?types=status", &header).await;
    stream.until(|text| frames(text).len() == 2).await;
    app.submit("tiny", json!({})).await.expect(202);
    let seen = frames(stream.until(|text| frames(text).len() == 3).await);
    let page = app.get("/api/v1/events?types=status&limit=100").await.expect(200).json;
    let expected = page["data"].as_array().expect("a list")[4..]
        .iter()
        .map(|event| (event["cursor"].as_str().expect("a cursor").to_owned(), "status".to_owned(), event.clone()));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    app.shutdown().await;
}

#[tokio::test]
async fn streams_are_counted_and_a_place_is_free_when_its_client_left() {
    let app = TestApp::start_with(Limits { streams: 1, ..Limits::default() }).await;
    app.upload("tiny", TINY).await.expect(201);
    app.submit("tiny", json!({})).await.expect(202);
    let (job, path) = newest(&app).await;
    let mut stream = Open::get(&app, &path, "").await;
    stream.until(|text| text.contains("\"queued\"")).await;
    let refused = app.send("GET", &path, &[STREAM], "").await.expect_problem(503, "too_many_streams");
    assert_eq!((refused.header("retry-after"), &refused.json["retryable"]), ("2", &json!(true)));
    app.get(&path).await.expect(200);
    app.post(job["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(200);
    stream.until(|text| text.ends_with("\r\n0\r\n\r\n")).await;
    let again = async {
        loop {
            let answer: Answer = app.send("GET", &path, &[STREAM], "").await;
            if answer.status == 200 {
                return answer;
            }
        }
    };
    assert_eq!(frames(&again.await.text()).len(), 2);
    app.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_revoked() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    app.submit("tiny", json!({})).await.expect(202);
    let (_, path) = newest(&app).await;
    let mut open = Open::get(&app, &path, "").await;
    open.until(|text| text.contains("\"queued\"")).await;
    let owner = app.post("/api/v1/keys", &json!({ "name": "owner", "scopes": ["admin"] })).await.expect(201).json;
    assert!(open.rest_of_body().await, "without a key nobody sees anything from the first key on");
    let owner = format!("Bearer {}", owner["key"].as_str().expect("a key"));
    let wish = json!({ "name": "reader", "scopes": ["jobs:read"] }).to_string();
    let headers = [("authorization", owner.as_str()), ("content-type", "application/json")];
    let reader = app.send("POST", "/api/v1/keys", &headers, wish).await.expect(201).json;
    let bearer = format!("Authorization: Bearer {}\r\n", reader["key"].as_str().expect("a key"));
    let mut stream = Open::get(&app, &path, &bearer).await;
    stream.until(|text| text.contains("\"queued\"")).await;
    let key = format!("/api/v1/keys/{}", reader["id"].as_str().expect("an id"));
    app.send("DELETE", &key, &[("authorization", &owner)], "").await.expect(204);
    assert!(stream.rest_of_body().await);
    app.shutdown().await;
}

#[tokio::test]
async fn a_job_that_did_not_change_is_not_sent_again() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let first = app.submit("tiny", json!({})).await.expect(202).json;
    let second = app.submit("tiny", json!({})).await.expect(202).json;
    let path = second["links"]["self"].as_str().expect("a link");
    let tag_now = async || app.get(path).await.expect(200).header("etag").to_owned();
    let tag = tag_now().await;
    let unchanged = app.send("GET", path, &[("if-none-match", &tag)], "").await.expect(304);
    assert_eq!((unchanged.header("etag"), unchanged.header("retry-after"), unchanged.text().len()), (&*tag, "1", 0));
    // the job before it goes: nothing of its own row changed, but its place in the queue did
    app.post(first["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(200);
    let moved = tag_now().await;
    let claim = app.store().claim("boot_test").await.expect("the store").expect("a job");
    let running = tag_now().await;
    app.store().heartbeat(&claim, &Progress { fraction: 0.5, ..Progress::default() }).await.expect("the store");
    let further = tag_now().await;
    app.store().heartbeat(&claim, &Progress { fraction: 0.5, ..Progress::default() }).await.expect("the store");
    assert_eq!(tag_now().await, further, "a sign of life is no change");
    app.store().finish(&claim, Ending::HandedBack).await.expect("the store");
    app.post(second["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(200);
    let mut tags = vec![tag, moved, running, further, tag_now().await];
    let all = tags.len();
    tags.dedup();
    assert_eq!(tags.len(), all, "{tags:?}");
    app.stop().await;
}

#[tokio::test]
async fn the_latest_version_has_a_tag_that_knows_of_the_others() {
    let app = TestApp::start().await;
    with_model(&app).await;
    app.upload("tiny", TINY).await.expect(201);
    for path in ["/api/v1/datasets/tiny", "/api/v1/models/m"] {
        let tag = app.get(path).await.expect(200).header("etag").to_owned();
        app.send("GET", path, &[("if-none-match", &tag)], "").await.expect(304);
    }
    let before = app.get("/api/v1/datasets/tiny").await.expect(200).header("etag").to_owned();
    app.delete("/api/v1/datasets/tiny/versions/1").await.expect(204);
    let after = app.send("GET", "/api/v1/datasets/tiny", &[("if-none-match", &before)], "").await.expect(200);
    assert_eq!(after.json["versions"], json!([2]));
    app.stop().await;
}
