//! Networks against plain arithmetic, and what must not be.

mod cutting;
mod made;
mod plain;
mod training;
