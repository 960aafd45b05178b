//! The process as an operator sees it: the built program in a process of its own, signals, exit codes, its log, and what
//! it leaves on disk.

mod child;
mod hygiene;
mod log;
mod stop;
