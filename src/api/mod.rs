//! All HTTP: one file for each resource with its In and Out types, one route table on one screen, one error file.
//!
//! Parses at the door, reads and writes the store, serves predictions from models in memory. Must never know SQL,
//! solvers, training or workers.

mod body;
mod cache;
mod datasets;
mod digest;
mod door;
mod error;
mod idempotency;
mod job_filter;
mod jobs;
mod json;
mod lend;
mod models;
mod operations;
mod pace;
mod page;
mod predictions;
mod request;
mod state;
mod webhooks;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{self, MethodRouter};
use tower_http::catch_panic::CatchPanicLayer;

pub use state::{Api, Life};

/// Version of the public contract, in every answer.
pub(crate) const API_VERSION: &str = "2026-11-23";
/// The one route whose bodies are streamed for as long as an hour.
const UPLOAD_PATH: &str = "/api/v1/datasets";

/// One line of the route table.
#[derive(Debug)]
pub struct Route {
    /// `GET`, `POST`, `PATCH`, `DELETE`.
    pub method: &'static str,
    /// Path template, as in `openapi.yaml`.
    pub path: &'static str,
    handler: MethodRouter<Api>,
}

/// Every route there is.
pub fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/datasets", datasets::upload),
        get("/api/v1/datasets", datasets::list),
        get("/api/v1/datasets/{dataset}", datasets::latest),
        get("/api/v1/datasets/{dataset}/versions/{version}", datasets::version),
        delete("/api/v1/datasets/{dataset}/versions/{version}", datasets::remove),
        get("/api/v1/datasets/{dataset}/versions/{version}/rows", datasets::rows),
        get("/api/v1/datasets/{dataset}/versions/{version}/features", datasets::features),
        post("/api/v1/jobs", jobs::submit),
        get("/api/v1/jobs", jobs::list),
        delete("/api/v1/jobs", job_filter::remove),
        post("/api/v1/jobs/cancel", job_filter::cancel),
        get("/api/v1/jobs/{job}", jobs::one),
        delete("/api/v1/jobs/{job}", jobs::remove),
        post("/api/v1/jobs/{job}/cancel", jobs::cancel),
        post("/api/v1/jobs/{job}/retry", jobs::retry),
        get("/api/v1/models", models::list),
        get("/api/v1/models/{model}", models::latest),
        post("/api/v1/models/{model}/predict", predictions::by_reference),
        get("/api/v1/models/{model}/versions/{version}", models::version),
        delete("/api/v1/models/{model}/versions/{version}", models::remove),
        get("/api/v1/models/{model}/versions/{version}/coefficients", models::coefficients),
        get("/api/v1/models/{model}/versions/{version}/path", models::path),
        get("/api/v1/models/{model}/versions/{version}/cv", models::cv),
        get("/api/v1/models/{model}/versions/{version}/cv/folds", models::folds),
        get("/api/v1/models/{model}/versions/{version}/histogram", models::histogram),
        get("/api/v1/models/{model}/versions/{version}/certificate", models::certificate),
        post("/api/v1/models/{model}/versions/{version}/predict", predictions::by_version),
        post("/api/v1/webhooks", webhooks::create),
        get("/api/v1/webhooks", webhooks::list),
        get("/api/v1/webhooks/{webhook}", webhooks::one),
        patch("/api/v1/webhooks/{webhook}", webhooks::change),
        delete("/api/v1/webhooks/{webhook}", webhooks::remove),
        post("/api/v1/webhooks/{webhook}/rotate", webhooks::rotate),
        get("/api/v1/webhooks/{webhook}/deliveries", webhooks::deliveries),
        post("/api/v1/webhooks/{webhook}/deliveries/{delivery}/resend", webhooks::resend),
        get("/api/v1/limits", operations::limits),
        get("/livez", operations::livez),
        get("/readyz", operations::readyz),
        get("/version", operations::version),
        get("/metrics", operations::metrics),
        get("/openapi.json", operations::openapi),
        get("/docs", operations::docs),
        get("/docs/docs.js", operations::docs_script),
        get("/docs/docs.css", operations::docs_style),
        get("/problems/{code}", operations::problem_page),
    ]
}

/// The whole API as one service: the routes, panics caught, and the door around everything.
pub fn router(api: Api) -> Router {
    let routes = routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    routes.layer(CatchPanicLayer::custom(error::of_panic)).layer(from_fn_with_state(api.clone(), door::door)).with_state(api)
}

/// What a process without a public API shows of itself: the health routes and the measures, open to whoever reaches them.
pub fn health_router(api: Api) -> Router {
    let shown = |route: &Route| matches!(route.path, "/livez" | "/readyz" | "/metrics");
    let routes = routes().into_iter().filter(shown).fold(Router::new(), |router, route| router.route(route.path, route.handler));
    routes.layer(CatchPanicLayer::custom(error::of_panic)).layer(from_fn_with_state(api.clone(), door::door)).with_state(api)
}

fn get<H: Handler<T, Api>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { method: "GET", path, handler: routing::get(handler) }
}

fn post<H: Handler<T, Api>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { method: "POST", path, handler: routing::post(handler) }
}

fn patch<H: Handler<T, Api>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { method: "PATCH", path, handler: routing::patch(handler) }
}

fn delete<H: Handler<T, Api>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { method: "DELETE", path, handler: routing::delete(handler) }
}
