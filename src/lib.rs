//! sparsefit: a server that trains sparse models over HTTP.
//!
//! Rooms in a row; data moves one way; the middle knows nothing of the ends. `ARCHITECTURE.md` has the map and
//! the import table, which `tests/tidy` enforces.

pub mod ambient;
pub mod fault;
pub mod id;
pub mod json;
pub mod measure;
mod tls;
pub mod traceparent;

pub mod matrix;
pub mod network;
pub mod numeric;
pub mod solver;
pub mod tree;

pub mod plot;

pub mod access;
pub mod dataset;
pub mod hook;
pub mod job;
pub mod model;
pub mod report;
pub mod spec;
pub mod train;

pub mod store;
pub mod trace;
pub mod webhook;
pub mod worker;

pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
mod listen;
mod log;
pub mod process;
pub mod serve;
pub mod upkeep;
