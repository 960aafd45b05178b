//! `If-Match` and `If-None-Match` of a request that changes something (RFC 9110, section 13).

use axum::http::HeaderMap;

use super::request::bad_header;
use crate::api::error::Problem;
use crate::store::Expected;

const IF_MATCH: &str = "if-match";
const IF_NONE_MATCH: &str = "if-none-match";
/// Tags of one request.
const TAGS_MAX: usize = 20;

/// What the request says of the state that it changes.
pub(crate) fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    match (value(headers, IF_MATCH)?, value(headers, IF_NONE_MATCH)?) {
        (None, None) => Ok(Expected::Unsaid),
        (Some(text), None) if text.trim() == "*" => Ok(Expected::Present),
        (Some(text), None) => {
            let tags = tags(&text).filter(|tags| tags.len() <= TAGS_MAX);
            let wrong =
                || bad_header("If-Match", format!("must be `*`, or entity tags in double quotes between commas, at most {TAGS_MAX}"));
            tags.map(Expected::Tagged).ok_or_else(wrong)
        }
        (None, Some(text)) if text.trim() == "*" => Ok(Expected::Absent),
        (None, Some(_)) => Err(bad_header("If-None-Match", "only `*` has a meaning here: make it if it is not there")),
        (Some(_), Some(_)) => Err(bad_header("If-None-Match", "contradicts If-Match; send one of them")),
    }
}

/// A header that may come in several lines, which are one list.
fn value(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Problem> {
    let lines: Result<Vec<&str>, _> = headers.get_all(name).iter().map(|line| line.to_str()).collect();
    let lines = lines.map_err(|_| bad_header(name, "has bytes that no entity tag has"))?;
    Ok(if lines.is_empty() { None } else { Some(lines.join(",")) })
}

/// The opaque texts of a list of entity tags; `None` when it is none. A weak tag is read and left out, for it matches nothing here: two
/// states with the same weak tag may differ.
fn tags(text: &str) -> Option<Vec<String>> {
    let (mut tags, mut rest, mut seen) = (Vec::new(), text.trim(), false);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            continue;
        }
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |after| (true, after));
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        let legal = tag.bytes().all(|byte| byte == b'!' || (b'#'..=b'~').contains(&byte) || byte >= 0x80);
        rest = after.trim_start();
        if !legal || !(rest.is_empty() || rest.starts_with(',')) {
            return None;
        }
        seen = true;
        if !weak {
            tags.push(tag.to_owned());
        }
    }
    seen.then_some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(&'static str, &str)]) -> Result<Expected, String> {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(*name, line.parse().expect("a value"));
        }
        expected(&headers).map_err(|problem| problem.fault.code.as_str().to_owned())
    }

    #[test]
    fn a_request_speaks_of_the_state_it_changes() {
        let tagged = |tags: &[&str]| Ok(Expected::Tagged(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        assert_eq!(read(&[]), Ok(Expected::Unsaid));
        assert_eq!(read(&[(IF_MATCH, " * ")]), Ok(Expected::Present));
        assert_eq!(read(&[(IF_NONE_MATCH, "*")]), Ok(Expected::Absent));
        assert_eq!(read(&[(IF_MATCH, "\"3-17\"")]), tagged(&["3-17"]));
        assert_eq!(read(&[(IF_MATCH, "\"a,b\" , \"c\",")]), tagged(&["a,b", "c"]));
        assert_eq!(read(&[(IF_MATCH, "\"a\""), (IF_MATCH, "\"b\"")]), tagged(&["a", "b"]));
        assert_eq!(read(&[(IF_MATCH, "W/\"a\"")]), tagged(&[]), "a weak tag matches nothing");
    }

    #[test]
    fn what_is_no_entity_tag_is_refused() {
        let long = vec!["\"a\""; TAGS_MAX + 1].join(",");
        for bad in ["", ",", "3-17", "'a'", "\"a", "a\"", "\"a\"b", "\"a\" \"b\"", "\"a b\"", "*, \"a\"", "w/\"a\"", &long] {
            assert_eq!(read(&[(IF_MATCH, bad)]), Err("malformed_header".into()), "{bad}");
        }
        assert_eq!(read(&[(IF_NONE_MATCH, "\"a\"")]), Err("malformed_header".into()));
        assert_eq!(read(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")]), Err("malformed_header".into()));
    }
}
