//! Who may know whom: the import table. `ARCHITECTURE.md` shows the same rows, and a test compares the two.

/// What one room may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// The ring it lies in.
    pub(crate) ring: &'static str,
    /// A file or folder directly under `src/`.
    pub(crate) room: &'static str,
    /// Our rooms it may import, besides itself.
    pub(crate) ours: &'static str,
    /// Crates it may name.
    pub(crate) theirs: &'static str,
}

const fn rule(ring: &'static str, room: &'static str, ours: &'static str, theirs: &'static str) -> Rule {
    Rule { ring, room, ours, theirs }
}

/// One row a room, from the ground up.
pub(crate) const RULES: &[Rule] = &[
    rule("ground", "ambient", "", "getrandom time"),
    rule("ground", "id", "ambient", "serde time"),
    rule("ground", "fault", "", ""),
    rule("ground", "json", "fault", "serde serde_json"),
    rule("ground", "measure", "", "prometheus_client"),
    rule("ground", "tls", "", "rustls rustls_native_certs tokio_rustls tracing"),
    rule("ground", "traceparent", "", ""),
    rule("ground", "numeric", "", ""),
    rule("numbers", "matrix", "", "bytemuck memmap2"),
    rule("numbers", "solver", "matrix numeric", "ndarray sprs thiserror"),
    rule("numbers", "tree", "matrix numeric", "ndarray thiserror"),
    rule("numbers", "network", "matrix numeric", "thiserror"),
    rule("numbers", "plot", "", ""),
    rule(
        "domain",
        "dataset",
        "fault json matrix",
        "bytemuck fast_float2 flate2 memchr memmap2 serde serde_json sha2 tempfile thiserror zstd",
    ),
    rule("domain", "access", "ambient id", "serde sha2 subtle"),
    rule("domain", "job", "id traceparent", "serde serde_json"),
    rule("domain", "hook", "job", ""),
    rule("domain", "spec", "dataset fault hook job json numeric", "serde serde_json"),
    rule("domain", "model", "dataset fault job json numeric spec", "memchr serde serde_json sha2"),
    rule("domain", "report", "dataset job model", "serde serde_json"),
    rule("domain", "train", "dataset fault job matrix model network numeric solver spec tree", "ndarray serde_json sha2 sprs thiserror"),
    rule(
        "storage",
        "store",
        "access ambient dataset fault hook id job matrix model spec traceparent",
        "futures_util rustix serde serde_json sha2 sqlx tempfile thiserror time tokio tracing",
    ),
    rule(
        "work",
        "trace",
        "ambient tls traceparent",
        "bytes http_body_util hyper hyper_util opentelemetry opentelemetry_http opentelemetry_otlp opentelemetry_sdk rustls tokio tokio_rustls tracing url",
    ),
    rule("work", "worker", "ambient dataset fault id job measure model spec store trace train", "rustix serde_json tokio tracing"),
    rule(
        "work",
        "webhook",
        "ambient store tls",
        "base64 bytes hmac http_body_util hyper hyper_util rustls sha2 tokio tokio_rustls tracing url",
    ),
    rule(
        "edge",
        "api",
        "access ambient config dataset fault hook id job json measure model plot report spec store trace traceparent webhook",
        "arc_swap axum base64 bytes futures_util hmac http_body_util hyper md5 serde serde_json serde_norway sha2 time tokio tower tower_http tracing",
    ),
    rule("edge", "listen", "config measure", "axum hyper hyper_util tokio tracing"),
    rule("edge", "client", "", "bytes http_body_util hyper hyper_util serde_json tokio"),
    rule("edge", "demo", "ambient client config serve", "bytes clap flate2 serde serde_json tempfile tokio"),
    rule("root", "log", "ambient", "serde_json time tracing tracing_subscriber"),
    rule("root", "process", "", "rustix tracing"),
    rule("root", "config", "access dataset model spec trace webhook", "clap serde"),
    rule("root", "serve", "ambient api config id listen measure process store trace webhook worker", "thiserror tokio tracing"),
    rule("root", "upkeep", "ambient store", "clap"),
    rule("root", "cli", "access ambient client config demo id log process serve spec store upkeep", "bytes clap tokio tracing"),
    rule("root", "main", "", "clap sparsefit"),
    rule("root", "lib", "", ""),
];

/// The table as `ARCHITECTURE.md` shows it: one line a room, without heading.
pub(crate) fn table() -> Vec<String> {
    let words = |list: &str| match list {
        "" => "–".to_owned(),
        list => list.split(' ').map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" "),
    };
    RULES
        .iter()
        .filter(|rule| rule.room != "lib")
        .map(|rule| format!("| {} | `{}` | {} | {} |", rule.ring, rule.room, words(rule.ours), words(rule.theirs)))
        .collect()
}
