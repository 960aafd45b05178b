//! Aliases: names that point at a version of a model, moved by whoever knows where they point, each move kept.
//!
//! A move names the state that it changes by its tag, so that of two who saw the same state one moves it and the other is
//! told. The row of an alias outlives its deletion: its moves are counted on, and no tag names two states.

use sqlx::FromRow;

use super::db::{Session, args};
use super::{Store, StoreError, queries, to_the_end, webhooks};

/// Most aliases of a model.
const ALIASES_MAX: i64 = 100;
/// Moves of an alias that are kept, the newest.
const MOVES_KEPT: i64 = 1000;

/// An alias as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AliasRow {
    pub project: String,
    pub model: String,
    pub name: String,
    pub version: i64,
    /// How often it was moved, its making included; of a name that was deleted and made again, since it was made first.
    pub moves: i64,
    pub created_at: i64,
    pub moved_at: i64,
    /// Id of the key that moved it last, where there was one.
    pub moved_by: Option<String>,
}

impl AliasRow {
    /// Names this state of it and no other, also where a restored backup counts the same moves again.
    pub fn tag(&self) -> String {
        format!("{}-{}", self.moves, self.moved_at)
    }
}

/// A move of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasMove {
    /// From 1, one more with each.
    pub number: i64,
    /// Where to; `None` = it was deleted.
    pub version: Option<i64>,
    /// Where from; `None` = it was made.
    pub previous: Option<i64>,
    /// Microseconds since 1970.
    pub at: i64,
    /// Id of the key that did it, where there was one.
    pub by: Option<String>,
}

/// A place in a list of aliases, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AliasPlace {
    pub created_at: i64,
    pub name: String,
}

/// What whoever changes an alias says of the state that is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: good only where there is no alias.
    Unsaid,
    /// That there is no alias.
    Absent,
    /// That there is one.
    Present,
    /// That its [`AliasRow::tag`] is one of these.
    Tagged(Vec<String>),
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum AliasChange {
    Made(AliasRow),
    Moved(AliasRow),
    /// It points there already: no move, and nobody is told.
    Unmoved(AliasRow),
    Deleted,
    /// There is no such version to point at.
    NoVersion,
    /// There is no such alias to delete.
    Absent,
    /// It is not as expected.
    Unexpected,
    /// There is one, and nothing was said of it.
    Unsaid,
    /// The model has this many, and no more are allowed.
    Full(i64),
}

#[derive(FromRow)]
struct AliasRecord {
    project: String,
    model: String,
    name: String,
    version: Option<i64>,
    moves: i64,
    created_at: i64,
    moved_at: i64,
    moved_by: Option<String>,
}

impl AliasRecord {
    /// The alias, if it points anywhere.
    fn pointing(self) -> Option<AliasRow> {
        let Self { project, model, name, version, moves, created_at, moved_at, moved_by } = self;
        version.map(|version| AliasRow { project, model, name, version, moves, created_at, moved_at, moved_by })
    }
}

#[derive(FromRow)]
struct MoveRecord {
    number: i64,
    version: Option<i64>,
    previous: Option<i64>,
    moved_at: i64,
    moved_by: Option<String>,
}

/// Whose alias, and who changes it.
struct Asked {
    project: String,
    model: String,
    alias: String,
    by: Option<String>,
}

impl Store {
    /// One alias.
    pub async fn alias(&self, project: &str, model: &str, alias: &str) -> Result<Option<AliasRow>, StoreError> {
        let found = self.read().await?.optional::<AliasRecord>(&queries::ALIAS, args![project, model, alias]).await?;
        Ok(found.and_then(AliasRecord::pointing))
    }

    /// Aliases of a model, newest first, at most `limit`; and where the next page begins, if there is more.
    pub async fn aliases(
        &self,
        project: &str,
        model: &str,
        after: Option<&AliasPlace>,
        limit: u64,
    ) -> Result<(Vec<AliasRow>, Option<AliasPlace>), StoreError> {
        let (created_at, name) = after.map_or((i64::MAX, ""), |place| (place.created_at, &place.name));
        let wanted = args![project, model, created_at, name, one_more(limit)];
        let found = self.read().await?.all::<AliasRecord>(&queries::ALIASES, wanted).await?;
        let rows = found.into_iter().filter_map(AliasRecord::pointing).collect();
        Ok(paged(rows, limit, |row| AliasPlace { created_at: row.created_at, name: row.name.clone() }))
    }

    /// Moves of an alias, newest first, those numbered below `before`; and the `before` of the next page, if there is more.
    /// They can be read when the alias is gone.
    pub async fn alias_moves(
        &self,
        project: &str,
        model: &str,
        alias: &str,
        before: Option<i64>,
        limit: u64,
    ) -> Result<(Vec<AliasMove>, Option<i64>), StoreError> {
        let wanted = args![project, model, alias, before.unwrap_or(i64::MAX), one_more(limit)];
        let found = self.read().await?.all::<MoveRecord>(&queries::MOVES, wanted).await?;
        let told = |MoveRecord { number, version, previous, moved_at, moved_by }| AliasMove {
            number,
            version,
            previous,
            at: moved_at,
            by: moved_by,
        };
        Ok(paged(found.into_iter().map(told).collect(), limit, |last| last.number))
    }

    /// Makes an alias or moves it to `version`, if it is as expected.
    pub async fn move_alias(
        &self,
        project: &str,
        model: &str,
        alias: &str,
        version: i64,
        expected: Expected,
        by: Option<&str>,
    ) -> Result<AliasChange, StoreError> {
        self.change_alias(project, model, alias, Some(version), expected, by).await
    }

    /// Deletes an alias, if it is as expected. What it pointed at stays, and so does the history of its moves.
    pub async fn delete_alias(
        &self,
        project: &str,
        model: &str,
        alias: &str,
        expected: Expected,
        by: Option<&str>,
    ) -> Result<AliasChange, StoreError> {
        self.change_alias(project, model, alias, None, expected, by).await
    }

    async fn change_alias(
        &self,
        project: &str,
        model: &str,
        alias: &str,
        version: Option<i64>,
        expected: Expected,
        by: Option<&str>,
    ) -> Result<AliasChange, StoreError> {
        let asked = Asked { project: project.into(), model: model.into(), alias: alias.into(), by: by.map(str::to_owned) };
        let store = self.clone();
        to_the_end(async move {
            let mut session = store.write().await?;
            let change = store.change_alias_in(&mut session, &asked, version, &expected).await?;
            // committed even when nothing was written: what was read may be another's of the same group
            session.commit().await?;
            if matches!(change, AliasChange::Made(_) | AliasChange::Moved(_) | AliasChange::Deleted) {
                store.hub().announce_models();
            }
            Ok(change)
        })
        .await
    }

    async fn change_alias_in(
        &self,
        session: &mut Session,
        asked: &Asked,
        version: Option<i64>,
        expected: &Expected,
    ) -> Result<AliasChange, StoreError> {
        let Asked { project, model, alias, by } = asked;
        // the version before the alias, in this order everywhere: a deletion of the version waits for nobody who waits for it
        if let Some(version) = version {
            let pinned = session.optional::<(String,)>(&queries::PIN_MODEL_VERSION, args![&**project, &**model, version]).await?;
            if pinned.is_none() {
                return Ok(AliasChange::NoVersion);
            }
        }
        let held = session.optional::<AliasRecord>(&queries::HOLD_ALIAS, args![&**project, &**model, &**alias]).await?;
        let held = held.and_then(AliasRecord::pointing);
        match (&held, expected) {
            (None, _) if version.is_none() => return Ok(AliasChange::Absent),
            (Some(_), Expected::Unsaid) => return Ok(AliasChange::Unsaid),
            (Some(_), Expected::Absent) | (None, Expected::Present | Expected::Tagged(_)) => return Ok(AliasChange::Unexpected),
            (Some(row), Expected::Tagged(tags)) if !tags.contains(&row.tag()) => return Ok(AliasChange::Unexpected),
            (Some(row), _) if Some(row.version) == version => return Ok(AliasChange::Unmoved(row.clone())),
            _ => {}
        }
        let now = session.now(&self.inner.ambient).await?;
        let (previous, query) = match &held {
            Some(row) => (Some(row.version), &queries::MOVE_ALIAS),
            None => {
                let (present,) = session.one::<(i64,)>(&queries::COUNT_ALIASES, args![&**project, &**model]).await?;
                if present >= ALIASES_MAX {
                    return Ok(AliasChange::Full(ALIASES_MAX));
                }
                (None, &queries::ADD_ALIAS)
            }
        };
        let columns = args![&**project, &**model, &**alias, version, now, by.as_deref()];
        let Some(record) = session.optional::<AliasRecord>(query, columns).await? else {
            // somebody made it since it was looked for
            return Ok(if *expected == Expected::Unsaid { AliasChange::Unsaid } else { AliasChange::Unexpected });
        };
        let last = AliasMove { number: record.moves, version, previous, at: now, by: by.clone() };
        self.note_move(session, asked, &last).await?;
        webhooks::record_alias(session, &self.inner.ambient, (project, model, alias), &last).await?;
        Ok(match (record.pointing(), previous) {
            (None, _) => AliasChange::Deleted,
            (Some(row), None) => AliasChange::Made(row),
            (Some(row), Some(_)) => AliasChange::Moved(row),
        })
    }

    async fn note_move(&self, session: &mut Session, asked: &Asked, last: &AliasMove) -> Result<(), StoreError> {
        let (project, model, alias) = (&*asked.project, &*asked.model, &*asked.alias);
        let columns = args![project, model, alias, last.number, last.version, last.previous, last.at, last.by.as_deref()];
        session.execute(&queries::NOTE_MOVE, columns).await?;
        session.execute(&queries::FORGET_MOVES, args![project, model, alias, last.number.saturating_sub(MOVES_KEPT)]).await?;
        Ok(())
    }
}

fn one_more(limit: u64) -> i64 {
    i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX)
}

/// A page out of one row more than asked for, and the place of its last row if there was one more.
fn paged<T, P>(mut rows: Vec<T>, limit: u64, place: impl Fn(&T) -> P) -> (Vec<T>, Option<P>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(place);
    (rows, next)
}
