//! Cross-validation copies nothing of X: what it allocates is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparsefit::matrix::{Columns, Values};
use sparsefit::solver::{Data, Folds, Loss, Options, Penalty, Point, Problem, Progress, cross_validate, lambda_grid, path};

/// The allocator of the system, which counts.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the allocator of the system as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    // SAFETY: see the implementation.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: see the implementation.
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: usize = 1000;
const COLUMNS: usize = 4000;

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Half of the entries, drawn with a fixed seed; few columns matter.
fn made() -> (Columns, Vec<f64>) {
    let mut state = 5u64;
    let mut roll = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / f64::from(1u32 << 31)
    };
    let (mut offsets, mut rows, mut values, mut y) = (vec![0u64], Vec::new(), Vec::<f32>::new(), vec![0.0; ROWS]);
    for j in 0..COLUMNS {
        for (i, y) in y.iter_mut().enumerate() {
            if roll() < 0.5 {
                let x = (roll() * 32.0).floor() - 15.5;
                rows.push(i as u32);
                values.push(x as f32);
                *y += if j < 10 { x } else { 0.0 };
            }
        }
        offsets.push(rows.len() as u64);
    }
    y.iter_mut().for_each(|y| *y += 20.0 * roll());
    let features: Vec<u32> = (0..COLUMNS as u32).collect();
    (Columns::new(ROWS, features.into(), offsets.into(), rows.into(), Values::Single(values.into())).unwrap(), y)
}

#[test]
fn ten_folds_together_take_less_memory_than_one_copy_of_the_matrix() {
    let (x, y) = made();
    let matrix = 8 * x.view().nnz();
    let data = Data { x: x.view(), y: &y, weights: None, offset: None };
    let penalty = Penalty { l1_ratio: 1.0, factors: None, ..Penalty::default() };
    let options = Options { intercept: true, standardize: true, tol: 1e-6, max_epochs: 10_000 };
    let problem = Problem::new(data, Loss::Squared, penalty, options, &go_on).unwrap();
    let lambdas = lambda_grid(problem.lambda_max(), 0.1, 30);
    let mut points: Vec<Point> = Vec::new();
    path(&problem, &lambdas, None, &go_on, &mut |_, point, _| points.push(point));
    let of_row: Vec<u32> = (0..ROWS as u32).map(|i| i % 10).collect();
    let together = AtomicUsize::new(0);
    let each = |_, _, _, _: &Point, trail: sparsefit::solver::Trail| {
        together.fetch_add(usize::from(trail.before.is_some() && trail.reference.is_none()), Ordering::Relaxed);
    };
    let folds =
        Folds { of_row: &of_row, n: 10, lambdas: &lambdas, threads: 1, on_thread: &|| (), points: &points, begun: &[], each: &each };
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    assert!(cross_validate(data, Loss::Squared, penalty, options, &folds, &go_on).unwrap().whole);
    let most = MOST.load(Ordering::Relaxed) - before;
    assert!(together.load(Ordering::Relaxed) > 200, "the folds were to go together");
    assert!(most < matrix / 2, "{most} bytes beside the {matrix} of the matrix");
}
