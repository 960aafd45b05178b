//! The page of a comparison: what to take, how sure that is, what each model costs, and where they differ.

use super::html::{Html, bytes, count, duration, number, percent, score, signed, when};
use super::{ComparisonReport, Picture};
use crate::dataset::Class;
use crate::model::{ComparedModel, ComparedPrediction, Comparison, Disagreement};

/// More models than this are numbered where each has a column.
const NAMED_COLUMNS: usize = 5;

/// The page; `pictures` stand below the recommendation.
pub fn comparison_page(report: &ComparisonReport<'_>, pictures: &[Picture]) -> String {
    let comparison = report.comparison;
    let named = comparison.data.iter().filter(|row| !row.twin).count();
    let twins = comparison.data.len() - named;
    let mut page = Html::page(&format!("{named} models on {}", comparison.dataset.name));
    page.raw("<p class=\"eyebrow\">Comparison</p><h1>");
    page.text(&format!("{named} {} on ", if named == 1 { "model" } else { "models" })).name(&comparison.dataset.name);
    page.text(&format!(", version {}", comparison.dataset.version)).raw("</h1><p class=\"dim\">");
    page.text(&format!("{} rows", count(comparison.rows)));
    if twins > 0 {
        page.text(&format!(" · {twins} dense {} beside them", if twins == 1 { "twin" } else { "twins" }));
    }
    page.text(&format!(" · made {}", when(&report.finished_at))).raw("</p>\n");
    if let Some(recommendation) = &comparison.recommendation {
        page.raw("<div class=\"pick\"><p>").text(&recommendation.sentence).raw("</p></div>\n");
    }
    pictures.iter().for_each(|picture| {
        page.picture(picture);
    });
    page.heading("Measured");
    let chosen = comparison.recommendation.as_ref().map(|one| one.index);
    measured(&mut page, &comparison.data, &comparison.score_name, chosen);
    how(&mut page, comparison);
    overlap(&mut page, comparison);
    for (at, disagreement) in comparison.disagreements.iter().flatten().enumerate() {
        if at == 0 {
            page.heading("Where they differ");
        }
        differ(&mut page, comparison, disagreement);
    }
    stable(&mut page, comparison);
    page.warnings(report.warnings);
    page.end(&format!("Comparison {} · data {}", report.job, comparison.dataset.sha256))
}

/// How the intervals and times came to be.
fn how(page: &mut Html, comparison: &Comparison) {
    let has = |what: &str| comparison.measure.iter().any(|one| one == what);
    page.raw("<p class=\"dim small\">");
    if has("quality") {
        page.text(&format!(
            "Intervals are the middle 95 % of {} resamples of the rows, the same ones for all models (seed {}), so that a difference to the first \
             model has an interval of its own. ",
            count(comparison.bootstrap),
            comparison.seed
        ));
    }
    if has("size") {
        page.raw("Parameters are the numbers that a prediction reads; memory is all that the server holds of a loaded model. ");
    }
    if has("latency") {
        page.raw(
            "Latency is the median of one row each, from its indices to the answer, within the server while it does other things too. ",
        );
    }
    page.raw("</p>\n");
}

/// The table of what was measured.
pub(super) fn measured(page: &mut Html, data: &[ComparedModel], score_name: &str, chosen: Option<u64>) {
    let any = |of: fn(&ComparedModel) -> bool| data.iter().any(of);
    let scored = any(|row| row.score.is_some());
    let compared = any(|row| row.difference.is_some());
    let sized = any(|row| row.size.is_some());
    let timed = any(|row| row.latency_us_p50.is_some());
    let used = any(|row| row.features_used.is_some());
    page.raw("<div class=\"wide\"><table><thead><tr><th>Model</th>");
    if scored {
        page.raw("<th class=\"n\">").text(score_name).raw("</th>");
    }
    if compared {
        page.raw("<th class=\"n\">to the first</th>");
    }
    if sized {
        page.raw("<th class=\"n\">Size</th><th class=\"n\">Parameters</th><th class=\"n\">Memory</th><th class=\"n\">Fit</th>");
    }
    if used {
        page.raw("<th class=\"n\">Features</th>");
    }
    if timed {
        page.raw("<th class=\"n\">Latency</th>");
    }
    page.raw("</tr></thead><tbody>\n");
    for (at, row) in data.iter().enumerate() {
        let chosen = chosen == Some(at as u64);
        page.raw(match (row.twin, chosen) {
            (true, true) => "<tr class=\"twin chosen\"><th scope=\"row\">",
            (true, false) => "<tr class=\"twin\"><th scope=\"row\">",
            (false, true) => "<tr class=\"chosen\"><th scope=\"row\">",
            (false, false) => "<tr><th scope=\"row\">",
        });
        if row.twin {
            page.raw("dense twin");
        } else {
            page.name(&row.reference);
        }
        if chosen {
            page.raw("<span class=\"tag good\">take</span>");
        }
        if row.on_training_rows && !row.twin {
            page.raw("<span class=\"tag bad\">training rows</span>");
        }
        page.raw("<span class=\"sub\">").text(&described(row)).raw("</span></th>");
        let between = |low: Option<f64>, high: Option<f64>, tell: fn(f64) -> String| {
            low.zip(high).map(|(low, high)| format!("{} … {}", tell(low), tell(high)))
        };
        if scored {
            with_interval(page, row.score.map(score), between(row.score_low, row.score_high, score));
        }
        if compared {
            with_interval(page, row.difference.map(signed), between(row.difference_low, row.difference_high, signed));
        }
        if sized {
            page.cell(row.size.map(count)).cell(row.bytes_parameters.map(bytes));
            with_interval(page, row.bytes_memory.map(bytes), row.bytes_stored.map(|stored| format!("file {}", bytes(stored))));
            page.cell(row.fit_ms.map(duration));
        }
        if used {
            page.cell(row.features_used.map(count));
        }
        if timed {
            let us = |value: f64| format!("{} µs", number(value, 3));
            with_interval(page, row.latency_us_p50.map(us), row.latency_us_p99.map(|late| format!("p99 {}", us(late))));
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table></div>\n");
}

/// A cell with something smaller below its number: an interval, or what goes with it.
pub(super) fn with_interval(page: &mut Html, value: Option<String>, interval: Option<String>) {
    page.raw("<td class=\"n\">").text(value.as_deref().unwrap_or("–"));
    if let Some(interval) = interval {
        page.raw("<span class=\"sub\">").text(&interval).raw("</span>");
    }
    page.raw("</td>");
}

/// Kind, loss and strength of the penalty.
fn described(row: &ComparedModel) -> String {
    let mut words = vec![if row.kind == "linear" { row.loss.clone() } else { format!("{}, {}", row.kind, row.loss) }];
    if let Some(l1_ratio) = row.l1_ratio {
        words.push(match l1_ratio {
            1.0 => "l1".to_owned(),
            0.0 => "l2".to_owned(),
            other => format!("l1_ratio {}", number(other, 3)),
        });
    }
    words.extend(row.lambda.map(|lambda| format!("λ {}", number(lambda, 3))));
    words.extend(row.ccp_alpha.map(|alpha| format!("α {}", number(alpha, 3))));
    words.join(" · ")
}

/// A short name for heads of columns.
fn title(row: &ComparedModel) -> String {
    if row.twin { format!("{} dense", row.reference) } else { row.reference.clone() }
}

/// Shared features of every pair.
fn overlap(page: &mut Html, comparison: &Comparison) {
    let (Some(jaccard), Some(shared)) = (&comparison.support_jaccard, &comparison.shared) else { return };
    if comparison.data.len() < 2 {
        return;
    }
    page.heading("Features in common").raw("<div class=\"wide\"><table><caption>");
    page.raw("Features that both models use as a share of those that either uses (Jaccard), and how many.</caption><thead><tr><th></th>");
    // names of many would not find room side by side
    let numbered = comparison.data.len() > NAMED_COLUMNS;
    for (at, row) in comparison.data.iter().enumerate() {
        page.raw("<th class=\"n\">");
        if numbered { page.text(&(at + 1).to_string()) } else { page.name(&title(row)) }.raw("</th>");
    }
    page.raw("</tr></thead><tbody>\n");
    for (at, ((row, jaccard), shared)) in comparison.data.iter().zip(jaccard).zip(shared).enumerate() {
        page.raw("<tr><th scope=\"row\">");
        if numbered {
            page.raw("<span class=\"dim\">").text(&(at + 1).to_string()).raw("</span>\u{2002}");
        }
        page.name(&title(row)).raw("</th>");
        for (jaccard, shared) in jaccard.iter().zip(shared) {
            page.raw("<td class=\"n heat\" style=\"--v:").text(&format!("{:.3}", jaccard.clamp(0.0, 1.0))).raw("\">");
            page.text(&format!("{jaccard:.2}")).raw("<span class=\"sub\">").text(&count(*shared)).raw("</span></td>");
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table></div>\n");
}

/// The rows that two models say the most different things of.
fn differ(page: &mut Html, comparison: &Comparison, disagreement: &Disagreement) {
    let of = |at: u64| usize::try_from(at).ok().and_then(|at| comparison.data.get(at));
    let [Some(one), Some(other)] = disagreement.pair.map(of) else { return };
    page.raw("<h3>").name(&title(one)).raw(" and ").name(&title(other)).raw("</h3><p class=\"dim small\">");
    if let Some(share) = disagreement.labels_differ {
        page.text(&format!("Another label on {} of the rows. ", percent(share)));
    }
    if let Some(mean) = disagreement.mean_difference {
        page.text(&format!("Mean difference {}. ", number(mean, 3)));
    }
    if disagreement.rows.is_empty() {
        page.raw("They say the same of every row.</p>\n");
        return;
    }
    page.raw("</p><div class=\"wide\"><table><thead><tr><th class=\"n\">Row</th><th>True</th><th>");
    page.name(&title(one)).raw("</th><th>").name(&title(other)).raw("</th><th class=\"n\">Difference</th></tr></thead><tbody>\n");
    for row in &disagreement.rows {
        page.raw("<tr><td class=\"n\">").text(&count(row.row)).raw("</td><td>").name(&class(&row.y)).raw("</td>");
        for told in &row.predictions {
            page.raw("<td>").name(&said(told)).raw("</td>");
        }
        page.cell(Some(number(row.difference, 3))).raw("</tr>\n");
    }
    page.raw("</tbody></table></div>\n");
}

fn class(class: &Class) -> String {
    match class {
        // a name, whatever it is written with
        Class::Number(value) => value.to_string(),
        Class::Text(text) => text.clone(),
    }
}

fn said(told: &ComparedPrediction) -> String {
    if let Some(prediction) = told.prediction {
        return number(prediction, 5);
    }
    let label = told.label.as_ref().map_or_else(|| "the rest".to_owned(), class);
    match (told.probability, told.linear_predictor) {
        (Some(probability), _) => format!("{label} ({probability:.3})"),
        (None, Some(eta)) => format!("{label} (η = {})", number(eta, 3)),
        (None, None) => label,
    }
}

/// How far features hang on the rows.
fn stable(page: &mut Html, comparison: &Comparison) {
    let rows: Vec<_> = comparison.data.iter().filter_map(|row| Some((row, row.stability.as_ref()?))).collect();
    if rows.is_empty() {
        return;
    }
    page.heading("Stability of the features").raw("<div class=\"wide\"><table><caption>The same penalty on halves of the rows: ");
    page.raw("how alike the features of two halves are on the average (Jaccard), and how many there are.</caption>");
    page.raw("<thead><tr><th>Model</th><th class=\"n\">Halves</th><th class=\"n\">Jaccard</th><th class=\"n\">Features</th><th></th></tr></thead><tbody>\n");
    for (row, stability) in rows {
        page.raw("<tr><th scope=\"row\">").name(&title(row)).raw("</th>").cell(Some(count(stability.halves)));
        page.cell(stability.jaccard.map(|share| format!("{share:.3}"))).cell(stability.features.map(|mean| number(mean, 4)));
        page.raw("<td>").text(stability.reason.as_deref().unwrap_or("")).raw("</td></tr>\n");
    }
    page.raw("</tbody></table></div>\n");
}
