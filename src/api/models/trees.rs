//! What can be read of a tree and of nothing else: its nodes, the path of prunings, and what chose among them.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::cache::Served;
use super::promotions;
use super::{Place, href, served};
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::json::tagged;
use crate::api::wire::request::{Caller, Query};
use crate::dataset::Class;
use crate::fault::Code;
use crate::job::Warning;
use crate::model::{KeptPath, PrunedFrom, TreeCard, TreeCv, TreeCvRow, TreeModel, TreePath, TreePathRow, TreeSparsity, display_name};

/// The certificate of what nobody solved: a tree is grown by a rule, not to an optimum.
pub(crate) const NOT_APPLICABLE: NotApplicable = NotApplicable { status: "not_applicable" };

#[derive(Clone, Copy, Serialize)]
pub(crate) struct NotApplicable {
    status: &'static str,
}

/// What is told of a tree model.
#[derive(Serialize)]
pub(crate) struct TreeOut<'a> {
    criterion: &'a str,
    classes: &'a Option<Vec<Class>>,
    engine: &'a Value,
    objective: &'a str,
    ccp_alpha: f64,
    sparsity: SparsityOut<'a>,
    metrics: &'a Value,
    selection: &'a Option<Value>,
    certificate: NotApplicable,
    warnings: &'a [Warning],
    #[serde(skip_serializing_if = "Option::is_none")]
    promoted_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<&'a PrunedFrom>,
}

#[derive(Serialize)]
struct SparsityOut<'a> {
    #[serde(flatten)]
    measures: &'a TreeSparsity,
    node_bytes: u64,
}

pub(crate) fn card(card: &TreeCard) -> TreeOut<'_> {
    TreeOut {
        criterion: &card.criterion,
        classes: &card.classes,
        engine: &card.engine,
        objective: &card.objective,
        ccp_alpha: card.ccp_alpha,
        sparsity: SparsityOut { measures: &card.sparsity, node_bytes: card.node_bytes() },
        metrics: &card.metrics,
        selection: &card.selection,
        certificate: NOT_APPLICABLE,
        warnings: &card.warnings,
        promoted_from: card.promoted_from.as_deref(),
        pruned: card.pruned.as_ref(),
    }
}

#[derive(Serialize)]
struct NodesOut<'a> {
    object: &'static str,
    criterion: &'a str,
    classes: &'a Option<Vec<Class>>,
    leaves: u64,
    depth: u64,
    importances: Vec<Importance>,
    nodes: Vec<NodeOut<'a>>,
}

#[derive(Serialize)]
struct Importance {
    index: u32,
    name: String,
    importance: f64,
}

/// A leaf has neither feature, threshold nor children.
#[derive(Serialize)]
struct NodeOut<'a> {
    id: usize,
    feature: Option<u32>,
    name: Option<String>,
    threshold: Option<f64>,
    left: Option<usize>,
    right: Option<usize>,
    value: ValueOut<'a>,
    weight: f64,
    impurity: f64,
}

/// The mean, or the share of each class.
#[derive(Serialize)]
#[serde(untagged)]
enum ValueOut<'a> {
    Mean(f64),
    Shares(&'a [f64]),
}

/// `GET …/tree`.
pub(crate) async fn tree(
    State(api): State<Api>,
    crate::api::wire::request::Segments(path): Place,
    query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    let none = || Problem::new(Code::NoTree, format!("{} has no tree", served.row.card.noun()));
    let TreeModel { card, nodes } = served.predictor.model().tree().ok_or_else(none)?;
    let name = |feature: u32| display_name(served.names.as_deref(), feature);
    let node = |id: usize| {
        let split = nodes.split(id);
        let value = nodes.value(id);
        NodeOut {
            id,
            feature: split.map(|split| split.0),
            name: split.map(|split| name(split.0)),
            threshold: split.map(|split| split.1),
            left: split.map(|split| split.2),
            right: split.map(|split| split.3),
            value: if card.classes.is_some() { ValueOut::Shares(value) } else { ValueOut::Mean(value[0]) },
            weight: nodes.weights[id],
            impurity: nodes.impurities[id],
        }
    };
    let mut importances: Vec<(u32, f64)> = nodes.importances();
    importances.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let importance = |(index, importance)| Importance { index, name: name(index), importance };
    let body = NodesOut {
        object: "tree",
        criterion: &card.criterion,
        classes: &card.classes,
        leaves: card.sparsity.leaves,
        depth: card.sparsity.depth,
        importances: importances.into_iter().map(importance).collect(),
        nodes: (0..nodes.len()).map(node).collect(),
    };
    Ok(tagged(&format!("{}-tree", served.row.id), &body))
}

/// The path of prunings that a tree was chosen from.
async fn prunings(api: &Api, served: &Served) -> Result<TreePath, Problem> {
    match promotions::kept(api, &served.row).await? {
        KeptPath::Tree(path) => Ok(path),
        KeptPath::Linear(_) | KeptPath::Network(_) => {
            Err(Problem::internal(format!("{}: the path is of another kind of model", served.row.id)))
        }
    }
}

#[derive(Serialize)]
struct PathOut<'a> {
    object: &'static str,
    selected: Option<u64>,
    data: &'a [TreePathRow],
}

/// `GET …/path` of a tree.
pub(crate) async fn path(api: &Api, served: &Served, tree: &TreeModel) -> Result<Response, Problem> {
    let path = prunings(api, served).await?;
    let body = PathOut { object: "path", selected: path.selected(&tree.card), data: &path.rows };
    Ok(tagged(&format!("{}-path", served.row.id), &body))
}

#[derive(Serialize)]
struct CvOut<'a> {
    object: &'static str,
    method: &'static str,
    metric: &'a str,
    folds: u64,
    repeats: u64,
    seed: u64,
    stratify: bool,
    index_min: u64,
    index_1se: u64,
    data: &'a [TreeCvRow],
    fold_of_row_href: String,
}

/// What chose among the prunings, if rows were held out.
pub(crate) async fn held_out(api: &Api, served: &Served) -> Result<TreeCv, Problem> {
    let absent = || Problem::new(Code::NoCv, "the model was not chosen on rows held out");
    match api.store.open_points(&served.row).await? {
        Some(KeptPath::Tree(path)) => path.cv.ok_or_else(absent),
        _ => Err(absent()),
    }
}

/// `GET …/cv` of a tree.
pub(crate) async fn cv(api: &Api, served: &Served) -> Result<Response, Problem> {
    let cv = held_out(api, served).await?;
    let body = CvOut {
        object: "cv",
        method: "cv",
        metric: &cv.metric,
        folds: cv.folds,
        repeats: 1,
        seed: cv.seed,
        stratify: cv.stratify,
        index_min: cv.index_min,
        index_1se: cv.index_1se,
        data: &cv.rows,
        fold_of_row_href: format!("{}/cv/folds", href(&served.row)),
    };
    Ok(tagged(&format!("{}-cv", served.row.id), &body))
}
