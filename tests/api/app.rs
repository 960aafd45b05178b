//! A server of one test's own, and a client that checks every answer against the contract.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sparsefit::ambient::Ambient;
use sparsefit::client::{Client, Response};
use sparsefit::config::{Config, Limits, QuotaOptions, TimeLimits};
use sparsefit::job::Status;
use sparsefit::serve::Server;
use sparsefit::store::{JobFilter, Store};
use sparsefit::worker::{self, Worked};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::schema;

/// No exchange of a test takes this long; one that does has failed. Never part of what is asserted.
const LONGEST: Duration = Duration::from_secs(60);

/// A server on a free port over a temporary store. Work is stepped by the test with [`TestApp::work`].
pub(crate) struct TestApp {
    server: Server,
    client: Client,
    seen: Mutex<BTreeSet<(String, String, u16)>>,
    dir: TempDir,
}

/// An answer, already found to be as documented.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) json: Value,
    response: Response,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.response.header(name).unwrap_or("")
    }

    pub(crate) fn text(&self) -> String {
        self.response.text()
    }

    /// Fails, with the whole answer, unless it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} {}", self.response.status, self.response.text());
        self
    }

    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.json["code"], code, "{}", answer.json);
        answer
    }
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(mut limits: Limits) -> Self {
        if limits.time == TimeLimits::default() {
            // nobody needs to be told of the end of a test
            limits.time.linger_ms = 0;
        }
        Self::start_in(limits, Ambient::system()).await
    }

    /// As [`TestApp::start_with`], with a clock or randomness of the test's own.
    pub(crate) async fn start_in(limits: Limits, ambient: Ambient) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = config(dir.path().join("data"));
        let server = Server::start(&config, limits, ambient).await.expect("the server starts");
        let client = Client::new(server.addr);
        Self { server, client, seen: Mutex::default(), dir }
    }

    /// A server with a configuration, a clock and randomness of the test's own.
    pub(crate) async fn start_configured(change: impl FnOnce(&mut Config), ambient: Ambient) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = config(dir.path().join("data"));
        change(&mut config);
        let server = Server::start(&config, Limits::default(), ambient).await.expect("the server starts");
        let client = Client::new(server.addr);
        Self { server, client, seen: Mutex::default(), dir }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn store(&self) -> &Store {
        self.server.store()
    }

    /// Works the queue until it is empty, on this thread.
    pub(crate) async fn work(&self) {
        while worker::run_one(self.store(), "boot_test", 1).await.expect("the worker can go on") == Worked::Job {}
    }

    /// One exchange, checked against the contract.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let exchange = self.client.send(method, path, headers, body.into());
        let response = tokio::time::timeout(LONGEST, exchange).await.expect("an answer in time").expect("an answer");
        self.checked(method, path, response)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Bytes::new()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Uploads LIBSVM text.
    pub(crate) async fn upload(&self, name: &str, text: &str) -> Answer {
        let path = format!("/api/v1/datasets?name={name}");
        self.send("POST", &path, &[("content-type", "text/libsvm")], text.to_owned()).await
    }

    /// Submits a fit of model `m` on data set `dataset`.
    pub(crate) async fn submit(&self, dataset: &str, spec: Value) -> Answer {
        self.post("/api/v1/jobs", &fit(dataset, spec)).await
    }

    fn checked(&self, method: &str, path: &str, response: Response) -> Answer {
        let status = response.status.as_u16();
        let json = response.json().unwrap_or(Value::Null);
        let template = schema::check(method, path, &response, &json);
        self.seen.lock().expect("no test panicked with it").insert((method.to_owned(), template, status));
        Answer { status, json, response }
    }

    /// Route, method and status of every answer so far.
    pub(crate) fn seen(&self) -> BTreeSet<(String, String, u16)> {
        self.seen.lock().expect("no test panicked with it").clone()
    }

    /// Sends bytes as they are, and reads until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let exchange = async {
            let mut stream = TcpStream::connect(self.addr()).await.expect("connects");
            // The server may close before it has read everything; what it answered counts.
            let _ = stream.write_all(bytes).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::time::timeout(LONGEST, exchange).await.expect("the server closes the connection")
    }

    /// Sends bytes as they are, and goes away without waiting for an answer.
    pub(crate) async fn raw_and_leave(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.addr()).await.expect("connects");
        stream.write_all(bytes).await.expect("the server reads");
        stream.shutdown().await.expect("closes");
        // The server closes as well, once it has seen that nothing more will come.
        let gone = tokio::time::timeout(LONGEST, stream.read_to_end(&mut Vec::new())).await;
        assert!(gone.is_ok(), "the server closes the connection");
    }

    /// Everything that is stored, as lists show it.
    pub(crate) async fn stored(&self) -> Value {
        let mut all = Vec::new();
        for list in ["datasets", "jobs", "models"] {
            all.push(self.get(&format!("/api/v1/{list}?limit=1000")).await.expect(200).json["data"].clone());
        }
        json!(all)
    }

    /// The files of data sets and models.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let directory = self.dir.path().join("data/blobs");
        let mut files: Vec<_> = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }

    /// Ends the test: no job is left open, and the server stops when told.
    pub(crate) async fn stop(self) {
        for status in [Status::Queued, Status::Running] {
            let filter = JobFilter { status: Some(status), ..JobFilter::default() };
            let open = self.store().jobs("default", &filter, None, 1).await.expect("the store answers");
            assert!(open.items.is_empty(), "a job was left open: {:?}", open.items);
        }
        self.server.shutdown().await;
    }

    /// Stops the server whatever is open.
    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

/// The configuration of a test's server: a free port, no workers of its own.
pub(crate) fn config(data_dir: PathBuf) -> Config {
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir,
        database_url: None,
        workers: 0,
        fit_threads: 1,
        fit_memory_mb: None,
        insecure_no_auth: false,
        hosts: Vec::new(),
        requests_per_second: 0,
        quotas: QuotaOptions::default(),
        webhook_allow_net: Vec::new(),
        otlp_endpoint: None,
        log_json: false,
        log: "error".into(),
    }
}

/// The body of a job that fits model `m`.
pub(crate) fn fit(dataset: &str, spec: Value) -> Value {
    json!({ "type": "fit", "model": "m", "dataset": { "name": dataset }, "spec": spec })
}

/// The same JSON with every number as a double: 1 and 1.0 are one number to a client.
pub(crate) fn doubles(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(doubles).collect(),
        Value::Object(fields) => fields.iter().map(|(key, field)| (key.clone(), doubles(field))).collect(),
        other => other.clone(),
    }
}
