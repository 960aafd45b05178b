//! Pages: whatever names hold, they stay text; and what is not known is a dash, not an error.

use serde_json::json;

use super::html::{bytes, count, duration, number, signed, when};
use super::*;
use crate::dataset::Class;
use crate::model::{Agreement, ComparedModel, ComparedPrediction, Difference, DisagreedRow, Disagreement, FidelityOf, SupportStability};

const NASTY: &str = "</style><script>alert('x')</script>\" onload=\"y&z";

fn dataset() -> DatasetRef {
    DatasetRef { name: NASTY.into(), version: 2, sha256: NASTY.into() }
}

fn compared() -> Comparison {
    let row = |twin| ComparedModel {
        reference: NASTY.into(),
        twin,
        kind: NASTY.into(),
        loss: NASTY.into(),
        score: Some(0.9),
        score_low: Some(0.8),
        stability: Some(SupportStability { halves: 10, jaccard: None, features: None, reason: Some(NASTY.into()) }),
        ..ComparedModel::default()
    };
    let said = |label: &str| ComparedPrediction { label: Some(Class::Text(label.into())), ..ComparedPrediction::default() };
    Comparison {
        dataset: dataset(),
        rows: 12345,
        score_name: NASTY.into(),
        measure: vec![NASTY.into(), "quality".into()],
        bootstrap: 100,
        seed: 0,
        data: vec![row(false), row(true)],
        support_jaccard: Some(vec![vec![1.0, 0.5], vec![0.5, 1.0]]),
        shared: Some(vec![vec![2, 1], vec![1, 1]]),
        disagreements: Some(vec![
            Disagreement {
                pair: [0, 1],
                mean_difference: Some(0.1),
                labels_differ: Some(0.25),
                rows: vec![DisagreedRow { row: 3, y: Class::Text(NASTY.into()), predictions: [said(NASTY), said("b")], difference: 0.5 }],
            },
            // a position that is not there
            Disagreement { pair: [0, 9], mean_difference: None, labels_differ: None, rows: Vec::new() },
        ]),
        recommendation: Some(Recommendation {
            index: 0,
            reference: NASTY.into(),
            twin: false,
            best: 0,
            difference: 0.0,
            difference_low: None,
            difference_high: None,
            sentence: NASTY.into(),
        }),
    }
}

fn fidelity() -> Fidelity {
    let of = |score: f64| FidelityOf { kind: NASTY.into(), reference: Some(NASTY.into()), score: Some(score), ..FidelityOf::default() };
    let told = |score: f64| FidelityOf {
        score_low: Some(score - 0.1),
        score_high: Some(score + 0.1),
        bytes: Some(1234),
        bytes_parameters: Some(99),
        size: Some(7),
        latency_us: Some(1.5),
        latency_us_p99: Some(4.0),
        ..of(score)
    };
    Fidelity {
        score_name: NASTY.into(),
        rows: 4321,
        bootstrap: 250,
        seed: 3,
        agreement: Agreement { labels: Some(0.875), kl_divergence: Some(0.0625), ..Agreement::default() },
        control_agreement: Agreement { correlation: Some(0.5), mean_difference: Some(0.25), ..Agreement::default() },
        teacher: of(0.9),
        student: told(0.8),
        control: told(0.7),
        gain: Difference { difference: Some(0.1), low: Some(0.05), high: Some(0.15) },
        to_teacher: Difference { difference: Some(-0.1), low: None, high: None },
    }
}

fn report() -> Report {
    let nasty = || NASTY.to_owned();
    let mark = |name: &str| MarkOut {
        name: name.into(),
        index: 1,
        size: 10,
        quality: 0.5,
        se: Some(0.1),
        strength: 0.01,
        size_share: Some(0.5),
        loss: 0.05,
        loss_in_se: Some(0.5),
    };
    let Comparison { data, recommendation, .. } = compared();
    Report {
        object: "report",
        reference: nasty(),
        id: nasty(),
        kind: nasty(),
        aliases: vec![nasty()],
        created_at: nasty(),
        job: nasty(),
        dataset: dataset(),
        promoted_from: Some(nasty()),
        summary: nasty(),
        loss: nasty(),
        objective: nasty(),
        lambda: Some(0.1),
        l1_ratio: Some(1.0),
        ccp_alpha: None,
        sparsity: json!({ "nonzeros": 10, NASTY: NASTY, "max_abs": { "feature": NASTY, "value": 1.0 } }),
        certificate: json!({ "status": NASTY, "relative_gap": null }),
        metrics: json!({ "train": { NASTY: NASTY }, "cv": null }),
        selection: None,
        tradeoff: Some(TradeoffOut {
            measure: nasty(),
            held_out: true,
            less_is_better: true,
            sizes: nasty(),
            points: 100,
            marks: vec![mark("best"), mark("1se"), mark(NASTY)],
            dense: Some(DenseOut { what: nasty(), size: 9, quality: None, se: None }),
            promotable: true,
        }),
        features: vec![FeatureOut { index: 0, name: nasty(), value: -1.0, class: Some(nasty()) }],
        features_total: 1,
        splits: vec![SplitOut { node: 0, depth: 0, name: nasty(), threshold: 0.5, share: 1.0 }],
        warnings: vec![Warning { code: nasty(), detail: nasty(), features: vec![nasty()] }],
        bytes: BytesOut { stored: 1, memory: 2, parameters: 3 },
        fidelity: Some(fidelity()),
        comparison: Some(ComparisonOf {
            job: nasty(),
            href: nasty(),
            created_at: nasty(),
            dataset: dataset(),
            score_name: nasty(),
            data,
            recommendation,
        }),
        hint: Some(Hint { method: nasty(), href: nasty(), body: json!({ NASTY: NASTY }) }),
        links: vec![Link { name: nasty(), href: nasty() }],
    }
}

#[test]
fn no_name_becomes_a_part_of_the_page() {
    let warnings = [Warning { code: NASTY.into(), detail: NASTY.into(), features: Vec::new() }];
    let side = compared();
    let comparison = ComparisonReport { job: NASTY.into(), finished_at: NASTY.into(), comparison: &side, warnings: &warnings };
    for page in [model_page(&report(), &[], &[]), comparison_page(&comparison, &[])] {
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert!(page.contains("&lt;/style&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;y&amp;z"));
        for never in ["<script", "alert('x')", "onload=\"", "href=", "src=", "url(", "@import"] {
            assert!(!page.contains(never), "{never}");
        }
        assert_eq!((page.matches("<style>").count(), page.matches("</style>").count()), (1, 1));
        // every element that is opened is closed
        for tag in ["main", "table", "tbody", "thead", "tr", "dl", "div", "ul", "p", "pre", "h2", "h3", "bdi", "span"] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}

#[test]
fn what_a_teacher_was_good_for_is_said_in_a_sentence_and_a_table() {
    let mut taught = report();
    let page = |report: &Report| model_page(report, &[], &[]);
    let told = page(&taught);
    for wanted in [
        "What it learnt from its teacher",
        "the student differs from its control by +0.1000 (+0.0500 … +0.1500), and by −0.1000 from its teacher: its teacher made it better.",
        ">87.5 %<",
        "0.0625 nats",
        "r = 0.5000",
        "apart by 0.250",
        "1.23 kB",
        "p99 4.00 µs",
        "On 4\u{202f}321 rows kept apart.",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    for (low, high, says) in [(-0.3, -0.1, "its teacher made it worse"), (-0.1, 0.2, "these rows do not show a difference")] {
        taught.fidelity = Some(Fidelity { gain: Difference { difference: Some(0.0), low: Some(low), high: Some(high) }, ..fidelity() });
        assert!(page(&taught).contains(says), "{says}");
    }
    taught.fidelity = Some(Fidelity { gain: Difference::default(), ..fidelity() });
    assert!(page(&taught).contains("These rows define no score to compare by."));
    taught.fidelity = None;
    assert!(!page(&taught).contains("teacher"));
}

#[test]
fn control_characters_are_shown_as_what_they_are_not() {
    let mut odd = report();
    odd.summary = "a\u{0}b\u{1b}c".into();
    let page = model_page(&odd, &[], &[]);
    assert!(page.contains("a\u{fffd}b\u{fffd}c") && !page.contains('\u{0}'));
}

#[test]
fn a_picture_stands_on_the_page_in_both_looks() {
    let picture = Picture { caption: "a <b>".into(), light: "<svg>light</svg>".into(), dark: "<svg>dark</svg>".into() };
    let page = model_page(&report(), std::slice::from_ref(&picture), &[]);
    assert!(page.contains("<svg>light</svg>") && page.contains("<svg>dark</svg>") && page.contains("<figcaption>a &lt;b&gt;</figcaption>"));
}

#[test]
fn numbers_are_as_people_read_them() {
    assert_eq!((count(0), count(999), count(1_234_567)), ("0".into(), "999".into(), "1\u{202f}234\u{202f}567".into()));
    assert_eq!((bytes(999), bytes(1234), bytes(5_600_000)), ("999 B".into(), "1.23 kB".into(), "5.60 MB".into()));
    assert_eq!((duration(12), duration(1500), duration(600_000)), ("12 ms".into(), "1.50 s".into(), "10.0 min".into()));
    assert_eq!((number(0.0, 3), number(-0.012345, 3), number(1234.5, 3)), ("0".into(), "−0.0123".into(), "1234".into()));
    assert_eq!(
        (number(1.5e-9, 2), number(f64::NAN, 3), signed(0.25), signed(-0.25)),
        ("1.5·10⁻⁹".into(), "–".into(), "+0.2500".into(), "−0.2500".into())
    );
    assert_eq!((when("2026-11-27T06:49:42.789679Z"), when("soon")), ("2026-11-27 06:49 UTC".into(), "soon".into()));
}
