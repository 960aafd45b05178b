//! Claims jobs and hands them back, as fast as the store allows; several of these at once are a storm.
//!
//! ```text
//! claim_storm --data-dir D [--database-url U] prepare JOBS
//! claim_storm --data-dir D [--database-url U] storm CLAIMS TASKS
//! ```
//!
//! A storm prints a line for each claim: job, claim number, and when it was held, in nanoseconds of the machine's
//! monotonic clock, so that several processes' lines can be compared. `chaos/claims.py` judges them.

use std::error::Error;
use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use sparsefit::ambient::Ambient;
use sparsefit::config::Limits;
use sparsefit::dataset::{Encoding, Format, Upload, ingest};
use sparsefit::job::{DatasetRef, JobKind, Priority};
use sparsefit::store::{Ending, Enqueued, NewJob, Store, StoreConfig};
use tokio::task::JoinSet;

#[derive(Parser)]
struct Options {
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    database_url: Option<String>,
    /// `prepare JOBS` or `storm CLAIMS TASKS`.
    words: Vec<String>,
}

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    std::fs::create_dir_all(&options.data_dir)?;
    let config = StoreConfig {
        data_dir: options.data_dir,
        database_url: options.database_url,
        lease: Duration::from_secs(60),
        queue_max: 1_000_000,
        quotas: Default::default(),
    };
    let store = Store::open(config, Ambient::system()).await?;
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    match words[..] {
        ["prepare", jobs] => prepare(&store, jobs.parse()?).await?,
        ["storm", claims, tasks] => storm(&store, claims.parse()?, tasks.parse()?).await?,
        _ => return Err("prepare JOBS, or storm CLAIMS TASKS".into()),
    }
    store.close().await;
    Ok(())
}

async fn prepare(store: &Store, jobs: u64) -> Result<(), Failure> {
    let incoming = store.incoming()?;
    let upload = Upload { format: Format::Json, encoding: Encoding::Identity, target_kind: None, limits: Limits::default().upload };
    let body = br#"{"format": "dense", "values": [[1, 0], [0, 2], [3, 4]], "y": [0.5, 1.5, 2.5]}"#;
    let ingested = ingest(&body[..], &upload, incoming.data(), incoming.names(), incoming.scratch())?;
    let row = store.add_dataset("default", "storm", incoming, ingested).await?;
    for _ in 0..jobs {
        let job = NewJob {
            project: "default".into(),
            kind: JobKind::Fit,
            model: Some("storm".into()),
            dataset: DatasetRef { name: row.name.clone(), version: row.version, sha256: row.meta.sha256.clone() },
            priority: Priority::Normal,
            spec: json!({}),
            spec_resolved: json!({}),
            estimate: json!({}),
            metadata: json!({}),
            warnings: Vec::new(),
            request_id: "storm".into(),
            traceparent: None,
            webhook: None,
            memory_bytes: 0,
            start_within: None,
            retry_of: None,
        };
        match store.enqueue(job).await? {
            Enqueued::Job(_) => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(())
}

async fn storm(store: &Store, claims: i64, tasks: usize) -> Result<(), Failure> {
    let left = Arc::new(AtomicI64::new(claims));
    let mut workers = JoinSet::new();
    for task in 0..tasks {
        let (store, left) = (store.clone(), left.clone());
        workers.spawn(async move {
            let owner = format!("storm-{}-{task}", std::process::id());
            let mut held = Vec::new();
            while left.fetch_sub(1, Ordering::Relaxed) > 0 {
                let claim = loop {
                    match store.claim(&owner).await? {
                        Some(claim) => break claim,
                        None => tokio::task::yield_now().await,
                    }
                };
                let begin = nanoseconds();
                tokio::task::yield_now().await;
                let end = nanoseconds();
                store.finish(&claim, Ending::HandedBack).await?;
                held.push(format!("{} {} {begin} {end}", claim.job.id, claim.number));
            }
            Ok::<_, Failure>(held)
        });
    }
    let mut out = BufWriter::new(stdout().lock());
    while let Some(held) = workers.join_next().await {
        for line in held?? {
            writeln!(out, "{line}")?;
        }
    }
    Ok(out.flush()?)
}

fn nanoseconds() -> i128 {
    let now = clock_gettime(ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}
