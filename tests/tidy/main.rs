//! The house is as its documents say: imports, names, lengths, paths, commands. Reads the sources; needs no dependency.

mod checks;
mod rules;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The two commands of the README, which the integration script calls as well.
const COMMANDS: [&str; 2] = ["cargo test --release", "cargo run --release -- demo"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the project below a folder, as paths from the root; what git ignores and build leftovers are not walked.
fn files(below: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && !["target", ".git", "sparsefit-data", "proptest-regressions", "__pycache__"].contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() && name != ".git" {
                found.push(from_root(&path));
            }
        }
    }
    found.sort();
    found
}

fn from_root(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn rust(below: &str) -> Vec<(String, String)> {
    files(below).into_iter().filter(|path| path.ends_with(".rs")).map(|path| (path.clone(), read(&path))).collect()
}

/// Files of a test inside `src/`, declared under `#[cfg(test)] mod name;` by the file that holds them.
fn is_test_module(path: &str) -> bool {
    let Some((folder, file)) = path.rsplit_once('/') else { return false };
    let name = file.trim_end_matches(".rs");
    let parents = [format!("{folder}/mod.rs"), format!("{folder}.rs")];
    parents.iter().filter_map(|parent| fs::read_to_string(root().join(parent)).ok()).any(|parent| {
        let code = source::tokens(&source::code_of(&parent)).join(" ");
        let declared = |visible: &str| code.contains(&format!("# [ cfg ( test ) ] {visible}mod {name} ;"));
        declared("") || declared("pub ( crate ) ")
    })
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_room_imports_only_what_the_table_allows() {
    let crates: BTreeSet<String> = checks::dependencies(&read("Cargo.toml")).into_iter().chain(["sparsefit".to_owned()]).collect();
    assert!(crates.len() > 10, "the manifest was not understood: {crates:?}");
    let sources = rust("src");
    assert!(sources.len() > 10, "the sources were not found");
    let room = sources.iter().filter(|(path, _)| !is_test_module(path));
    none(room.flat_map(|(path, source)| checks::imports(path, source, rules::RULES, &crates)).collect());
}

#[test]
fn the_import_table_has_no_row_without_a_room_and_the_map_shows_it() {
    let rooms: BTreeSet<String> = files("src").iter().map(|path| checks::room_of(path).to_owned()).collect();
    none(rules::RULES.iter().filter(|rule| !rooms.contains(rule.room)).map(|rule| format!("no room `{}`", rule.room)).collect());
    let map = read("ARCHITECTURE.md");
    let shown: Vec<&str> = map
        .lines()
        .skip_while(|line| *line != "## Who may know whom")
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .take(rules::table().len())
        .collect();
    assert!(shown == rules::table(), "ARCHITECTURE.md should show these rows:\n{}\n", rules::table().join("\n"));
    none(
        rooms
            .iter()
            .filter(|room| !map.contains(&format!("`{room}")))
            .map(|room| format!("ARCHITECTURE.md does not name `{room}`"))
            .collect(),
    );
}

#[test]
fn every_source_file_says_what_it_is_for_and_is_finished() {
    let all: Vec<_> = ["src", "tests", "benches", "bench"].into_iter().flat_map(rust).collect();
    none(
        all.iter()
            .flat_map(|(path, source)| [checks::shape(path, source), checks::file_name(path), checks::proofs(path, source)].concat())
            .collect(),
    );
}

#[test]
fn statuses_of_errors_are_named_in_one_file() {
    let others = rust("src").into_iter().filter(|(path, _)| path != "src/api/error.rs");
    none(others.flat_map(|(path, source)| checks::error_statuses(&path, &source)).collect());
}

#[test]
fn every_dependency_is_named_by_somebody() {
    let all: BTreeSet<String> = checks::dependencies(&read("Cargo.toml"));
    let named: BTreeSet<String> = rust("src").iter().flat_map(|(_, source)| checks_crates(source, &all)).collect();
    none(all.difference(&named).map(|name| format!("Cargo.toml: nobody names `{name}`")).collect());
}

fn checks_crates(source: &str, all: &BTreeSet<String>) -> BTreeSet<String> {
    source::crates_named(&source::code_of(source), all)
}

#[test]
fn no_trace_of_a_machine_or_a_tool_is_left() {
    let text = |path: &String| !path.ends_with(".gz") && !path.ends_with(".zst");
    let all = files("").into_iter().filter(text).filter_map(|path| Some((path.clone(), fs::read_to_string(root().join(&path)).ok()?)));
    none(all.flat_map(|(path, text)| checks::traces(&path, &text)).collect());
}

#[test]
fn both_databases_have_the_same_steps() {
    let names = |folder: &str| files(folder).into_iter().map(|path| path.replace(folder, "")).collect::<Vec<_>>();
    assert!(!names("migrations/sqlite").is_empty());
    assert_eq!(names("migrations/sqlite"), names("migrations/postgres"));
}

#[test]
fn served_pages_name_no_outside_address() {
    let pages: Vec<String> = files("src").into_iter().filter(|path| !path.ends_with(".rs")).collect();
    assert!(!pages.is_empty(), "the pages were not found");
    none(pages.iter().flat_map(|path| checks::outside_urls(path, &read(path))).collect());
}

#[test]
fn documents_are_short_true_and_call_what_the_integration_calls() {
    let (readme, map, recipes, run) = (read("README.md"), read("ARCHITECTURE.md"), read("CONTRIBUTING.md"), read(".ci/run"));
    let mut complaints =
        [checks::document_length("README.md", &readme, 150), checks::document_length("ARCHITECTURE.md", &map, 200)].concat();
    for command in COMMANDS {
        complaints.extend(checks::command("README.md", &readme, command));
        complaints.extend(checks::command(".ci/run", &run, command));
    }
    for (document, text) in [("README.md", &readme), ("ARCHITECTURE.md", &map), ("CONTRIBUTING.md", &recipes)] {
        let absent = checks::paths_named(text).into_iter().filter(|path| !root().join(path).exists());
        complaints.extend(absent.map(|path| format!("{document}: there is no `{path}`")));
    }
    none(complaints);
}
