//! Small made-up data, dense by rows, and what a tree says of them read the plain way.

use std::ops::ControlFlow;

use sparsefit::matrix::{Columns, Values};
use sparsefit::tree::{Bins, Hands, Impurity, Limits, Progress, Target, Tree, Unfit, grow};

/// Targets that are owned.
#[derive(Clone, Debug)]
pub(crate) enum Goal {
    Numbers(Vec<f64>),
    Classes(Vec<u32>, usize, Impurity),
}

/// One problem.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) goal: Goal,
    pub(crate) weights: Option<Vec<f64>>,
}

/// Every kind of target, by what it is called here.
pub(crate) const KINDS: [&str; 5] = ["squared", "gini", "entropy", "gini of 5", "entropy of 5"];

pub(crate) fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as f64) / f64::from(1u32 << 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.roll() * n as f64) as usize
    }
}

/// `n × p` with a fraction `fill` of entries on a grid of eighths, of both signs; the target follows two columns and chance.
pub(crate) fn case(n: usize, p: usize, fill: f64, kind: &str, seed: u64) -> Case {
    let mut dice = Dice(seed * 2 + 1);
    let value = |dice: &mut Dice| if dice.roll() < fill { (dice.below(25) as f64 - 10.0) / 8.0 } else { 0.0 };
    let rows: Vec<Vec<f64>> = (0..n).map(|_| (0..p).map(|_| value(&mut dice)).collect()).collect();
    let signal: Vec<f64> = rows.iter().map(|row| row[0] - 2.0 * f64::from(row[1 % p] > 0.3) + dice.roll()).collect();
    let class = |signal: f64, n: usize| ((signal + 3.0).max(0.0) as usize).min(n - 1) as u32;
    let goal = match kind {
        "squared" => Goal::Numbers(signal.iter().map(|s| (s * 64.0).round() / 64.0).collect()),
        "gini" => Goal::Classes(signal.iter().map(|s| u32::from(*s > 0.0)).collect(), 2, Impurity::Gini),
        "entropy" => Goal::Classes(signal.iter().map(|s| u32::from(*s > 0.0)).collect(), 2, Impurity::Entropy),
        "gini of 5" => Goal::Classes(signal.iter().map(|s| class(*s, 5)).collect(), 5, Impurity::Gini),
        "entropy of 5" => Goal::Classes(signal.iter().map(|s| class(*s, 5)).collect(), 5, Impurity::Entropy),
        other => panic!("no kind {other}"),
    };
    Case { rows, goal, weights: None }
}

impl Goal {
    pub(crate) fn target(&self) -> Target<'_> {
        match self {
            Self::Numbers(y) => Target::Numbers(y),
            Self::Classes(of_row, n, impurity) => Target::Classes { of_row, n: *n, impurity: *impurity },
        }
    }

    pub(crate) fn picked(&self, rows: &[usize]) -> Self {
        match self {
            Self::Numbers(y) => Self::Numbers(rows.iter().map(|&row| y[row]).collect()),
            Self::Classes(of_row, n, impurity) => Self::Classes(rows.iter().map(|&row| of_row[row]).collect(), *n, *impurity),
        }
    }
}

impl Case {
    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    /// Some of the rows, in any order and as often as wanted.
    pub(crate) fn picked(&self, rows: &[usize]) -> Self {
        Self {
            rows: rows.iter().map(|&row| self.rows[row].clone()).collect(),
            goal: self.goal.picked(rows),
            weights: self.weights.as_ref().map(|weights| rows.iter().map(|&row| weights[row]).collect()),
        }
    }

    pub(crate) fn columns(&self) -> Columns {
        columns(&self.rows)
    }

    pub(crate) fn grow(&self, limits: &Limits) -> Tree {
        self.try_grow(limits).unwrap()
    }

    pub(crate) fn try_grow(&self, limits: &Limits) -> Result<Tree, Unfit> {
        let x = self.columns();
        let bins = Bins::new(x.view(), self.goal.target(), &go_on)?;
        grow(&bins, self.weights.as_deref(), limits, &Hands::one(), &go_on)
    }

    /// Impurity of some rows, by its definition.
    pub(crate) fn impurity(&self, rows: &[usize]) -> f64 {
        let total: f64 = rows.iter().map(|&row| self.weight(row)).sum();
        match &self.goal {
            Goal::Numbers(y) => {
                let mean = rows.iter().map(|&row| self.weight(row) * y[row]).sum::<f64>() / total;
                rows.iter().map(|&row| self.weight(row) * (y[row] - mean) * (y[row] - mean)).sum::<f64>() / total
            }
            Goal::Classes(of_row, n, impurity) => {
                let share = |class: u32| rows.iter().filter(|&&row| of_row[row] == class).map(|&row| self.weight(row)).sum::<f64>() / total;
                let shares = (0..*n as u32).map(share).filter(|&p| p > 0.0);
                match impurity {
                    Impurity::Gini => 1.0 - shares.map(|p| p * p).sum::<f64>(),
                    Impurity::Entropy => shares.map(|p| -p * p.log2()).sum(),
                }
            }
        }
    }
}

/// The stored columns of dense rows, in single precision where nothing is lost.
pub(crate) fn columns(rows: &[Vec<f64>]) -> Columns {
    let p = rows.first().map_or(0, Vec::len);
    let (mut features, mut offsets, mut at, mut values) = (Vec::new(), vec![0_u64], Vec::new(), Vec::new());
    for j in 0..p {
        for (i, row) in rows.iter().enumerate().filter(|(_, row)| row[j] != 0.0) {
            at.push(i as u32);
            values.push(row[j]);
        }
        if values.len() as u64 > *offsets.last().unwrap() {
            // stored features have gaps between them, as in real files
            features.push(3 * j as u32 + 1);
            offsets.push(values.len() as u64);
        }
    }
    let values = if values.iter().all(|&v| f64::from(v as f32) == v) {
        Values::Single(values.iter().map(|&v| v as f32).collect::<Vec<_>>().into())
    } else {
        Values::Double(values.into())
    };
    Columns::new(rows.len(), features.into(), offsets.into(), at.into(), values).unwrap()
}

/// Column of the dense rows that a feature stands for.
pub(crate) fn dense(feature: u32) -> usize {
    (feature as usize - 1) / 3
}

/// The rows that come to each node, found by walking down with every row.
pub(crate) fn rows_of_nodes(tree: &Tree, rows: &[Vec<f64>]) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new(); tree.nodes().len()];
    for (i, row) in rows.iter().enumerate() {
        let mut at = 0;
        loop {
            found[at].push(i);
            let Some(split) = tree.nodes()[at].split else { break };
            at = if row[dense(split.feature)] <= split.threshold { split.left } else { split.right } as usize;
        }
    }
    found
}

pub(crate) fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs()).max(1e-3)
}
