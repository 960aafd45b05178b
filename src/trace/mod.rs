//! Spans on their way to a collector (OTLP over HTTP), when there is one: what a request and an attempt at a job took.
//!
//! Whoever does the work begins a [`Span`] and lets it go; everything else happens on a thread of its own, from a queue
//! that is bounded. Without a collector nothing is made: a span is then an empty value. Never given project names, keys,
//! bodies, or names of a client's making.

mod export;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, IdGenerator, Sampler, SdkTracer, SdkTracerProvider};

pub use export::Endpoint;

use crate::ambient::Ambient;
use crate::traceparent::Traceparent;

/// Spans that wait for the collector; more are dropped, counted by the library and said in the log.
const QUEUE_MAX: usize = 4096;
/// Spans of one message.
const BATCH_MAX: usize = 512;
/// They are sent this often, or when there are enough for a message.
const EVERY: Duration = Duration::from_secs(2);
/// What is left at a graceful stop is sent within this time, or not at all.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// Which side of an exchange a span tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Answers a request.
    Server,
    /// Does what was left in a queue.
    Consumer,
    /// Neither: a part of something.
    Part,
}

/// Where spans go; cheap to clone, and nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Sending>>);

#[derive(Debug)]
struct Sending {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    ambient: Ambient,
}

impl Traces {
    /// Spans of this life of the process (`instance`) go to the endpoint, if there is one.
    ///
    /// # Errors
    /// Says what is wrong with the environment's `OTEL_EXPORTER_OTLP_…`.
    pub fn to(endpoint: Option<&Endpoint>, instance: &str, ambient: &Ambient) -> Result<Self, String> {
        let Some(endpoint) = endpoint else { return Ok(Self::default()) };
        let exporter = export::exporter(endpoint)?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(EVERY)
            .build();
        let resource = Resource::builder_empty()
            .with_service_name(env!("CARGO_PKG_NAME"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            // whoever asks decides whether a trace is recorded; one that begins here is
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_id_generator(Ids(ambient.clone()))
            .with_resource(resource)
            .build();
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        Ok(Self(Some(Arc::new(Sending { provider, tracer, ambient: ambient.clone() }))))
    }

    /// Begins a span below `parent`, or one that begins a trace. It ends when it is dropped.
    pub fn begin(&self, name: impl FnOnce() -> String, side: Side, parent: Option<&Traceparent>) -> Span {
        let Some(sending) = &self.0 else { return Span(None) };
        let kind = match side {
            Side::Server => SpanKind::Server,
            Side::Consumer => SpanKind::Consumer,
            Side::Part => SpanKind::Internal,
        };
        let builder = SpanBuilder::from_name(name()).with_kind(kind).with_start_time(now(&sending.ambient));
        let span = sending.tracer.build_with_context(builder, &below(parent));
        Span(Some(Box::new(Open { span, sending: Arc::clone(sending) })))
    }

    /// Sends what waits, within bounds; what is begun after that goes nowhere.
    pub async fn shutdown(&self) {
        let Some(sending) = self.0.clone() else { return };
        // the library waits on the thread that asks
        let last = tokio::task::spawn_blocking(move || sending.provider.shutdown_with_timeout(LAST_WORDS));
        if !matches!(last.await, Ok(Ok(()))) {
            tracing::warn!("the last spans could not be sent in time");
        }
    }
}

/// A span under way, or nothing where nobody collects.
#[derive(Debug)]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    span: opentelemetry_sdk::trace::Span,
    sending: Arc<Sending>,
}

impl Span {
    /// Says something more of it; the value is made only if somebody collects.
    pub fn put<V: Into<Value>>(&mut self, name: &'static str, value: impl FnOnce() -> V) {
        if let Some(open) = &mut self.0 {
            open.span.set_attribute(KeyValue::new(name, value()));
        }
    }

    /// It went wrong, in one word.
    pub fn fail(&mut self, word: &'static str) {
        if let Some(open) = &mut self.0 {
            open.span.set_status(Status::error(word));
        }
    }

    /// Where those go on whom it asks for something; none where nobody collects.
    pub fn traceparent(&self) -> Option<Traceparent> {
        let context = self.0.as_ref()?.span.span_context();
        let (trace, span) = (u128::from_be_bytes(context.trace_id().to_bytes()), u64::from_be_bytes(context.span_id().to_bytes()));
        Some(Traceparent { trace, span, sampled: context.is_sampled() })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.span.end_with_timestamp(now(&self.sending.ambient));
    }
}

/// The library's context of a span below another.
fn below(parent: Option<&Traceparent>) -> Context {
    let Some(parent) = parent else { return Context::new() };
    let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace, span) = (TraceId::from(parent.trace), SpanId::from(parent.span));
    Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, TraceState::default()))
}

fn now(ambient: &Ambient) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(ambient.now_micros()).unwrap_or(0))
}

/// Ids from the randomness that is handed down.
#[derive(Debug)]
struct Ids(Ambient);

impl Ids {
    fn some<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.random.fill(&mut bytes);
        // zero means none
        bytes[N - 1] |= u8::from(bytes.iter().all(|byte| *byte == 0));
        bytes
    }
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        TraceId::from_bytes(self.some())
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from_bytes(self.some())
    }
}
