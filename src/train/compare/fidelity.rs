//! How well a student does what its teacher does: both, and the student's control, side by side on rows that it did not learn from.

use std::sync::Arc;

use super::super::TrainError;
use super::super::evaluate::Pace;
use super::super::latency::{self, Clock};
use super::quality::Quality;
use super::said::{Known, Said};
use super::{Field, Row, disagreement};
use crate::dataset::{Dataset, Names};
use crate::model::{Agreement, Difference, Fidelity, FidelityOf, Model, Predictor};
use crate::spec::ResolvedDistill;

/// Places of the three among what is said.
const STUDENT: usize = 0;
const CONTROL: usize = 1;
const TEACHER: usize = 2;

/// A model that is judged.
pub(in crate::train) struct Judged {
    pub(in crate::train) reference: Option<String>,
    pub(in crate::train) model: Arc<Model>,
    pub(in crate::train) names: Option<Arc<Names>>,
    pub(in crate::train) stored_bytes: u64,
}

/// Who taught.
pub(in crate::train) enum Told {
    /// A model.
    Model(Judged),
    /// What a column said of the rows.
    Column(Vec<f64>),
}

/// Measures student, control and teacher on the rows kept apart.
///
/// # Errors
/// Told to stop, all weights are 0, or a prediction is no finite number.
pub(in crate::train) fn fidelity(
    held_out: &Dataset,
    [student, control]: [Judged; 2],
    teacher: Told,
    spec: &ResolvedDistill,
    clock: &Clock<'_>,
    pace: &Pace<'_>,
) -> Result<Fidelity, TrainError> {
    let row = |of: usize, one: &Judged| Row {
        of,
        twin: false,
        model: Arc::clone(&one.model),
        names: one.names.clone(),
        on_training_rows: false,
        stored_bytes: one.stored_bytes,
        fit_ms: None,
    };
    let mut rows = vec![row(STUDENT, &student), row(CONTROL, &control)];
    if let Told::Model(model) = &teacher {
        rows.push(row(TEACHER, model));
    }
    let known = Known::of(spec.score, held_out, &rows)?;
    let mut said = Vec::with_capacity(3);
    for one in &rows {
        said.push(Said::of(held_out, &one.model, one.names.as_deref(), &known, pace)?.0);
    }
    if let Told::Column(column) = &teacher {
        said.push(Said::of_column(column, held_out.meta.target.classes.as_deref(), &known));
    }
    let field = Field { dataset: held_out, rows: &rows, said: &said, score: spec.score, pace };
    let quality = Quality::measure(&field, spec.bootstrap, spec.seed)?;
    pace.at(5);
    let ready = rows.iter().map(|row| Predictor::new(Arc::clone(&row.model), row.names.clone()));
    let times = latency::one_by_one(held_out, ready, clock, pace)?;
    let references = [student.reference, control.reference, if let Told::Model(model) = teacher { model.reference } else { None }];
    let of = |at: usize| {
        let [low, high] = quality.interval(at).map_or([None; 2], |ends| ends.map(Some));
        let mut told = FidelityOf {
            reference: references[at].clone(),
            kind: "column".into(),
            score: quality.whole[at],
            score_low: low,
            score_high: high,
            ..FidelityOf::default()
        };
        if let (Some(row), Some([p50, p99])) = (rows.get(at), times.get(at)) {
            told.kind = row.model.card().kind().into();
            (told.bytes, told.bytes_parameters) = (Some(row.stored_bytes), Some(row.model.parameter_bytes()));
            (told.size, told.features_used) = (Some(row.model.card().size()), Some(row.model.features_used().len() as u64));
            (told.latency_us, told.latency_us_p99) = (*p50, *p99);
        }
        told
    };
    let less = |other: usize| {
        let (difference, ends) = quality.difference(STUDENT, other);
        let [low, high] = ends.map_or([None; 2], |ends| ends.map(Some));
        Difference { difference, low, high }
    };
    Ok(Fidelity {
        score_name: spec.score.as_str().into(),
        rows: held_out.y.len() as u64,
        bootstrap: spec.bootstrap,
        seed: spec.seed,
        agreement: agreement(&field, STUDENT, &known)?,
        control_agreement: agreement(&field, CONTROL, &known)?,
        teacher: of(TEACHER),
        student: of(STUDENT),
        control: of(CONTROL),
        gain: less(CONTROL),
        to_teacher: less(TEACHER),
    })
}

/// How far a model says what the teacher says.
fn agreement(field: &Field<'_>, of: usize, known: &Known) -> Result<Agreement, TrainError> {
    let apart = disagreement::of_pair(field, [of, TEACHER], known)?;
    let [one, teacher] = [of, TEACHER].map(|at| &field.said[at]);
    let mut told =
        Agreement { labels: apart.labels_differ.map(|share| 1.0 - share), mean_difference: apart.mean_difference, ..Agreement::default() };
    let weight = |row: usize| field.dataset.weights.as_ref().map_or(1.0, |weights| weights[row]);
    let rows = || (0..field.dataset.y.len()).filter(|row| weight(*row) > 0.0);
    let total: f64 = rows().map(weight).sum();
    if one.is_number() {
        let mean = |said: &Said| rows().map(|row| weight(row) * said.number(row)).sum::<f64>() / total;
        let means = [mean(one), mean(teacher)];
        let mut moments = [0.0; 3];
        for row in rows() {
            field.pace.work(8)?;
            let [a, b] = [one.number(row) - means[0], teacher.number(row) - means[1]];
            moments.iter_mut().zip([a * b, a * a, b * b]).for_each(|(sum, part)| *sum += weight(row) * part);
        }
        let [both, first, second] = moments;
        told.correlation =
            Some(both / (first.sqrt() * second.sqrt())).filter(|found| found.is_finite()).map(|found| found.clamp(-1.0, 1.0));
    } else if one.has_probabilities() && teacher.has_probabilities() {
        let [mut p, mut q] = [vec![0.0; known.n_classes()], vec![0.0; known.n_classes()]];
        let mut sum = 0.0;
        for row in rows() {
            field.pace.work(8 + 16 * known.n_classes())?;
            teacher.spread(row, &mut p);
            one.spread(row, &mut q);
            // as a leaf is never quite sure, no model is
            let part = |(p, q): (&f64, &f64)| if *p > 0.0 { p * (p / q.max(f64::EPSILON)).ln() } else { 0.0 };
            sum += weight(row) * p.iter().zip(&q).map(part).sum::<f64>();
        }
        told.kl_divergence = Some(sum / total).filter(|found| found.is_finite());
    }
    Ok(told)
}
