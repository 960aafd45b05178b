//! Who asks, and whether they may: decided at the door from the head of a request, before any handler is chosen by method.
//!
//! What each route asks for stands in the route table. A path that is not there, and a method that a path does not have,
//! ask for a key like everything else. All keys are known by heart; the store is asked twice a second whether they
//! changed, so that a revoked key is worth nothing within a second everywhere, and a guess costs the store nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, Method, header};

use super::rates::{Bucket, Peer, Rates, Standing};
use crate::access::{Keyring, Presented, Scope};
use crate::api::error::Problem;
use crate::api::wire::request::Caller;
use crate::fault::Code;
use crate::id::{Id, Kind};
use crate::store::{KeyRow, Store, StoreError};

/// How long the keys are believed without asking the store.
const BELIEVED: Duration = Duration::from_millis(500);
/// How long they are believed when the store does not answer. Without it nobody can revoke a key either.
const BELIEVED_WITHOUT_STORE: Duration = Duration::from_secs(60);
/// The store's answer is not waited for longer.
const ASK_MAX: Duration = Duration::from_secs(1);
/// The use of a key is noted this often.
const NOTED_EVERY_MICROS: i64 = 60 * 1_000_000;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// Some key.
    AnyKey,
    /// A key with this scope.
    Scope(Scope),
    /// A key with both.
    Both(Scope, Scope),
}

impl Access {
    /// The scopes that a key must have.
    pub fn scopes(self) -> impl Iterator<Item = Scope> {
        let (first, second) = match self {
            Self::Public | Self::AnyKey => (None, None),
            Self::Scope(scope) => (Some(scope), None),
            Self::Both(first, second) => (Some(first), Some(second)),
        };
        first.into_iter().chain(second)
    }
}

/// The keys as the door knows them.
#[derive(Debug, Default)]
struct Book {
    /// When the store said so; `None` = never.
    read: Option<Instant>,
    /// When the store was asked last, whether or not it answered.
    asked: Option<Instant>,
    /// [`Store::keys_revision`]; 0 = nobody needs a key.
    revision: i64,
    keys: Arc<Keys>,
}

/// All of them.
#[derive(Debug, Default)]
struct Keys {
    by_id: HashMap<Id, Arc<Known>>,
    ring: Keyring<Arc<Known>>,
}

/// One key at the door.
#[derive(Debug)]
struct Known {
    row: KeyRow,
    caller: Caller,
    bucket: Bucket,
    used_at: AtomicI64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    routes: HashMap<&'static str, Vec<(&'static str, Access)>>,
    book: ArcSwap<Book>,
    asking: tokio::sync::Mutex<()>,
    pub(crate) rates: Rates,
}

/// Who passed, or why nobody did; and what is left of their rate, as soon as it is known whose.
pub(crate) struct Verdict {
    pub(crate) caller: Result<Caller, Problem>,
    pub(crate) standing: Option<Standing>,
}

/// The head of a request, as far as it matters here.
pub(crate) struct Head<'a> {
    /// Template of the path, if it is a route's.
    pub(crate) route: Option<&'a str>,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) peer: Peer,
    pub(crate) now: i64,
}

impl Gate {
    pub(crate) fn new(routes: &[crate::api::Route], rates: Rates) -> Self {
        let mut table: HashMap<_, Vec<_>> = HashMap::new();
        for route in routes {
            table.entry(route.path).or_default().push((route.method, route.access));
        }
        Self { routes: table, book: ArcSwap::default(), asking: tokio::sync::Mutex::default(), rates }
    }

    /// What `method` on this route asks for.
    fn access(&self, route: Option<&str>, method: &Method) -> Access {
        let Some(methods) = route.and_then(|route| self.routes.get(route)) else { return Access::AnyKey };
        let word = if *method == Method::HEAD { "GET" } else { method.as_str() };
        match methods.iter().find(|(known, _)| *known == word) {
            Some((_, access)) => *access,
            None if methods.iter().all(|(_, access)| *access == Access::Public) => Access::Public,
            None => Access::AnyKey,
        }
    }

    /// Lets a caller in, or says why not: first who it is, then whether it may, then whether it is not too fast.
    pub(crate) async fn pass(&self, store: &Store, head: &Head<'_>) -> Verdict {
        let access = self.access(head.route, head.method);
        if access == Access::Public {
            return Verdict { caller: Ok(Caller::anonymous()), standing: None };
        }
        let (caller, standing) = match self.identify(store, access, head).await {
            Err(problem) => return Verdict { caller: Err(problem), standing: None },
            Ok(None) => (Caller::anonymous(), self.rates.take(None, head.peer)),
            Ok(Some(known)) => (known.caller.clone(), self.rates.take(Some(&known.bucket), head.peer)),
        };
        let too_fast = standing.is_some_and(|standing| !standing.pass);
        Verdict { caller: if too_fast { Err(self.too_fast()) } else { Ok(caller) }, standing }
    }

    /// Whether a caller let in before would be let in now: a stream lives longer than the look at its key.
    pub(crate) async fn still_admits(&self, store: &Store, caller: &Caller, now: i64) -> bool {
        let Ok(book) = self.book(store).await else { return false };
        match Id::parse(Kind::Key, caller.key_id()) {
            None => book.revision == 0,
            Some(key) => book.keys.by_id.get(&key).is_some_and(|known| known.row.expires_at.is_none_or(|end| now < end)),
        }
    }

    fn too_fast(&self) -> Problem {
        Problem::new(Code::RateLimited, format!("more than {} requests a second", self.rates.per_second())).retry_after(1)
    }

    /// The key of the request; `None` where nobody needs one.
    async fn identify(&self, store: &Store, access: Access, head: &Head<'_>) -> Result<Option<Arc<Known>>, Problem> {
        let book = self.book(store).await?;
        if book.revision == 0 {
            return Ok(None);
        }
        let known = self.authenticate(&book, head)?;
        if let Some(scope) = access.scopes().find(|scope| !known.row.scopes.allow(*scope)) {
            tracing::warn!(key = %known.row.id, project = known.row.project, scope = scope.as_str(), "audit: a scope is missing");
            return Err(Problem::new(Code::Forbidden, format!("this takes a key with the scope {}", scope.as_str())));
        }
        note_use(store, known, head.now);
        Ok(Some(known.clone()))
    }

    /// The key presented, if it is one. Whatever is wrong with it, the answer is the same; nothing presented is no guess.
    fn authenticate<'b>(&self, book: &'b Book, head: &Head<'_>) -> Result<&'b Arc<Known>, Problem> {
        let mut values = head.headers.get_all(header::AUTHORIZATION).iter();
        let (first, second) = (values.next(), values.next());
        let Some(first) = first else { return Err(unauthenticated()) };
        let text = first.to_str().ok().and_then(bearer).filter(|_| second.is_none()).unwrap_or("");
        let presented = Presented::read(text);
        let known = book.keys.ring.find(&presented);
        known.filter(|known| known.row.expires_at.is_none_or(|end| head.now < end)).ok_or_else(|| self.failed(head, presented.id()))
    }

    /// `named` is what the key says of itself, whether or not there is such a one.
    fn failed(&self, head: &Head<'_>, named: Option<&Id>) -> Problem {
        match self.rates.fail(head.peer) {
            Ok(()) => {
                tracing::warn!(peer = %head.peer.0, key = named.map(Id::as_str), "audit: a key was refused");
                unauthenticated()
            }
            // Not logged: whoever guesses must not fill the log.
            Err(seconds) => Problem::new(Code::TooManyAttempts, "too many wrong keys came from this address").retry_after(seconds),
        }
    }

    /// The keys, not older than they may be.
    async fn book(&self, store: &Store) -> Result<Arc<Book>, Problem> {
        let book = self.book.load_full();
        if book.asked.is_some_and(|asked| asked.elapsed() < BELIEVED) {
            return book.believed();
        }
        let _only_one = self.asking.lock().await;
        let book = self.book.load_full();
        if book.asked.is_some_and(|asked| asked.elapsed() < BELIEVED) {
            return book.believed();
        }
        let asked = Some(Instant::now());
        let answer = tokio::time::timeout(ASK_MAX, reread(store, &book)).await;
        let fresh = match answer {
            Ok(Ok((revision, keys))) => Book { read: asked, asked, revision, keys },
            Ok(Err(error)) => book.unanswered(asked, &error.to_string()),
            Err(_) => book.unanswered(asked, "no answer in time"),
        };
        let fresh = Arc::new(fresh);
        self.book.store(fresh.clone());
        fresh.believed()
    }

    /// Makes the next request ask the store: the keys were changed in this process.
    pub(crate) async fn forget(&self) {
        // Who is asking now may have asked before the change.
        let _only_one = self.asking.lock().await;
        let book = self.book.load_full();
        self.book.store(Arc::new(Book { asked: None, read: book.read, revision: book.revision, keys: book.keys.clone() }));
    }
}

impl Book {
    fn believed(self: Arc<Self>) -> Result<Arc<Self>, Problem> {
        match self.read {
            Some(read) if read.elapsed() < BELIEVED_WITHOUT_STORE => Ok(self),
            _ => Err(Problem::new(Code::StoreUnavailable, "the keys cannot be read")),
        }
    }

    fn unanswered(&self, asked: Option<Instant>, error: &str) -> Self {
        tracing::warn!(error, "the store was asked for the keys in vain");
        Self { read: self.read, asked, revision: self.revision, keys: self.keys.clone() }
    }
}

/// The keys, read anew only when they changed; what the door counts for a key goes with it.
async fn reread(store: &Store, old: &Book) -> Result<(i64, Arc<Keys>), StoreError> {
    // Read before the keys: a change in between is read twice, never missed.
    let revision = store.keys_revision().await?;
    if old.read.is_some() && revision == old.revision {
        return Ok((revision, old.keys.clone()));
    }
    let rows = store.living_keys().await?.into_iter();
    let known = |row: KeyRow| match old.keys.by_id.get(&row.id) {
        Some(known) => (row.id.clone(), known.clone()),
        None => (row.id.clone(), Arc::new(Known::new(row))),
    };
    let by_id: HashMap<_, _> = rows.map(known).collect();
    let ring = by_id.values().map(|known| (known.row.digest.clone(), known.clone())).collect();
    Ok((revision, Arc::new(Keys { by_id, ring })))
}

impl Known {
    fn new(row: KeyRow) -> Self {
        let caller = Caller::of_key(&row.project, row.id.as_str());
        let used_at = AtomicI64::new(row.last_used_at.unwrap_or(0));
        Self { row, caller, bucket: Bucket::default(), used_at }
    }
}

/// Writes down, now and then and beside the request, that a key is in use.
fn note_use(store: &Store, known: &Arc<Known>, now: i64) {
    let before = known.used_at.load(Ordering::Relaxed);
    if now.saturating_sub(before) < NOTED_EVERY_MICROS
        || known.used_at.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
    {
        return;
    }
    let (store, id) = (store.clone(), known.row.id.clone());
    tokio::spawn(async move {
        if let Err(error) = store.note_key_used(&id, now).await {
            tracing::debug!(%error, "the use of a key was not noted");
        }
    });
}

/// One body for every reason.
fn unauthenticated() -> Problem {
    Problem::new(Code::Unauthenticated, "this takes `Authorization: Bearer` with a valid key")
}

/// The credential of the scheme `Bearer`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim_matches(' '))
}
