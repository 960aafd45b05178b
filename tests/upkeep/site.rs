//! The program as an operator runs it: a server of its own process, and words of the command line beside it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sparsefit::client::Client;

use crate::house::House;

/// A running server; killed, not asked, when it is dropped.
pub(crate) struct Serving {
    child: Child,
    pub(crate) client: Client,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(house: &House, word: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparsefit"));
    command.arg(word).arg("--data-dir").arg(house.data_dir());
    house.url().iter().for_each(|url| _ = command.args(["--database-url", url]));
    command
}

/// Runs a word of the command line to its end.
pub(crate) fn run(house: &House, word: &str, args: &[&str]) -> Output {
    program(house, word).args(args).output().expect("the program starts")
}

/// What a word said, which must have gone well.
pub(crate) fn well(house: &House, word: &str, args: &[&str]) -> String {
    let output = run(house, word, args);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{word} {args:?}: {said}");
    said
}

/// What a word said, which must have failed.
pub(crate) fn badly(house: &House, word: &str, args: &[&str]) -> String {
    let output = run(house, word, args);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{word} {args:?} should fail and said: {said}");
    said
}

pub(crate) fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

impl Serving {
    pub(crate) fn start(house: &House, workers: usize) -> Self {
        Self::start_saying(house, workers, "error")
    }

    /// With this level of log.
    pub(crate) fn start_saying(house: &House, workers: usize, level: &str) -> Self {
        let mut command = program(house, "serve");
        command.args(["--listen", "127.0.0.1:0", "--log", level, "--workers", &workers.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("it said {line:?}"));
        Self { client: Client::new(address.parse().expect("an address")), child }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(path).await.expect("an answer");
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        answer.json().expect("JSON")
    }

    pub(crate) async fn upload(&self, name: &str, seed: usize) -> Value {
        let rows: Vec<Vec<f64>> = (0..20).map(|i| (0..4).map(|j| ((i * 7 + j * 3 + seed) % 11) as f64 / 4.0 - 1.0).collect()).collect();
        let y: Vec<f64> = rows.iter().map(|row| row[0] - 0.5 * row[2]).collect();
        let body = json!({"format": "dense", "feature_names": ["area", "age", "größe", format!("extra{seed}")], "values": rows, "y": y});
        let answer = self.client.post_json(&format!("/api/v1/datasets?name={name}"), &[], &body).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
        answer.json().expect("JSON")
    }

    /// Submits a fit; the job as it stands after at most so many seconds.
    pub(crate) async fn fit(&self, dataset: &str, model: &str, wait: usize) -> Value {
        let body =
            json!({"type": "fit", "model": model, "dataset": {"name": dataset}, "spec": {"lambda": {"mode": "value", "value": 0.05}}});
        let wait = format!("wait={wait}");
        let answer = self.client.post_json("/api/v1/jobs", &[("Prefer", &wait)], &body).await.expect("an answer");
        assert!(answer.status.is_success(), "{}", answer.text());
        answer.json().expect("JSON")
    }

    /// Status and text of a prediction.
    pub(crate) async fn predict(&self, model: &str) -> (u16, String) {
        let body = json!({"instances": [{"features": {"area": 0.3, "größe": -1.7}}, {"features": {"age": 1e-3, "other": 2}}]});
        let answer = self.client.post_json(&format!("/api/v1/models/{model}/predict"), &[], &body).await.expect("an answer");
        (answer.status.as_u16(), answer.text())
    }

    /// Kills the process in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it is dead");
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
        while self.child.try_wait().expect("a child").is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
