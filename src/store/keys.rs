//! Keys: made, listed, revoked, and the number that tells every process that they changed.
//!
//! The text of a key is returned once and stored nowhere. A revoked key keeps its row: that keys were once needed is never
//! forgotten, and a list can tell when it ended.

use super::db::{Session, args};
use super::records::KeyRecord;
use super::{Cursor, Page, Store, StoreError, list_bounds, page, queries, to_the_end};
use crate::access::{Digest, NewKey, Scopes, Secret, Token};
use crate::id::Id;

const DAY_MICROS: i64 = 86_400 * 1_000_000;
/// The name under which the installation's secret is stored.
const SEAL: &str = "seal";

/// A key as it is stored. Times are microseconds since 1970.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct KeyRow {
    pub id: Id,
    pub project: String,
    pub name: String,
    pub scopes: Scopes,
    pub digest: Digest,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    /// To the minute.
    pub last_used_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

/// What became of a wish to revoke.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Revocation {
    /// It is revoked now, or was before.
    Done(Box<KeyRow>),
    Absent,
}

impl Store {
    /// Makes a key. Its text is in the answer and nowhere else.
    pub async fn add_key(&self, new: NewKey) -> Result<(KeyRow, Token), StoreError> {
        let store = self.clone();
        to_the_end(async move {
            let (id, token) = Token::mint(&store.inner.ambient);
            let mut session = store.write().await?;
            let created_at = session.now(&store.inner.ambient).await?;
            let expires_at = new.expires_in_days.map(|days| created_at.saturating_add(i64::from(days) * DAY_MICROS));
            let NewKey { project, name, scopes, .. } = new;
            let columns = args![&id, &*project, &*name, scopes.to_string(), token.digest().to_hex(), created_at, expires_at];
            session.execute(&queries::ADD_KEY, columns).await?;
            count_change(&mut session).await?;
            session.commit().await?;
            let digest = token.digest();
            let row = KeyRow { id, project, name, scopes, digest, created_at, expires_at, last_used_at: None, revoked_at: None };
            Ok((row, token))
        })
        .await
    }

    /// Keys of a project, newest first; revoked and expired ones too.
    pub async fn keys(&self, project: &str, after: Option<&Cursor>, limit: u64) -> Result<Page<KeyRow>, StoreError> {
        let (created_at, id, rows) = list_bounds(after, limit);
        let found = self.read().await?.all::<KeyRecord>(&queries::KEYS, args![project, created_at, id, rows]).await?;
        let items = found.into_iter().map(KeyRow::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(page(items, limit, |row| Cursor { created_at: row.created_at, id: row.id.clone() }))
    }

    /// One key of a project.
    pub async fn key(&self, project: &str, id: &Id) -> Result<Option<KeyRow>, StoreError> {
        let found = self.read().await?.optional::<KeyRecord>(&queries::KEY, args![project, id]).await?;
        found.map(KeyRow::try_from).transpose()
    }

    /// Every key of every project that is not revoked: what the door knows by heart, and what an operator lists.
    pub async fn living_keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        let found = self.read().await?.all::<KeyRecord>(&queries::LIVING_KEYS, args![]).await?;
        found.into_iter().map(KeyRow::try_from).collect()
    }

    /// Ends a key, of `project` or, for an operator, of any.
    pub async fn revoke_key(&self, project: Option<&str>, id: &Id) -> Result<Revocation, StoreError> {
        let (store, project, id) = (self.clone(), project.map(str::to_owned), id.clone());
        to_the_end(async move {
            let mut session = store.write().await?;
            let now = session.now(&store.inner.ambient).await?;
            let found = session.optional::<KeyRecord>(&queries::REVOKE_KEY, args![project.as_deref(), &id, now]).await?;
            let Some(record) = found else { return Ok(Revocation::Absent) };
            count_change(&mut session).await?;
            session.commit().await?;
            Ok(Revocation::Done(Box::new(KeyRow::try_from(record)?)))
        })
        .await
    }

    /// Grows with every key made or revoked, by any process; 0 as long as no key was ever made.
    pub async fn keys_revision(&self) -> Result<i64, StoreError> {
        let found = self.read().await?.optional::<(i64,)>(&queries::KEYS_REVISION, args![]).await?;
        Ok(found.map_or(0, |(revision,)| revision))
    }

    /// Notes that a key was used.
    pub async fn note_key_used(&self, id: &Id, at: i64) -> Result<(), StoreError> {
        let (store, id) = (self.clone(), id.clone());
        to_the_end(async move {
            let mut session = store.write().await?;
            session.execute(&queries::NOTE_KEY_USED, args![&id, at]).await?;
            session.commit().await
        })
        .await
    }

    /// What the servers of this store seal cursors with; made at the first opening.
    pub fn secret(&self) -> &Secret {
        &self.inner.secret
    }
}

async fn count_change(session: &mut Session) -> Result<(), StoreError> {
    session.one::<(i64,)>(&queries::NEXT, args!["", "keys", ""]).await?;
    Ok(())
}

/// The installation's secret, made if there is none.
pub(super) async fn installation_secret(db: &super::db::Db, ambient: &crate::ambient::Ambient) -> Result<Secret, StoreError> {
    let mut session = db.write().await?;
    session.execute(&queries::ADD_SECRET, args![SEAL, Secret::mint(ambient).to_hex()]).await?;
    let (text,) = session.one::<(String,)>(&queries::SECRET, args![SEAL]).await?;
    session.commit().await?;
    Secret::from_hex(&text).ok_or_else(|| StoreError::Row("the installation's secret is not one".into()))
}
