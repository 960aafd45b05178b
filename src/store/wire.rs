//! Between processes over one PostgreSQL: the herald tells what this one committed, the listener hears what others did.
//!
//! A hint that is lost costs a poll, nothing else: whoever waits also looks by himself now and then. So hints go out
//! after the commit and beside it, many in one statement, and never hold up a write.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Acquire, Connection};
use tokio::time::timeout;

use super::db::{Engine, args};
use super::hints::Hints;
use super::lent::{PATIENCE, within};
use super::{Store, StoreError, queries};

/// Where all processes of one database talk.
const CHANNEL: &str = "sparsefit";
/// After so long a silence the listener asks whether anybody is there.
const SILENCE: Duration = Duration::from_secs(5);

impl Store {
    /// Whether other processes may work on the same rows.
    pub fn is_shared(&self) -> bool {
        matches!(self.inner.db.engine, Engine::Postgres(_))
    }

    /// Tells other processes what this one commits, until the database fails; to be called again then.
    pub async fn tell_others(&self) -> Result<(), StoreError> {
        let Some(outbox) = self.hub().outbox() else { return std::future::pending().await };
        loop {
            let hints = outbox.take().await;
            if let Err(error) = self.tell(&hints).await {
                // what could not be told is told as "look at everything" once somebody listens again
                outbox.put(|hints| hints.all = true);
                return Err(error);
            }
        }
    }

    async fn tell(&self, hints: &Hints) -> Result<(), StoreError> {
        let mut session = self.read().await?;
        for payload in hints.payloads(&self.inner.origin) {
            session.execute(&queries::NOTIFY, args![CHANNEL, payload]).await?;
        }
        Ok(())
    }

    /// Hears what other processes tell, until the connection is lost; to be called again then.
    pub async fn hear_others(&self) -> Result<(), StoreError> {
        let Engine::Postgres(lender) = &self.inner.db.engine else { return std::future::pending().await };
        let mut listener = within(PATIENCE, listen(lender.options())).await?;
        // what was told before is not heard any more
        self.hub().hear(Hints { all: true, ..Hints::default() });
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(told))) => match Hints::parse(told.payload()) {
                    (origin, _) if origin == self.inner.origin => {}
                    (_, hints) => self.hub().hear(hints),
                },
                Ok(Ok(None)) => return Err(StoreError::Database(sqlx::Error::Protocol("the listener's connection is lost".into()))),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => within(PATIENCE, async { listener.acquire().await?.ping().await }).await?,
            }
        }
    }
}

/// On a connection of its own: it is busy for as long as the process lives.
async fn listen(options: PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
    let mut listener = PgListener::connect_with(&own.connect_lazy_with(options)).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
