//! The third act, of `--all`: every kind of model the product has, on the same question, pruned, taught, and compared on addresses that
//! none of them has seen. Its last page is the server's own.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::Failure;
use super::data::{self, Speech};
use super::draw::{bytes, count};
use super::screen::Screen;
use super::talk::{Talk, list, number, text, whole};
use super::year::{DATASET, LASSO, RIDGE};

const HELD_OUT: &str = "addresses-held-out";
const TREE: &str = "year-tree";
const NETWORK: &str = "year-network";
const PRUNED: &str = "year-network-pruned";
const ENSEMBLE: &str = "year-ensemble";
const STUDENT: &str = "year-student";

/// A model of this act: what it is called in a table, under which name it is stored, and the job that makes it.
struct Made {
    title: &'static str,
    model: &'static str,
    kind: &'static str,
    spec: Value,
}

/// In the order in which they are made: what is pruned or teaches is there before.
fn jobs() -> Vec<Made> {
    let made = |title, model, kind, spec| Made { title, model, kind, spec };
    let cv = json!({"method": "cv", "rule": "1se"});
    vec![
        made(
            "elastic net",
            "year-net",
            "fit",
            json!({"penalty": {"type": "elastic_net", "l1_ratio": 0.5}, "lambda": {"mode": "path"}, "selection": cv}),
        ),
        made("tree, pruned", TREE, "fit", json!({"kind": "tree", "pruning": {"mode": "cv", "rule": "min"}})),
        made("network", NETWORK, "fit", json!({"kind": "network", "hidden": [16], "epochs": 30, "batch_size": 16, "early_stopping": null})),
        made(
            "network, pruned",
            PRUNED,
            "prune",
            json!({"base": NETWORK, "method": "global_unstructured", "amount": 0.98, "schedule": {"steps": 4, "fine_tune_epochs": 5}}),
        ),
        made("ensemble", ENSEMBLE, "fit", json!({"kind": "ensemble", "n_trees": 150, "max_leaves": 8})),
        made("its student", STUDENT, "distill", json!({"teacher": ENSEMBLE, "student": {"selection": cv}, "mix": 0.5})),
    ]
}

/// The models that are compared, with what they are called.
fn compared() -> Vec<(&'static str, &'static str)> {
    let mut all = vec![("lasso", LASSO), ("ridge (dense)", RIDGE)];
    all.extend(jobs().iter().map(|made| (made.title, made.model)));
    all
}

pub(super) async fn act<W: Write>(screen: &mut Screen<W>, talk: &Talk, unseen: &[Speech], page: &Path) -> Result<(), Failure> {
    screen.heading("Every kind of model, on the same question")?;
    screen.say(
        "An elastic net; a tree, grown and cut back; a network, and what is left of it when 98 % of its weights are gone; boosted trees, \
         and a lasso that they teach.",
    )?;
    screen.line("")?;
    for Made { title, model, kind, spec } in jobs() {
        let job = talk.submit(&json!({"type": kind, "model": model, "dataset": {"name": DATASET}, "spec": spec})).await?;
        let ended = talk.watch(&job, screen).await?;
        screen.entry(kind, &format!("{title}: {} in {:.2} s", text(&ended, "status")?, number(&ended, "duration_ms")? / 1000.0))?;
    }
    fidelity(screen, talk).await?;
    talk.upload(&format!("{HELD_OUT}&target_kind=regression"), data::held_out_by_year(unseen)?).await?;
    let models: Vec<&str> = compared().iter().map(|(_, model)| *model).collect();
    let job = talk.submit(&json!({"type": "compare", "dataset": {"name": HELD_OUT}, "spec": {"models": models}})).await?;
    let ended = talk.watch(&job, screen).await?;
    let href = text(&ended, "/result/href")?.to_owned();
    comparison(screen, &talk.get(&href).await?, unseen.len())?;
    std::fs::write(page, talk.page(&href).await?).map_err(|error| format!("{}: {error}", page.display()))?;
    screen.line("")?;
    Ok(screen.entry("report", &format!("{}: this table, its picture and where the models differ, as a page", page.display()))?)
}

/// What the lasso learnt of its teacher that it would not have learnt alone.
async fn fidelity<W: Write>(screen: &mut Screen<W>, talk: &Talk) -> Result<(), Failure> {
    let found = talk.get(&format!("/api/v1/models/{STUDENT}/versions/1/fidelity")).await?;
    let score = |who: &str| number(&found, &format!("/{who}/score"));
    let told = format!(
        "on {} addresses that neither learnt from the student has an R² of {:.3}, the same lasso without a teacher {:.3}, the teacher {:.3}",
        whole(&found, "rows")?,
        score("student")?,
        score("control")?,
        score("teacher")?,
    );
    Ok(screen.entry("fidelity", &told)?)
}

/// Kinds × quality, size, bytes, latency, and the server's advice.
fn comparison<W: Write>(screen: &mut Screen<W>, found: &Value, rows: usize) -> Result<(), Failure> {
    let paint = screen.paint();
    screen.heading(&format!("Side by side, on the {rows} addresses held out"))?;
    screen.line(&paint.bold(&format!("{:<16}{:>8}{:>18}{:>10}{:>12}{:>11}", "", "R²", "95 %", "size", "parameters", "answer")))?;
    let mut titles = compared();
    for row in list(found, "data")? {
        let reference = text(row, "ref")?;
        let title = titles.iter().find(|(_, model)| reference.split(':').next() == Some(model)).map_or(reference, |(title, _)| title);
        screen.line(&format!(
            "{title:<16}{:>8.3}{:>18}{:>10}{:>12}{:>11}",
            number(row, "score")?,
            format!("{:.3} … {:.3}", number(row, "score_low")?, number(row, "score_high")?),
            count(whole(row, "size")?),
            bytes(whole(row, "bytes_parameters")?),
            format!("{:.1} µs", number(row, "latency_us_p50")?),
        ))?;
    }
    screen.line(&paint.dim("size: coefficients, weights (not zero) or leaves; answer: one row, the median"))?;
    if let Some(sentence) = found.pointer("/recommendation/sentence").and_then(Value::as_str) {
        // the longest names first: one may begin like another
        titles.sort_by_key(|(_, model)| std::cmp::Reverse(model.len()));
        let told = titles.iter().fold(sentence.to_owned(), |told, (title, model)| told.replace(&format!("{model}:1"), title));
        screen.line("")?;
        screen.say(&told)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::draw::WIDTH;

    #[test]
    fn what_teaches_or_is_pruned_is_made_before() {
        let jobs = jobs();
        let place = |model: &str| jobs.iter().position(|made| made.model == model);
        for (at, made) in jobs.iter().enumerate() {
            for key in ["base", "teacher"] {
                let Some(needed) = made.spec[key].as_str() else { continue };
                assert!(place(needed).is_some_and(|before| before < at), "{} needs {needed}", made.model);
            }
        }
        assert_eq!(jobs.iter().filter(|made| made.kind != "fit").count(), 2);
    }

    #[test]
    fn the_table_has_a_line_a_model_and_the_advice_speaks_of_titles() {
        let row = |model: &str| {
            json!({"ref": format!("{model}:1"), "score": 0.9123, "score_low": -0.8, "score_high": 0.95, "size": 330_000,
                "bytes_parameters": 2_640_000, "latency_us_p50": 104.3})
        };
        let rows: Vec<Value> = compared().iter().map(|(_, model)| row(model)).collect();
        let sentence = format!("Take {LASSO}:1: it is smaller than {PRUNED}:1.");
        let mut out = Vec::new();
        let screen = &mut Screen::new(&mut out, false, false);
        comparison(screen, &json!({"data": rows, "recommendation": {"sentence": sentence}}), 47).expect("drawn");
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(compared().iter().all(|(title, _)| text.lines().any(|line| line.trim().starts_with(title))), "{text}");
        assert!(text.contains("Take lasso: it is smaller than network, pruned."), "{text}");
    }
}
