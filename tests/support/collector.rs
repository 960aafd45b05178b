//! A collector that speaks OTLP over HTTP: hears whole messages and keeps their spans as plain facts.

#![allow(dead_code)] // shared by test binaries, none of which uses all of it

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is told of one span; ids are hexadecimal.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) span: String,
    /// Empty for the first of a trace.
    pub(crate) parent: String,
    /// As OTLP numbers them: 1 internal, 2 server, 5 consumer.
    pub(crate) kind: i32,
    pub(crate) failed: bool,
    /// The life of the process that tells of it.
    pub(crate) instance: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// See the head of this file; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Told>>>,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Listens on loopback.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (heard, heads) = (Arc::<Mutex<Vec<Told>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (tell, note) = (heard.clone(), heads.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(hear(stream, tell.clone(), note.clone()));
            }
        });
        Self { address, heard, heads, task }
    }

    /// What a server is told to send to.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Told> {
        self.heard.lock().expect("no test panicked with it").clone()
    }

    /// The heads of all messages so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no test panicked with it").clone()
    }

    /// The only span of this name in this trace.
    #[track_caller]
    pub(crate) fn one(&self, trace: &str, name: &str) -> Told {
        let all = self.spans();
        let mut found = all.iter().filter(|told| told.trace == trace && told.name == name);
        let (Some(one), None) = (found.next(), found.next()) else { panic!("not one {name} of {trace} in {all:#?}") };
        one.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hear(mut stream: TcpStream, tell: Arc<Mutex<Vec<Told>>>, note: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                break (head, bytes[end + 4..end + 4 + length].to_vec());
            }
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    };
    let message = ExportTraceServiceRequest::decode(body.as_slice()).expect("an OTLP message");
    for of_resource in message.resource_spans {
        let mut resource = attributes(of_resource.resource.expect("it says who tells").attributes);
        assert_eq!(resource.get("service.name").map(String::as_str), Some("sparsefit"));
        let instance = resource.remove("service.instance.id").expect("one life of the process");
        let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        tell.lock().expect("no test panicked with it").extend(spans.map(|span| told(span, &instance)));
    }
    note.lock().expect("no test panicked with it").push(head);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n").await;
    let _ = stream.read_to_end(&mut bytes).await;
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs.into_iter().filter_map(|pair| Some((pair.key, text(pair.value?.value?)))).collect()
}

fn told(span: Span, instance: &str) -> Told {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(span.start_time_unix_nano > 0 && span.end_time_unix_nano > 0, "{span:?}");
    Told {
        name: span.name,
        trace: hex(&span.trace_id),
        span: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        kind: span.kind,
        failed: span.status.is_some_and(|status| status.code == 2),
        instance: instance.to_owned(),
        attributes: attributes(span.attributes),
    }
}
