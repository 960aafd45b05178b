//! The pictures of reports and comparisons, in both looks: what is stored, handed to `plot`.

use super::reports::{Found, score_of};
use crate::model::{Comparison, LambdaPath, LinearModel, Model, TreeModel, display_name};
use crate::plot::{
    self, Bars, Contender, CvCurve, CvPoint, Heading, HistogramPicture, Look, Marked, PruningPicture, PruningRow, Theme, TradeoffPicture,
    TradeoffPoint, TreeNode, TreePicture, short,
};
use crate::report::{Picture, Report};

const WIDTH: u32 = 940;
const BINS: usize = 40;
/// Nodes of a tree that are handed over; the picture shows fewer.
const NODES: usize = 20_000;

/// Pictures of a model.
pub(super) struct Pictures {
    pub(super) tradeoff: Vec<Picture>,
    pub(super) others: Vec<Picture>,
}

fn both(height: u32, draw: impl Fn(Look) -> String) -> Picture {
    let look = |theme| Look { width: WIDTH, height, theme };
    // within a page of HTML the name space is known, and an address would look as if something were loaded from it
    let inline = |svg: String| svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    Picture { caption: String::new(), light: inline(draw(look(Theme::Light))), dark: inline(draw(look(Theme::Dark))) }
}

fn heading(title: impl Into<String>, note: impl Into<String>) -> Heading {
    Heading { title: title.into(), note: note.into() }
}

/// What a report shows.
pub(super) fn of(found: &Found<'_>, report: &Report) -> Pictures {
    let (mut tradeoff, mut others) = (Vec::new(), Vec::new());
    tradeoff.extend(traded(found, report));
    match &**found.served.predictor.model() {
        Model::Linear(model) => {
            tradeoff.extend(found.served.predictor.model().lambda_path().and_then(|path| curve(&path)));
            others.extend(histogram(model));
        }
        Model::Tree(model) => {
            tradeoff.extend(prunings(found, model));
            others.push(tree(found, model));
        }
        model @ Model::Rules(_) => tradeoff.extend(model.lambda_path().and_then(|path| curve(&path))),
    }
    Pictures { tradeoff, others }
}

fn traded(found: &Found<'_>, report: &Report) -> Option<Picture> {
    let (all, _) = found.tradeoff()?;
    let told = report.tradeoff.as_ref()?;
    let point = |row: &crate::model::SizedQuality| TradeoffPoint { size: row.size, quality: row.quality, se: row.se };
    let mark = |mark: &crate::report::MarkOut| Marked {
        at: usize::try_from(mark.index).unwrap_or(usize::MAX),
        name: if mark.name == "1se" { "1-SE".into() } else { mark.name.clone() },
        cost: match mark.size_share {
            Some(share) if mark.name != "best" => {
                format!("{} % of the size, worse by {}", short(100.0 * share, 3), short(mark.loss, 2))
            }
            _ => String::new(),
        },
    };
    let less = if told.less_is_better { "less is better" } else { "more is better" };
    let picture = TradeoffPicture {
        heading: heading("Quality against size", if told.held_out { "On rows held out." } else { "On the rows of the fit." }),
        quality: format!("{} ({less})", told.measure),
        sizes: told.sizes.clone(),
        points: all.rows.iter().map(point).collect(),
        marked: told.marks.iter().map(mark).collect(),
    };
    Some(both(430, |look| picture.draw(look)))
}

fn curve(path: &LambdaPath<'_>) -> Option<Picture> {
    let cv = path.cv.filter(|cv| cv.rows.len() > 1)?;
    let point = |(row, own): (&crate::model::CvRow, &crate::model::PathRow)| CvPoint {
        strength: row.lambda,
        size: own.nonzeros,
        mean: row.mean,
        se: row.se,
    };
    let place = |index: u64| usize::try_from(index).ok();
    let picture = CvCurve {
        heading: heading("Cross-validation", "Mean over the folds, with its standard error."),
        metric: cv.metric.clone(),
        sizes: path.sizes.into(),
        strength: "λ".into(),
        by_size: false,
        points: cv.rows.iter().zip(path.rows).map(point).collect(),
        least: place(cv.index_min),
        one_se: place(cv.index_1se),
        selected: path.selected(),
    };
    Some(both(400, |look| picture.draw(look)))
}

fn histogram(model: &LinearModel) -> Option<Picture> {
    let found = model.histogram(BINS);
    if found.counts.is_empty() {
        return None;
    }
    let picture = HistogramPicture {
        heading: heading("Coefficients", "Those that are exactly 0 stand apart."),
        label: "coefficient".into(),
        zeros: found.zeros,
        bars: Bars::Linear { edges: found.edges, counts: found.counts },
    };
    Some(both(380, |look| picture.draw(look)))
}

fn prunings(found: &Found<'_>, model: &TreeModel) -> Option<Picture> {
    let path = found.prunings.as_ref().filter(|path| path.rows.len() > 1)?;
    let row = |row: &crate::model::TreePathRow| PruningRow {
        alpha: row.ccp_alpha,
        leaves: row.leaves,
        train: row.train_score,
        cv: row.cv_mean,
        cv_se: row.cv_se,
    };
    let picture = PruningPicture {
        heading: heading("Prunings", "Every tree that is the best one for some α."),
        train: score_of(model).into(),
        cv: path.cv.as_ref().map_or_else(String::new, |cv| cv.metric.clone()),
        rows: path.rows.iter().map(row).collect(),
        selected: path.selected(&model.card).and_then(|at| usize::try_from(at).ok()),
    };
    Some(both(430, |look| picture.draw(look)))
}

fn tree(found: &Found<'_>, model: &TreeModel) -> Picture {
    let nodes = &model.nodes;
    let shown = nodes.len().min(NODES);
    // the mean, or the share of the last class; of many classes the largest share
    let level = |at: usize| {
        let value = nodes.value(at);
        if value.len() == 2 { value[1] } else { value.iter().copied().fold(f64::NEG_INFINITY, f64::max) }
    };
    let (least, most) = (0..shown).map(level).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let value = |at: usize| {
        let value = nodes.value(at);
        match &model.card.classes {
            Some(classes) if value.len() > 2 => {
                let best = (1..value.len()).fold(0, |best, class| if value[class] > value[best] { class } else { best });
                let name = classes.get(best).map_or_else(String::new, |class| match class {
                    crate::dataset::Class::Number(number) => number.to_string(),
                    crate::dataset::Class::Text(text) => text.clone(),
                });
                format!("{name}: {}", short(value[best], 2))
            }
            _ => short(level(at), 3),
        }
    };
    let node = |at: usize| TreeNode {
        split: nodes
            .split(at)
            .filter(|(_, _, left, right)| *left < shown && *right < shown)
            .map(|(feature, threshold, left, right)| (display_name(found.served.names.as_deref(), feature), threshold, left, right)),
        value: value(at),
        shade: if most > least { (level(at) - least) / (most - least) } else { 0.5 },
        weight: nodes.weights[at],
    };
    let picture = TreePicture {
        heading: heading("The tree", "A row goes left when the split holds; the heaviest nodes are drawn first."),
        nodes: (0..shown).map(node).collect(),
    };
    let depth = u32::from(model.card.sparsity.depth > 0) + u32::try_from(model.card.sparsity.depth).unwrap_or(u32::MAX).min(5);
    both(120 + 90 * depth, |look| picture.draw(look))
}

/// What the page of a comparison shows.
pub(super) fn of_comparison(comparison: &Comparison) -> Vec<Picture> {
    if comparison.data.iter().all(|row| row.score.is_none()) {
        return Vec::new();
    }
    let row = |row: &crate::model::ComparedModel| Contender {
        name: if row.twin { format!("{} dense", row.reference) } else { row.reference.clone() },
        score: row.score,
        low: row.score_low,
        high: row.score_high,
        size: row.size,
        bytes: row.bytes_parameters,
        latency_us: row.latency_us_p50,
    };
    let picture = plot::Comparison {
        heading: heading("Score and cost", "Intervals of 95 % over resamples of the rows."),
        score: comparison.score_name.clone(),
        rows: comparison.data.iter().map(row).collect(),
    };
    let height = 170 + 34 * u32::try_from(comparison.data.len()).unwrap_or(40).min(40);
    vec![both(height, |look| picture.draw(look))]
}
