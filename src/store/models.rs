//! Model versions: rows, and the artefact written, read and checked.

use std::sync::Arc;

use super::blobs::{Draft, Kept, hex_sha256};
use super::db::{Session, args};
use super::idempotency::Keeping;
use super::records::{ModelRecord, to_text};
use super::{
    Answer, Cursor, Deletion, Keyed, ModelRow, NamesBlob, Once, OpenedModel, Page, PathBlob, Store, StoreError, blocking, list_bounds,
    page, queries, to_the_end,
};
use crate::id::{Id, Kind};
use crate::job::DatasetRef;
use crate::model::{Card, KeptPath, Model};
use crate::spec::Pick;

/// The files of a model, durable, not yet named by a row; removed on drop.
pub(super) struct Artefact {
    model: (Draft, String, i64),
    path: Path,
}

/// The points of its path: written now, or those of the model that it was promoted from.
enum Path {
    Absent,
    New(Draft, String, i64),
    Shared(PathBlob),
}

impl Artefact {
    /// From here on the sweep decides about the files.
    pub(super) fn keep(self) -> (Kept, Option<Kept>) {
        let path = if let Path::New(draft, ..) = self.path { Some(draft.keep()) } else { None };
        (self.model.0.keep(), path)
    }
}

/// What the row of a new model says besides its card and its files.
pub(super) struct NewModel<'a> {
    pub(super) project: &'a str,
    pub(super) name: &'a str,
    pub(super) job: &'a Id,
    pub(super) dataset: &'a DatasetRef,
    pub(super) names: Option<&'a NamesBlob>,
    /// Whether it was made of a point of a path, and not by its job.
    pub(super) promoted: bool,
}

impl Store {
    /// Latest version of each name.
    pub async fn models(&self, project: &str, after: Option<&Cursor>, limit: u64) -> Result<Page<ModelRow>, StoreError> {
        let (created_at, id, rows) = list_bounds(after, limit);
        let found = self.read().await?.all::<ModelRecord>(&queries::MODELS, args![project, created_at, id, rows]).await?;
        let items = found.into_iter().map(ModelRow::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(page(items, limit, |row| Cursor { created_at: row.created_at, id: row.id.clone() }))
    }

    /// One version, the latest if `None`.
    pub async fn model(&self, project: &str, name: &str, version: Option<i64>) -> Result<Option<ModelRow>, StoreError> {
        let found = self.read().await?.optional::<ModelRecord>(&queries::MODEL, args![project, name, version]).await?;
        found.map(ModelRow::try_from).transpose()
    }

    /// Version numbers, newest first.
    pub async fn model_versions(&self, project: &str, name: &str) -> Result<Vec<i64>, StoreError> {
        let found = self.read().await?.all::<(i64,)>(&queries::MODEL_VERSIONS, args![project, name]).await?;
        Ok(found.into_iter().map(|(version,)| version).collect())
    }

    /// The version that is meant, as of now.
    pub async fn picked_model(&self, project: &str, name: &str, pick: &Pick) -> Result<Option<ModelRow>, StoreError> {
        match pick {
            Pick::Latest => self.model(project, name, None).await,
            Pick::Version(number) => self.model(project, name, Some(*number)).await,
            Pick::Alias(alias) => {
                let mut session = self.read().await?;
                let found = session.optional::<ModelRecord>(&queries::MODEL_OF_ALIAS, args![project, name, &**alias]).await?;
                found.map(ModelRow::try_from).transpose()
            }
        }
    }

    /// Deletes a version that no alias points at; its file goes with the next sweep.
    pub async fn delete_model(&self, project: &str, name: &str, version: i64) -> Result<Deletion, StoreError> {
        let (store, project, name) = (self.clone(), project.to_owned(), name.to_owned());
        to_the_end(async move {
            let mut session = store.write().await?;
            let found = session.optional::<(String,)>(&queries::LOCK_MODEL_VERSION, args![&*project, &*name, version]).await?;
            let deletion = match found {
                None => Deletion::Absent,
                Some(_) if session.execute(&queries::DELETE_MODEL, args![project, name, version]).await? == 1 => Deletion::Done,
                Some(_) => Deletion::InUse,
            };
            session.commit().await?;
            // also of one that is absent: the answer to its deletion may have been lost
            store.hub().announce_models();
            Ok(deletion)
        })
        .await
    }

    /// Writes the files of a model.
    pub(super) async fn write_artefact(&self, model: Arc<Model>, points: Option<Arc<KeptPath>>) -> Result<Artefact, StoreError> {
        let (blobs, ambient) = (self.inner.blobs.clone(), self.inner.ambient.clone());
        let written = blocking(move || {
            let file = |bytes: Vec<u8>| {
                let (sha256, length) = (hex_sha256(&bytes), i64::try_from(bytes.len()).unwrap_or(i64::MAX));
                Ok::<_, StoreError>((blobs.write(&bytes, &ambient)?, sha256, length))
            };
            let path = match points {
                Some(points) => {
                    let (draft, sha256, length) = file(points.encode())?;
                    Path::New(draft, sha256, length)
                }
                None => Path::Absent,
            };
            Ok(Artefact { model: file(model.encode())?, path })
        });
        self.inner.db.health.heed(written.await)
    }

    /// Adds the row of the next version of a name; the caller commits.
    pub(super) async fn add_model_in(
        &self,
        session: &mut Session,
        new: &NewModel<'_>,
        card: &Card,
        artefact: &Artefact,
        now: i64,
    ) -> Result<ModelRow, StoreError> {
        let (version,) = session.one::<(i64,)>(&queries::NEXT, args![new.project, "model", new.name]).await?;
        let (draft, sha256, length) = &artefact.model;
        let path = match &artefact.path {
            Path::Absent => None,
            Path::New(draft, sha256, bytes) => Some(PathBlob { id: draft.id.clone(), sha256: sha256.clone(), bytes: *bytes }),
            Path::Shared(path) => Some(path.clone()),
        };
        let row = ModelRow {
            id: Id::new(Kind::Model, &self.inner.ambient),
            project: new.project.to_owned(),
            name: new.name.to_owned(),
            version,
            created_at: now,
            job: new.job.clone(),
            dataset: new.dataset.clone(),
            card: Arc::new(card.clone()),
            size_bytes: u64::try_from(*length).unwrap_or(0),
            aliases: Vec::new(),
            blob: draft.id.clone(),
            sha256: sha256.clone(),
            names: new.names.cloned(),
            path,
        };
        let columns = args![
            &row.id,
            new.project,
            new.name,
            version,
            now,
            new.job,
            &*row.dataset.name,
            row.dataset.version,
            &*row.dataset.sha256,
            to_text(card)?,
            *length,
            &row.blob,
            &*row.sha256,
            row.names.as_ref().map(|names| names.id.as_str()),
            row.names.as_ref().map(|names| names.sha256.as_str()),
            row.path.as_ref().map(|path| path.id.as_str()),
            row.path.as_ref().map(|path| path.sha256.as_str()),
            row.path.as_ref().map_or(0, |path| path.bytes),
            i64::from(new.promoted),
        ];
        session.execute(&queries::ADD_MODEL, columns).await?;
        Ok(row)
    }

    /// Adds a model made of a point of the path of `source`, as the next version of its name; under a key, once. Refused when
    /// `source` is gone: its points would be nobody's. The answer is written from the new row.
    pub async fn add_promoted(
        &self,
        source: &ModelRow,
        model: Model,
        keyed: Option<Keyed>,
        render: impl FnOnce(&ModelRow) -> Result<Answer, StoreError> + Send + 'static,
    ) -> Result<Once<ModelRow, ()>, StoreError> {
        let (store, source, model) = (self.clone(), source.clone(), Arc::new(model));
        to_the_end(async move {
            store.inner.blobs.reserve().admit_row()?;
            let mut artefact = store.write_artefact(Arc::clone(&model), None).await?;
            artefact.path = source.path.clone().map_or(Path::Absent, Path::Shared);
            let mut session = store.write().await?;
            if session.optional::<(String,)>(&queries::PIN_MODEL, args![&source.id]).await?.is_none() {
                return Ok(Once::Refused(()));
            }
            store.room_for_model(&mut session, &source.project).await?;
            let now = session.now(&store.inner.ambient).await?;
            let (names, job, dataset) = (source.names.as_ref(), &source.job, &source.dataset);
            let new = NewModel { project: &source.project, name: &source.name, job, dataset, names, promoted: true };
            let row = store.add_model_in(&mut session, &new, &model.card(), &artefact, now).await?;
            let answer = render(&row)?;
            if let Some(keyed) = &keyed {
                match store.keep_answer(&mut session, keyed, &answer).await? {
                    Keeping::Kept => {}
                    Keeping::TooMany => return Ok(Once::TooMany),
                    Keeping::Taken => {
                        session.rollback().await?;
                        return store.answered_before(&keyed.slot).await;
                    }
                }
            }
            let kept = artefact.keep();
            session.commit().await?;
            drop(kept);
            store.hub().announce_models();
            Ok(Once::Done(row, answer))
        })
        .await
    }

    /// The points of the path that a model was chosen from, read and checked; `None` where they are not kept.
    pub async fn open_points(&self, row: &ModelRow) -> Result<Option<KeptPath>, StoreError> {
        let (Some(path), blobs) = (row.path.clone(), self.inner.blobs.clone()) else { return Ok(None) };
        blocking(move || Ok(Some(KeptPath::decode(&blobs.read(&path.id, &path.sha256)?)?))).await
    }

    /// Reads and checks the artefact.
    pub async fn open_model(&self, row: &ModelRow) -> Result<OpenedModel, StoreError> {
        let names = self.open_names(row.names.as_ref()).await?;
        let (blobs, blob, sha256) = (self.inner.blobs.clone(), row.blob.clone(), row.sha256.clone());
        let model = blocking(move || Ok(Model::decode(&blobs.read(&blob, &sha256)?)?)).await?;
        Ok(OpenedModel { row: row.clone(), model: Arc::new(model), names })
    }
}
