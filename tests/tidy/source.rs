//! Rust source as far as tidiness needs it: code without comments, texts and tests; which rooms and crates it names.
//!
//! Knows nothing of files or rules. A lexer of a few states, not a parser: what it cannot understand it leaves in place.

use std::collections::BTreeSet;

/// The code alone: comments, the insides of texts and characters become blanks. Lines keep their numbers.
pub(crate) fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => position(&chars, at, |i| chars[i] == '\n'),
            '/' if chars.get(at + 1) == Some(&'*') => comment_end(&chars, at),
            '"' => text_end(&chars, at),
            'r' if !word_before(&chars, at) && raw_hashes(&chars, at + 1).is_some() => raw_end(&chars, at),
            '\'' => character_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

fn position(chars: &[char], from: usize, found: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|i| found(*i)).unwrap_or(chars.len())
}

fn comment_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn text_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn word_before(chars: &[char], at: usize) -> bool {
    // `br"…"` is a raw text as well.
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && chars[at - 1] != 'b'
}

/// The number of `#` when a raw text's opening follows here.
fn raw_hashes(chars: &[char], from: usize) -> Option<usize> {
    let hashes = chars[from..].iter().take_while(|c| **c == '#').count();
    (chars.get(from + hashes) == Some(&'"')).then_some(hashes)
}

fn raw_end(chars: &[char], from: usize) -> usize {
    let hashes = raw_hashes(chars, from + 1).unwrap_or(0);
    let closes = |i: usize| chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (position(chars, from + hashes + 2, closes) + 1 + hashes).min(chars.len())
}

/// A character ends at its quote; a lifetime is no character.
fn character_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => (position(chars, from + 3, |i| chars[i] == '\'') + 1).min(chars.len()),
        (Some(_), Some('\'')) => from + 3,
        _ => from,
    }
}

/// Code without what stands under `#[cfg(test)]`: an item up to its closing brace, or up to its semicolon.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let mut depth = 0_usize;
        let end = item.char_indices().skip("#[cfg(test)]".len()).find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        rest = end.map_or("", |(i, _)| &item[i + 1..]);
    }
    out + rest
}

/// Our rooms named through `crate::`, one by one or in a group.
pub(crate) fn rooms_named(code: &str) -> BTreeSet<String> {
    let tokens = tokens(code);
    let mut rooms = BTreeSet::new();
    for (i, pair) in tokens.windows(2).enumerate() {
        if pair != ["crate", "::"] || (i > 0 && tokens[i - 1] == "$") {
            continue;
        }
        let after = &tokens[i + 2..];
        if after.first().is_some_and(|token| token == "{") {
            rooms.extend(group_heads(after));
        } else if let Some(room) = after.first() {
            rooms.insert(room.clone());
        }
    }
    rooms
}

/// Our rooms named by climbing: a file `depth` modules below the root reaches it with as many `super::`.
pub(crate) fn rooms_climbed_to(code: &str, depth: usize) -> BTreeSet<String> {
    let tokens = tokens(code);
    let mut rooms = BTreeSet::new();
    let mut climbed = 0;
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "super" && tokens.get(at + 1).is_some_and(|next| next == "::") {
            (climbed, at) = (climbed + 1, at + 2);
        } else {
            if climbed >= depth {
                rooms.insert(tokens[at].clone());
            }
            (climbed, at) = (0, at + 1);
        }
    }
    rooms
}

/// The first words of each branch of a group `{a, b::c, d::{…}}`.
fn group_heads(tokens: &[String]) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut fresh) = (0_usize, true);
    for token in tokens {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => fresh = true,
            word if depth == 1 && fresh => {
                heads.push(word.to_owned());
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

/// Which of these crates the code names as the head of a path.
pub(crate) fn crates_named(code: &str, crates: &BTreeSet<String>) -> BTreeSet<String> {
    let tokens = tokens(code);
    let mut named = BTreeSet::new();
    let mut in_use = false;
    for (i, token) in tokens.iter().enumerate() {
        let before = i.checked_sub(1).map_or("", |i| tokens[i].as_str());
        // In `use a::{b, c::d}` only `a` is the head of a path.
        match token.as_str() {
            "use" => in_use = true,
            ";" => in_use = false,
            _ => {}
        }
        let heads = if in_use { before == "use" } else { before != "::" && tokens.get(i + 1).is_some_and(|next| next == "::") };
        if heads && crates.contains(token) {
            named.insert(token.clone());
        }
    }
    named
}

/// Words, `::`, and every other character by itself.
pub(crate) fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(next);
            }
            tokens.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            tokens.push("::".to_owned());
        } else if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn comments_texts_and_characters_are_no_code() {
        let source = "a /* b /* c */ d */ e // f\n\"g \\\" h\" i r#\"j \" k\"# l 'm' 'n '\\'' o br\"p\" q";
        let words: Vec<String> = tokens(&code_of(source)).into_iter().filter(|token| token != "'").collect();
        assert_eq!(words, ["a", "e", "i", "l", "n", "o", "b", "q"]);
        assert_eq!(code_of("\"one\ntwo\"\nx").lines().count(), 3, "lines keep their numbers");
    }

    #[test]
    fn what_stands_under_cfg_test_is_left_out_and_the_rest_is_kept() {
        let code = "use a; #[cfg(test)] mod tests { use b; fn f() { g(); } } use c; #[cfg(test)] mod sample; use d;";
        assert_eq!(tokens(&without_tests(code)).join(" "), "use a ; use c ; use d ;");
    }

    #[test]
    fn rooms_are_found_alone_and_in_groups() {
        let code = "use crate::a::B; use crate::{c, d::{e, f}, g::h as i}; fn x() -> crate::j::K { $crate::l::m() }";
        assert_eq!(rooms_named(code), set(&["a", "c", "d", "g", "j"]));
    }

    #[test]
    fn climbing_to_the_root_is_naming_a_room() {
        assert_eq!(rooms_climbed_to("use super::a; use super::super::b::C;", 2), set(&["b"]));
        assert_eq!(rooms_climbed_to("use super::a;", 1), set(&["a"]));
    }

    #[test]
    fn crates_are_found_at_the_head_of_a_path_only() {
        let crates = set(&["axum", "time", "tokio", "serde"]);
        assert_eq!(crates_named("use tokio::{sync, time::sleep}; std::time::now(); x.time();", &crates), set(&["tokio"]));
        assert_eq!(
            crates_named("use std::time::Duration; let a = axum::Json(1); #[derive(serde::Serialize)]", &crates),
            set(&["axum", "serde"])
        );
    }
}
