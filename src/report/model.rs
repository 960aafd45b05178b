//! The page of a model: what it is, how small and how good, what smallness costs, what it hangs on, and how sure all that is.

use serde_json::Value;

use super::comparison::measured;
use super::fidelity::taught;
use super::html::{Html, bytes, count, number, percent, when};
use super::{Picture, Report, TradeoffOut};

/// The page; `pictures` stand where they belong by their order: first those of the trade-off, then those of the model itself.
pub fn model_page(report: &Report, tradeoff: &[Picture], pictures: &[Picture]) -> String {
    let mut page = Html::page(&format!("{}: a report", report.reference));
    page.raw("<p class=\"eyebrow\">").text(&report.kind).raw(" model</p><h1>").name(&report.reference);
    for alias in &report.aliases {
        page.raw("<span class=\"tag dim\">@").text(alias).raw("</span>");
    }
    page.raw("</h1><p class=\"lead\">").text(&report.summary).raw("</p><p class=\"dim\">Fitted on <bdi>");
    page.text(&report.dataset.name).raw("</bdi>").text(&format!(", version {}, {}", report.dataset.version, when(&report.created_at)));
    if let Some(from) = &report.promoted_from {
        page.raw(" · promoted from ").name(from);
    }
    page.raw("</p>\n");
    tiles(&mut page, report);
    if !report.warnings.is_empty() {
        page.warnings(&report.warnings);
    }
    if let Some(fidelity) = &report.fidelity {
        taught(&mut page, fidelity);
    }
    if let Some(found) = &report.tradeoff {
        traded(&mut page, found, &report.kind);
        show(&mut page, tradeoff);
    }
    features(&mut page, report);
    splits(&mut page, report);
    show(&mut page, pictures);
    compared(&mut page, report);
    facts(&mut page, "Sparsity", &report.sparsity);
    measures(&mut page, &report.metrics);
    facts(&mut page, "Certificate", &report.certificate);
    page.heading("Objective").raw("<p><code>").text(&report.objective).raw("</code></p>\n");
    page.heading("Where it comes from").raw("<dl class=\"facts\">");
    page.fact("model version", Some(report.id.clone())).fact("job", Some(report.job.clone()));
    page.fact("data set", Some(format!("{}, version {}", report.dataset.name, report.dataset.version)));
    page.fact("SHA-256 of the data", Some(report.dataset.sha256.clone())).raw("</dl>\n<ul class=\"small\">");
    for link in &report.links {
        page.raw("<li>").text(&link.name).raw(": <code>").text(&link.href).raw("</code></li>");
    }
    page.raw("</ul>\n");
    page.end(&format!("Report of {} · everything on this page was stored with the model", report.reference))
}

fn show(page: &mut Html, pictures: &[Picture]) {
    pictures.iter().for_each(|picture| {
        page.picture(picture);
    });
}

fn tiles(page: &mut Html, report: &Report) {
    let number_of = |value: &Value, key: &str| value.get(key).and_then(Value::as_f64);
    let whole = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64);
    let train = report.metrics.get("train").unwrap_or(&Value::Null);
    page.raw("<dl class=\"tiles\">");
    page.fact("non-zeros", whole(&report.sparsity, "nonzeros").map(count));
    page.fact("leaves", whole(&report.sparsity, "leaves").map(count));
    page.fact("of features", whole(&report.sparsity, "n_features").map(count));
    page.fact("sparsity", number_of(&report.sparsity, "sparsity_ratio").map(percent));
    page.fact("λ", report.lambda.map(|lambda| number(lambda, 4)));
    page.fact("α", report.ccp_alpha.map(|alpha| number(alpha, 4)));
    let held_out = report.metrics.get("cv").unwrap_or(&Value::Null);
    let with_se = |key: &str, se: &str| {
        let mean = number_of(held_out, key)?;
        Some(number_of(held_out, se).map_or_else(|| number(mean, 4), |se| format!("{} ± {}", number(mean, 4), number(se, 2))))
    };
    page.fact("held-out deviance", with_se("deviance", "deviance_se"));
    page.fact("held-out mse", with_se("mse", "mse_se")).fact("held-out error rate", with_se("error_rate", "error_rate_se"));
    let score = report.metrics.get("holdout").and_then(|holdout| number_of(holdout, "score"));
    page.fact("held-out score", score.map(|value| number(value, 4)));
    page.fact("training R²", number_of(train, "r2").map(|value| number(value, 4)));
    page.fact("training accuracy", number_of(train, "accuracy").map(|value| number(value, 4)));
    page.fact("certificate", report.certificate.get("status").and_then(Value::as_str).map(|word| word.replace('_', " ")));
    page.fact("parameters", Some(bytes(report.bytes.parameters)));
    page.fact("memory", Some(bytes(report.bytes.memory))).fact("file", Some(bytes(report.bytes.stored)));
    page.raw("</dl>\n");
}

fn traded(page: &mut Html, found: &TradeoffOut, kind: &str) {
    page.heading("What smallness costs").raw("<p>").text(&sentence(found)).raw("</p><div class=\"wide\"><table><caption>");
    page.text(&format!(
        "Points of the path of {}, by {} on {}{}.",
        count(found.points),
        found.measure,
        if found.held_out { "rows held out" } else { "the rows of the fit" },
        if found.less_is_better { "; less is better" } else { "; more is better" },
    ));
    page.raw("</caption><thead><tr><th>Point</th><th class=\"n\">Index</th><th class=\"n\">").raw(Words::of(kind).strength);
    page.raw("</th><th class=\"n\">").text(&found.sizes).raw("</th><th class=\"n\">of the best</th><th class=\"n\">").text(&found.measure);
    page.raw("</th><th class=\"n\">worse by</th><th class=\"n\">in SE</th></tr></thead><tbody>\n");
    for mark in &found.marks {
        let selected = mark.name == "selected";
        page.raw(if selected { "<tr class=\"chosen\"><th scope=\"row\">" } else { "<tr><th scope=\"row\">" });
        page.text(match mark.name.as_str() {
            "1se" => "within 1 SE",
            "selected" => "this model",
            other => other,
        });
        page.raw("</th>").cell(Some(count(mark.index))).cell(Some(number(mark.strength, 4))).cell(Some(count(mark.size)));
        page.cell(mark.size_share.map(percent));
        let quality = number(mark.quality, 5);
        page.cell(Some(mark.se.map_or_else(|| quality.clone(), |se| format!("{quality} ± {}", number(se, 2)))));
        page.cell(Some(number(mark.loss, 3))).cell(mark.loss_in_se.map(|se| number(se, 2))).raw("</tr>\n");
    }
    if let Some(dense) = &found.dense {
        page.raw("<tr class=\"twin\"><th scope=\"row\">dense: ")
            .text(&dense.what)
            .raw("</th><td></td><td></td>")
            .cell(Some(count(dense.size)));
        page.raw("<td></td>").cell(
            dense
                .quality
                .map(|quality| dense.se.map_or_else(|| number(quality, 5), |se| format!("{} ± {}", number(quality, 5), number(se, 2)))),
        );
        page.raw("<td></td><td></td></tr>\n");
    }
    page.raw("</tbody></table></div>\n");
    if found.promotable {
        page.raw("<p class=\"dim small\">Any of them becomes a version of its own by <code>POST …/promote</code> with its index.</p>\n");
    }
}

/// What the marks say in one sentence.
fn sentence(found: &TradeoffOut) -> String {
    let mark = |name: &str| found.marks.iter().find(|mark| mark.name == name);
    let Some(best) = mark("best") else { return "No point of the path has a quality that is a number.".into() };
    let mut text = format!(
        "The best point has {} {}; its {} is {}.",
        count(best.size),
        found.sizes,
        found.measure.replace('_', " "),
        number(best.quality, 4)
    );
    if let Some(small) = mark("1se").filter(|small| small.size < best.size) {
        text.push_str(&format!(
            " Within one standard error of it, {} are enough: {} of its size.",
            count(small.size),
            small.size_share.map_or_else(|| "a part".into(), percent)
        ));
    }
    let told = mark("1se").map(|small| small.index);
    if let Some(knee) = mark("knee").filter(|knee| knee.index != best.index && told != Some(knee.index)) {
        text.push_str(&format!(
            " Beyond the knee, at {} {}, more size brings little: it is worse by {}{}.",
            count(knee.size),
            found.sizes,
            number(knee.loss, 3),
            knee.loss_in_se.map_or_else(String::new, |se| format!(", {} standard errors", number(se, 2)))
        ));
    }
    text
}

/// What things are called, by the kind of model.
struct Words {
    /// What leads from large models to small ones.
    strength: &'static str,
    features: &'static str,
    by: &'static str,
    value: &'static str,
}

impl Words {
    fn of(kind: &str) -> Self {
        match kind {
            "tree" => Self {
                strength: "α",
                features: "What it splits on",
                by: ", by the share of the impurity that their splits take away",
                value: "Importance",
            },
            "network" => Self {
                strength: "gone",
                features: "Strongest inputs",
                by: ", by the Euclidean norm of the weights that leave them, for inputs scaled to a size of 1",
                value: "Norm",
            },
            "ensemble" => Self {
                strength: "rounds",
                features: "What it splits on",
                by: ", by the share of what all splits explain of what the trees before left unexplained",
                value: "Importance",
            },
            _ => Self { strength: "λ", features: "Strongest coefficients", by: ", on the scale of the data", value: "Coefficient" },
        }
    }
}

fn features(page: &mut Html, report: &Report) {
    if report.features.is_empty() {
        return;
    }
    let words = Words::of(&report.kind);
    page.heading(words.features);
    let most = report.features.iter().map(|one| one.value.abs()).fold(0.0, f64::max);
    let classes = report.features.iter().any(|one| one.class.is_some());
    page.raw("<div class=\"wide\"><table><caption>").text(&format!(
        "{} of {}{}.",
        count(report.features.len() as u64),
        count(report.features_total),
        words.by
    ));
    page.raw("</caption><thead><tr><th>Feature</th>").raw(if classes { "<th>Class</th>" } else { "" });
    page.raw("<th class=\"n\">").raw(words.value).raw("</th><th></th></tr></thead><tbody>\n");
    for one in &report.features {
        page.raw("<tr><th scope=\"row\">").name(&one.name).raw("</th>");
        if classes {
            page.raw("<td>").name(one.class.as_deref().unwrap_or("")).raw("</td>");
        }
        page.cell(Some(number(one.value, 4)));
        let share = if most > 0.0 { one.value.abs() / most } else { 0.0 };
        page.raw("<td><span class=\"").raw(if one.value < 0.0 { "bar minus" } else { "bar" }).raw("\" style=\"--v:");
        page.text(&format!("{share:.4}")).raw("\"></span></td></tr>\n");
    }
    page.raw("</tbody></table></div>\n");
}

fn splits(page: &mut Html, report: &Report) {
    if report.splits.is_empty() {
        return;
    }
    page.raw("<h3>First splits</h3><div class=\"wide\"><table><thead><tr><th class=\"n\">Node</th><th class=\"n\">Depth</th><th>A row goes left if</th>");
    page.raw("<th class=\"n\">of all rows</th></tr></thead><tbody>\n");
    for split in &report.splits {
        page.raw("<tr>").cell(Some(count(split.node))).cell(Some(count(split.depth))).raw("<td>").name(&split.name);
        page.text(&format!(" ≤ {}", number(split.threshold, 5))).raw("</td>").cell(Some(percent(split.share))).raw("</tr>\n");
    }
    page.raw("</tbody></table></div>\n");
}

fn compared(page: &mut Html, report: &Report) {
    page.heading("Beside other models");
    if let Some(found) = &report.comparison {
        if let Some(recommendation) = &found.recommendation {
            page.raw("<div class=\"pick\"><p>").text(&recommendation.sentence).raw("</p></div>\n");
        }
        let chosen = found.recommendation.as_ref().map(|one| one.index);
        measured(page, &found.data, &found.score_name, chosen);
        page.raw("<p class=\"dim small\">On ").name(&found.dataset.name).text(&format!(", version {}, ", found.dataset.version));
        page.text(&when(&found.created_at)).raw(": <code>").text(&found.href).raw("</code></p>\n");
    }
    if let Some(hint) = &report.hint {
        page.raw("<p>It has not been compared yet. This request does, with its dense twin; name rows that it has not seen, and other models:</p><pre>");
        page.text(&format!("{} {}\ncontent-type: application/json\n\n", hint.method, hint.href));
        page.text(&serde_json::to_string_pretty(&hint.body).unwrap_or_default()).raw("</pre>\n");
    }
}

/// Measures of the rows of the fit, and of those held out.
fn measures(page: &mut Html, metrics: &Value) {
    let parts: [(&'static str, &'static str); 4] = [
        ("train", "On the rows of the fit"),
        ("cv", "On rows held out"),
        ("holdout", "On rows held out"),
        ("dense_twin", "A ridge on the same rows"),
    ];
    for (key, title) in parts {
        if let Some(part) = metrics.get(key).filter(|part| part.as_object().is_some_and(|part| !part.is_empty())) {
            facts(page, title, part);
        }
    }
}

/// The plain values of an object.
fn facts(page: &mut Html, title: &'static str, object: &Value) {
    let Some(object) = object.as_object() else { return };
    page.heading(title).raw("<dl class=\"facts\">");
    for (key, value) in object {
        let told = match value {
            Value::Number(whole) if whole.is_u64() => whole.as_u64().map(count),
            Value::Number(real) => real.as_f64().map(|real| number(real, 5)),
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
            Value::Object(pair) => pair.get("feature").and_then(Value::as_str).map(|feature| {
                let value = pair.get("value").and_then(Value::as_f64).map_or_else(String::new, |value| format!(": {}", number(value, 5)));
                format!("{feature}{value}")
            }),
            Value::Null | Value::Array(_) => None,
        };
        if let Some(told) = told.filter(|_| !key.ends_with("_href")) {
            page.raw("<div><dt>").text(&key.replace('_', " ")).raw("</dt><dd>").name(&told).raw("</dd></div>");
        }
    }
    page.raw("</dl>\n");
}
