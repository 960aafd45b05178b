//! What a student learns: of numbers a mixture of what is true and what the teacher says, of classes each row once for every class that it
//! counts as, with a weight that says how much.

use super::super::TrainError;
use super::super::compare::{Known, Said};
use super::super::evaluate::Pace;
use super::super::unfit;
use super::TeacherModel;
use super::made::{gathered, spread};
use super::mixed::mixed;
use crate::dataset::Dataset;
use crate::job::Warning;
use crate::matrix::{Number, ValuesView};
use crate::spec::{Loss, ResolvedDistill, SHARES_MAX, Work};

/// A share below this is dropped.
const SHARE_MIN: f64 = 1e-4;

/// Who says what is learnt.
pub(super) enum Says<'t> {
    /// A model, asked about every row.
    Model(&'t TeacherModel),
    /// A column, of every row that is learnt from.
    Column(Vec<f64>),
}

/// What is learnt.
pub(super) struct Lesson {
    /// The rows of the student. Those that were made of one are of one group.
    pub(super) taught: Dataset,
    /// What to beware of in what the teacher knows of these rows.
    pub(super) warnings: Vec<Warning>,
}

/// What a column says of every row of a data set: numbers, or of two classes probabilities.
///
/// # Errors
/// One of them is no probability.
pub(super) fn said_by(dataset: &Dataset, feature: u32, pace: &Pace<'_>) -> Result<Vec<f64>, TrainError> {
    let (x, mut said) = (dataset.x.view(), vec![0.0; dataset.y.len()]);
    pace.work(said.len())?;
    if let Some(at) = x.position(feature) {
        match x.values {
            ValuesView::Single(values) => write(x.column(at, values).rows, x.column(at, values).values, &mut said),
            ValuesView::Double(values) => write(x.column(at, values).rows, x.column(at, values).values, &mut said),
        }
    }
    let wrong = said.iter().position(|share| !(0.0..=1.0).contains(share)).filter(|_| dataset.meta.target.classes.is_some());
    match wrong {
        None => Ok(said),
        Some(row) => {
            let detail = format!("The teacher's column holds {} in row {row}: a probability is from 0 to 1.", said[row]);
            Err(unfit("teacher_out_of_range", detail))
        }
    }
}

fn write<V: Number>(rows: &[u32], values: &[V], said: &mut [f64]) {
    rows.iter().zip(values).for_each(|(row, value)| said[*row as usize] = (*value).into());
}

/// Makes the rows of the student of those that are `learnt` from; `rows` are their numbers in the data set of the job.
pub(super) fn lesson(
    learnt: &Dataset,
    rows: &[u32],
    says: Says<'_>,
    spec: &ResolvedDistill,
    pace: &Pace<'_>,
) -> Result<Lesson, TrainError> {
    let all = if spec.augment > 0 { mixed(learnt, spec.augment, spec.seed, pace)? } else { learnt.clone() };
    let (teacher, warnings) = match says {
        Says::Column(said) => (Teacher::Column(said), Vec::new()),
        Says::Model(teacher) => {
            let known = Known::of_teacher(learnt, &teacher.model);
            let (said, matched) = Said::of(&all, &teacher.model, teacher.names.as_deref(), &known, pace)?;
            (Teacher::Model(said, known), matched.warnings())
        }
    };
    let of_unit = 1 + spec.augment as usize;
    let taught = match learnt.meta.target.classes.as_ref().map(Vec::len) {
        None => {
            let counts = matches!(&*spec.student, Work::Fit(fit) if fit.loss == Loss::Poisson);
            let mut y = Vec::with_capacity(all.y.len());
            for (unit, own) in all.y.iter().enumerate() {
                pace.work(4)?;
                let mixed = if unit.is_multiple_of(of_unit) {
                    spec.mix * own + (1.0 - spec.mix) * teacher.number(unit)
                } else {
                    teacher.number(unit)
                };
                if counts && mixed < 0.0 {
                    let row = rows[unit / of_unit];
                    let detail = format!(
                        "What the teacher says of row {row} makes {mixed} of its count, and a poisson student learns none below 0."
                    );
                    return Err(unfit("teacher_out_of_range", detail));
                }
                y.push(mixed);
            }
            let origins = (of_unit > 1).then(|| (0..y.len()).map(|unit| (unit / of_unit) as u32).collect());
            let own = |all: Option<&[f64]>| all.map(<[f64]>::to_vec);
            gathered(learnt, all.x.clone(), y, own(all.weights.as_deref()), own(all.offset.as_deref()), origins)
        }
        Some(n_classes) => of_classes(learnt, &all, &teacher, n_classes, spec, pace)?,
    };
    Ok(Lesson { taught, warnings })
}

/// What the teacher says of every row, those that were made too.
enum Teacher {
    Model(Said, Known),
    Column(Vec<f64>),
}

impl Teacher {
    fn number(&self, row: usize) -> f64 {
        match self {
            Self::Model(said, _) => said.number(row),
            Self::Column(said) => said[row],
        }
    }

    /// Room for what it says of a row.
    fn room(&self) -> Vec<f64> {
        vec![0.0; if let Self::Model(_, known) = self { known.n_classes() } else { 2 }]
    }

    /// The probabilities of the classes of the target, first of all that it knows.
    fn spread(&self, row: usize, over: &mut [f64]) {
        match self {
            Self::Model(said, _) => said.spread(row, over),
            Self::Column(said) => over.copy_from_slice(&[1.0 - said[row], said[row]]),
        }
    }
}

fn of_classes(
    learnt: &Dataset,
    all: &Dataset,
    teacher: &Teacher,
    n_classes: usize,
    spec: &ResolvedDistill,
    pace: &Pace<'_>,
) -> Result<Dataset, TrainError> {
    let of_unit = 1 + spec.augment as usize;
    let (mut told, mut shares) = (teacher.room(), Vec::new());
    let mut starts = Vec::with_capacity(all.y.len() + 1);
    let (mut y, mut weights, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    let mut offset = all.offset.as_ref().map(|_| Vec::new());
    for (unit, own) in all.y.iter().enumerate() {
        pace.work(8 + 16 * told.len())?;
        teacher.spread(unit, &mut told);
        let truth = unit.is_multiple_of(of_unit).then_some((*own as usize, spec.mix));
        counts_as(&told[..n_classes], truth, spec.temperature, &mut shares);
        starts.push(y.len() as u32);
        for (class, share) in &shares {
            y.push(*class as f64);
            weights.push(share * all.weights.as_ref().map_or(1.0, |weights| weights[unit]));
            origins.push((unit / of_unit) as u32);
            if let (Some(offset), Some(given)) = (&mut offset, &all.offset) {
                offset.push(given[unit]);
            }
        }
    }
    starts.push(y.len() as u32);
    let x = spread(all.x.view(), &starts, None, pace)?;
    Ok(gathered(learnt, x, y, Some(weights), offset, Some(origins)))
}

/// The classes that a row counts as, and how much, the true one first: share_k = mix·1[k = y] + (1 − mix)·p_k with p_k ∝ told_k^(1/temperature).
/// Without a `truth` (the class and the mix) it is p alone. Kept are at most [`SHARES_MAX`], and none that is next to nothing.
pub(super) fn counts_as(told: &[f64], truth: Option<(usize, f64)>, temperature: f64, shares: &mut Vec<(usize, f64)>) {
    shares.clear();
    let (own, mix) = truth.unwrap_or((usize::MAX, 0.0));
    let warm = |share: f64| if temperature == 1.0 { share } else { share.powf(1.0 / temperature) };
    let sum: f64 = told.iter().map(|share| warm(*share)).sum();
    for (class, share) in told.iter().enumerate() {
        // of one that says nothing of these classes nothing is learnt
        let taught =
            if sum > 0.0 { warm(*share) / sum } else { truth.map_or(1.0 / told.len() as f64, |_| f64::from(u8::from(class == own))) };
        let share = (1.0 - mix) * taught + if class == own { mix } else { 0.0 };
        if share >= SHARE_MIN {
            shares.push((class, share));
        }
    }
    let first = |class: usize| class == own;
    shares.sort_by(|a, b| first(b.0).cmp(&first(a.0)).then(b.1.total_cmp(&a.1)).then(a.0.cmp(&b.0)));
    shares.truncate(SHARES_MAX);
    let kept: f64 = shares.iter().map(|(_, share)| share).sum();
    shares.iter_mut().for_each(|(_, share)| *share /= kept);
}
