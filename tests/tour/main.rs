//! The README's tour works: its shell lines are run as they stand, with curl, against a real server.
//!
//! Only the address differs. Where there is no curl or bash the test says so and goes on, unless `CI` is set.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use sparsefit::ambient::Ambient;
use sparsefit::config::{Config, Limits, QuotaOptions};
use sparsefit::serve::Server;

const README: &str = include_str!("../../README.md");
/// The line of the tour that names the server.
const ADDRESS_LINE: &str = "B=http://127.0.0.1:7878";
/// Makes the shell stop at the first request that is not a success, and ends each answer with a line of its own.
const STRICT: &str = "set -euo pipefail\ncurl() { command curl --fail-with-body --max-time 120 \"$@\" && echo; }\n";

/// The shell blocks of a Markdown text.
fn shell_blocks(markdown: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines();
    while lines.any(|line| line == "```bash") {
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

fn there_is(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs shell lines in the project's directory; answers what they printed.
fn run(script: &str) -> (bool, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("bash").arg("-c").arg(script).current_dir(folder).stdin(Stdio::null()).output().expect("bash runs");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

async fn server(folder: &Path) -> Server {
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: folder.to_owned(),
        database_url: None,
        workers: 1,
        fit_threads: 0,
        fit_memory_mb: None,
        insecure_no_auth: false,
        hosts: Vec::new(),
        requests_per_second: 0,
        quotas: QuotaOptions::default(),
        webhook_allow_net: Vec::new(),
        otlp_endpoint: None,
        log_json: false,
        log: "warn".to_owned(),
    };
    Server::start(&config, Limits::default(), Ambient::system()).await.expect("the server starts")
}

#[test]
fn the_tour_of_the_readme_runs_as_it_stands() {
    if !(there_is("curl") && there_is("bash")) {
        let _ = writeln!(std::io::stderr(), "\n!! the README's tour was NOT run: it needs curl and bash\n");
        assert!(std::env::var_os("CI").is_none(), "CI is set: the tour must be run");
        return;
    }
    let tours: Vec<String> = shell_blocks(README).into_iter().filter(|block| block.contains("curl")).collect();
    assert_eq!(tours.len(), 1, "one block holds the tour");
    assert!(tours[0].starts_with(ADDRESS_LINE), "the tour begins with {ADDRESS_LINE}");

    let folder = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(server(folder.path()));
    let script = format!("{STRICT}{}", tours[0].replace(ADDRESS_LINE, &format!("B=http://{}", server.addr)));
    let (succeeded, printed) = run(&script);
    runtime.block_on(server.shutdown());

    assert!(succeeded, "the tour stopped at:\n{printed}");
    let requests = tours[0].lines().filter(|line| line.trim_start().starts_with("curl ")).count();
    let answers = printed.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).count();
    assert_eq!(answers, requests, "each request was answered by one line of JSON:\n{printed}");
    for fact in ["\"status\":\"succeeded\"", "\"certified\"", "\"job_validation\"", "\"contributions\"", "\"histogram\"", "ten-words:1"] {
        assert!(printed.contains(fact), "the tour did not show {fact}:\n{printed}");
    }
}

#[test]
fn a_line_that_fails_stops_the_tour() {
    let blocks = shell_blocks("a\n```bash\nfirst\nsecond\n```\nb\n```json\nno\n```\n```bash\nthird\n```\n");
    assert_eq!(blocks, ["first\nsecond", "third"]);
    if there_is("curl") && there_is("bash") {
        let (succeeded, printed) = run(&format!("{STRICT}B=http://127.0.0.1:9\ncurl -s $B/x\necho reached"));
        assert!(!succeeded && !printed.contains("reached"), "{printed}");
    }
}
