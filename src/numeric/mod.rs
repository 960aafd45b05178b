//! Ground of the rooms of numbers: loops in the widest registers, elementary functions and random numbers, all with the same
//! bits on every machine.

mod ahead;
mod elementary;
mod random;
mod wide;

pub(crate) use ahead::ask_ahead;
pub(crate) use elementary::{exp, ln, ln_1p, tanh};
pub use random::SplitMix64;
pub(crate) use wide::widest;
