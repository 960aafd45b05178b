//! The specification of a distillation: who teaches, what the student is, and how much of what it learns is the teacher's. Knows of a
//! teacher only what its row says.
//!
//! The student is a fit like any other: parsed and resolved as one, with its pointers below `#/spec/student`. What it learns from is made
//! within the job, so that nothing may speak of single rows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compare::{RESAMPLES, score_of, usual_resamples};
use super::evaluate::{check_names, check_target};
use super::fields::{Fields, Problems, WHOLE_MAX, moved, show};
use super::limits::parse_limits;
use super::work::{parse_work, student};
use super::{Asked, KnownModel, Loss, ModelRef, OnLimit, RunLimits, ScoreName, SpecLimits, Work, feature_index};
use crate::dataset::{Class, Meta, Names};
use crate::fault::{Code, Fault, Place};
use crate::job::{JobKind, Warning};

const TEACHER: &str = "#/spec/teacher";
const COLUMN: &str = "#/spec/teacher/column";
const STUDENT: &str = "#/spec/student";
const MIX: f64 = 0.5;
const HELD_OUT: f64 = 0.2;
const TEMPERATURE_MAX: f64 = 100.0;
const AUGMENT_MAX: u64 = 10;
/// Rows that leave something to learn from and something held out.
const ROWS_MIN: u64 = 4;
/// Classes that a row counts as at most, the true one among them.
pub const SHARES_MAX: usize = 5;

/// A distillation as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct DistillSpec {
    /// Who teaches.
    pub teacher: AskedTeacher,
    /// The fit of the student.
    pub student: Box<Asked>,
    temperature: f64,
    mix: f64,
    augment: u64,
    held_out: f64,
    bootstrap: Option<u64>,
    seed: u64,
    pub(super) limits: RunLimits,
}

/// Who teaches, as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum AskedTeacher {
    /// A stored model.
    Model(ModelRef),
    /// A feature that holds what somebody else's model says.
    Column(String),
}

/// Who teaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Teacher {
    /// A model version: `name:n`.
    Model(String),
    /// A feature of the data set, by name or index: predictions of numbers, or probabilities of the positive class.
    Column {
        /// Which one.
        column: String,
    },
}

/// A distillation with nothing left open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ResolvedDistill {
    pub teacher: Teacher,
    /// The fit of the student, whose limits are those of the job.
    #[serde(with = "student")]
    pub student: Box<Work>,
    /// The teacher's probabilities are taken to the power of 1/temperature.
    pub temperature: f64,
    /// Share of the true labels in what the student learns.
    pub mix: f64,
    /// Rows made of every row it learns from.
    pub augment: u64,
    /// Share of the rows that are kept apart.
    pub held_out: f64,
    /// By which number teacher, student and control are compared.
    pub score: ScoreName,
    /// Resamples of the rows kept apart.
    pub bootstrap: u64,
    /// What rows are kept apart, made and drawn by.
    pub seed: u64,
    #[serde(default)]
    pub limits: RunLimits,
}

/// Parses `spec` of a distillation.
pub(super) fn parse_distill(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<DistillSpec> {
    let mut spec = Fields::open(value, "#/spec", problems)?;
    let teacher = spec.need("teacher", problems).and_then(|value| parse_teacher(value, problems));
    let student = spec.need("student", problems).and_then(|value| parse_student(value, limits, problems));
    let warm = |temperature: f64| temperature > 0.0 && temperature <= TEMPERATURE_MAX;
    let temperature = spec.number("temperature", "greater than 0 and at most 100", warm, problems);
    let mix = spec.number("mix", "at least 0 and below 1", |mix| (0.0..1.0).contains(&mix), problems);
    let augment = spec.whole("augment", 0, AUGMENT_MAX, problems);
    let held_out = spec.number("held_out", "greater than 0 and at most 0.5", |share| share > 0.0 && share <= 0.5, problems);
    spec.word("score", &["r2", "deviance_ratio", "auc", "accuracy"], problems);
    let bootstrap = spec.whole("bootstrap", RESAMPLES[0], RESAMPLES[1], problems);
    let seed = spec.whole("seed", 0, WHOLE_MAX, problems);
    let run =
        spec.take("limits").map_or_else(|| Some(RunLimits::default()), |value| parse_limits(value, "#/spec/limits", limits, problems));
    spec.close(problems);
    let augment = augment.unwrap_or(0);
    if augment > 0 && matches!(teacher, Some(AskedTeacher::Column(_))) {
        problems.add("#/spec/augment", "conflict", "a column has nothing to say of rows that are made: only a model labels them");
    }
    Some(DistillSpec {
        teacher: teacher?,
        student: Box::new(student?),
        temperature: temperature.unwrap_or(1.0),
        mix: mix.unwrap_or(MIX),
        augment,
        held_out: held_out.unwrap_or(HELD_OUT),
        bootstrap,
        seed: seed.unwrap_or(0),
        limits: run?,
    })
}

fn parse_teacher(value: &Value, problems: &mut Problems) -> Option<AskedTeacher> {
    match value {
        Value::String(text) => {
            let model = ModelRef::parse(text);
            if model.is_none() {
                problems.add(TEACHER, "invalid_field", "must be a model reference: `name`, `name:3` or `name@alias`");
            }
            model.map(AskedTeacher::Model)
        }
        Value::Object(_) => {
            let mut teacher = Fields::open(value, TEACHER, problems)?;
            let column = teacher.need("column", problems).and(teacher.text("column", problems));
            teacher.close(problems);
            column.map(|column| AskedTeacher::Column(column.to_owned()))
        }
        other => {
            let detail = format!("must be a model reference or an object with a `column`, got {}", show(other));
            problems.add(TEACHER, "invalid_field", detail);
            None
        }
    }
}

/// The fit of the student, by the parser of its kind.
fn parse_student(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<Asked> {
    let mut inner = Problems::default();
    let student = parse_work(JobKind::Fit, value, limits, &mut inner);
    problems.take_over(inner, STUDENT);
    let mut refuse = |key: &str, detail: &str| problems.add(&format!("{STUDENT}/{key}"), "conflict", detail);
    let given = |key: &str| value.get(key).is_some_and(|value| !value.is_null());
    if given("limits") {
        refuse("limits", "the limits are those of the job, and stand beside its specification");
    }
    if given("warm_start") {
        refuse("warm_start", "a student begins where a fit always does");
    }
    if value.get("compare_ridge") == Some(&Value::Bool(true)) {
        refuse("compare_ridge", "a student is compared with its teacher, and with itself without one");
    }
    let selection = value.get("selection");
    let method = selection.and_then(|selection| selection.get("method")).and_then(Value::as_str);
    if matches!(method, Some("aic" | "bic" | "ebic")) {
        refuse("selection/method", "a criterion counts rows, of which several stand for one here; use cv or holdout");
    }
    for key in ["groups", "fold_of_row"] {
        if selection.is_some_and(|selection| selection.get(key).is_some()) {
            refuse(&format!("selection/{key}"), "the rows a student learns from are made within the job: nothing can be said of each");
        }
    }
    student
}

impl DistillSpec {
    /// Compares teacher and student with the data set and with each other. `teacher` is the model, where one teaches, and the SHA-256
    /// of the data set it was fitted on.
    ///
    /// # Errors
    /// `invalid_target` where the target is not what both predict; else `invalid_parameter`; pointers start at `#/spec`.
    pub fn resolve(
        &self,
        teacher: Option<(&KnownModel<'_>, &str)>,
        meta: &Meta,
        names: Option<&Names>,
    ) -> Result<(ResolvedDistill, Vec<Warning>), Fault> {
        if self.limits.on_limit == OnLimit::KeepBest {
            let detail = "keep_best has no meaning here: a student that is not measured beside its teacher says nothing";
            return Err(conflict("#/limits/on_limit", detail));
        }
        if meta.shape[0] < ROWS_MIN {
            let detail = format!("{} rows are too few to learn from some and keep others apart", meta.shape[0]);
            return Err(conflict("#/dataset", detail));
        }
        let classes = meta.target.classes.as_deref();
        if classes.is_none() && self.temperature != 1.0 {
            return Err(conflict("#/spec/temperature", "only probabilities have a temperature; the target is numbers"));
        }
        match teacher {
            Some((model, _)) => check_teacher(model, meta)?,
            None => self.check_column(meta, names)?,
        }
        let learnt = self.learnt(meta);
        let resolved = self.student.resolve_fit(&learnt, names).map_err(within_student)?;
        let Some((student, mut warnings)) = resolved else {
            return Err(conflict(STUDENT, "must be a fit"));
        };
        let (loss, known) = predicts(&student, meta);
        if classes.is_none() && known.is_some() {
            let detail = "the student predicts classes, and the target has none; upload it with target_kind=binary or multiclass";
            return Err(Fault::at_pointer(Code::InvalidTarget, format!("{STUDENT}/loss"), detail));
        }
        let own = KnownModel { reference: "the student", kind: "", loss, classes: known.as_deref(), named: meta.named };
        let both: Vec<KnownModel<'_>> = std::iter::once(own).chain(teacher.map(|(model, _)| *model)).collect();
        let score = score_of(&both)
            .map_err(|_| conflict(&format!("{STUDENT}/loss"), "no one score measures it and its teacher: they tell other classes apart"))?;
        if let Some((model, fitted_on)) = teacher
            && fitted_on == meta.sha256
        {
            let detail = format!(
                "{} was fitted on the very rows of this data set, those kept apart too: its own score flatters it. The student and its \
                 control have not seen them.",
                model.reference
            );
            warnings.push(Warning { code: "teacher_saw_held_out".into(), detail, features: Vec::new() });
        }
        let teacher = match (&self.teacher, teacher) {
            (AskedTeacher::Column(column), _) => Teacher::Column { column: column.clone() },
            (AskedTeacher::Model(_), Some((model, _))) => Teacher::Model(model.reference.to_owned()),
            (AskedTeacher::Model(_), None) => return Err(conflict(TEACHER, "there is no such model version")),
        };
        let resolved = ResolvedDistill {
            teacher,
            student: Box::new(student),
            temperature: self.temperature,
            mix: self.mix,
            augment: self.augment,
            held_out: self.held_out,
            score,
            bootstrap: self.bootstrap.unwrap_or(usual_resamples(meta.shape[0] - learnt.shape[0])),
            seed: self.seed,
            limits: self.limits.clone(),
        };
        Ok((resolved, warnings))
    }

    /// What is known of the rows that are learnt from: how many, and of each class at least how many.
    fn learnt(&self, meta: &Meta) -> Meta {
        let mut learnt = meta.clone();
        learnt.shape[0] = learnt_of(meta.shape[0], self.held_out);
        // a class gives its share to within one row
        let least = |count: &u64| count.saturating_sub((*count as f64 * self.held_out).floor() as u64 + 1);
        learnt.target.counts = meta.target.counts.as_ref().map(|counts| counts.iter().map(least).collect());
        learnt
    }

    fn check_column(&self, meta: &Meta, names: Option<&Names>) -> Result<(), Fault> {
        let AskedTeacher::Column(column) = &self.teacher else { return Ok(()) };
        if feature_index(column, meta.shape[1], names).is_none() {
            return Err(Fault::at(Code::InvalidParameter, Place::pointer(COLUMN, "unknown_value", "the data set has no such feature")));
        }
        match meta.target.classes.as_deref() {
            None | Some([_, _]) => Ok(()),
            Some(classes) => {
                let detail = format!("a column holds the probability of one of two classes, and the target has {}", classes.len());
                Err(conflict(COLUMN, detail))
            }
        }
    }
}

/// Rows that are learnt from, of so many.
fn learnt_of(rows: u64, held_out: f64) -> u64 {
    let held = (rows as f64 * held_out).round() as u64;
    rows - held.clamp(1, rows.saturating_sub(1).max(1))
}

/// Whether a model has something to say of every class of the target.
fn check_teacher(model: &KnownModel<'_>, meta: &Meta) -> Result<(), Fault> {
    check_names(model, meta, TEACHER)?;
    check_target(model, meta, "#/dataset")?;
    match (model.classes, meta.target.classes.as_deref()) {
        (None, _) => Ok(()),
        (Some(_), None) => {
            let detail = "the teacher predicts classes, and the target has none; upload it with target_kind=binary or multiclass";
            Err(Fault::at_pointer(Code::InvalidTarget, TEACHER, detail))
        }
        (Some(_), Some(_)) if model.loss == "squared_hinge" => {
            Err(conflict(TEACHER, format!("{} has no probabilities to teach: its loss is squared_hinge", model.reference)))
        }
        (Some(known), Some(classes)) if known.contains(&None) => {
            let named = classes.iter().filter(|class| known.iter().flatten().any(|one| one == *class)).count();
            if classes.len() - named == 1 {
                return Ok(());
            }
            let detail = format!("{} tells one class from the rest, and does not say which of the rest a row is of", model.reference);
            Err(conflict(TEACHER, detail))
        }
        _ => Ok(()),
    }
}

/// What a student makes small, and the classes it tells apart.
fn predicts<'w>(student: &'w Work, meta: &Meta) -> (&'w str, Option<Vec<Option<Class>>>) {
    let all = || meta.target.classes.as_ref().map(|classes| classes.iter().cloned().map(Some).collect());
    let of_loss = |loss: &'w Loss| {
        let classes = match loss.positive_class() {
            Some(positive) => {
                let other = match meta.target.classes.as_deref() {
                    Some([one, other]) => Some(if one == positive { other.clone() } else { one.clone() }),
                    _ => None,
                };
                Some(vec![other, Some(positive.clone())])
            }
            None if loss.has_classes() => all(),
            None => None,
        };
        (loss.name(), classes)
    };
    match student {
        Work::Fit(fit) => of_loss(&fit.loss),
        Work::Rules(rules) => of_loss(&rules.loss),
        Work::Tree(tree) => (tree.criterion.name(), all()),
        Work::Network(network) => (network.loss.name(), all()),
        Work::Ensemble(ensemble) => (ensemble.loss.name(), all()),
        Work::Evaluate(_) | Work::Compare(_) | Work::Prune(_) | Work::Distill(_) => ("", None),
    }
}

/// A fault of the student's specification, with its places below that of the distillation.
fn within_student(mut fault: Fault) -> Fault {
    for place in &mut fault.places {
        if let Some(own) = place.pointer.as_deref().and_then(|pointer| moved(pointer, STUDENT)) {
            place.pointer = Some(own);
        }
    }
    fault
}

fn conflict(pointer: &str, detail: impl Into<String>) -> Fault {
    Fault::at(Code::InvalidParameter, Place::pointer(pointer, "conflict", detail))
}

impl ResolvedDistill {
    /// What the student learns from at most, of a data set of this `meta`, and what its control learns from.
    pub(super) fn taught(&self, meta: &Meta) -> [Meta; 2] {
        let [rows, features] = meta.shape;
        let learnt = learnt_of(rows, self.held_out);
        let shares = meta.target.classes.as_ref().map_or(1, |classes| classes.len().min(SHARES_MAX)) as u64;
        // a row that is made holds at most what two rows do
        let (made, entries) = (learnt.saturating_mul(1 + self.augment), meta.nnz.saturating_mul(1 + 2 * self.augment));
        let control = Meta { shape: [learnt, features], ..meta.clone() };
        let student = Meta {
            shape: [made.saturating_mul(shares), features],
            nnz: entries.saturating_mul(shares),
            stored_bytes: meta.stored_bytes.saturating_mul((1 + 2 * self.augment).saturating_mul(shares)),
            weighted: true,
            ..meta.clone()
        };
        [student, control]
    }
}
