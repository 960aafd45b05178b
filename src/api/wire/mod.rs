//! How requests are read and answers written, whatever they are about: bodies, JSON, pages, preconditions, keys of requests
//! sent twice, streams of events.

pub(super) mod body;
pub(super) mod idempotency;
pub(super) mod json;
pub(super) mod negotiate;
pub(super) mod page;
pub(super) mod precondition;
pub(super) mod request;
pub(super) mod sse;
