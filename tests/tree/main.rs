//! Witnesses of the trees: what is true of every split, of pruning, of degenerate data, and what scikit-learn finds.

#![allow(clippy::unwrap_used)] // what cannot be made here is a failed test

mod brute;
mod degenerate;
mod ensembles;
mod folds;
mod invariance;
mod made;
mod pruning;
mod references;
