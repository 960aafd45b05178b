//! The first act: in which year was this said? A cross-validated lasso path, its model, and a dense ridge twin beside it.

use std::io::Write;

use serde_json::{Value, json};

use super::Failure;
use super::data::{self, Speech, Speeches};
use super::draw::{bytes, count, fit as cut};
use super::report;
use super::screen::Screen;
use super::talk::{Talk, number, whole};

pub(super) const DATASET: &str = "addresses";
pub(super) const LASSO: &str = "year";
pub(super) const RIDGE: &str = "year-ridge";
/// Predictions shown, less one.
const SHOWN: usize = 8;
/// Ridge needs smaller λ than the default path reaches where features outnumber rows; below 1 the error no longer changes.
const RIDGE_LAMBDAS: [f64; 5] = [100.0, 30.0, 10.0, 3.0, 1.0];

pub(super) async fn upload<W: Write>(screen: &mut Screen<W>, talk: &Talk, rows: usize) -> Result<(), Failure> {
    screen.heading("Upload: what presidents say")?;
    screen.say(&format!(
        "{rows} State of the Union addresses, 1790 to 2021, as words and word pairs. A value is the logarithm of how often one was said; \
         the target is the year. Every fifth address is kept back."
    ))?;
    screen.line("")?;
    let body = data::train();
    let sent = body.len();
    let dataset = talk.upload(DATASET, body).await?;
    screen.entry("request", &format!("POST /api/v1/datasets?name={DATASET}"))?;
    report::dataset(screen, &dataset, sent)
}

/// What is asked for; the same text that `curl_fit` shows.
fn lasso_job() -> Value {
    json!({"type": "fit", "model": LASSO, "dataset": {"name": DATASET},
        "spec": {"penalty": {"type": "l1"}, "lambda": {"mode": "path"}, "selection": {"method": "cv", "rule": "1se"}}})
}

fn ridge_job() -> Value {
    json!({"type": "fit", "model": RIDGE, "dataset": {"name": DATASET},
        "spec": {"penalty": {"type": "l2"}, "lambda": {"mode": "path", "values": RIDGE_LAMBDAS}, "selection": {"method": "cv"}}})
}

pub(super) async fn fit<W: Write>(screen: &mut Screen<W>, talk: &Talk) -> Result<(), Failure> {
    screen.heading("Fit: which of these words tell the year?")?;
    screen.say("A lasso along a path of 100 penalties λ, each judged by cross-validation; then its dense twin, a ridge regression on the same words.")?;
    screen.line("")?;
    for (word, body) in [("lasso", lasso_job()), ("ridge", ridge_job())] {
        let job = talk.submit(&body).await?;
        let ended = talk.watch(&job, screen).await?;
        screen.entry(word, &job_line(&ended)?)?;
    }
    Ok(())
}

/// A job that succeeded, in a line.
pub(super) fn job_line(job: &Value) -> Result<String, Failure> {
    let seconds = number(job, "duration_ms")? / 1000.0;
    Ok(format!("{} in {seconds:.2} s · {}", super::talk::text(job, "status")?, super::talk::text(job, "id")?))
}

fn place(model: &str, what: &str) -> String {
    format!("/api/v1/models/{model}/versions/1{what}")
}

pub(super) async fn model<W: Write>(screen: &mut Screen<W>, talk: &Talk) -> Result<(), Failure> {
    screen.heading("The model: a few words out of twenty thousand")?;
    let (cv, path) = (talk.get(&place(LASSO, "/cv")).await?, talk.get(&place(LASSO, "/path")).await?);
    report::lambda(screen, &cv, &path, |mean| format!("±{:.1} years", mean.sqrt()))?;
    report::model(screen, &talk.get(&place(LASSO, "")).await?)?;
    report::coefficients_histogram(screen, &talk.get(&place(LASSO, "/histogram?bins=30")).await?)?;
    let strongest = talk.get(&place(LASSO, "/coefficients")).await?;
    report::strongest(screen, &strongest, 10, "said late", "said early")
}

/// How well a model does on addresses it has never seen.
struct Score {
    mean_error: f64,
    r2: f64,
}

fn score(predictions: &[Value], speeches: &[Speech]) -> Result<Score, Failure> {
    if predictions.len() != speeches.len() {
        return Err(format!("{} predictions for {} addresses", predictions.len(), speeches.len()).into());
    }
    let years: Vec<f64> = speeches.iter().map(|speech| f64::from(speech.year)).collect();
    let n = years.len() as f64;
    let mean = years.iter().sum::<f64>() / n;
    let errors =
        predictions.iter().zip(&years).map(|(p, year)| Ok(number(p, "prediction")? - year)).collect::<Result<Vec<f64>, Failure>>()?;
    let squared = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let r2 = 1.0 - squared(&mut errors.iter().copied()) / squared(&mut years.iter().map(|year| year - mean));
    Ok(Score { mean_error: errors.iter().map(|error| error.abs()).sum::<f64>() / n, r2 })
}

pub(super) async fn held_out<W: Write>(screen: &mut Screen<W>, talk: &Talk, speeches: &Speeches) -> Result<(), Failure> {
    let unseen = &speeches.held_out;
    screen.heading(&format!("On {} addresses it has never seen", unseen.len()))?;
    let paint = screen.paint();
    screen.line(&paint.bold(&format!("{:<14}{:>12}{:>10}{:>16}{:>20}", "", "mean error", "R²", "non-zeros", "stored model")))?;
    let mut answers = Vec::new();
    for (word, model, query) in
        [("lasso", LASSO, "output=prediction,contributions&top_contributions=4"), ("ridge (dense)", RIDGE, "output=prediction")]
    {
        let predictions = talk.predict(model, query, data::held_out()).await?;
        let Score { mean_error, r2 } = score(&predictions, unseen)?;
        let version = talk.get(&place(model, "")).await?;
        let (nonzeros, stored) = (whole(&version, "/sparsity/nonzeros")?, whole(&version, "size_bytes")?);
        screen.line(&format!(
            "{word:<14}{:>12}{r2:>10.3}{:>16}{:>20}",
            format!("{mean_error:.1} years"),
            count(nonzeros),
            bytes(stored)
        ))?;
        answers.push(predictions);
    }
    screen.line(&paint.dim("stored: coefficients, path and cross-validation, as /models serves them"))?;
    screen.line("")?;
    screen.line(&paint.bold(&format!("{:<6}{:>9}   {:<22}{}", "year", "predicted", "president", "largest contributions, in years")))?;
    let lasso = answers.into_iter().next().unwrap_or_default();
    // From the first to the last, evenly: nobody chose the flattering ones.
    for row in (0..=SHOWN).map(|i| i * unseen.len().saturating_sub(1) / SHOWN) {
        screen.line(&predicted(&lasso[row], &unseen[row])?)?;
    }
    Ok(())
}

fn predicted(prediction: &Value, speech: &Speech) -> Result<String, Failure> {
    let because = report::because(prediction, 37);
    Ok(format!("{:<6}{:>9.0}   {:<22}{because}", speech.year, number(prediction, "prediction")?, cut(&speech.name, 21))
        .trim_end()
        .to_owned())
}

/// What one types to go on, once `$B` is the address of a server: upload and fit for one that is empty.
pub(super) fn curls_from_nothing() -> [&'static str; 2] {
    [
        r#"curl -sX POST "$B/api/v1/datasets?name=addresses" \
     -H 'Content-Type: application/json' -H 'Content-Encoding: gzip' \
     --data-binary @demo-data/sotu-train.json.gz"#,
        r#"curl -sX POST "$B/api/v1/jobs" -H 'Prefer: wait=60' \
     -H 'Content-Type: application/json' -d '{"type": "fit",
       "model": "year", "dataset": {"name": "addresses"},
       "spec": {"selection": {"method": "cv", "rule": "1se"}}}'"#,
    ]
}

/// And what one asks of a server that has the model.
pub(super) fn curls() -> [&'static str; 3] {
    [
        r#"curl -s "$B/api/v1/models/year/versions/1/coefficients?top=5""#,
        r#"curl -s "$B/api/v1/models/year/versions/1/certificate""#,
        r#"curl -sX POST "$B/api/v1/models/year/predict" \
     -H 'Content-Type: application/json' -d '{"instances": [{"features":
       {"america": 6, "work": 5, "god bless": 2}}],
       "output": ["prediction", "contributions"]}'"#,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speech(year: u32) -> Speech {
        Speech { year, name: "William Henry Harrison IV".into(), party: "Whig".into() }
    }

    #[test]
    fn errors_are_in_years_and_r2_compares_with_the_mean() {
        let speeches = [speech(1800), speech(1900), speech(2000)];
        let right = [json!({"prediction": 1810.0}), json!({"prediction": 1900.0}), json!({"prediction": 1980.0})];
        let Score { mean_error, r2 } = score(&right, &speeches).expect("scored");
        assert!((mean_error - 10.0).abs() < 1e-12 && (r2 - (1.0 - 500.0 / 20_000.0)).abs() < 1e-12);
        let mean = vec![json!({"prediction": 1900.0}); 3];
        assert!(score(&mean, &speeches).expect("scored").r2.abs() < 1e-12);
        assert!(score(&right[..2], &speeches).is_err(), "a row is missing");
    }

    #[test]
    fn a_prediction_is_one_line() {
        let reasons: Vec<Value> = (0..4).map(|i| json!({"feature": format!("commencement {i}"), "value": -12.3})).collect();
        let line = predicted(&json!({"prediction": 1843.6, "contributions": reasons}), &speech(1841)).expect("drawn");
        assert!(line.starts_with("1841       1844   William Henry Harris…"), "{line}");
        assert!(line.chars().count() <= 77, "{line}");
    }

    #[test]
    fn the_lines_for_a_shell_fit_the_screen_and_hold_json() {
        for command in curls_from_nothing().iter().chain(&curls()) {
            assert!(command.lines().all(|line| line.chars().count() <= 80), "{command}");
            if let Some((_, body)) = command.split_once("-d '") {
                serde_json::from_str::<Value>(body.trim_end_matches('\'')).unwrap_or_else(|error| panic!("{error}: {body}"));
            }
        }
        assert!(curls().iter().all(|command| command.contains(LASSO)));
        assert!(curls_from_nothing()[0].contains(DATASET));
        // `tests/tour` runs the README; what is said here is said there.
        let readme = include_str!("../../README.md");
        for command in curls_from_nothing().iter().chain(&curls()) {
            let address = command.split('"').nth(1).unwrap_or_default();
            assert!(address.starts_with("$B/api/v1/") && readme.contains(address), "{command}");
        }
    }
}
