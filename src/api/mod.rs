//! All HTTP: a room for each resource with its In and Out types, one route table on one screen, one error file. `door/` is what every
//! request passes first, `wire/` what handlers share.
//!
//! Parses at the door, reads and writes the store, serves predictions from models in memory. Must never know SQL,
//! solvers, training or workers.

mod datasets;
mod door;
mod error;
mod jobs;
mod keys;
mod models;
mod operations;
mod state;
mod webhooks;
mod wire;

use Access::{AnyKey, Public};
use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{self, MethodRouter};
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::Scope;

pub use door::auth::Access;
pub use models::promotions::Promoter;
pub use state::{Api, Life};

/// Version of the public contract, in every answer.
pub(crate) const API_VERSION: &str = "2026-11-23";
/// The one route whose bodies are streamed for as long as an hour.
const UPLOAD_PATH: &str = "/api/v1/datasets";

/// One line of the route table.
#[derive(Debug)]
pub struct Route {
    /// `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: &'static str,
    /// Path template, as in `openapi.yaml`.
    pub path: &'static str,
    /// What it asks of its caller; a route cannot be written without it.
    pub access: Access,
    handler: MethodRouter<Api>,
}

const DATASETS_READ: Access = Access::Scope(Scope::DatasetsRead);
const DATASETS_WRITE: Access = Access::Scope(Scope::DatasetsWrite);
const JOBS_READ: Access = Access::Scope(Scope::JobsRead);
const JOBS_WRITE: Access = Access::Scope(Scope::JobsWrite);
const MODELS_READ: Access = Access::Scope(Scope::ModelsRead);
const MODELS_WRITE: Access = Access::Scope(Scope::ModelsWrite);
const MODELS_AND_ROWS: Access = Access::Both(Scope::ModelsRead, Scope::DatasetsRead);
const PREDICT: Access = Access::Scope(Scope::ModelsPredict);
const ADMIN: Access = Access::Scope(Scope::Admin);

/// Every route there is.
pub fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/datasets", DATASETS_WRITE, datasets::upload),
        get("/api/v1/datasets", DATASETS_READ, datasets::list),
        get("/api/v1/datasets/{dataset}", DATASETS_READ, datasets::latest),
        get("/api/v1/datasets/{dataset}/versions/{version}", DATASETS_READ, datasets::version),
        delete("/api/v1/datasets/{dataset}/versions/{version}", DATASETS_WRITE, datasets::remove),
        get("/api/v1/datasets/{dataset}/versions/{version}/rows", DATASETS_READ, datasets::rows),
        get("/api/v1/datasets/{dataset}/versions/{version}/features", DATASETS_READ, datasets::features),
        post("/api/v1/jobs", JOBS_WRITE, jobs::submissions::submit),
        get("/api/v1/jobs", JOBS_READ, jobs::list),
        delete("/api/v1/jobs", JOBS_WRITE, jobs::filter::remove),
        post("/api/v1/jobs/cancel", JOBS_WRITE, jobs::filter::cancel),
        get("/api/v1/jobs/{job}", JOBS_READ, jobs::one),
        delete("/api/v1/jobs/{job}", JOBS_WRITE, jobs::remove),
        post("/api/v1/jobs/{job}/cancel", JOBS_WRITE, jobs::cancel),
        get("/api/v1/jobs/{job}/events", JOBS_READ, jobs::events::of_job),
        get("/api/v1/events", JOBS_READ, jobs::events::of_project),
        post("/api/v1/jobs/{job}/retry", JOBS_WRITE, jobs::submissions::retry),
        post("/api/v1/comparisons", JOBS_WRITE, jobs::comparisons::submit),
        get("/api/v1/comparisons", JOBS_READ, jobs::comparisons::list),
        get("/api/v1/comparisons/{job}", JOBS_READ, jobs::comparisons::one),
        get("/api/v1/comparisons/{job}/plots/comparison.svg", JOBS_READ, jobs::comparisons::picture),
        get("/api/v1/models", MODELS_READ, models::list),
        get("/api/v1/models/{model}", MODELS_READ, models::latest),
        post("/api/v1/models/{model}/predict", PREDICT, models::predictions::by_reference),
        get("/api/v1/models/{model}/aliases", MODELS_READ, models::aliases::list),
        get("/api/v1/models/{model}/aliases/{alias}", MODELS_READ, models::aliases::one),
        put("/api/v1/models/{model}/aliases/{alias}", MODELS_WRITE, models::aliases::put),
        delete("/api/v1/models/{model}/aliases/{alias}", MODELS_WRITE, models::aliases::remove),
        get("/api/v1/models/{model}/aliases/{alias}/history", MODELS_READ, models::aliases::history),
        get("/api/v1/models/{model}/versions/{version}", MODELS_READ, models::version),
        delete("/api/v1/models/{model}/versions/{version}", MODELS_WRITE, models::remove),
        get("/api/v1/models/{model}/versions/{version}/coefficients", MODELS_READ, models::coefficients::list),
        get("/api/v1/models/{model}/versions/{version}/path", MODELS_READ, models::path),
        post("/api/v1/models/{model}/versions/{version}/promote", MODELS_WRITE, models::promotions::promote),
        get("/api/v1/models/{model}/versions/{version}/reproduce", MODELS_READ, models::reproduce::reproduce),
        get("/api/v1/models/{model}/versions/{version}/cv", MODELS_READ, models::held_out::cv),
        get("/api/v1/models/{model}/versions/{version}/cv/folds", MODELS_READ, models::held_out::folds),
        get("/api/v1/models/{model}/versions/{version}/fidelity", MODELS_READ, models::fidelity::fidelity),
        get("/api/v1/models/{model}/versions/{version}/stability", MODELS_READ, models::stability::stability),
        get("/api/v1/models/{model}/versions/{version}/tree", MODELS_READ, models::trees::tree),
        get("/api/v1/models/{model}/versions/{version}/layers", MODELS_READ, models::networks::layers),
        get("/api/v1/models/{model}/versions/{version}/rules", MODELS_READ, models::rules::list),
        get("/api/v1/models/{model}/versions/{version}/histogram", MODELS_READ, models::histogram),
        get("/api/v1/models/{model}/versions/{version}/plots/{plot}", MODELS_READ, models::plots::of_a_model),
        get("/api/v1/models/{model}/versions/{version}/plots/calibration.svg", MODELS_AND_ROWS, models::plots::calibration),
        get("/api/v1/models/{model}/versions/{version}/plots/residuals.svg", MODELS_AND_ROWS, models::plots::residuals),
        get("/api/v1/models/{model}/versions/{version}/certificate", MODELS_READ, models::certificate),
        get("/api/v1/models/{model}/versions/{version}/report", MODELS_READ, models::reports::report),
        post("/api/v1/models/{model}/versions/{version}/predict", PREDICT, models::predictions::by_version),
        post("/api/v1/webhooks", ADMIN, webhooks::create),
        get("/api/v1/webhooks", ADMIN, webhooks::list),
        get("/api/v1/webhooks/{webhook}", ADMIN, webhooks::one),
        patch("/api/v1/webhooks/{webhook}", ADMIN, webhooks::change),
        delete("/api/v1/webhooks/{webhook}", ADMIN, webhooks::remove),
        post("/api/v1/webhooks/{webhook}/rotate", ADMIN, webhooks::rotate),
        get("/api/v1/webhooks/{webhook}/deliveries", ADMIN, webhooks::deliveries),
        post("/api/v1/webhooks/{webhook}/deliveries/{delivery}/resend", ADMIN, webhooks::resend),
        post("/api/v1/keys", ADMIN, keys::create),
        get("/api/v1/keys", ADMIN, keys::list),
        get("/api/v1/keys/{key}", ADMIN, keys::one),
        delete("/api/v1/keys/{key}", ADMIN, keys::revoke),
        get("/api/v1/limits", AnyKey, operations::limits),
        get("/livez", Public, operations::livez),
        get("/readyz", Public, operations::readyz),
        get("/version", Public, operations::version),
        get("/metrics", ADMIN, operations::metrics),
        get("/openapi.json", Public, operations::openapi),
        get("/docs", Public, operations::docs),
        get("/docs/docs.js", Public, operations::docs_script),
        get("/docs/docs.css", Public, operations::docs_style),
        get("/problems/{code}", Public, operations::problem_page),
    ]
}

/// The whole API as one service: the routes, panics caught, and the door around everything.
pub fn router(api: Api) -> Router {
    let routes = routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    routes.layer(CatchPanicLayer::custom(error::of_panic)).layer(from_fn_with_state(api.clone(), door::door)).with_state(api)
}

/// What a process without a public API shows of itself: the health routes, and the measures, which ask for a key as a server's do.
pub fn health_router(api: Api) -> Router {
    let shown = |route: &Route| matches!(route.path, "/livez" | "/readyz" | "/metrics");
    let routes = routes().into_iter().filter(shown).fold(Router::new(), |router, route| router.route(route.path, route.handler));
    routes.layer(CatchPanicLayer::custom(error::of_panic)).layer(from_fn_with_state(api.clone(), door::door)).with_state(api)
}

fn get<H: Handler<T, Api>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: "GET", path, access, handler: routing::get(handler) }
}

fn post<H: Handler<T, Api>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: "POST", path, access, handler: routing::post(handler) }
}

fn put<H: Handler<T, Api>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: "PUT", path, access, handler: routing::put(handler) }
}

fn patch<H: Handler<T, Api>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: "PATCH", path, access, handler: routing::patch(handler) }
}

fn delete<H: Handler<T, Api>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: "DELETE", path, access, handler: routing::delete(handler) }
}
