//! The second act: who said this, a Democrat or a Republican? The same words, a logistic loss, and a harder question.

use std::io::Write;

use serde_json::{Value, json};

use super::Failure;
use super::data::{self, PARTIES, PARTIES_SINCE, Speech, Speeches};
use super::draw::count;
use super::report;
use super::screen::Screen;
use super::talk::{Talk, text, whole};

const DATASET: &str = "addresses-by-party";
const MODEL: &str = "party";

pub(super) async fn act<W: Write>(screen: &mut Screen<W>, talk: &Talk, speeches: &Speeches) -> Result<(), Failure> {
    screen.heading("A second question: a Democrat or a Republican?")?;
    let dataset = talk.upload(DATASET, data::train_by_party(&speeches.train)?).await?;
    let classes = dataset.pointer("/target/classes").map(Value::to_string).unwrap_or_default();
    screen.entry(
        "matrix",
        &format!("{} addresses since {PARTIES_SINCE}, the same words; target classes {classes}", whole(&dataset, "/shape/0")?),
    )?;
    let job = talk.submit(&job()).await?;
    let ended = talk.watch(&job, screen).await?;
    screen.entry("logistic", &super::year::job_line(&ended)?)?;
    let place = format!("/api/v1/models/{MODEL}/versions/1");
    let model = talk.get(&place).await?;
    let (nonzeros, features) = (whole(&model, "/sparsity/nonzeros")?, whole(&model, "/sparsity/n_features")?);
    screen.entry("model", &format!("{} of {} features; {}", count(nonzeros), count(features), text(&model, "/certificate/status")?))?;
    let predictions = talk.predict(MODEL, "output=label,probability", data::held_out()).await?;
    let Tally { right, larger, all } = tally(&predictions, &speeches.held_out)?;
    screen.entry("held out", &format!("{right} of {all} right; naming the larger party each time gets {larger}. Harder than the year."))?;
    let strongest = talk.get(&format!("{place}/coefficients")).await?;
    report::strongest(screen, &strongest, 6, PARTIES[1], PARTIES[0])
}

fn job() -> Value {
    json!({"type": "fit", "model": MODEL, "dataset": {"name": DATASET}, "spec": {"selection": {"method": "cv"}}})
}

/// Right answers, those of always naming the larger party, and addresses.
#[derive(Debug, PartialEq)]
struct Tally {
    right: usize,
    larger: usize,
    all: usize,
}

fn tally(predictions: &[Value], speeches: &[Speech]) -> Result<Tally, Failure> {
    if predictions.len() != speeches.len() {
        return Err(format!("{} predictions for {} addresses", predictions.len(), speeches.len()).into());
    }
    let of_a_party = || predictions.iter().zip(speeches).filter(|(_, speech)| data::of_a_party(speech));
    let right = of_a_party().filter(|(prediction, speech)| prediction["label"] == speech.party.as_str()).count();
    let of = |party: &str| of_a_party().filter(|(_, speech)| speech.party == party).count();
    let parties = PARTIES.map(of);
    Ok(Tally { right, larger: parties[0].max(parties[1]), all: parties[0] + parties[1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_two_parties_are_counted() {
        let speech = |year, party: &str| Speech { year, name: String::new(), party: party.to_owned() };
        let speeches = [
            speech(1840, "Democratic"),
            speech(1900, "Republican"),
            speech(1902, "Republican"),
            speech(1936, "Democratic"),
            speech(1866, "National Union"),
        ];
        let labels = ["Democratic", "Republican", "Democratic", "Democratic", "Republican"];
        let predictions = labels.map(|label| json!({"label": label, "probability": 0.5}));
        assert_eq!(tally(&predictions, &speeches).expect("counted"), Tally { right: 2, larger: 2, all: 3 });
        assert!(tally(&predictions[1..], &speeches).is_err());
    }
}
