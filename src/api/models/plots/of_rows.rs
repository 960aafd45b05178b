//! Pictures of a model and rows: does a probability mean what it says, what is left unexplained.
//!
//! They show what is in a data set, so their routes ask for a key that may read both. Evenly spaced rows are looked at, on a thread
//! that may block, a few pictures at a time; of the data set only the columns of features that matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::cache::Served;
use super::super::promotions::Wanted;
use super::class_text;
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::request::bad_parameter;
use crate::dataset::{self, Class, Dataset, Sample};
use crate::fault::Code;
use crate::model::Mean;
use crate::plot::{Calibration, Heading, Look, Residuals};
use crate::spec::{ModelRef, Pick};
use crate::store::DatasetRow;

/// Rows of a picture, at most.
const ROWS_MAX: usize = 20_000;

/// A picture of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Rows {
    Calibration,
    Residuals,
}

impl Rows {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Calibration => "calibration",
            Self::Residuals => "residuals",
        }
    }

    /// Whether the model can be shown so; else who could.
    fn check(self, mean: Option<Mean>) -> Result<Mean, Problem> {
        match (self, mean) {
            (Self::Calibration, Some(Mean::Probability)) => Ok(Mean::Probability),
            (Self::Residuals, Some(mean @ (Mean::Number | Mean::Count))) => Ok(mean),
            (Self::Calibration, _) => {
                Err(Problem::new(Code::NoPlot, "calibration is shown of models that give a probability for one of two classes"))
            }
            (Self::Residuals, _) => Err(Problem::new(Code::NoPlot, "residuals are shown of models that predict a number or a count")),
        }
    }
}

/// The picture, of the rows of the data set `asked` for, else of those that the model was fitted on; and the id of that data set.
pub(in crate::api) async fn of_rows(
    api: &Api,
    served: &Arc<Served>,
    which: Rows,
    asked: Option<&str>,
    look: Look,
) -> Result<(String, String), Problem> {
    let mean = which.check(served.predictor.mean())?;
    let row = found(api, served, asked).await?;
    let dataset = api.store.open_dataset(&row).await?;
    let wanted = Arc::new(AtomicBool::new(true));
    let (served, go_on) = (Arc::clone(served), Arc::clone(&wanted));
    let _until_here = Wanted(wanted);
    let permit = Arc::clone(&api.drawing).acquire_owned().await.map_err(|error| Problem::internal(error.to_string()))?;
    let id = row.id.to_string();
    let drawing = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        Shown { served: &served, row: &row, dataset: &dataset }.draw(mean, look, &|| go_on.load(Ordering::Relaxed))
    });
    let svg = drawing.await.map_err(|error| Problem::internal(format!("plot: {error}")))??;
    Ok((svg, id))
}

async fn found(api: &Api, served: &Served, asked: Option<&str>) -> Result<DatasetRow, Problem> {
    let project = &served.row.project;
    let Some(asked) = asked else {
        let of = &served.row.dataset;
        let gone = || {
            Problem::new(Code::NotFound, "the data set version the model was fitted on has been deleted; name other rows with `?dataset=`")
        };
        return api.store.dataset(project, &of.name, Some(of.version)).await?.ok_or_else(gone);
    };
    let wrong = || bad_parameter("dataset", "unknown_value", "must be a data set, `name` or `name:version`");
    let reference = ModelRef::parse(asked).filter(|reference| !matches!(reference.pick, Pick::Alias(_))).ok_or_else(wrong)?;
    let absent = || Problem::new(Code::NotFound, "there is no such data set version as `dataset` names");
    api.store.dataset(project, &reference.name, reference.version()).await?.ok_or_else(absent)
}

/// A model and the rows it is shown with.
struct Shown<'a> {
    served: &'a Served,
    row: &'a DatasetRow,
    dataset: &'a Dataset,
}

impl Shown<'_> {
    fn draw(&self, mean: Mean, look: Look, go_on: &(dyn Fn() -> bool + Sync)) -> Result<String, Problem> {
        let predictor = &self.served.predictor;
        let features = self.features()?;
        let gone = || Problem::internal("a picture that nobody waits for".to_owned());
        let sample = dataset::sample(self.dataset, &features, ROWS_MAX, go_on).ok_or_else(gone)?;
        let offset = |row: usize| self.dataset.offset.as_ref().map_or(0.0, |offset| offset[row]);
        let rows = sample.rows.iter().zip(&sample.entries).map(|(row, entries)| (&entries[..], offset(*row)));
        let means = predictor.means(rows)?;
        let note = self.note(&sample);
        let noun = self.served.row.card.noun();
        let title = |what: &str| format!("{}:{} · {what} of {noun}", self.served.row.name, self.served.row.version);
        if mean == Mean::Probability {
            let (class, outcomes) = self.outcomes(&sample)?;
            let weight = |row: usize| self.dataset.weights.as_ref().map_or(1.0, |weights| weights[row]);
            let rows: Vec<(f64, bool, f64)> =
                means.iter().zip(&outcomes).zip(&sample.rows).map(|((mean, outcome), row)| (*mean, *outcome, weight(*row))).collect();
            return Ok(Calibration::of(Heading { title: title("calibration"), note }, &class, &rows).draw(look));
        }
        let y = self.numbers(&sample)?;
        let count = mean == Mean::Count;
        let residual = |(mean, y): (&f64, &f64)| (*mean, if count { (y - mean) / mean.sqrt() } else { y - mean });
        let picture = Residuals {
            heading: Heading { title: title("residuals"), note },
            fitted: format!("predicted {}", self.dataset.meta.target.name),
            residual: if count { "Pearson residual, (y − μ)/√μ" } else { "residual, y − prediction" }.to_owned(),
            rows: means.iter().zip(&y).map(residual).collect(),
        };
        Ok(picture.draw(look))
    }

    /// Each feature that matters to the model as the data set counts it: by name where both have names.
    fn features(&self) -> Result<Vec<Option<u32>>, Problem> {
        let features = self.served.predictor.features();
        match (self.served.names.as_deref(), self.dataset.names.as_deref()) {
            (None, None) => Ok(features.into_iter().map(Some).collect()),
            (Some(ours), Some(theirs)) if std::ptr::eq(ours, theirs) => Ok(features.into_iter().map(Some).collect()),
            (Some(ours), Some(theirs)) => Ok(features.into_iter().map(|one| theirs.find(ours.get(one)?)).collect()),
            _ => Err(bad_parameter("dataset", "conflict", "features with names and features without cannot be matched")),
        }
    }

    /// Which rows, how many of them, and whether the model has seen them.
    fn note(&self, sample: &Sample) -> String {
        let (of, all) = (&self.served.row.dataset, self.dataset.y.len());
        let same = (of.name == self.row.name && of.version == self.row.version) || of.sha256 == self.dataset.meta.sha256;
        let seen = if same { "rows it was fitted on" } else { "rows of another data set" };
        let shown =
            if sample.rows.len() < all { format!("{} of {all} rows, evenly spaced", sample.rows.len()) } else { format!("all {all} rows") };
        format!("{}:{}, {seen}; {shown}", self.row.name, self.row.version)
    }

    fn class(&self, row: usize) -> Class {
        let y = self.dataset.y[row];
        self.dataset.meta.target.classes.as_ref().and_then(|classes| classes.get(y as usize)).cloned().unwrap_or(Class::Number(y))
    }

    /// The class whose probability the model gives, and whether each row is of it.
    fn outcomes(&self, sample: &Sample) -> Result<(String, Vec<bool>), Problem> {
        let card = &self.served.row.card;
        let known = card.classes().unwrap_or_default();
        let unknown = |class: &Class| {
            bad_parameter("dataset", "conflict", format!("the model does not know the class {} of the target", class_text(class)))
        };
        let outcome = |row: &usize| {
            let class = self.class(*row);
            match known.iter().rposition(|one| one.as_ref() == Some(&class)) {
                Some(at) => Ok(at + 1 == known.len()),
                // one class against the rest
                None if known.contains(&None) => Ok(false),
                None => Err(unknown(&class)),
            }
        };
        let class = known.last().and_then(Option::as_ref).map_or_else(|| "the second class".to_owned(), class_text);
        Ok((class, sample.rows.iter().map(outcome).collect::<Result<_, _>>()?))
    }

    fn numbers(&self, sample: &Sample) -> Result<Vec<f64>, Problem> {
        let number = |row: &usize| match self.class(*row) {
            Class::Number(number) => Ok(number),
            Class::Text(_) => Err(bad_parameter("dataset", "conflict", "the target holds text; residuals are differences of numbers")),
        };
        sample.rows.iter().map(number).collect()
    }
}
