//! The public API, seen from outside: a real listener, real sockets, a temporary store. Nothing here looks at a clock.
//!
//! Every answer that comes through [`app::TestApp`] is validated against `openapi.yaml`.

#[path = "../support/postgres.rs"]
mod fixture;

mod aliases;
mod app;
mod auth;
mod bad_inputs;
mod compare;
mod connections;
mod contract;
mod data;
mod distill;
mod ensembles;
mod evaluate;
mod events;
mod idempotency;
mod job_actions;
mod jobs;
mod journey;
mod lists;
mod measures;
mod multinomial;
mod networks;
mod penalties;
mod plots;
mod promote;
mod protocol;
mod prune;
mod quotas;
mod reproduce;
mod rules;
mod schema;
mod selection;
mod shutdown;
mod traces;
mod trees;
mod warm_start;
mod webhooks;
