//! The checks themselves: each takes text and answers the complaints about it. Nothing here reads a file, so that each
//! is tried on a small bad sample below.

use std::collections::BTreeSet;

use crate::rules::Rule;
use crate::source::{code_of, crates_named, rooms_climbed_to, rooms_named, tokens, without_tests};

/// The room of a file below `src/`: its folder, or its own name.
pub(crate) fn room_of(path: &str) -> &str {
    let path = path.strip_prefix("src/").unwrap_or(path);
    path.split(['/', '.']).next().unwrap_or(path)
}

/// How many modules below the root the code of a file lies.
fn depth_of(path: &str) -> usize {
    path.strip_prefix("src/").unwrap_or(path).trim_end_matches("/mod.rs").split('/').count()
}

/// Imports that the table does not allow.
pub(crate) fn imports(path: &str, source: &str, rules: &[Rule], crates: &BTreeSet<String>) -> Vec<String> {
    let room = room_of(path);
    let Some(rule) = rules.iter().find(|rule| rule.room == room) else {
        return vec![format!("{path}: the room `{room}` is not in the import table")];
    };
    let code = without_tests(&code_of(source));
    let allowed = |list: &str, word: &str| list.split(' ').any(|one| one == word);
    let named = rooms_named(&code).into_iter().chain(rooms_climbed_to(&code, depth_of(path)));
    let ours = named.filter(|named| named != room && !allowed(rule.ours, named));
    let theirs = crates_named(&code, crates).into_iter().filter(|named| !allowed(rule.theirs, named));
    ours.map(|named| format!("{path}: `{room}` must not know `crate::{named}`"))
        .chain(theirs.map(|named| format!("{path}: `{room}` must not know the crate `{named}`")))
        .collect()
}

/// Shape of a source file: its opening, its length, words that mean unfinished work.
pub(crate) fn shape(path: &str, source: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if !source.starts_with("//! ") {
        complaints.push(format!("{path}: does not open with `//!` and what it is for"));
    }
    let lines = source.lines().count();
    if lines > 500 {
        complaints.push(format!("{path}: {lines} lines; split it by idea"));
    }
    for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")] {
        if tokens(source).iter().any(|token| token == word) {
            complaints.push(format!("{path}: says {word}"));
        }
    }
    let code = tokens(&code_of(source));
    for word in ["unimplemented", "todo", "dbg"] {
        if code.windows(2).any(|pair| pair == [word, "!"]) {
            complaints.push(format!("{path}: calls {word}!"));
        }
    }
    complaints
}

/// A file or folder whose name says nothing.
pub(crate) fn file_name(path: &str) -> Vec<String> {
    let empty = ["utils", "util", "common", "helpers", "helper", "types", "manager", "misc", "prelude"];
    let parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
    parts.filter(|part| empty.contains(part)).map(|part| format!("{path}: `{part}` is no idea")).collect()
}

/// Unsafe code without its proof in the lines above it.
pub(crate) fn proofs(path: &str, source: &str) -> Vec<String> {
    let code = code_of(source);
    let raw: Vec<&str> = source.lines().collect();
    let unsafe_lines = code.lines().enumerate().filter(|(_, line)| tokens(line).iter().any(|token| token == "unsafe"));
    let proven = |at: usize| raw[at.saturating_sub(8)..=at].iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
    unsafe_lines.filter(|(at, _)| !proven(*at)).map(|(at, _)| format!("{path}:{}: `unsafe` without `// SAFETY:`", at + 1)).collect()
}

/// Statuses of errors are named in one file only.
pub(crate) fn error_statuses(path: &str, source: &str) -> Vec<String> {
    let statuses = ["BAD_REQUEST", "UNAUTHORIZED", "FORBIDDEN", "NOT_FOUND", "CONFLICT", "UNPROCESSABLE_ENTITY", "TOO_MANY_REQUESTS"];
    let code = tokens(&without_tests(&code_of(source)));
    let named = statuses.iter().filter(|status| code.windows(2).any(|pair| pair == ["::", **status]));
    named.map(|status| format!("{path}: names {status}; only api/error.rs knows statuses of errors")).collect()
}

/// Traces of the machine or the tools something was written with.
pub(crate) fn traces(path: &str, text: &str) -> Vec<String> {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("clau", "de"),
        concat!("anthro", "pic"),
        concat!("copi", "lot"),
        concat!("chat", "gpt"),
    ];
    let text = text.to_lowercase();
    words.iter().filter(|word| text.contains(**word)).map(|word| format!("{path}: names {word}")).collect()
}

/// Addresses outside this server in a page it serves; names of XML languages are no addresses.
pub(crate) fn outside_urls(path: &str, text: &str) -> Vec<String> {
    let text = text.replace("http://www.w3.org/", "");
    let schemes = ["http://", "https://", "\"//", "'//", "(//"];
    schemes
        .iter()
        .filter(|scheme| text.contains(**scheme))
        .map(|scheme| format!("{path}: a served page names an outside address ({scheme}…)"))
        .collect()
}

/// A document that has grown past the length one reads.
pub(crate) fn document_length(path: &str, text: &str, most: usize) -> Vec<String> {
    let lines = text.lines().count();
    if lines > most { vec![format!("{path}: {lines} lines, at most {most}")] } else { Vec::new() }
}

/// A command that a document promises as a line of its own, or a script calls at the beginning of one.
pub(crate) fn command(path: &str, text: &str, command: &str) -> Vec<String> {
    let found = text.lines().any(|line| line == command || line.strip_prefix(command).is_some_and(|rest| rest.starts_with(" |")));
    if found { Vec::new() } else { vec![format!("{path}: no line calls `{command}`")] }
}

/// Paths in backquotes below the given folders.
pub(crate) fn paths_named(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let ours = ["src/", "tests/", "scripts/", "migrations/", "demo-data/", ".ci/", "bench/"];
    let plain = |path: &&str| path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    quoted.filter(plain).filter(|path| ours.iter().any(|folder| path.starts_with(folder))).collect()
}

/// Dependencies of a manifest, as code names them.
pub(crate) fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut here = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            here = line == "[dependencies]";
        } else if here && !line.starts_with('#') {
            found.extend(line.split_once('=').map(|(name, _)| name.trim().replace('-', "_")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;

    fn crates() -> BTreeSet<String> {
        ["axum", "sqlx", "tokio"].map(str::to_owned).into()
    }

    #[test]
    fn a_forbidden_room_and_a_forbidden_crate_are_complained_of() {
        let bad = "//! x\nuse crate::{matrix::Columns, store};\nuse tokio::sync::watch;\nfn f() { axum::Json(()); }";
        let complaints = imports("src/solver/mod.rs", bad, RULES, &crates());
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert!(complaints.iter().any(|text| text.contains("crate::store")));
        let good = "//! use crate::store\nuse crate::matrix::Columns;\n#[cfg(test)] mod tests { use crate::store::Store; }";
        assert_eq!(imports("src/solver/path.rs", good, RULES, &crates()), Vec::<String>::new());
        let climbing = "//! x\nuse super::super::store::Store;\nuse super::path::Path;";
        assert_eq!(imports("src/solver/path.rs", climbing, RULES, &crates()).len(), 1, "climbing is importing");
        assert_eq!(imports("src/cellar/mod.rs", good, RULES, &crates()).len(), 1, "an unknown room");
    }

    #[test]
    fn unfinished_shapeless_and_unproven_code_is_complained_of() {
        assert_eq!(shape("a.rs", "//! x\nfn f() {}").len(), 0);
        assert_eq!(shape("a.rs", "fn f() {}").len(), 1);
        assert_eq!(shape("a.rs", &format!("//! x\n{}", "\n".repeat(500))).len(), 1);
        assert_eq!(shape("a.rs", concat!("//! x\n// TO", "DO later")).len(), 1);
        assert_eq!(shape("a.rs", "//! x\nfn f() { unimplemented!() }").len(), 1);
        assert_eq!(shape("a.rs", "//! never unimplemented!()").len(), 0, "a comment calls nothing");
        assert_eq!(file_name("src/store/utils.rs").len() + file_name("tests/common/mod.rs").len(), 2);
        assert_eq!(file_name("src/store/queue.rs").len(), 0);
        assert_eq!(proofs("a.rs", "fn f() { unsafe { g() } }").len(), 1);
        assert_eq!(proofs("a.rs", "// SAFETY: g is fine.\nfn f() { unsafe { g() } }").len(), 0);
        assert_eq!(error_statuses("a.rs", "StatusCode::NOT_FOUND").len(), 1);
        assert_eq!(error_statuses("a.rs", "StatusCode::CREATED").len(), 0);
    }

    #[test]
    fn documents_pages_and_manifests_are_read() {
        assert_eq!(traces("a.md", concat!("see /wo", "rk/x")).len(), 1);
        assert_eq!(outside_urls("a.html", "<script src=\"https://cdn.example/x.js\">").len(), 1);
        assert_eq!(outside_urls("a.html", "<script src=\"//cdn.example/x.js\">").len(), 1);
        assert_eq!(outside_urls("a.html", "<svg xmlns=\"http://www.w3.org/2000/svg\"> // a").len(), 0);
        assert_eq!(document_length("a.md", "1\n2\n3", 2).len(), 1);
        assert_eq!(command("run", "cargo test\ncargo run -- demo | tee x", "cargo run -- demo").len(), 0);
        assert_eq!(command("run", "# cargo test", "cargo test").len(), 1);
        assert_eq!(paths_named("`src/a.rs` src/b.rs `x` `tests/c`"), ["src/a.rs", "tests/c"].into());
        assert_eq!(dependencies("[a]\nb = 1\n[dependencies]\n# c = 1\nd-e = \"1\"\n[x]\nf = 1"), ["d_e".to_owned()].into());
    }
}
