//! Model versions: rows, and the artefact read and checked.

use std::sync::Arc;

use super::db::args;
use super::records::ModelRecord;
use super::{Cursor, Deletion, ModelRow, OpenedModel, Page, Store, StoreError, blocking, list_bounds, page, queries, to_the_end};
use crate::model::Model;

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

    /// Deletes a version; its file goes with the next sweep.
    pub async fn delete_model(&self, project: &str, name: &str, version: i64) -> Result<Deletion, StoreError> {
        let (store, project, name) = (self.clone(), project.to_owned(), name.to_owned());
        to_the_end(async move {
            let mut session = store.write().await?;
            let deleted = session.execute(&queries::DELETE_MODEL, args![project, name, version]).await?;
            session.commit().await?;
            store.hub().announce_models();
            Ok(if deleted == 1 { Deletion::Done } else { Deletion::Absent })
        })
        .await
    }

    /// Reads and checks the artefact.
    pub async fn open_model(&self, row: &ModelRow) -> Result<OpenedModel, StoreError> {
        let names = self.open_names(row.names.as_ref()).await?;
        let (blobs, blob, sha256) = (self.inner.blobs.clone(), row.blob.clone(), row.sha256.clone());
        let model = blocking(move || Ok(Model::decode(&blobs.read(&blob, &sha256)?)?)).await?;
        Ok(OpenedModel { row: row.clone(), model: Arc::new(model), names })
    }
}
