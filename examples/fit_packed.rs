//! Fits a packed matrix and says what it took: our side of `bench/speed.py`. Prints; asserts nothing.
//!
//! `fit_packed FOLDER` reads one matrix, then a job from each line of stdin, and answers each with a line on stdout.
//!
//! The folder holds raw little-endian arrays, by columns (CSC) and without the columns that are empty:
//!
//! | file | holds |
//! |---|---|
//! | `offsets.u64` | where each column begins in the two below, and at the end the number of non-zeros |
//! | `rows.u32` | row of each non-zero, rising within a column |
//! | `values.f32` or `values.f64` | value of each non-zero |
//! | `features.u32` | which feature each column is, rising |
//! | `y.f64` | targets; ±1 for the logistic loss |
//!
//! A job is `{"loss": "squared"|"logistic", "intercept": true, "standardize": false, "l1_ratio": 1, "tol": 1e-6,
//! "task": …, "repeat": 3, "out": "FILE"}`, and `"l0": true` for that penalty, with one of the tasks `{"solve": FRACTION_OF_LAMBDA_MAX}`,
//! `{"nonzeros": COUNT}`,
//! `{"path": {"n": 100, "min_ratio": 0.01}}` and `{"cv": {"n": 100, "min_ratio": 0.01, "folds": 5, "threads": 1}}`; a
//! cross-validation is that path on all rows and then on each fold's, row i being held out by fold i mod `folds`.
//!
//! The answer has a run for each repeat: CPU and wall seconds of the set-up, of the fit on all rows and of the folds, and
//! the bytes by which resident memory grew at its highest. The coefficients go to `out` as f64: for every λ the
//! intercept, the number of non-zeros, their columns (positions in `offsets`) and their values.

use std::fs::File;
use std::io::{BufRead, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sparsefit::matrix::{Columns, Values};
use sparsefit::solver::{
    CvDeviance, Data, Folds, Loss, Options, Penalty, Point, Problem, Progress, Shape, Stop, cross_validate, lambda_grid, path, solve,
    target_nonzeros,
};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Sweeps at one λ that only a solver which crawls comes to.
const MAX_EPOCHS: u64 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    loss: LossName,
    intercept: bool,
    standardize: bool,
    l1_ratio: f64,
    #[serde(default)]
    l0: bool,
    tol: f64,
    task: Task,
    repeat: usize,
    out: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum LossName {
    Squared,
    Logistic,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Task {
    Solve(f64),
    Nonzeros(usize),
    Path { n: usize, min_ratio: f64 },
    Cv { n: usize, min_ratio: f64, folds: usize, threads: usize },
}

#[derive(Serialize)]
struct Answer {
    lambda_max: f64,
    runs: Vec<Run>,
    /// Touched non-zeros / non-zeros of X, over all λ.
    passes: f64,
    epochs: u64,
    /// At the last λ.
    nonzeros: usize,
    /// The solver's own, the largest of all λ.
    gap: f64,
    stop: &'static str,
    /// λ with the least held-out deviance, by position.
    chosen: Option<usize>,
}

#[derive(Serialize)]
struct Run {
    set_up: Seconds,
    fit: Seconds,
    folds: Option<Seconds>,
    memory: u64,
}

#[derive(Serialize)]
struct Seconds {
    cpu: f64,
    wall: f64,
}

/// What a job came to; the same in every repeat.
struct Outcome {
    lambda_max: f64,
    points: Vec<Point>,
    stop: Stop,
    deviance: Option<CvDeviance>,
}

fn main() -> Fallible<()> {
    let folder = std::env::args().nth(1).ok_or("usage: fit_packed FOLDER < jobs")?;
    let (x, y) = read(Path::new(&folder))?;
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        let answer = answer(&job, &x, &y)?;
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

fn answer(job: &Job, x: &Columns, y: &[f64]) -> Fallible<Answer> {
    let (first, outcome) = run(job, x, y)?;
    let mut runs = vec![first];
    for _ in 1..job.repeat {
        runs.push(run(job, x, y)?.0);
    }
    write(&job.out, &outcome.points)?;
    let points = &outcome.points;
    Ok(Answer {
        lambda_max: outcome.lambda_max,
        runs,
        passes: points.iter().map(|point| point.full_passes).sum(),
        epochs: points.iter().map(|point| point.epochs).sum(),
        nonzeros: points.last().map_or(0, |point| point.columns.len()),
        gap: points.iter().map(|point| point.relative_gap).fold(0.0, f64::max),
        stop: match outcome.stop {
            Stop::Converged => "converged",
            Stop::LimitReached => "limit_reached",
            Stop::Cancelled => "cancelled",
        },
        chosen: outcome.deviance.and_then(|deviance| least(&deviance)),
    })
}

fn run(job: &Job, x: &Columns, y: &[f64]) -> Fallible<(Run, Outcome)> {
    let loss = match job.loss {
        LossName::Squared => Loss::Squared,
        LossName::Logistic => Loss::Logistic,
    };
    let data = Data { x: x.view(), y, weights: None, offset: None };
    let shape = if job.l0 { Shape::L0 } else { Shape::Net };
    let penalty = Penalty { l1_ratio: job.l1_ratio, factors: None, shape, ..Penalty::default() };
    let options = Options { intercept: job.intercept, standardize: job.standardize, tol: job.tol, max_epochs: MAX_EPOCHS };
    let go_on = |_: &Progress| ControlFlow::Continue(());

    forget_peak()?;
    let before = memory("VmRSS:")?;
    let clock = Clock::start();
    let problem = Problem::new(data, loss, penalty, options, &go_on)?;
    let set_up = clock.read();

    let lambda_max = problem.lambda_max();
    let clock = Clock::start();
    let (lambdas, points, stop) = match job.task {
        Task::Solve(fraction) => {
            let point = solve(&problem, lambda_max * fraction, None, &go_on);
            let stop = point.stop;
            (Vec::new(), vec![point], stop)
        }
        Task::Nonzeros(k) => {
            let point = target_nonzeros(&problem, k, &go_on).point;
            let stop = point.stop;
            (Vec::new(), vec![point], stop)
        }
        Task::Path { n, min_ratio } | Task::Cv { n, min_ratio, .. } => {
            let lambdas = lambda_grid(lambda_max, min_ratio, n);
            let mut points = Vec::with_capacity(n);
            let stop = path(&problem, &lambdas, None, &go_on, &mut |_, point, _| points.push(point));
            (lambdas, points, stop)
        }
    };
    let fit = clock.read();

    let (mut deviance, mut folds_took) = (None, None);
    if let Task::Cv { folds: n, threads, .. } = job.task {
        let of_row: Vec<u32> = (0..data.x.n_rows).map(|row| (row % n) as u32).collect();
        let (on_thread, each) = (&|| (), &|_, _, _, _: &Point, _| ());
        let folds = Folds { of_row: &of_row, n, lambdas: &lambdas, threads, on_thread, points: &points, begun: &[], each };
        let clock = Clock::start();
        deviance = Some(cross_validate(data, loss, penalty, options, &folds, &go_on)?);
        folds_took = Some(clock.read());
    }
    let grown = memory("VmHWM:")?.saturating_sub(before);
    Ok((Run { set_up, fit, folds: folds_took, memory: grown }, Outcome { lambda_max, points, stop, deviance }))
}

/// The row with the least mean.
fn least(deviance: &CvDeviance) -> Option<usize> {
    let means = deviance.per_fold.rows().into_iter().map(|row| row.sum());
    means.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
}

/// CPU time of the process and time of day, from a moment on.
struct Clock {
    cpu: f64,
    wall: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { cpu: cpu_seconds(), wall: Instant::now() }
    }

    fn read(&self) -> Seconds {
        Seconds { cpu: cpu_seconds() - self.cpu, wall: self.wall.elapsed().as_secs_f64() }
    }
}

fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// From now on the highest resident memory is counted anew.
fn forget_peak() -> std::io::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5")
}

/// Bytes of one line of the process's status.
fn memory(name: &str) -> Fallible<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("a status without that line")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

fn read(folder: &Path) -> Fallible<(Columns, Vec<f64>)> {
    let y: Vec<f64> = array(&folder.join("y.f64"))?;
    let single = folder.join("values.f32");
    let values = if single.exists() {
        Values::Single(array::<f32>(&single)?.into())
    } else {
        Values::Double(array::<f64>(&folder.join("values.f64"))?.into())
    };
    let features = array::<u32>(&folder.join("features.u32"))?;
    let offsets = array::<u64>(&folder.join("offsets.u64"))?;
    let rows = array::<u32>(&folder.join("rows.u32"))?;
    Ok((Columns::new(y.len(), features.into(), offsets.into(), rows.into(), values)?, y))
}

fn array<T: bytemuck::Pod>(path: &Path) -> Fallible<Vec<T>> {
    let mut file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let length = usize::try_from(file.metadata()?.len())?;
    if length % size_of::<T>() != 0 {
        return Err(format!("{}: no whole number of items", path.display()).into());
    }
    let mut items = vec![T::zeroed(); length / size_of::<T>()];
    file.read_exact(bytemuck::cast_slice_mut(&mut items))?;
    Ok(items)
}

fn write(path: &Path, points: &[Point]) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for point in points {
        let head = [point.intercept, point.columns.len() as f64];
        let columns = point.columns.iter().map(|&column| f64::from(column));
        for number in head.into_iter().chain(columns).chain(point.values.iter().copied()) {
            file.write_all(&number.to_le_bytes())?;
        }
    }
    file.flush()
}
