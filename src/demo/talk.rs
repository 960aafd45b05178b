//! What the demo asks the server, over HTTP alone: upload, fit, watch, read, predict. An answer that is not a success ends the demo, in
//! the server's own words.
//!
//! Knows the public API and nothing behind it.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::Failure;
use super::draw::{bar, count, figures};
use super::screen::Screen;
use crate::client::{Client, Response};

/// Pause between two looks at a job that moves on a terminal.
const LOOK: Duration = Duration::from_millis(80);
/// Seconds between two lines where there is no terminal.
const LINE_EVERY: &str = "wait=2";
/// Cells of the progress bar.
const BAR: usize = 28;

/// One conversation with one server.
pub(super) struct Talk {
    client: Client,
}

impl Talk {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// `GET`, as JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        success("GET", path, &self.client.get(path).await?)
    }

    /// `GET`, as a page.
    pub(super) async fn page(&self, path: &str) -> Result<Bytes, Failure> {
        let response = self.client.send("GET", path, &[("accept", "text/html")], Bytes::new()).await?;
        if response.status.is_success() { Ok(response.body) } else { success("GET", path, &response).map(|_| Bytes::new()) }
    }

    /// Uploads a gzipped JSON matrix under a name; answers the data set version.
    pub(super) async fn upload(&self, name: &str, body: Bytes) -> Result<Value, Failure> {
        let path = format!("/api/v1/datasets?name={name}");
        success("POST", &path, &self.client.send("POST", &path, &GZIP_JSON, body).await?)
    }

    /// Queues a fit; answers the job.
    pub(super) async fn submit(&self, body: &Value) -> Result<Value, Failure> {
        success("POST", JOBS, &self.client.post_json(JOBS, &[], body).await?)
    }

    /// Predicts the rows of a gzipped body; answers `predictions`, one a row.
    pub(super) async fn predict(&self, model: &str, query: &str, body: Bytes) -> Result<Vec<Value>, Failure> {
        let path = format!("/api/v1/models/{model}/predict?{query}");
        let answer = success("POST", &path, &self.client.send("POST", &path, &GZIP_JSON, body).await?)?;
        Ok(list(&answer, "predictions")?.to_vec())
    }

    /// Watches a job to its end, drawing what it says of itself; answers it as it ended. Anything but success is a failure.
    pub(super) async fn watch<W: Write>(&self, job: &Value, screen: &mut Screen<W>) -> Result<Value, Failure> {
        let path = format!("{JOBS}/{}", text(job, "id")?);
        loop {
            let headers: &[(&str, &str)] = if screen.is_terminal() { &[] } else { &[("prefer", LINE_EVERY)] };
            let job = success("GET", &path, &self.client.send("GET", &path, headers, Bytes::new()).await?)?;
            match text(&job, "status")? {
                "succeeded" => {
                    screen.settle()?;
                    return Ok(job);
                }
                status @ ("failed" | "cancelled") => {
                    screen.settle()?;
                    let why = job.pointer("/error/detail").or(job.get("reason")).and_then(Value::as_str).unwrap_or("no reason given");
                    return Err(format!("the job {status}: {why}").into());
                }
                _ => screen.progress(&progress(&job))?,
            }
            if screen.is_terminal() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

const JOBS: &str = "/api/v1/jobs";
const GZIP_JSON: [(&str, &str); 2] = [("content-type", "application/json"), ("content-encoding", "gzip")];

/// The JSON of a success; else what the problem says.
fn success(method: &str, path: &str, response: &Response) -> Result<Value, Failure> {
    if response.status.is_success() {
        return Ok(response.json()?);
    }
    let what = match response.json() {
        Ok(problem) => explain(&problem),
        Err(_) => response.text(),
    };
    Err(format!("{method} {path} was answered {}: {what}", response.status).into())
}

/// A problem in one line: its code, its words, and where.
fn explain(problem: &Value) -> String {
    let word = |key: &str| problem[key].as_str().unwrap_or("");
    let place = |entry: &Value| entry["pointer"].as_str().or(entry["parameter"].as_str()).unwrap_or("").to_owned();
    let places: Vec<String> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| format!("{} {}", place(e), e["detail"].as_str().unwrap_or("")))
        .collect();
    format!("{}: {} {}", word("code"), word("detail"), places.join("; ")).trim_end().to_owned()
}

/// A line about a job under way: `[████      ] 41 %  cv 3/5 · λ 0.021 · 63 non-zeros`.
fn progress(job: &Value) -> String {
    if job["status"] == "queued" {
        return "queued".to_owned();
    }
    let progress = &job["progress"];
    let fraction = progress["fraction"].as_f64().unwrap_or(0.0);
    let step = progress["steps"].as_array().into_iter().flatten().find(|step| step["done"].as_u64() < step["total"].as_u64());
    let current = &progress["current"];
    let parts = [
        step.map(|step| format!("{} {}/{}", step["name"].as_str().unwrap_or(""), step["done"], step["total"])),
        current["lambda"].as_f64().map(|lambda| format!("λ {}", figures(lambda))),
        current["nonzeros"].as_u64().map(|nonzeros| format!("{} non-zeros", count(nonzeros))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("▕{}▏{:3.0} %  {}", bar(fraction, BAR), fraction * 100.0, parts.join(" · "))
}

/// A text that must be there.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> Result<&'a str, Failure> {
    find(object, pointer)?.as_str().ok_or_else(|| wrong(pointer, "a text"))
}

/// A number that must be there.
pub(super) fn number(object: &Value, pointer: &str) -> Result<f64, Failure> {
    find(object, pointer)?.as_f64().ok_or_else(|| wrong(pointer, "a number"))
}

/// A whole number that must be there.
pub(super) fn whole(object: &Value, pointer: &str) -> Result<u64, Failure> {
    find(object, pointer)?.as_u64().ok_or_else(|| wrong(pointer, "a whole number"))
}

/// An array that must be there.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> Result<&'a [Value], Failure> {
    find(object, pointer)?.as_array().map(Vec::as_slice).ok_or_else(|| wrong(pointer, "an array"))
}

fn find<'a>(object: &'a Value, pointer: &str) -> Result<&'a Value, Failure> {
    let found = if pointer.starts_with('/') { object.pointer(pointer) } else { object.get(pointer) };
    found.ok_or_else(|| format!("the server's answer has no `{pointer}`").into())
}

fn wrong(pointer: &str, wanted: &str) -> Failure {
    format!("`{pointer}` in the server's answer is not {wanted}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::StatusCode;
    use serde_json::json;

    #[test]
    fn progress_names_the_step_and_where_the_solver_is() {
        let job = json!({"status": "running", "progress": {"fraction": 0.5, "eta_s": null,
            "steps": [{"name": "load", "done": 1, "total": 1}, {"name": "cv", "done": 2, "total": 5}],
            "current": {"lambda": 0.02111, "nonzeros": 1063, "fold": 2}}});
        assert_eq!(progress(&job), "▕██████████████              ▏ 50 %  cv 2/5 · λ 0.0211 · 1,063 non-zeros");
        assert_eq!(progress(&json!({"status": "queued"})), "queued");
        let early = json!({"status": "running", "progress": {"fraction": 0, "eta_s": null, "steps": [], "current": null}});
        assert!(progress(&early).ends_with("  0 %  "), "{}", progress(&early));
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_the_server() {
        let problem = json!({"code": "invalid_parameter", "detail": "1 problem in spec.",
            "errors": [{"pointer": "#/spec/lambda", "code": "conflict", "detail": "needs an l1 penalty"}]});
        let response = Response { status: StatusCode::UNPROCESSABLE_ENTITY, headers: Default::default(), body: problem.to_string().into() };
        let told = success("POST", "/api/v1/jobs", &response).expect_err("refused").to_string();
        assert!(told.contains("422") && told.contains("invalid_parameter") && told.contains("#/spec/lambda needs an l1 penalty"), "{told}");
    }

    #[test]
    fn what_is_missing_in_an_answer_is_named() {
        let answer = json!({"a": {"b": 1.5}});
        assert_eq!(number(&answer, "/a/b").expect("there"), 1.5);
        assert!(whole(&answer, "/a/b").expect_err("not whole").to_string().contains("/a/b"));
        assert!(text(&answer, "c").expect_err("absent").to_string().contains("`c`"));
    }
}
