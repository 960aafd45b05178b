//! What goes wrong: a fault somewhere in the next transaction, and bugs planted into the texts of the queries.

use std::sync::Mutex;

use sparsefit::store::queries::Query;
use sparsefit::store::simulation::{Meddler, Place};

/// A bug: names of queries, and what they say instead.
pub(crate) type Bug = &'static [(&'static str, &'static str)];

#[derive(Debug, Default)]
struct Plan {
    /// Where to strike, and how many such places to let pass before.
    armed: Option<(Place, usize)>,
    struck: Option<Place>,
}

/// Strikes once when armed.
#[derive(Debug)]
pub(crate) struct Saboteur {
    bug: Bug,
    plan: Mutex<Plan>,
}

impl Saboteur {
    pub(crate) fn new(bug: Bug) -> Self {
        Self { bug, plan: Mutex::default() }
    }

    pub(crate) fn arm(&self, place: Place, passing: usize) {
        *self.plan.lock().unwrap() = Plan { armed: Some((place, passing)), struck: None };
    }

    /// Where it struck since it was armed; it strikes no more.
    pub(crate) fn disarm(&self) -> Option<Place> {
        std::mem::take(&mut *self.plan.lock().unwrap()).struck
    }
}

impl Meddler for Saboteur {
    fn text(&self, query: &Query) -> Option<&'static str> {
        self.bug.iter().find(|(name, _)| *name == query.name).map(|(_, text)| *text)
    }

    fn fails(&self, here: Place) -> bool {
        let mut plan = self.plan.lock().unwrap();
        match plan.armed {
            Some((place, 0)) if place == here => {
                *plan = Plan { armed: None, struck: Some(place) };
                true
            }
            Some((place, passing)) if place == here => {
                plan.armed = Some((place, passing - 1));
                false
            }
            _ => false,
        }
    }
}
