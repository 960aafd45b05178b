//! What goes wrong: a fault somewhere in the next transaction, and bugs planted into the texts of the queries.

use std::sync::Mutex;

use sparsefit::store::queries::{QUERIES, Query};
use sparsefit::store::simulation::{Meddler, Place};

/// A bug: queries by name, words in them, and the words put in their place.
pub(crate) type Bug = &'static [(&'static str, &'static str, &'static str)];

#[derive(Debug, Default)]
struct Plan {
    /// Where to strike, and how many such places to let pass before.
    armed: Option<(Place, usize)>,
    struck: Option<Place>,
}

/// Strikes once when armed.
#[derive(Debug)]
pub(crate) struct Saboteur {
    /// Texts with the bug, by name of the query.
    texts: Vec<(&'static str, &'static str)>,
    plan: Mutex<Plan>,
}

impl Saboteur {
    pub(crate) fn new(bug: Bug) -> Self {
        let mut texts: Vec<(&'static str, String)> = Vec::new();
        for (name, words, instead) in bug {
            let at = texts.iter().position(|(query, _)| query == name).unwrap_or_else(|| {
                let query = QUERIES.iter().find(|query| query.name == *name).unwrap_or_else(|| panic!("there is no query {name}"));
                texts.push((*name, query.sqlite.to_owned()));
                texts.len() - 1
            });
            assert!(texts[at].1.contains(words), "{name} does not say {words:?}: {}", texts[at].1);
            texts[at].1 = texts[at].1.replace(words, instead);
        }
        // a text of a query lives as long as the program
        let texts = texts.into_iter().map(|(name, text)| (name, &*text.leak())).collect();
        Self { texts, plan: Mutex::default() }
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
        self.texts.iter().find(|(name, _)| *name == query.name).map(|(_, text)| *text)
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
