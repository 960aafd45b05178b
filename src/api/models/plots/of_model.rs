//! Pictures of what is stored of a model: its path, what chose, its coefficients, its nodes.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::cache::Served;
use super::super::linear;
use super::class_text;
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::request::Query;
use crate::dataset::{Class, Names};
use crate::fault::Code;
use crate::model::{KeptPath, LambdaPath, LinearModel, PathPoints, SizedQuality, Traded, Tradeoff, TreeModel, TreePath, display_name};
use crate::plot::{
    Bars, CvCurve, CvPoint, FitCurve, Heading, HistogramPicture, Look, Marked, PathLine, PathPicture, PruningPicture, PruningRow,
    TradeoffPicture, TradeoffPoint, TreeNode, TreePicture, short,
};

/// Lines of a path that are drawn, at most: the strongest.
const LINES_MAX: usize = 330;
const BINS_DEFAULT: u64 = 40;
const BINS_MAX: u64 = 1000;

/// A picture that needs nothing but the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Picture {
    Path,
    Cv,
    Histogram,
    Tradeoff,
    Pruning,
    Tree,
}

/// How a histogram is wanted.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Wish {
    bins: u64,
    log: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { bins: BINS_DEFAULT, log: false }
    }
}

impl Wish {
    pub(super) fn read(&mut self, query: &mut Query) -> Result<(), Problem> {
        let bins = |text: &str| text.parse::<u64>().ok().filter(|bins| (1..=BINS_MAX).contains(bins));
        self.bins = query.take_as("bins", "a whole number from 1 to 1000", bins)?.unwrap_or(self.bins);
        self.log = take_scale(query)?;
        Ok(())
    }

    pub(super) fn tag(self) -> String {
        format!("{}-{}", self.bins, if self.log { "log" } else { "linear" })
    }
}

/// Whether `scale=log` was asked for.
pub(in crate::api) fn take_scale(query: &mut Query) -> Result<bool, Problem> {
    let scale = |word: &str| [("linear", false), ("log", true)].into_iter().find(|(name, _)| *name == word).map(|(_, log)| log);
    Ok(query.take_as("scale", "linear or log", scale)?.unwrap_or(false))
}

impl Picture {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "path" => Self::Path,
            "cv" => Self::Cv,
            "histogram" => Self::Histogram,
            "tradeoff" => Self::Tradeoff,
            "pruning" => Self::Pruning,
            "tree" => Self::Tree,
            _ => return None,
        })
    }
}

/// The picture, drawn on a thread that may block; a few at a time.
pub(in crate::api) async fn drawn(api: &Api, served: &Arc<Served>, picture: Picture, wish: Wish, look: Look) -> Result<String, Problem> {
    let permit = Arc::clone(&api.drawing).acquire_owned().await.map_err(|error| Problem::internal(error.to_string()))?;
    let kept = match picture {
        Picture::Path | Picture::Cv | Picture::Tradeoff | Picture::Pruning => api.store.open_points(&served.row).await?,
        Picture::Histogram | Picture::Tree => None,
    };
    let served = Arc::clone(served);
    let drawing = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        draw(&served, kept.as_ref(), picture, wish, look)
    });
    drawing.await.map_err(|error| Problem::internal(format!("plot: {error}")))?
}

/// The picture as SVG; `kept` is what was stored of the path, for those that show it.
pub(in crate::api) fn draw(served: &Served, kept: Option<&KeptPath>, picture: Picture, wish: Wish, look: Look) -> Result<String, Problem> {
    let model = served.predictor.model();
    let no_tree = || Problem::new(Code::NoTree, format!("{} has no tree", served.row.card.noun()));
    let none = |what: &str| Problem::new(Code::NoPlot, format!("{} has no {what}", served.row.card.noun()));
    match picture {
        Picture::Path => match (model.linear(), model.lambda_path()) {
            (None, Some(along)) => fit_along(served, &along, look),
            _ => path(served, linear(served, "path of coefficients")?, kept.and_then(KeptPath::linear), look),
        },
        Picture::Histogram => Ok(histogram(served, linear(served, "histogram of coefficients")?, wish).draw(look)),
        Picture::Pruning => Ok(pruning(served, model.tree().ok_or_else(no_tree)?, prunings(kept)?).draw(look)),
        Picture::Tree => Ok(nodes(served, model.tree().ok_or_else(no_tree)?).draw(look)),
        Picture::Cv => {
            let curve = match (model.lambda_path(), model.tree()) {
                (Some(path), _) => cv(served, &path)?,
                (None, Some(tree)) => cv_of_tree(served, tree, kept)?,
                (None, None) => return Err(none("curve of a cross-validation")),
            };
            Ok(curve.draw(look))
        }
        Picture::Tradeoff => match (model.tree(), model.traded(kept)) {
            (_, Some(traded)) => Ok(tradeoff(served, traded).draw(look)),
            (Some(_), None) => prunings(kept).and_then(|_| Err(no_path())),
            (None, None) => Err(no_path()),
        },
    }
}

fn title(served: &Served, what: &str) -> String {
    format!("{}:{} · {what}", served.row.name, served.row.version)
}

/// A number alone would be taken for a value.
fn feature_name(names: Option<&Names>, feature: u32) -> String {
    if names.is_some() { display_name(names, feature) } else { format!("feature {feature}") }
}

fn at(index: Option<u64>) -> Option<usize> {
    index.and_then(|index| usize::try_from(index).ok())
}

fn no_path() -> Problem {
    Problem::new(Code::NoPath, "the model was fitted at a single λ")
}

fn path(served: &Served, model: &LinearModel, points: Option<&PathPoints>, look: Look) -> Result<String, Problem> {
    if model.path.len() < 2 {
        return Err(no_path());
    }
    let loss = &model.card.loss;
    let Some(points) = points.filter(|points| !points.points.is_empty()) else {
        let along = served.predictor.model().lambda_path();
        return fit_along(served, &along.ok_or_else(no_path)?, look);
    };
    let chosen = points.points.iter().position(|point| point.lambda == model.card.lambda);
    let (lines, all) = lines(points, chosen, served.names.as_deref(), model.card.classes.as_deref());
    let hidden = if all > lines.len() { format!(", of which the {} strongest are drawn", lines.len()) } else { String::new() };
    let picture = PathPicture {
        heading: Heading {
            title: title(served, "coefficients along the path"),
            note: format!("{loss} loss, {} values of λ; {all} coefficients are ever not 0{hidden}", points.points.len()),
        },
        label: "coefficient, original scale".into(),
        lambda: points.points.iter().map(|point| point.lambda).collect(),
        nonzeros: points.points.iter().map(|point| point.values.len() as u64).collect(),
        selected: chosen,
        lines,
    };
    Ok(picture.draw(look))
}

/// How the fit gets better along a path of which the coefficients are not kept.
fn fit_along(served: &Served, path: &LambdaPath<'_>, look: Look) -> Result<String, Problem> {
    if path.rows.len() < 2 {
        return Err(no_path());
    }
    let points = path.rows.iter().map(|row| (row.lambda, row.deviance_ratio, row.nonzeros)).collect();
    let note = format!("{} loss; the coefficients of the other λ are not kept", path.loss);
    let heading = Heading { title: title(served, "fit along the path"), note };
    Ok(FitCurve { heading, points, selected: path.selected() }.draw(look))
}

/// The strongest coefficients, first those of the selected point, and how many there are.
fn lines(points: &PathPoints, chosen: Option<usize>, names: Option<&Names>, classes: Option<&[Option<Class>]>) -> (Vec<PathLine>, usize) {
    let class = |point: &crate::model::PathPoint, k: usize| point.classes.get(k).copied().unwrap_or(0);
    let mut strength: HashMap<(u32, u32), (f64, f64)> = HashMap::new();
    for (at, point) in points.points.iter().enumerate() {
        for (k, (feature, value)) in point.indices.iter().zip(&point.values).enumerate() {
            let known = strength.entry((*feature, class(point, k))).or_default();
            if Some(at) == chosen {
                known.0 = value.abs();
            }
            known.1 = known.1.max(value.abs());
        }
    }
    let all = strength.len();
    let mut order: Vec<((u32, u32), (f64, f64))> = strength.into_iter().collect();
    order.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then(b.1.1.total_cmp(&a.1.1)).then(a.0.cmp(&b.0)));
    order.truncate(LINES_MAX);
    let place: HashMap<(u32, u32), usize> = order.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
    let name = |(feature, class): (u32, u32)| {
        let feature = feature_name(names, feature);
        match classes.filter(|_| points.n_classes > 0).and_then(|classes| classes.get(class as usize)) {
            Some(Some(class)) => format!("{feature} → {}", class_text(class)),
            _ => feature,
        }
    };
    let mut lines: Vec<PathLine> = order.iter().map(|(key, _)| PathLine { name: name(*key), values: Vec::new() }).collect();
    for (at, point) in points.points.iter().enumerate() {
        for (k, (feature, value)) in point.indices.iter().zip(&point.values).enumerate() {
            if let Some(line) = place.get(&(*feature, class(point, k))) {
                lines[*line].values.push((at, *value));
            }
        }
    }
    (lines, all)
}

fn cv(served: &Served, path: &LambdaPath<'_>) -> Result<CvCurve, Problem> {
    let absent = || Problem::new(Code::NoCv, "the model was not chosen on rows held out");
    let cv = path.cv.ok_or_else(absent)?;
    let size = |index: u64| path.rows.iter().find(|row| row.index == index).map_or(0, |row| row.nonzeros);
    let position = |index: u64| cv.rows.iter().position(|row| row.index == index);
    let points = cv.rows.iter().map(|row| CvPoint { strength: row.lambda, size: size(row.index), mean: row.mean, se: row.se }).collect();
    let held = match (cv.method.as_str(), cv.fraction, cv.repeats) {
        ("holdout", Some(fraction), _) => format!("{} % of the rows held out", short(100.0 * fraction, 3)),
        (_, _, 1) => format!("{} folds", cv.folds),
        (_, _, repeats) => format!("{} folds, {repeats} times", cv.folds),
    };
    Ok(CvCurve {
        heading: Heading { title: title(served, "error on rows held out"), note: format!("{} loss, {held}, seed {}", path.loss, cv.seed) },
        metric: format!("mean {}", cv.metric.replace('_', " ")),
        sizes: path.sizes.into(),
        strength: "λ".into(),
        by_size: false,
        points,
        least: position(cv.index_min),
        one_se: position(cv.index_1se).filter(|_| cv.rows.iter().any(|row| row.se.is_some())),
        selected: cv.rows.iter().position(|row| row.lambda == path.lambda),
    })
}

/// The path of prunings that a tree was chosen from.
fn prunings(kept: Option<&KeptPath>) -> Result<&TreePath, Problem> {
    let absent = || Problem::new(Code::NoPath, "other prunings than the model itself are not stored");
    kept.and_then(KeptPath::tree).ok_or_else(absent)
}

fn cv_of_tree(served: &Served, tree: &TreeModel, kept: Option<&KeptPath>) -> Result<CvCurve, Problem> {
    let absent = || Problem::new(Code::NoCv, "the model was not chosen on rows held out");
    let path = prunings(kept).map_err(|_| absent())?;
    let cv = path.cv.as_ref().ok_or_else(absent)?;
    let leaves = |index: u64| path.rows.iter().find(|row| row.index == index).map_or(0, |row| row.leaves);
    let point =
        |row: &crate::model::TreeCvRow| CvPoint { strength: row.ccp_alpha, size: leaves(row.index), mean: row.mean, se: Some(row.se) };
    let position = |index: u64| cv.rows.iter().position(|row| row.index == index);
    Ok(CvCurve {
        heading: Heading {
            title: title(served, "error of the prunings on rows held out"),
            note: format!("{}, {} folds, seed {}", tree.card.criterion, cv.folds, cv.seed),
        },
        metric: format!("mean {}", cv.metric.replace('_', " ")),
        sizes: "leaves".into(),
        strength: "α".into(),
        by_size: true,
        points: cv.rows.iter().map(point).collect(),
        least: position(cv.index_min),
        one_se: position(cv.index_1se),
        selected: path.selected(&tree.card).and_then(position),
    })
}

fn histogram(served: &Served, model: &LinearModel, wish: Wish) -> HistogramPicture {
    let bins = usize::try_from(wish.bins).unwrap_or(1);
    let sparsity = &model.card.sparsity;
    let index = |name: &str, value: Option<f64>| value.map(|value| format!("{name} {}", short(value, 3)));
    let indices = [index("Hoyer", sparsity.hoyer), index("Gini", sparsity.gini)];
    let count =
        format!("{} of {} coefficients are not 0", sparsity.nonzeros, sparsity.n_features.saturating_mul(model.card.n_outputs() as u64));
    let note = std::iter::once(count).chain(indices.into_iter().flatten()).collect::<Vec<_>>().join(", ");
    let heading = Heading { title: title(served, "coefficients"), note };
    if wish.log {
        let made = model.log_histogram(bins);
        let bars = Bars::Log { edges: made.edges, positive: made.positive, negative: made.negative };
        return HistogramPicture { heading, label: "|coefficient|, original scale".into(), zeros: made.zeros, bars };
    }
    let made = model.histogram(bins);
    let bars = Bars::Linear { edges: made.edges, counts: made.counts };
    HistogramPicture { heading, label: "coefficient, original scale".into(), zeros: made.zeros, bars }
}

fn tradeoff(served: &Served, traded: Traded) -> TradeoffPicture {
    let Traded { tradeoff: trade, selected, sizes } = traded;
    let measure = trade.measure.replace('_', " ");
    let best = trade.best.and_then(|at| trade.rows.get(at)).copied();
    let name = |name: &str, at: Option<usize>| {
        let at = at?;
        let cost = best.and_then(|best| cost(&trade, &best, trade.rows.get(at)?, &measure)).unwrap_or_default();
        Some(Marked { at, name: name.to_owned(), cost })
    };
    let marked = [name("best", trade.best), name("1-SE", trade.one_se), name("knee", trade.knee), name("selected", selected)];
    let (way, rows) =
        (if trade.less_is_better { "less" } else { "more" }, if trade.held_out { "rows held out" } else { "the rows of the fit" });
    let point = |row: &SizedQuality| TradeoffPoint { size: row.size, quality: row.quality, se: row.se };
    TradeoffPicture {
        heading: Heading {
            title: title(served, "what smallness costs"),
            note: format!("{measure} on {rows}, {way} is better; the knee is where more size begins to bring less"),
        },
        quality: measure,
        sizes: sizes.to_owned(),
        points: trade.rows.iter().map(point).collect(),
        marked: marked.into_iter().flatten().collect(),
    }
}

/// What a model costs beside the best one, and saves.
fn cost(trade: &Tradeoff, best: &SizedQuality, row: &SizedQuality, measure: &str) -> Option<String> {
    if row == best || !row.quality.is_finite() {
        return None;
    }
    let change = row.quality - best.quality;
    let sign = if change < 0.0 { "" } else { "+" };
    let quality = if trade.less_is_better && best.quality > 0.0 {
        format!("{sign}{} % {measure}", short(100.0 * change / best.quality, 2))
    } else {
        format!("{sign}{} {measure}", short(change, 2))
    };
    let size = match (row.size, best.size) {
        (a, b) if a < b => format!("{} % smaller, ", short(100.0 * (1.0 - a as f64 / b as f64), 2)),
        (a, b) if a > b && b > 0 => format!("{} % larger, ", short(100.0 * (a as f64 / b as f64 - 1.0), 2)),
        _ => String::new(),
    };
    Some(format!("{size}{quality}"))
}

fn pruning(served: &Served, tree: &TreeModel, path: &TreePath) -> PruningPicture {
    let row = |row: &crate::model::TreePathRow| PruningRow {
        alpha: row.ccp_alpha,
        leaves: row.leaves,
        train: row.train_score,
        cv: row.cv_mean,
        cv_se: row.cv_se,
    };
    let unpruned = &tree.card.sparsity.unpruned;
    PruningPicture {
        heading: Heading {
            title: title(served, "prunings"),
            note: format!(
                "{}, {} prunings of a tree of {} leaves and depth {}",
                tree.card.criterion,
                path.rows.len(),
                unpruned.leaves,
                unpruned.depth
            ),
        },
        train: format!("{}, train", tree.train_score()),
        cv: path.cv.as_ref().map_or_else(|| "held out".to_owned(), |cv| format!("{}, CV", cv.metric.replace('_', " "))),
        rows: path.rows.iter().map(row).collect(),
        selected: at(path.selected(&tree.card)),
    }
}

fn nodes(served: &Served, tree: &TreeModel) -> TreePicture {
    let TreeModel { card, nodes } = tree;
    let name = |feature: u32| feature_name(served.names.as_deref(), feature);
    let means = || (0..nodes.len()).map(|at| nodes.value(at)[0]);
    let (least, most) = (means().fold(f64::INFINITY, f64::min), means().fold(f64::NEG_INFINITY, f64::max));
    let percent = |share: f64| format!("{} %", short(100.0 * share, 3));
    let value = |at: usize| match card.classes.as_deref() {
        None => {
            let mean = nodes.value(at)[0];
            (
                short(mean, 4),
                if most > least { mean / 2.0 / (most / 2.0 - least / 2.0) - least / 2.0 / (most / 2.0 - least / 2.0) } else { 0.5 },
            )
        }
        Some([_, _]) => (percent(nodes.value(at)[1]), nodes.value(at)[1]),
        Some(classes) => {
            let top = nodes.value(at).iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
            top.map_or_else(
                || (String::new(), 0.0),
                |(k, share)| {
                    let class = classes.get(k).map(class_text).unwrap_or_default();
                    (format!("{class} {}", percent(*share)), *share)
                },
            )
        }
    };
    let node = |at: usize| {
        let (value, shade) = value(at);
        let split = nodes.split(at).map(|(feature, threshold, left, right)| (name(feature), threshold, left, right));
        TreeNode { split, value, shade, weight: nodes.weights[at] }
    };
    let told = match card.classes.as_deref() {
        None => "the mean of its rows, stronger = larger".to_owned(),
        Some([_, positive]) => format!("the share of class {}, stronger = larger", class_text(positive)),
        Some(_) => "its commonest class, stronger = purer".to_owned(),
    };
    TreePicture {
        heading: Heading {
            title: title(served, "the tree"),
            note: format!(
                "{}, {} leaves, depth {}; a node shows {told}, and the weight of its rows",
                card.criterion, card.sparsity.leaves, card.sparsity.depth
            ),
        },
        nodes: (0..nodes.len()).map(node).collect(),
    }
}
