//! Pictures of a model version: which one is asked for, how large, in which colours; and the answer.
//!
//! What is shown is put together in `of_model` and `of_rows`; how it looks is known to the room `plot`.

mod of_model;
mod of_rows;

use std::fmt::Display;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::{Place, served};
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::request::{Caller, Query, Segments, bad_parameter};
use crate::dataset::Class;
use crate::plot::{Look, SIDES, Theme};

pub(in crate::api) use of_model::{Picture, Wish, draw, drawn, take_scale};
pub(super) use of_rows::{Rows, of_rows};

/// A picture may be looked at by itself, and does nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
/// Height of a picture of which only the width was asked for.
const HEIGHT_OF_WIDTH: f64 = 0.625;

/// `GET …/plots/{plot}?width=&height=&theme=`; of `histogram.svg` also `bins` and `scale`.
pub(crate) async fn of_a_model(
    State(api): State<Api>,
    Segments((name, number, plot)): Segments<(String, String, String)>,
    mut query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    let picture = plot.strip_suffix(".svg").and_then(Picture::parse).ok_or_else(|| Problem::not_found("picture"))?;
    let look = look(&mut query)?;
    let mut wish = Wish::default();
    if picture == Picture::Histogram {
        wish.read(&mut query)?;
    }
    query.finish()?;
    let served = served(&api, &caller, &(name, number)).await?;
    let svg = drawn(&api, &served, picture, wish, look).await?;
    let what = if picture == Picture::Histogram { format!("{plot}-{}", wish.tag()) } else { plot };
    Ok(answer(&served.row.id, &what, look, svg))
}

/// `GET …/plots/calibration.svg?dataset=&width=&height=&theme=`.
pub(crate) async fn calibration(State(api): State<Api>, Segments(path): Place, query: Query, caller: Caller) -> Result<Response, Problem> {
    rows(&api, &caller, &path, query, Rows::Calibration).await
}

/// `GET …/plots/residuals.svg?dataset=&width=&height=&theme=`.
pub(crate) async fn residuals(State(api): State<Api>, Segments(path): Place, query: Query, caller: Caller) -> Result<Response, Problem> {
    rows(&api, &caller, &path, query, Rows::Residuals).await
}

async fn rows(api: &Api, caller: &Caller, path: &(String, String), mut query: Query, which: Rows) -> Result<Response, Problem> {
    let look = look(&mut query)?;
    let asked = query.take("dataset");
    query.finish()?;
    let served = served(api, caller, path).await?;
    let (svg, dataset) = of_rows(api, &served, which, asked.as_deref(), look).await?;
    Ok(answer(&served.row.id, &format!("{}-{dataset}", which.as_str()), look, svg))
}

/// Size and theme.
fn look(query: &mut Query) -> Result<Look, Problem> {
    look_of(query, |width| (f64::from(width) * HEIGHT_OF_WIDTH).round() as u32)
}

/// Size and theme, with the height of a picture of which only the width was asked for.
pub(in crate::api) fn look_of(query: &mut Query, height_of: impl FnOnce(u32) -> u32) -> Result<Look, Problem> {
    let mut side = |name: &str| {
        let Some(text) = query.take(name) else { return Ok(None) };
        let pixels = text.parse::<u32>().ok().filter(|pixels| SIDES.contains(pixels) && text.bytes().all(|byte| byte.is_ascii_digit()));
        let wanted = || format!("must be a whole number from {} to {}", SIDES.start(), SIDES.end());
        pixels.map(Some).ok_or_else(|| bad_parameter(name, "out_of_range", wanted()))
    };
    let (width, height) = (side("width")?, side("height")?);
    let theme = query.take_as("theme", "light or dark", Theme::parse)?.unwrap_or(Theme::Light);
    let width = width.unwrap_or(Look::default().width);
    let height = height.unwrap_or_else(|| height_of(width).clamp(*SIDES.start(), *SIDES.end()));
    Ok(Look { width, height, theme })
}

/// The picture; its tag names what it is of, how it looks, and the program that drew it.
pub(in crate::api) fn answer(of: impl Display, what: &str, look: Look, svg: String) -> Response {
    let tag = format!("\"{of}-{what}-{}x{}-{}-{}\"", look.width, look.height, look.theme.as_str(), env!("CARGO_PKG_VERSION"));
    let mut response = svg.into_response();
    let headers = response.headers_mut();
    let mut put = |name: HeaderName, value: HeaderValue| headers.insert(name, value);
    put(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml; charset=utf-8"));
    put(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        put(header::ETAG, tag);
    }
    response
}

/// A class as it was uploaded.
pub(super) fn class_text(class: &Class) -> String {
    match class {
        Class::Number(number) => number.to_string(),
        Class::Text(text) => text.clone(),
    }
}
