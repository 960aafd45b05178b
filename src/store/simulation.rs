//! The door of the simulation: a store whose statements somebody else may exchange or fail, on a disk that need not
//! keep anything. Tests come in here; no configuration leads here, and a store opened otherwise has no meddler.

use std::fmt::Debug;
use std::sync::Arc;

use super::queries::Query;
use super::{Store, StoreConfig, StoreError};
use crate::ambient::Ambient;

/// Where a fault may strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before a transaction that will write begins.
    Begin,
    /// Before a statement of such a transaction.
    Statement,
    /// Before its commit: nothing of it happens.
    Commit,
    /// After its commit: all of it happened, and nobody hears of it.
    Answer,
}

/// Somebody who meddles with a store on SQLite.
pub trait Meddler: Debug + Send + Sync {
    /// The text to run in place of the program's own: a bug that the simulation must find.
    fn text(&self, query: &Query) -> Option<&'static str>;
    /// Whether it fails here and now.
    fn fails(&self, place: Place) -> bool;
}

/// Nobody, except in the simulation.
pub(super) type Meddling = Option<Arc<dyn Meddler>>;

/// The text to run.
pub(super) fn text(meddling: &Meddling, query: &Query) -> &'static str {
    meddling.as_ref().and_then(|meddler| meddler.text(query)).unwrap_or(query.sqlite)
}

/// Fails if somebody wants it here.
pub(super) fn pass(meddling: &Meddling, place: Place) -> Result<(), StoreError> {
    match meddling {
        Some(meddler) if meddler.fails(place) => Err(StoreError::Database(sqlx::Error::Protocol(format!("simulated: {place:?}")))),
        _ => Ok(()),
    }
}

impl Store {
    /// A store on SQLite that keeps nothing over a power cut and is meddled with. For the simulation.
    #[doc(hidden)]
    pub async fn open_simulated(config: StoreConfig, ambient: Ambient, meddler: Arc<dyn Meddler>) -> Result<Self, StoreError> {
        Self::open_with(config, ambient, Some(meddler)).await
    }
}
