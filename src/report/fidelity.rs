//! What a page tells of a model that was taught: the teacher, the student and the control on rows that the latter two have not seen.

use super::comparison::with_interval;
use super::html::{Html, bytes, count, number, percent, score, signed};
use crate::model::{Agreement, Difference, Fidelity, FidelityOf};

/// The section: what the teacher was good for in a sentence, then the three side by side.
pub(super) fn taught(page: &mut Html, fidelity: &Fidelity) {
    page.heading("What it learnt from its teacher").raw("<div class=\"pick\"><p>").text(&sentence(fidelity)).raw("</p></div>\n");
    page.raw("<div class=\"wide\"><table><thead><tr><th>Model</th><th class=\"n\">").text(&fidelity.score_name);
    page.raw("</th><th class=\"n\">like the teacher</th><th class=\"n\">Size</th><th class=\"n\">Parameters</th><th class=\"n\">File</th>");
    page.raw("<th class=\"n\">Latency</th></tr></thead><tbody>\n");
    row(page, "teacher", &fidelity.teacher, None);
    row(page, "student", &fidelity.student, Some(&fidelity.agreement));
    row(page, "control", &fidelity.control, Some(&fidelity.control_agreement));
    page.raw("</tbody></table></div>\n<p class=\"dim small\">").text(&format!(
        "On {} rows kept apart. The control is the same fit on the same rows with their true labels alone; it was measured and thrown away. Intervals are \
         the middle 95 % of {} resamples of the rows, the same ones for all three (seed {}).",
        count(fidelity.rows),
        count(fidelity.bootstrap),
        fidelity.seed
    ));
    page.raw("</p>\n");
}

fn row(page: &mut Html, role: &'static str, of: &FidelityOf, agreement: Option<&Agreement>) {
    page.raw(if role == "student" { "<tr class=\"chosen\"><th scope=\"row\">" } else { "<tr><th scope=\"row\">" }).raw(role);
    page.raw("<span class=\"sub\">").text(&of.kind);
    if let Some(reference) = &of.reference {
        page.raw(" ").name(reference);
    }
    page.raw("</span></th>");
    let between = of.score_low.zip(of.score_high).map(|(low, high)| format!("{} … {}", score(low), score(high)));
    with_interval(page, of.score.map(score), between);
    let alike = agreement.and_then(|told| told.labels.map(percent).or(told.correlation.map(|r| format!("r = {}", number(r, 4)))));
    let apart = agreement.and_then(|told| match told.kl_divergence {
        Some(nats) => Some(format!("{} nats", number(nats, 3))),
        None => told.mean_difference.map(|mean| format!("apart by {}", number(mean, 3))),
    });
    with_interval(page, alike, apart);
    page.cell(of.size.map(count)).cell(of.bytes_parameters.map(bytes)).cell(of.bytes.map(bytes));
    let us = |value: f64| format!("{} µs", number(value, 3));
    with_interval(page, of.latency_us.map(us), of.latency_us_p99.map(|late| format!("p99 {}", us(late))));
    page.raw("</tr>\n");
}

/// What the teacher was good for, as far as these rows show it.
fn sentence(fidelity: &Fidelity) -> String {
    let Difference { difference, low, high } = fidelity.gain;
    let Some(gain) = difference else { return "These rows define no score to compare by.".into() };
    let ends = low.zip(high);
    let interval = ends.map_or_else(String::new, |(low, high)| format!(" ({} … {})", signed(low), signed(high)));
    let shown = match ends {
        Some((low, _)) if low > 0.0 => "its teacher made it better",
        Some((_, high)) if high < 0.0 => "its teacher made it worse",
        _ => "these rows do not show a difference",
    };
    let teacher = fidelity.to_teacher.difference.map_or_else(String::new, |less| format!(", and by {} from its teacher", signed(less)));
    format!(
        "In {} the student differs from its control by {}{interval}{teacher}: {shown}.",
        fidelity.score_name.replace('_', " "),
        signed(gain)
    )
}
