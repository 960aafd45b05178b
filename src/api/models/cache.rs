//! Models in memory, ready to predict.
//!
//! The hot path takes no lock: one load of an [`ArcSwap`] map. An entry is good as long as no model was published or
//! deleted and no alias moved in this process since it was resolved ([`Hub::models_epoch`](crate::store::Hub::models_epoch)) and, for the
//! sake of other processes over the same store, for one second; after that its row is read again, and the loaded
//! model is kept when the row still names it. Concurrent first loads of one model are one load. Bounded by bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::api::error::Problem;
use crate::dataset::Names;
use crate::fault::Code;
use crate::id::Id;
use crate::model::Predictor;
use crate::spec::Pick;
use crate::store::{ModelRow, Store};

/// How long an entry is believed without asking the store.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long a store that is asked again is waited for. Without an answer the entry is believed once more: predictions
/// go on while the database is away.
const PATIENCE: Duration = Duration::from_millis(250);
/// Bytes a loaded model takes beside its arrays.
const OVERHEAD: u64 = 4096;

/// Project, name, and which version of it.
type Key = (String, String, Pick);

/// A model version ready to predict.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) row: ModelRow,
    pub(crate) predictor: Predictor,
    pub(crate) names: Option<Arc<Names>>,
    last_used: AtomicU64,
}

#[derive(Clone, Debug)]
struct Entry {
    epoch: u64,
    checked: Instant,
    served: Arc<Served>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ModelCache {
    entries: ArcSwap<HashMap<Key, Entry>>,
    /// One gate for each key being resolved now.
    gates: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    uses: AtomicU64,
    bytes_max: u64,
}

impl ModelCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { entries: ArcSwap::default(), gates: Mutex::default(), uses: AtomicU64::new(0), bytes_max }
    }

    /// The model version that is meant; `None` when there is none.
    pub(crate) async fn get(&self, store: &Store, project: &str, name: &str, pick: &Pick) -> Result<Option<Arc<Served>>, Problem> {
        let key = (project.to_owned(), name.to_owned(), pick.clone());
        if let Some(served) = self.fresh(store, &key) {
            return Ok(Some(served));
        }
        let gate = self.gate(&key);
        let result = {
            let _only_one = gate.lock().await;
            match self.fresh(store, &key) {
                Some(served) => Ok(Some(served)),
                None => self.ask(store, &key).await,
            }
        };
        drop(gate);
        self.close_gate(&key);
        result
    }

    fn fresh(&self, store: &Store, key: &Key) -> Option<Arc<Served>> {
        let entries = self.entries.load();
        let entry = entries.get(key)?;
        let good = entry.epoch == store.hub().models_epoch() && entry.checked.elapsed() < BELIEVED;
        good.then(|| {
            entry.served.last_used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            entry.served.clone()
        })
    }

    fn gate(&self, key: &Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(key.clone()).or_default().clone()
    }

    /// Forgets the gate once nobody waits at it.
    fn close_gate(&self, key: &Key) {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.get(key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(key);
        }
    }

    async fn ask(&self, store: &Store, key: &Key) -> Result<Option<Arc<Served>>, Problem> {
        let Some(known) = self.entries.load().get(key).cloned() else { return self.resolve(store, key).await };
        match tokio::time::timeout(PATIENCE, self.resolve(store, key)).await {
            Ok(Err(problem)) if problem.fault.code != Code::StoreUnavailable => Err(problem),
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) | Err(_) => {
                let served = known.served.clone();
                self.keep(key, Entry { checked: Instant::now(), epoch: store.hub().models_epoch(), ..known });
                Ok(Some(served))
            }
        }
    }

    async fn resolve(&self, store: &Store, key: &Key) -> Result<Option<Arc<Served>>, Problem> {
        // Read before the row: what is published or moved in between makes the entry stale, never wrong for long.
        let epoch = store.hub().models_epoch();
        let checked = Instant::now();
        let Some(row) = store.picked_model(&key.0, &key.1, &key.2).await? else {
            self.forget(key);
            return Ok(None);
        };
        let served = match self.loaded(&row.id) {
            Some(served) => served,
            None => {
                let opened = store.open_model(&row).await?;
                let names = opened.names.clone();
                let predictor = Predictor::new(opened.model, opened.names);
                let last_used = AtomicU64::new(self.uses.fetch_add(1, Ordering::Relaxed));
                Arc::new(Served { row: opened.row, predictor, names, last_used })
            }
        };
        self.keep(key, Entry { epoch, checked, served: served.clone() });
        Ok(Some(served))
    }

    fn loaded(&self, id: &Id) -> Option<Arc<Served>> {
        self.entries.load().values().find(|entry| entry.served.row.id == *id).map(|entry| entry.served.clone())
    }

    fn forget(&self, key: &Key) {
        if self.entries.load().contains_key(key) {
            self.entries.rcu(|entries| {
                let mut entries = HashMap::clone(entries);
                entries.remove(key);
                entries
            });
        }
    }

    /// Adds the entry, then drops the least recently used models until the rest fits.
    fn keep(&self, key: &Key, entry: Entry) {
        self.entries.rcu(|entries| {
            let mut entries = HashMap::clone(entries);
            entries.insert(key.clone(), entry.clone());
            while entries.len() > 1 && weight(&entries) > self.bytes_max {
                let oldest = entries
                    .iter()
                    .filter(|(_, other)| other.served.row.id != entry.served.row.id)
                    .min_by_key(|(_, other)| other.served.last_used.load(Ordering::Relaxed))
                    .map(|(key, _)| key.clone());
                let Some(oldest) = oldest else { break };
                entries.remove(&oldest);
            }
            entries
        });
    }
}

/// Bytes of the distinct models of the map: the artefact, its tables for lookup, and a constant.
fn weight(entries: &HashMap<Key, Entry>) -> u64 {
    let models: HashMap<&Id, u64> = entries.values().map(|entry| (&entry.served.row.id, entry.served.row.size_bytes)).collect();
    models.values().map(|bytes| bytes.saturating_mul(2).saturating_add(OVERHEAD)).fold(0, u64::saturating_add)
}
