//! The leaves of rows that a tree was not grown on, whichever way is shorter: row by row through its cells, or by the columns of the splits.

use super::super::clock::Clock;
use super::super::{Bins, Tree, Unfit};

/// Units of work of a step down, besides the search of the row's cell.
const STEP: f64 = 4.0;

/// A split as cells see it.
#[derive(Clone, Copy, Default)]
struct Cells {
    /// The cells of its column.
    start: u32,
    end: u32,
    /// The first of them that lies right of the threshold.
    boundary: u32,
    /// Where zeros go.
    zeros: u32,
    left: u32,
    right: u32,
}

/// Tells the leaf of each of some rows, in their order.
pub(super) fn leaves(tree: &Tree, bins: &Bins, rows: &[u32], clock: &mut Clock, mut told: impl FnMut(u32, u32)) -> Result<(), Unfit> {
    if rows.is_empty() {
        return Ok(());
    }
    let x = &bins.x;
    let depth = (tree.n_leaves() as f64).log2() + 1.0;
    let search = (x.nnz() as f64 / x.n_rows as f64 + 1.0).log2() + STEP;
    let columns = tree.nodes().iter().filter_map(|node| x.position(node.split?.feature));
    let by_columns = x.n_rows as f64 + columns.map(|column| x.range(column).len() as f64).sum::<f64>();
    if by_columns < rows.len() as f64 * depth * search {
        let leaves = tree.leaves_with(*x, clock)?;
        return clock.each(rows, |row| told(row, leaves[row as usize]));
    }
    let nodes: Vec<Option<Cells>> = tree.nodes().iter().map(|node| node.split.map(|split| Cells::of(bins, split))).collect();
    let per_row = (depth * search) as usize;
    for &row in rows {
        clock.work(per_row)?;
        let cells = &bins.entries[bins.row_starts[row as usize] as usize..bins.row_starts[row as usize + 1] as usize];
        let mut at = 0;
        while let Some(split) = nodes[at as usize] {
            let held = cells.get(cells.partition_point(|&cell| cell < split.start)).filter(|cell| **cell < split.end);
            at = match held {
                Some(&cell) if cell < split.boundary => split.left,
                Some(_) => split.right,
                None => split.zeros,
            };
        }
        told(row, at);
    }
    Ok(())
}

impl Cells {
    fn of(bins: &Bins, split: super::super::Split) -> Self {
        let (left, right) = (split.left, split.right);
        let zeros = if 0.0 <= split.threshold { left } else { right };
        let Some(column) = bins.x.position(split.feature) else {
            return Self { zeros, left, right, ..Self::default() };
        };
        let (start, end) = (bins.starts[column], bins.starts[column + 1]);
        let below = bins.source[start as usize..end as usize].partition_point(|&source| bins.value(source) <= split.threshold);
        Self { start, end, boundary: start + below as u32, zeros, left, right }
    }
}
