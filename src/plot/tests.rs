//! Every picture is well-formed whatever it is given, bounded in size, and alone.

use super::*;

const HOSTILE: &str = "</text><script>alert(\"1\")</script>&'\u{0}\u{1b}\u{202e}\u{ffff} 名前 🦀 a\u{301}";

/// Complaints about a document: a small reader of the XML that pictures are written in.
fn complaints(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text.trim_end();
    let mut elements = 0;
    if text.chars().any(|c| (c.is_control() && c != '\n') || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{202e}')) {
        wrong.push("a character that may not be there".to_owned());
    }
    while let Some(begin) = rest.find('<') {
        let between = &rest[..begin];
        wrong.extend(entities(between));
        if open.is_empty() && !between.trim().is_empty() {
            wrong.push(format!("text outside: {between}"));
        }
        let Some(end) = rest[begin..].find('>').map(|end| begin + end) else { return vec!["an element without an end".to_owned()] };
        let inside = &rest[begin + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            if open.pop() != Some(name) {
                wrong.push(format!("{name} ends nothing"));
            }
            continue;
        }
        elements += 1;
        let (inside, alone) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let (name, attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        if !["svg", "title", "desc", "rect", "path", "circle", "text"].contains(&name) {
            wrong.push(format!("an element `{name}`"));
        }
        wrong.extend(attributes_of(attributes));
        if !alone {
            open.push(name);
        }
    }
    if !rest.is_empty() || !open.is_empty() || elements == 0 {
        wrong.push(format!("left open: {open:?} {rest}"));
    }
    wrong
}

fn entities(text: &str) -> Vec<String> {
    let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
    let unknown = text.split('&').skip(1).filter(|after| !known.iter().any(|entity| after.starts_with(entity)));
    unknown.map(|after| format!("& before {after}")).chain(text.contains('>').then(|| format!("> in {text}"))).collect()
}

fn attributes_of(text: &str) -> Vec<String> {
    let (mut wrong, mut seen, mut rest) = (Vec::new(), Vec::new(), text.trim());
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once("=\"") else { return vec![format!("no attribute: {rest}")] };
        let Some((value, after)) = after.split_once('"') else { return vec![format!("no end: {rest}")] };
        if seen.contains(&name) || name.starts_with("on") || name.contains("href") || name == "id" || name == "style" {
            wrong.push(format!("an attribute `{name}`"));
        }
        if value.contains("NaN") || value.contains("inf") || (value.contains("http") && name != "xmlns") || value.contains("url(") {
            wrong.push(format!("{name}={value}"));
        }
        wrong.extend(entities(value));
        seen.push(name);
        rest = after.trim_start();
    }
    wrong
}

fn heading() -> Heading {
    Heading { title: format!("title {HOSTILE}"), note: format!("note {HOSTILE} {}", "many words ".repeat(40)) }
}

/// Values that have broken somebody's axes before.
const EXTREMES: [f64; 12] = [0.0, -1.0, 1.0, 1.0, 1e-300, 1e300, -1e308, 5e-324, f64::NAN, f64::INFINITY, 0.5, 123456.789];

/// Every picture of `n` values drawn from `value`.
fn pictures(n: usize, value: &dyn Fn(usize) -> f64, look: Look) -> Vec<(&'static str, String)> {
    let of = |at: usize| value(at);
    let lambda: Vec<f64> = (0..n).map(|at| of(at).abs()).collect();
    let size = |at: usize| of(at).abs().min(1e12) as u64;
    let line =
        |shift: usize| PathLine { name: format!("{HOSTILE} {shift}"), values: (shift % 3..n).map(|at| (at, of(at + shift))).collect() };
    let path = PathPicture {
        heading: heading(),
        label: HOSTILE.into(),
        lambda: lambda.clone(),
        nonzeros: (0..n).map(size).collect(),
        selected: Some(n / 2),
        lines: (0..n.min(400)).map(line).collect(),
    };
    let fit = FitCurve { heading: heading(), points: (0..n).map(|at| (of(at), of(at + 1), size(at))).collect(), selected: Some(0) };
    let point = |at: usize| CvPoint { strength: of(at), size: size(at), mean: of(at + 2), se: (at % 3 > 0).then(|| of(at + 1)) };
    let curve = |by_size| CvCurve {
        heading: heading(),
        metric: HOSTILE.into(),
        sizes: "leaves".into(),
        strength: "λ".into(),
        by_size,
        points: (0..n).map(point).collect(),
        least: Some(0),
        one_se: Some(n),
        selected: Some(0),
    };
    let edges: Vec<f64> = if n == 0 { Vec::new() } else { (0..=n).map(|at| -300.0 + at as f64 * 600.0 / n as f64).collect() };
    let counts: Vec<u64> = (0..n).map(size).collect();
    let linear = Bars::Linear { edges: edges.clone(), counts: counts.clone() };
    let log = Bars::Log { edges, positive: counts.clone(), negative: counts.iter().rev().copied().collect() };
    let histogram = |bars| HistogramPicture { heading: heading(), label: HOSTILE.into(), zeros: 1 << 40, bars };
    let tradeoff = TradeoffPicture {
        heading: heading(),
        quality: HOSTILE.into(),
        sizes: "non-zeros".into(),
        points: (0..n).map(|at| TradeoffPoint { size: size(at), quality: of(at), se: Some(of(at + 1)) }).collect(),
        marked: ["best", "knee", HOSTILE]
            .iter()
            .enumerate()
            .map(|(at, name)| Marked { at, name: (*name).into(), cost: HOSTILE.into() })
            .collect(),
    };
    let row = |at: usize| PruningRow {
        alpha: of(at),
        leaves: size(at),
        train: Some(of(at)),
        cv: (at > 0).then(|| of(at)),
        cv_se: Some(of(at + 1)),
    };
    let pruning =
        PruningPicture { heading: heading(), train: "r2".into(), cv: HOSTILE.into(), rows: (0..n).map(row).collect(), selected: Some(0) };
    let node = |at: usize| TreeNode {
        split: (2 * at + 2 < n).then(|| (HOSTILE.into(), of(at), 2 * at + 1, 2 * at + 2)),
        value: HOSTILE.into(),
        shade: of(at),
        weight: of(at + 1),
    };
    let tree = TreePicture { heading: heading(), nodes: (0..n).map(node).collect() };
    let rows: Vec<(f64, bool, f64)> = (0..n).map(|at| (of(at), at % 2 == 0, of(at + 1))).collect();
    let calibration = Calibration::of(heading(), HOSTILE, &rows);
    let residuals = Residuals {
        heading: heading(),
        fitted: HOSTILE.into(),
        residual: "y".into(),
        rows: (0..n).map(|at| (of(at), of(at + 1))).collect(),
    };
    let contender = |at: usize| Contender {
        name: HOSTILE.into(),
        score: Some(of(at)),
        low: Some(of(at + 1)),
        high: (at % 2 == 0).then(|| of(at + 2)),
        size: Some(size(at)),
        bytes: (at % 2 == 1).then(|| size(at)),
        latency_us: Some(of(at)),
    };
    let comparison = Comparison { heading: heading(), score: HOSTILE.into(), rows: (0..n).map(contender).collect() };
    vec![
        ("path", path.draw(look)),
        ("fit", fit.draw(look)),
        ("cv", curve(false).draw(look)),
        ("cv by size", curve(true).draw(look)),
        ("histogram", histogram(linear).draw(look)),
        ("log histogram", histogram(log).draw(look)),
        ("tradeoff", tradeoff.draw(look)),
        ("pruning", pruning.draw(look)),
        ("tree", tree.draw(look)),
        ("calibration", calibration.draw(look)),
        ("residuals", residuals.draw(look)),
        ("comparison", comparison.draw(look)),
    ]
}

const SHAPES: [(u32, u32); 5] = [(200, 200), (4000, 4000), (4000, 200), (200, 4000), (720, 450)];

#[test]
fn every_picture_of_anything_is_well_formed_and_holds_nothing_that_acts() {
    for n in [0, 1, 2, 3, 12, 120] {
        for (name, svg) in pictures(n, &|at| EXTREMES[at % EXTREMES.len()], Look::default()) {
            assert_eq!(complaints(&svg), Vec::<String>::new(), "{name} of {n}");
            assert!(svg.starts_with("<svg xmlns=") && svg.contains("role=\"img\"") && svg.contains("<desc>"), "{name}");
        }
        for (name, svg) in pictures(n, &|_| 0.25, Look::default()) {
            assert_eq!(complaints(&svg), Vec::<String>::new(), "{name} of {n} equal values");
        }
    }
}

#[test]
fn every_size_and_theme_is_served_and_sizes_out_of_range_are_taken_into_it() {
    for (width, height) in SHAPES {
        for theme in [Theme::Light, Theme::Dark] {
            for (name, svg) in pictures(40, &|at| ((at * 37) % 41) as f64 / 41.0, Look { width, height, theme }) {
                assert_eq!(complaints(&svg), Vec::<String>::new(), "{name} {width}×{height}");
                assert!(svg.contains(&format!("viewBox=\"0 0 {width} {height}\"")));
            }
        }
    }
    let svg = Residuals::default().draw(Look { width: 0, height: u32::MAX, theme: Theme::Light });
    assert!(svg.contains("width=\"200\" height=\"4000\""));
}

#[test]
fn a_picture_of_very_much_is_still_small() {
    let noise = |at: usize| ((at * 7919) % 10_007) as f64 / 10_007.0;
    for (name, svg) in pictures(20_000, &noise, Look::default()) {
        assert!(svg.len() < 900_000, "{name}: {} bytes", svg.len());
        assert_eq!(complaints(&svg), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_reader_of_these_tests_sees_what_is_wrong() {
    for bad in [
        "<svg>",
        "<svg><b></svg>",
        "<svg>a & b</svg>",
        "<svg a=\"1\" a=\"2\"/>",
        "<svg><text>a > b</text></svg>",
        "",
        "<svg onload=\"x\"/>",
    ] {
        assert!(!complaints(bad).is_empty(), "{bad}");
    }
    assert!(complaints("<svg><rect x=\"1\"/><text>a &amp; b</text></svg>\n").is_empty());
}
