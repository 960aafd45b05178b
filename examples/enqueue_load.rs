//! How many acknowledged submissions a second the store takes: `enqueue_load [clients] [seconds] [postgres://…]`.
//!
//! Straight at the store, without HTTP. Prints figures and asserts nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sparsefit::ambient::Ambient;
use sparsefit::config::Limits;
use sparsefit::dataset::{Encoding, Format, Upload, ingest};
use sparsefit::job::{DatasetRef, JobKind, Priority};
use sparsefit::store::{DatasetRow, Enqueued, NewJob, Store, StoreConfig};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let clients: usize = args.next().map_or(Ok(64), |text| text.parse())?;
    let seconds: f64 = args.next().map_or(Ok(3.0), |text| text.parse())?;
    let directory = tempfile::tempdir_in(".")?;
    let lease = Duration::from_secs(10);
    let config = StoreConfig {
        data_dir: directory.path().join("data"),
        database_url: args.next(),
        lease,
        queue_max: u64::MAX,
        quotas: Default::default(),
    };
    let store = Store::open(config, Ambient::system()).await?;
    let dataset = upload(&store).await?;
    let (acknowledged, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks = (0..clients).map(|_| {
        let (store, acknowledged, job) = (store.clone(), Arc::clone(&acknowledged), new_job(&dataset));
        tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            while began.elapsed().as_secs_f64() < seconds {
                let asked = Instant::now();
                match store.enqueue(job.clone()).await? {
                    Enqueued::Job(_) => acknowledged.fetch_add(1, Ordering::Relaxed),
                    other => return Err(format!("{other:?}").into()),
                };
                slowest = slowest.max(asked.elapsed());
            }
            Ok::<Duration, Failure>(slowest)
        })
    });
    let mut slowest = Duration::ZERO;
    for task in tasks.collect::<Vec<_>>() {
        slowest = slowest.max(task.await??);
    }
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    let rate = acknowledged as f64 / began.elapsed().as_secs_f64();
    println!("{clients} clients: {acknowledged} acknowledged, {rate:.0} a second, slowest {slowest:.1?}, {} commits", store.commits());
    store.close().await;
    Ok(())
}

async fn upload(store: &Store) -> Result<DatasetRow, Failure> {
    let incoming = store.incoming()?;
    let format = Format::Libsvm { index_base: 1, n_features: None };
    let upload = Upload { format, encoding: Encoding::Identity, target_kind: None, limits: Limits::default().upload };
    let ingested = ingest(&b"1 1:1\n2 2:1\n"[..], &upload, incoming.data(), incoming.names(), incoming.scratch())?;
    Ok(store.add_dataset("default", "d", incoming, ingested).await?)
}

fn new_job(dataset: &DatasetRow) -> NewJob {
    NewJob {
        project: "default".into(),
        kind: JobKind::Fit,
        model: Some("m".into()),
        dataset: DatasetRef { name: "d".into(), version: dataset.version, sha256: dataset.meta.sha256.clone() },
        priority: Priority::Normal,
        spec: json!({}),
        spec_resolved: json!({}),
        estimate: json!({}),
        metadata: json!({}),
        warnings: Vec::new(),
        request_id: "req_1".into(),
        traceparent: None,
        webhook: None,
        memory_bytes: 0,
        start_within: None,
        retry_of: None,
    }
}
