//! JSON or a page for people: what the `Accept` of a request, or its `?format=`, asks for where both are there.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::request::Query;
use crate::api::error::Problem;
use crate::report::CONTENT_SECURITY_POLICY;

/// Whether a page is wanted. `format` says it for good; else HTML must be preferred to JSON, as browsers do.
pub(crate) fn wants_page(query: &mut Query, headers: &HeaderMap) -> Result<bool, Problem> {
    let format = |word: &str| match word {
        "html" => Some(true),
        "json" => Some(false),
        _ => None,
    };
    let asked = query.take_as("format", "json or html", format)?;
    Ok(asked.unwrap_or_else(|| prefers_html(headers)))
}

fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = (0.0_f64, 0.0_f64);
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or("").to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse::<f64>().unwrap_or(0.0));
        match name.as_str() {
            "text/html" | "text/*" => html = html.max(quality),
            "application/json" | "application/*" | "*/*" => json = json.max(quality),
            _ => {}
        }
    }
    html > json
}

/// A page that loads nothing and runs nothing, and that no cache mixes up with the JSON of the same address.
pub(crate) fn page(text: String) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    varies(response)
}

/// Says that the answer hangs on `Accept`.
pub(crate) fn varies(mut response: Response) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_a_page_and_a_program_json() {
        let accept = |text: &str| HeaderMap::from_iter([(header::ACCEPT, text.parse().expect("a value"))]);
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (text, page) in [
            (browser, true),
            ("text/html", true),
            ("*/*", false),
            ("application/json", false),
            ("application/json, text/html", false),
            ("text/html;q=0.5, application/json", false),
            ("text/html;q=0", false),
        ] {
            assert_eq!(prefers_html(&accept(text)), page, "{text}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
        let ask = |text: &str| wants_page(&mut Query::parse(text).expect("a query"), &accept("text/html"));
        assert_eq!((ask("format=json").ok(), ask("format=html").ok(), ask("").ok()), (Some(false), Some(true), Some(true)));
        assert!(ask("format=pdf").is_err());
    }
}
