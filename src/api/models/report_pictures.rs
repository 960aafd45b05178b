//! The pictures of reports and comparisons, in both looks: those of `plots/`, as they stand within a page.

use super::plots::{self, Wish};
use super::reports::Found;
use crate::model::{ComparedModel, Comparison, Model};
use crate::plot::{self, Contender, Heading, Look, Theme};
use crate::report::Picture;

const WIDTH: u32 = 940;

/// Pictures of a model.
pub(crate) struct Pictures {
    pub(crate) tradeoff: Vec<Picture>,
    pub(crate) others: Vec<Picture>,
}

/// `None` where it cannot be drawn.
fn both(height: u32, draw: impl Fn(Look) -> Option<String>) -> Option<Picture> {
    let look = |theme| Look { width: WIDTH, height, theme };
    // within a page of HTML the name space is known, and an address would look as if something were loaded from it
    let inline = |svg: String| svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    let drawn = |theme| draw(look(theme)).map(inline);
    Some(Picture { caption: String::new(), light: drawn(Theme::Light)?, dark: drawn(Theme::Dark)? })
}

/// What a report shows.
pub(crate) fn of(found: &Found<'_>) -> Pictures {
    use plots::Picture::{Cv, Histogram, Pruning, Tradeoff, Tree};
    let drawn =
        |(picture, height)| both(height, |look| plots::draw(found.served, found.kept.as_ref(), picture, Wish::default(), look).ok());
    let (first, others) = match &**found.served.predictor.model() {
        Model::Linear(_) => (vec![(Tradeoff, 430), (Cv, 400)], vec![(Histogram, 380)]),
        Model::Rules(_) => (vec![(Tradeoff, 430), (Cv, 400)], Vec::new()),
        Model::Network(_) | Model::Ensemble(_) => (vec![(Tradeoff, 430)], Vec::new()),
        Model::Tree(model) => {
            let levels = 1 + u32::try_from(model.card.sparsity.depth).map_or(5, |depth| depth.min(5));
            (vec![(Tradeoff, 430), (Pruning, 430)], vec![(Tree, 120 + 90 * levels)])
        }
    };
    Pictures { tradeoff: first.into_iter().filter_map(drawn).collect(), others: others.into_iter().filter_map(drawn).collect() }
}

/// What the page of a comparison shows.
pub(crate) fn of_comparison(comparison: &Comparison) -> Vec<Picture> {
    compared(comparison).and_then(|picture| both(height(comparison), |look| Some(picture.draw(look)))).into_iter().collect()
}

/// Enough for every model to have a line.
pub(crate) fn height(comparison: &Comparison) -> u32 {
    170 + 34 * u32::try_from(comparison.data.len()).unwrap_or(40).min(40)
}

/// The models side by side; `None` where no score was measured.
pub(crate) fn compared(comparison: &Comparison) -> Option<plot::Comparison> {
    if comparison.data.iter().all(|row| row.score.is_none()) {
        return None;
    }
    let row = |row: &ComparedModel| Contender {
        name: if row.twin { format!("{} dense", row.reference) } else { row.reference.clone() },
        score: row.score,
        low: row.score_low,
        high: row.score_high,
        size: row.size,
        bytes: row.bytes_parameters,
        latency_us: row.latency_us_p50,
    };
    Some(plot::Comparison {
        heading: Heading { title: "Score and cost".into(), note: "Intervals of 95 % over resamples of the rows.".into() },
        score: comparison.score_name.clone(),
        rows: comparison.data.iter().map(row).collect(),
    })
}
