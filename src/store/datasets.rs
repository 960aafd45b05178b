//! Data set versions: rows, their files, and the files opened in this process.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::blobs::{Draft, Incoming};
use super::db::{Session, args};
use super::idempotency::Keeping;
use super::records::{DatasetRecord, to_text};
use super::{
    Answer, Cursor, DatasetRow, Deletion, Keyed, NamesBlob, Once, Page, Store, StoreError, blocking, list_bounds, page, queries,
    to_the_end, webhooks,
};
use crate::dataset::{self, Damaged, Dataset, Ingested, Meta, Names};
use crate::id::{Id, Kind};

/// Files opened in this process, as long as somebody uses them, and those whose checksum was compared.
#[derive(Debug, Default)]
pub(super) struct Opened {
    datasets: Mutex<HashMap<Id, Weak<Dataset>>>,
    names: Mutex<HashMap<Id, Weak<Names>>>,
    verified: Mutex<HashSet<Id>>,
}

impl Store {
    /// A place for an upload.
    pub fn incoming(&self) -> Result<Incoming, StoreError> {
        Incoming::new(&self.inner.blobs, &self.inner.ambient)
    }

    /// Syncs and renames the files, then adds the next version of `name`.
    pub async fn add_dataset(&self, project: &str, name: &str, incoming: Incoming, ingested: Ingested) -> Result<DatasetRow, StoreError> {
        let (store, project, name) = (self.clone(), project.to_owned(), name.to_owned());
        to_the_end(async move {
            let published = store.inner.db.health.heed(publish(incoming, ingested).await)?;
            let mut session = store.write().await?;
            let row = store.add_dataset_in(&mut session, &project, &name, &published).await?;
            published.commit(session).await?;
            Ok(row)
        })
        .await
    }

    /// As [`Store::add_dataset`], unless the key was used before; the answer, written from the row, is kept with it.
    pub async fn add_dataset_once(
        &self,
        name: &str,
        incoming: Incoming,
        ingested: Ingested,
        keyed: Keyed,
        render: impl FnOnce(&DatasetRow) -> Result<Answer, StoreError> + Send + 'static,
    ) -> Result<Once<DatasetRow>, StoreError> {
        let (store, name) = (self.clone(), name.to_owned());
        to_the_end(async move {
            let published = store.inner.db.health.heed(publish(incoming, ingested).await)?;
            let mut session = store.write().await?;
            let row = store.add_dataset_in(&mut session, &keyed.slot.project, &name, &published).await?;
            let answer = render(&row)?;
            match store.keep_answer(&mut session, &keyed, &answer).await? {
                Keeping::Kept => {
                    published.commit(session).await?;
                    Ok(Once::Done(row, answer))
                }
                Keeping::TooMany => Ok(Once::TooMany),
                Keeping::Taken => {
                    session.rollback().await?;
                    store.answered_before(&keyed.slot).await
                }
            }
        })
        .await
    }

    /// Adds the row of a version; the caller commits.
    async fn add_dataset_in(&self, session: &mut Session, project: &str, name: &str, files: &Published) -> Result<DatasetRow, StoreError> {
        self.room_for_dataset(session, project, files.bytes).await?;
        let (version,) = session.one::<(i64,)>(&queries::NEXT, args![project, "dataset", name]).await?;
        let row = DatasetRow {
            id: Id::new(Kind::Dataset, &self.inner.ambient),
            project: project.to_owned(),
            name: name.to_owned(),
            version,
            created_at: session.now(&self.inner.ambient).await?,
            blob: files.data.id.clone(),
            names: files.names.as_ref().map(|(draft, sha256)| NamesBlob { id: draft.id.clone(), sha256: sha256.clone() }),
            meta: Arc::clone(&files.meta),
        };
        let (names_blob, names_sha256) = (row.names.as_ref().map(|n| n.id.as_str()), row.names.as_ref().map(|n| n.sha256.as_str()));
        let columns = args![
            &row.id,
            project,
            name,
            version,
            row.created_at,
            to_text(&*row.meta)?,
            &row.blob,
            names_blob,
            names_sha256,
            i64::try_from(files.bytes).unwrap_or(i64::MAX)
        ];
        session.execute(&queries::ADD_DATASET, columns).await?;
        webhooks::record_dataset(session, &self.inner.ambient, &row).await?;
        Ok(row)
    }

    /// Latest version of each name.
    pub async fn datasets(&self, project: &str, after: Option<&Cursor>, limit: u64) -> Result<Page<DatasetRow>, StoreError> {
        let (created_at, id, rows) = list_bounds(after, limit);
        let found = self.read().await?.all::<DatasetRecord>(&queries::DATASETS, args![project, created_at, id, rows]).await?;
        let items = found.into_iter().map(DatasetRow::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(page(items, limit, |row| Cursor { created_at: row.created_at, id: row.id.clone() }))
    }

    /// One version, the latest if `None`.
    pub async fn dataset(&self, project: &str, name: &str, version: Option<i64>) -> Result<Option<DatasetRow>, StoreError> {
        let found = self.read().await?.optional::<DatasetRecord>(&queries::DATASET, args![project, name, version]).await?;
        found.map(DatasetRow::try_from).transpose()
    }

    /// Version numbers, newest first.
    pub async fn dataset_versions(&self, project: &str, name: &str) -> Result<Vec<i64>, StoreError> {
        let found = self.read().await?.all::<(i64,)>(&queries::DATASET_VERSIONS, args![project, name]).await?;
        Ok(found.into_iter().map(|(version,)| version).collect())
    }

    /// Deletes a version that no queued or running job needs; its files go with the next sweep.
    pub async fn delete_dataset(&self, project: &str, name: &str, version: i64) -> Result<Deletion, StoreError> {
        let (store, project, name) = (self.clone(), project.to_owned(), name.to_owned());
        to_the_end(async move {
            let mut session = store.write().await?;
            let found = session.optional::<(String,)>(&queries::LOCK_DATASET, args![&*project, &*name, version]).await?;
            let Some((id,)) = found else {
                session.commit().await?;
                return Ok(Deletion::Absent);
            };
            let deleted = session.execute(&queries::DELETE_DATASET, args![id]).await?;
            session.commit().await?;
            Ok(if deleted == 1 { Deletion::Done } else { Deletion::InUse })
        })
        .await
    }

    /// Opens the files of a version, mapped; the checksum is compared at the first opening in this process.
    pub async fn open_dataset(&self, row: &DatasetRow) -> Result<Arc<Dataset>, StoreError> {
        if let Some(open) = alive(&self.inner.opened.datasets, &row.blob) {
            return Ok(open);
        }
        let names = self.open_names(row.names.as_ref()).await?;
        let (path, meta, blob) = (self.inner.blobs.path(&row.blob), Arc::clone(&row.meta), row.blob.clone());
        let store = self.clone();
        blocking(move || {
            let opened = &store.inner.opened;
            store.inner.blobs.openable(&blob)?;
            let verify = !opened.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(&blob);
            let dataset = Arc::new(dataset::open(&path, names, meta, verify)?);
            opened.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(blob.clone());
            remember(&opened.datasets, &blob, &dataset);
            Ok(dataset)
        })
        .await
    }

    pub(super) async fn open_names(&self, names: Option<&NamesBlob>) -> Result<Option<Arc<Names>>, StoreError> {
        let Some(names) = names.cloned() else { return Ok(None) };
        if let Some(open) = alive(&self.inner.opened.names, &names.id) {
            return Ok(Some(open));
        }
        let store = self.clone();
        blocking(move || {
            store.inner.blobs.openable(&names.id)?;
            let open = Arc::new(Names::open(&store.inner.blobs.path(&names.id), &names.sha256)?);
            remember(&store.inner.opened.names, &names.id, &open);
            Ok(Some(open))
        })
        .await
    }
}

/// Files of an upload, durable, not yet named by a row; removed on drop unless committed.
struct Published {
    data: Draft,
    names: Option<(Draft, String)>,
    meta: Arc<Meta>,
    /// Of both files.
    bytes: u64,
}

impl Published {
    /// From here on the files are the row's: after a commit whose outcome is unknown, the sweeper decides.
    async fn commit(self, session: Session) -> Result<(), StoreError> {
        let kept = (self.data.keep(), self.names.map(|(draft, _)| draft.keep()));
        session.commit().await?;
        drop(kept);
        Ok(())
    }
}

async fn publish(incoming: Incoming, ingested: Ingested) -> Result<Published, StoreError> {
    let Ingested { meta, names_sha256 } = ingested;
    let (length, named) = (meta.stored_bytes, names_sha256.is_some());
    let (data, names, bytes) = blocking(move || {
        if incoming.data().metadata()?.len() != length {
            return Err(Damaged("the data file does not have the length that was written".into()).into());
        }
        let names_length = if named { incoming.names().metadata()?.len() } else { 0 };
        let (data, names) = incoming.publish(named)?;
        Ok((data, names, length + names_length))
    })
    .await?;
    Ok(Published { data, names: names.zip(names_sha256), meta: Arc::new(meta), bytes })
}

fn alive<T>(cache: &Mutex<HashMap<Id, Weak<T>>>, id: &Id) -> Option<Arc<T>> {
    cache.lock().unwrap_or_else(PoisonError::into_inner).get(id)?.upgrade()
}

fn remember<T>(cache: &Mutex<HashMap<Id, Weak<T>>>, id: &Id, value: &Arc<T>) {
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache.retain(|_, weak| weak.strong_count() > 0);
    cache.insert(id.clone(), Arc::downgrade(value));
}
