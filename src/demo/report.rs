//! The server's answers as paragraphs: how λ was chosen, how sparse the model is, its certificate, its coefficients, its predictions.
//!
//! From JSON to text; asks nothing itself.

use std::io::Write;

use serde_json::Value;

use super::Failure;
use super::draw::{self, bytes, count, curve, figures, fit, histogram, marks, signed};
use super::screen::Screen;
use super::talk::{list, number, text, whole};

/// Lines of the histogram.
const HISTOGRAM_LINES: usize = 6;
/// Cells of a coefficient's bar.
const BAR: usize = 12;

/// The data set version as the server understood it.
pub(super) fn dataset<W: Write>(screen: &mut Screen<W>, dataset: &Value, sent: usize) -> Result<(), Failure> {
    let (rows, columns) = (whole(dataset, "/shape/0")?, whole(dataset, "/shape/1")?);
    let density = number(dataset, "density")? * 100.0;
    screen.entry(
        "matrix",
        &format!("{} rows × {} features, {} non-zeros ({density:.1} %)", count(rows), count(columns), count(whole(dataset, "nnz")?)),
    )?;
    let stored = bytes(whole(dataset, "stored_bytes")?);
    let dense = bytes(whole(dataset, "dense_bytes_would_be")?);
    screen.entry("bytes", &format!("{} sent (gzip), {stored} stored; as a dense table it would be {dense}", bytes(sent as u64)))?;
    Ok(())
}

/// Which λ, why, and the curve it was read from. `error_of` turns a cross-validated mean into the reader's unit.
pub(super) fn lambda<W: Write>(screen: &mut Screen<W>, cv: &Value, path: &Value, error_of: impl Fn(f64) -> String) -> Result<(), Failure> {
    let rows = list(cv, "data")?;
    let (best, chosen) = (whole(cv, "index_min")?, whole(cv, "index_1se")?);
    let of =
        |index: u64| rows.iter().find(|row| row["index"] == index).ok_or_else(|| Failure::from("a λ of the cross-validation is missing"));
    let nonzeros = |index: u64| list(path, "data")?.iter().find(|row| row["index"] == index).map_or(Ok(0), |row| whole(row, "nonzeros"));
    let (at_best, at_chosen) = (of(best)?, of(chosen)?);
    screen.entry(
        "λ",
        &format!(
            "{}, out of {} tried: the largest whose error over {} folds is within one standard error of the least. Least error: {} at λ {} ({} features); here: {}.",
            figures(number(at_chosen, "lambda")?),
            rows.len(),
            whole(cv, "folds")?,
            error_of(number(at_best, "mean")?),
            figures(number(at_best, "lambda")?),
            count(nonzeros(best)?),
            error_of(number(at_chosen, "mean")?),
        ),
    )?;
    draw_curve(screen, rows, best, chosen)
}

/// The cross-validated error from the largest λ to the smallest, in at most 64 columns.
fn draw_curve<W: Write>(screen: &mut Screen<W>, rows: &[Value], best: u64, chosen: u64) -> Result<(), Failure> {
    let means = rows.iter().map(|row| number(row, "mean")).collect::<Result<Vec<f64>, _>>()?;
    let step = means.len().div_ceil(64).max(1);
    let columns: Vec<f64> = means.chunks(step).map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64).collect();
    let column = |index: u64| rows.iter().position(|row| row["index"] == index).unwrap_or(0) / step;
    let marks = marks(columns.len(), &[(column(chosen), '▲'), (column(best), '△')]);
    let paint = screen.paint();
    screen.line("")?;
    screen.line(&format!("{:13}{}", "", paint.cool(&curve(&columns))))?;
    screen.line(&format!("{:13}{}", "", paint.warm(&marks)))?;
    screen.line(&format!("{:13}{}", "", paint.dim("cross-validated error, large λ to small; ▲ chosen, △ least")))?;
    screen.line("")?;
    Ok(())
}

/// Non-zeros, sparsity and the certificate of a model version.
pub(super) fn model<W: Write>(screen: &mut Screen<W>, model: &Value) -> Result<(), Failure> {
    let (features, nonzeros) = (whole(model, "/sparsity/n_features")?, whole(model, "/sparsity/nonzeros")?);
    let ratio = number(model, "/sparsity/sparsity_ratio")? * 100.0;
    let (positive, negative) = (whole(model, "/sparsity/positive")?, whole(model, "/sparsity/negative")?);
    screen
        .entry("non-zeros", &format!("{} of {} features ({positive} positive, {negative} negative)", count(nonzeros), count(features)))?;
    screen.entry("sparsity", &format!("{ratio:.2} % of the coefficients are exactly zero"))?;
    certificate(screen, &model["certificate"])
}

fn certificate<W: Write>(screen: &mut Screen<W>, certificate: &Value) -> Result<(), Failure> {
    let (status, tol, gap) = (text(certificate, "status")?, number(certificate, "tol")?, number(certificate, "relative_gap")?);
    let proof = format!(
        "{status}: no coefficients whatever lower the objective by more than {} of where it started (relative duality gap; asked for: {}). \
         Computed on all the data by code that is not the solver's.",
        figures(gap),
        figures(tol)
    );
    Ok(screen.entry("certificate", &proof)?)
}

/// The histogram of the non-zero coefficients, over its axis.
pub(super) fn coefficients_histogram<W: Write>(screen: &mut Screen<W>, answer: &Value) -> Result<(), Failure> {
    let counts = list(answer, "counts")?.iter().filter_map(Value::as_u64).collect::<Vec<u64>>();
    let edges = list(answer, "edges")?.iter().filter_map(Value::as_f64).collect::<Vec<f64>>();
    let (Some(low), Some(high)) = (edges.first(), edges.last()) else { return Ok(screen.say("every coefficient is zero")?) };
    let per_bin = (60 / counts.len().max(1)).max(1);
    let width = counts.len() * per_bin;
    let paint = screen.paint();
    screen.line("")?;
    for line in histogram(&counts, HISTOGRAM_LINES, per_bin) {
        screen.line(&format!("{:13}{}", "", paint.cool(&line)))?;
    }
    let (low, high) = (signed(*low, 1), signed(*high, 1));
    let gap = width.saturating_sub(low.chars().count() + high.chars().count());
    screen.line(&format!("{:13}{}", "", "─".repeat(width)))?;
    screen.line(&format!("{:13}{low}{}{high}", "", " ".repeat(gap)))?;
    let note = format!("{} non-zero coefficients; the {} zeros are not drawn", counts.iter().sum::<u64>(), count(whole(answer, "zeros")?));
    screen.line(&format!("{:13}{}", "", paint.dim(&note)))?;
    Ok(())
}

/// The strongest features of both signs by name, side by side: `positive` and `negative` say what they speak for.
pub(super) fn strongest<W: Write>(
    screen: &mut Screen<W>,
    coefficients: &Value,
    each: usize,
    positive: &str,
    negative: &str,
) -> Result<(), Failure> {
    let names = list(coefficients, "names")?;
    let values = list(coefficients, "values")?;
    let all: Vec<(&str, f64)> = names.iter().zip(values).filter_map(|(name, value)| Some((name.as_str()?, value.as_f64()?))).collect();
    let of = |sign: f64| all.iter().filter(|(_, value)| value * sign > 0.0).take(each).copied().collect::<Vec<_>>();
    let (for_it, against) = (of(1.0), of(-1.0));
    let most = all.iter().map(|(_, value)| value.abs()).fold(f64::MIN_POSITIVE, f64::max);
    let decimals = if most < 1.0 { 2 } else { 1 };
    let cell = |entry: Option<&(&str, f64)>, paint: &dyn Fn(&str) -> String| match entry {
        None => " ".repeat(36),
        Some((name, value)) => {
            format!("{:<16} {:>6} {}", fit(name, 16), signed(*value, decimals), paint(&draw::bar(value.abs() / most, BAR)))
        }
    };
    let paint = screen.paint();
    screen.line("")?;
    screen.line(&paint.bold(&format!("{:<39}{}", fit(negative, 38), fit(positive, 36))))?;
    for i in 0..for_it.len().max(against.len()) {
        let left = cell(against.get(i), &|text| paint.warm(text));
        let right = cell(for_it.get(i), &|text| paint.good(text));
        screen.line(format!("{left}   {right}").trim_end())?;
    }
    Ok(())
}

/// What made a prediction, as far as it was asked for: `militia −9.1, amity −4.0`.
pub(super) fn because(prediction: &Value, width: usize) -> String {
    let entries = prediction["contributions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut told = String::new();
    for entry in entries {
        let (Some(feature), Some(value)) = (entry["feature"].as_str(), entry["value"].as_f64()) else { continue };
        let next = format!("{}{feature} {}", if told.is_empty() { "" } else { ", " }, signed(value, 0));
        if told.chars().count() + next.chars().count() <= width {
            told.push_str(&next);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::draw::WIDTH;
    use serde_json::json;

    fn drawn(act: impl Fn(&mut Screen<&mut Vec<u8>>) -> Result<(), Failure>) -> String {
        let mut out = Vec::new();
        act(&mut Screen::new(&mut out, false, false)).expect("drawn");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        text
    }

    #[test]
    fn the_choice_of_lambda_is_explained_with_both_candidates() {
        let rows: Vec<Value> = (0..100)
            .map(|i| json!({"index": i, "lambda": 50.0 * 0.95_f64.powi(i), "mean": f64::from((i - 60).pow(2)) + 100.0, "se": 1.0}))
            .collect();
        let path: Vec<Value> = (0..100).map(|i| json!({"index": i, "nonzeros": 2 * i})).collect();
        let cv = json!({"folds": 5, "index_min": 60, "index_1se": 58, "data": rows});
        let text = drawn(|screen| lambda(screen, &cv, &json!({"data": path}), |mean| format!("{:.1} years", mean.sqrt())));
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("out of 100 tried") && flat.contains("over 5 folds") && flat.contains("(120 features)"), "{text}");
        assert!(flat.contains("10.0 years at λ") && flat.contains("here: 10.2 years"), "{text}");
        assert!(text.contains('▲') && text.contains('△'), "{text}");
    }

    #[test]
    fn a_model_says_how_sparse_and_how_certain_it_is() {
        let model_version = json!({"sparsity": {"n_features": 20657, "nonzeros": 84, "sparsity_ratio": 0.99593, "positive": 50, "negative": 34},
            "certificate": {"status": "certified", "relative_gap": 3.1e-7, "tol": 1e-6}});
        let text = drawn(|screen| model(screen, &model_version));
        assert!(text.contains("84 of 20,657 features") && text.contains("99.59 %") && text.contains("certified"), "{text}");
        assert!(text.contains("3.1e-7"), "{text}");
    }

    #[test]
    fn the_histogram_has_its_edges_and_counts_the_zeros() {
        let answer = json!({"zeros": 20573, "edges": [-4.0, -2.0, 0.0, 2.0, 4.0], "counts": [1, 30, 50, 3]});
        let text = drawn(|screen| coefficients_histogram(screen, &answer));
        assert!(text.contains("−4.0") && text.contains("+4.0") && text.contains("84 non-zero") && text.contains("20,573"), "{text}");
        let none = json!({"zeros": 3, "edges": [], "counts": []});
        assert!(drawn(|screen| coefficients_histogram(screen, &none)).contains("every coefficient is zero"));
    }

    #[test]
    fn the_strongest_of_both_signs_stand_side_by_side_by_name() {
        let answer = json!({"names": ["america", "militia", "a very long feature name", "of"], "values": [7.6, -4.0, 2.0, -0.1]});
        let text = drawn(|screen| strongest(screen, &answer, 2, "late", "early"));
        let first = text.lines().find(|line| line.contains("militia")).expect("a line");
        assert!(first.contains("−4.0") && first.contains("america") && first.contains("+7.6"), "{text}");
        assert!(text.contains("a very long fea…"), "{text}");
    }

    #[test]
    fn a_prediction_tells_as_many_reasons_as_fit() {
        let prediction =
            json!({"prediction": 1801.2, "contributions": [{"feature": "militia", "value": -9.1}, {"feature": "amity", "value": 4.4}]});
        assert_eq!(because(&prediction, 40), "militia −9, amity +4");
        assert_eq!(because(&prediction, 12), "militia −9");
        assert_eq!(because(&json!({}), 12), "");
    }
}
