//! Promotion: another point of a model's path becomes a version of its own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::response::Response;

use super::fidelity;
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::body;
use crate::api::wire::idempotency::{self, Turn};
use crate::api::wire::request::{Caller, Query, Segments};
use crate::dataset::Dataset;
use crate::fault::Code;
use crate::model::{KeptPath, LinearModel, Model, NetworkModel, NetworkPath, PathPoints, TreeModel, TreePath};
use crate::spec::{self, version_number};
use crate::store::{Answer, ModelRow, Once, StoreError};

const ROUTE: &str = "POST /api/v1/models/{model}/versions/{version}/promote";

/// Makes the model of a point; asked often whether to go on. `None` = it was told to stop, or something is wrong that its log
/// tells.
type Promote = dyn Fn(&Dataset, &PathPoints, &LinearModel, usize, &(dyn Fn() -> bool + Sync)) -> Option<LinearModel> + Send + Sync;

/// Who makes models of points: the API knows no solver, so the composition root hands it in.
#[derive(Clone)]
pub struct Promoter(Arc<Promote>);

impl Promoter {
    /// One that works by `promote`.
    pub fn new(
        promote: impl Fn(&Dataset, &PathPoints, &LinearModel, usize, &(dyn Fn() -> bool + Sync)) -> Option<LinearModel> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(promote))
    }
}

impl fmt::Debug for Promoter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Promoter")
    }
}

/// Says no once its request is gone.
pub(crate) struct Wanted(pub(crate) Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// `POST …/versions/{version}/promote`.
///
/// The certificate and the measures of the new version are computed from the data, as those of a fit are, within the
/// request: a few looks at the matrix. So the data set must still be there.
pub(crate) async fn promote(
    State(api): State<Api>,
    caller: Caller,
    Segments((name, number)): Segments<(String, String)>,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    query.finish()?;
    let (head, body) = request.into_parts();
    body::require_json(&head.headers)?;
    let number = version_number(&number).ok_or_else(super::absent)?;
    let turn = Turn::begin(&api, &caller, ROUTE, &head.headers)?;
    let body = body::whole(&head.headers, body, api.limits.json_bytes).await?;
    let fingerprint = idempotency::fingerprint(&[name.as_bytes(), &number.to_be_bytes(), &body]);
    if let Some(turn) = &turn
        && let Some(kept) = turn.before(&api).await?
    {
        return idempotency::replay(&kept, &fingerprint);
    }
    let row = api.store.model(caller.project(), &name, Some(number)).await?.ok_or_else(super::absent)?;
    fidelity::check_kept(&row, "no other point of its path can be measured beside its teacher")?;
    let kept = kept(&api, &row).await?;
    let count = match &kept {
        KeptPath::Linear(points) => points.points.len(),
        KeptPath::Tree(path) => path.rows.len(),
        KeptPath::Network(path) => path.rows.len(),
    };
    let index = spec::parse_promotion(&body, count as u64)?;
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    let model = match kept {
        KeptPath::Linear(points) => Model::Linear(made(&api, &row, points, at).await?),
        KeptPath::Tree(path) => Model::Tree(pruned(&api, &row, &path, at).await?),
        KeptPath::Network(path) => Model::Network(smaller(&api, &row, &path, at).await?),
    };
    let keyed = turn.as_ref().map(|turn| turn.keyed(&fingerprint));
    let render = |row: &ModelRow| made_known(row).map_err(|problem| StoreError::Row(problem.fault.detail));
    match api.store.add_promoted(&row, model, keyed, render).await? {
        Once::Done(row, answer) => {
            tracing::info!(model = row.reference(), index, "promoted");
            idempotency::respond(&answer)
        }
        Once::Refused(()) => Err(super::absent()),
        Once::Before(kept) => idempotency::replay(&kept, &fingerprint),
        Once::TooMany => Err(idempotency::too_many()),
    }
}

fn made_known(row: &ModelRow) -> Result<Answer, Problem> {
    Ok(Answer { status: 201, location: super::href(row), body: super::show(row, None)?.get().to_owned() })
}

/// The path that a version was chosen from.
pub(crate) async fn kept(api: &Api, row: &ModelRow) -> Result<KeptPath, Problem> {
    let found = api.store.open_points(row).await?;
    found.ok_or_else(|| Problem::new(Code::NoPath, "other points of a path than the model itself are not stored"))
}

/// Another pruning of the tree that was grown: nothing is computed anew, so no data are needed.
async fn pruned(api: &Api, row: &ModelRow, path: &TreePath, index: usize) -> Result<TreeModel, Problem> {
    let opened = api.store.open_model(row).await?;
    let strange = || Problem::internal(format!("{}: the path is of another kind of model", row.id));
    let base = opened.model.tree().ok_or_else(strange)?;
    let too_large = || Problem::new(Code::NoPath, "the tree was too large to be kept whole: its other prunings are shown and not promoted");
    path.promoted(base, index, &row.reference()).ok_or_else(too_large)
}

/// Another network of the path: as it was when its turn was over.
async fn smaller(api: &Api, row: &ModelRow, path: &NetworkPath, index: usize) -> Result<NetworkModel, Problem> {
    let opened = api.store.open_model(row).await?;
    let strange = || Problem::internal(format!("{}: the path is of another kind of model", row.id));
    let base = opened.model.network().ok_or_else(strange)?;
    let too_large = || Problem::new(Code::NoPath, "this network was too large to be kept: it is shown and not promoted");
    path.promoted(base, index, &row.reference()).ok_or_else(too_large)
}

/// The model of a point. One at a time: what it takes of memory is about that of a fit.
async fn made(api: &Api, row: &ModelRow, points: PathPoints, index: usize) -> Result<LinearModel, Problem> {
    if points.pilot.is_none() && points.spec.pointer("/penalty/adaptive").is_some_and(|adaptive| !adaptive.is_null()) {
        return Err(Problem::new(
            Code::Conflict,
            "the factors of this adaptive penalty were not kept: its points are shown and not promoted",
        ));
    }
    let of = &row.dataset;
    let dataset = api.store.dataset(&row.project, &of.name, Some(of.version)).await?;
    let dataset = dataset.ok_or_else(|| {
        Problem::new(Code::Conflict, "the data set version of the fit has been deleted; without it a new certificate cannot be computed")
    })?;
    let base = api.store.open_model(row).await?;
    let _only_one = api.promoting.lock().await;
    let dataset = api.store.open_dataset(&dataset).await?;
    let wanted = Arc::new(AtomicBool::new(true));
    let (promoter, asked) = (api.life.promoter.clone(), Arc::clone(&wanted));
    let _until_here = Wanted(wanted);
    let making = tokio::task::spawn_blocking(move || {
        let base = base.model.linear()?;
        (promoter.0)(&dataset, &points, base, index, &|| asked.load(Ordering::Relaxed))
    });
    let made = making.await.map_err(|error| Problem::internal(format!("promote: {error}")))?;
    let mut model = made.ok_or_else(|| Problem::internal("a point of a stored path became no model".to_owned()))?;
    model.card.promoted_from = Some(row.reference());
    Ok(model)
}
