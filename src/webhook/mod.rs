//! Webhooks on their way out: addresses understood and guarded, messages signed (Standard Webhooks), sent and sent again.
//!
//! The store holds what is to be sent; here it is claimed, sent to nobody who may not be reached, and settled. Never
//! knows HTTP routes, SQL or jobs; never follows a redirect, never keeps what a receiver answers beyond its status.

mod courier;
mod guard;
mod schedule;
mod sender;
mod sign;
mod target;
#[cfg(test)]
mod tests;

pub use courier::{Couriers, Outcomes};
pub use guard::{Guard, Net};
pub use sender::{Answer, Message, Resolve, Resolved, Sender, System};
pub use sign::{Secret, sign};
pub use target::Target;
