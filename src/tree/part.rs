//! The part of the matrix that the rows of one node stand on, with the sums of its cells.
//!
//! When a node is split, the child with fewer entries gets a part of its own, with cells renumbered so that it is as small
//! as its entries; the sums of the other are those of the parent less those of the first, taken off in place. So an entry
//! is summed at most log2(rows) times, and memory follows the entries of the nodes that are still open.

use std::borrow::Cow;
use std::ops::{AddAssign, Range, SubAssign};

use super::Unfit;
use super::bins::Bins;
use super::clock::{BLOCK, Clock};

/// What is summed for each cell; whole numbers, so that what is added can be taken off again.
pub(crate) trait Cell: Copy + Default + Send + Sync + AddAssign + SubAssign {
    /// Whole weight of the rows of the node that lie in the cell; 0 where none does.
    fn weight(&self) -> i64;
}

/// What a target adds to the cells of a row.
pub(crate) trait Summed: Sync {
    type Cell: Cell;
    fn of(&self, row: u32) -> Self::Cell;
}

pub(crate) struct Part<'a, C> {
    /// Where each row of the part begins in `entries`.
    row_starts: Cow<'a, [u32]>,
    /// Cells of each row, rising.
    entries: Cow<'a, [u32]>,
    /// Stored column of each feature of the part, rising; `None` = all of them.
    columns: Option<Vec<u32>>,
    /// Where each feature begins among the cells.
    pub(crate) starts: Cow<'a, [u32]>,
    /// First cell of each feature whose value is above 0.
    pub(crate) zeros: Cow<'a, [u32]>,
    /// An entry of the matrix that lies in the cell.
    pub(crate) source: Cow<'a, [u32]>,
    pub(crate) bins: Cow<'a, [u32]>,
    pub(crate) classes: Cow<'a, [u16]>,
    /// Sums of the cells over the rows of the node.
    pub(crate) cells: Vec<C>,
}

/// What all parts of one tree share: where each row stands, and room to renumber cells.
pub(crate) struct Places {
    /// Position of each row in the part of its node.
    of_row: Vec<u32>,
    /// Zero between two uses.
    map: Vec<u32>,
}

impl Places {
    pub(crate) fn new(bins: &Bins) -> Self {
        Self { of_row: (0..bins.x.n_rows as u32).collect(), map: vec![0; bins.source.len()] }
    }

    /// Rows stand where they stood before anything was made of them.
    pub(crate) fn reset(&mut self, rows: &[u32]) {
        rows.iter().for_each(|&row| self.of_row[row as usize] = row);
    }
}

impl<'a, C: Cell> Part<'a, C> {
    /// The part of the root: all cells, of which the rows given are summed.
    pub(crate) fn root(bins: &'a Bins, rows: &[u32], summed: &impl Summed<Cell = C>, clock: &mut Clock) -> Result<Self, Unfit> {
        let mut part = Self { cells: vec![C::default(); bins.source.len()], ..Self::unsummed(bins) };
        for &row in rows {
            let range = part.range(row as usize);
            clock.work(range.len())?;
            let sum = summed.of(row);
            part.entries[range].iter().for_each(|&cell| part.cells[cell as usize] += sum);
        }
        Ok(part)
    }

    /// All cells without their sums: what the part of few rows is made of ([`Part::apart`]).
    pub(crate) fn unsummed(bins: &'a Bins) -> Self {
        Self {
            row_starts: Cow::Borrowed(&bins.row_starts),
            entries: Cow::Borrowed(&bins.entries),
            columns: None,
            starts: Cow::Borrowed(&bins.starts),
            zeros: Cow::Borrowed(&bins.zeros),
            source: Cow::Borrowed(&bins.source),
            bins: Cow::Borrowed(&bins.bins),
            classes: Cow::Borrowed(&bins.classes),
            cells: Vec::new(),
        }
    }

    fn range(&self, place: usize) -> Range<usize> {
        self.row_starts[place] as usize..self.row_starts[place + 1] as usize
    }

    /// Cells of a row of the node, rising.
    pub(crate) fn row(&self, row: u32, places: &Places) -> &[u32] {
        &self.entries[self.range(places.of_row[row as usize] as usize)]
    }

    /// Number of entries of these rows of the node.
    pub(crate) fn n_entries(&self, rows: &[u32], places: &Places) -> usize {
        rows.iter().map(|&row| self.range(places.of_row[row as usize] as usize).len()).sum()
    }

    /// Entries the part was made for.
    pub(crate) fn size(&self) -> usize {
        self.entries.len()
    }

    /// Number of features that have cells.
    pub(crate) fn n_features(&self) -> usize {
        self.zeros.len()
    }

    /// Stored column of a feature of the part.
    pub(crate) fn column(&self, feature: usize) -> usize {
        self.columns.as_ref().map_or(feature, |columns| columns[feature] as usize)
    }

    /// Takes rows off the sums.
    pub(crate) fn take_off(
        &mut self,
        rows: &[u32],
        places: &Places,
        summed: &impl Summed<Cell = C>,
        clock: &mut Clock,
    ) -> Result<(), Unfit> {
        for &row in rows {
            let range = self.range(places.of_row[row as usize] as usize);
            clock.work(range.len())?;
            let sum = summed.of(row);
            self.entries[range].iter().for_each(|&cell| self.cells[cell as usize] -= sum);
        }
        Ok(())
    }

    /// A part of their own for some rows of the node, which stand there from now on. The sums here are left as they are.
    pub(crate) fn apart(
        &self,
        rows: &[u32],
        places: &mut Places,
        summed: &impl Summed<Cell = C>,
        clock: &mut Clock,
    ) -> Result<Part<'a, C>, Unfit> {
        let touched = self.touched(rows, places, clock)?;
        let (mut columns, mut starts, mut zeros) = (Vec::new(), Vec::new(), Vec::new());
        let mut feature = 0;
        for (at, &cell) in touched.iter().enumerate() {
            if columns.is_empty() || cell >= self.starts[feature + 1] {
                feature = gallop(&self.starts, feature, cell);
                columns.push(self.column(feature) as u32);
                starts.push(at as u32);
                zeros.push(at as u32);
            }
            if cell < self.zeros[feature] {
                zeros.last_mut().into_iter().for_each(|zero| *zero = at as u32 + 1);
            }
            places.map[cell as usize] = at as u32;
        }
        starts.push(touched.len() as u32);
        clock.work(touched.len())?;
        let pick = |from: &[u32]| -> Vec<u32> {
            if from.is_empty() { Vec::new() } else { touched.iter().map(|&cell| from[cell as usize]).collect() }
        };
        let classes: Vec<u16> =
            if self.classes.is_empty() { Vec::new() } else { touched.iter().map(|&cell| self.classes[cell as usize]).collect() };
        let (mut row_starts, mut entries) = (Vec::with_capacity(rows.len() + 1), Vec::with_capacity(self.n_entries(rows, places)));
        let mut cells = vec![C::default(); touched.len()];
        row_starts.push(0);
        for (place, &row) in rows.iter().enumerate() {
            let range = self.range(places.of_row[row as usize] as usize);
            clock.work(2 * range.len())?;
            let sum = summed.of(row);
            for &cell in &self.entries[range] {
                let cell = places.map[cell as usize];
                cells[cell as usize] += sum;
                entries.push(cell);
            }
            row_starts.push(entries.len() as u32);
            places.of_row[row as usize] = place as u32;
        }
        touched.iter().for_each(|&cell| places.map[cell as usize] = 0);
        Ok(Part {
            row_starts: row_starts.into(),
            entries: entries.into(),
            starts: starts.into(),
            zeros: zeros.into(),
            source: pick(&self.source).into(),
            bins: pick(&self.bins).into(),
            classes: classes.into(),
            columns: Some(columns),
            cells,
        })
    }

    /// The cells these rows lie in, rising.
    fn touched(&self, rows: &[u32], places: &mut Places, clock: &mut Clock) -> Result<Vec<u32>, Unfit> {
        let n_entries = self.n_entries(rows, places);
        let mut touched = Vec::new();
        // a part that only others are made of has cells and no sums
        let n_cells = self.source.len();
        if n_entries < n_cells / 64 && n_entries < 4 * BLOCK {
            touched.reserve(n_entries);
            rows.iter().for_each(|&row| touched.extend_from_slice(self.row(row, places)));
            clock.work(8 * n_entries)?;
            touched.sort_unstable();
            touched.dedup();
            return Ok(touched);
        }
        for &row in rows {
            let range = self.range(places.of_row[row as usize] as usize);
            clock.work(range.len())?;
            self.entries[range].iter().for_each(|&cell| places.map[cell as usize] = 1);
        }
        let mut start = 0;
        for block in places.map[..n_cells].chunks_mut(BLOCK) {
            clock.work(block.len())?;
            for (at, mark) in block.iter_mut().enumerate() {
                if std::mem::take(mark) != 0 {
                    touched.push(start + at as u32);
                }
            }
            start += block.len() as u32;
        }
        Ok(touched)
    }
}

/// The feature at or after `from` in whose cells `cell` lies.
fn gallop(starts: &[u32], from: usize, cell: u32) -> usize {
    let mut step = 1;
    while from + step < starts.len() && starts[from + step] <= cell {
        step *= 2;
    }
    let high = (from + step).min(starts.len());
    from + step / 2 + starts[from + step / 2..high].partition_point(|&start| start <= cell) - 1
}

#[cfg(test)]
mod tests {
    use super::gallop;

    #[test]
    fn the_feature_of_a_cell_is_found_from_any_feature_before_it() {
        let starts = [0, 2, 3, 7, 8, 20, 21];
        for cell in 0..21 {
            let plain = starts.iter().rposition(|&start| start <= cell).unwrap();
            (0..=plain).for_each(|from| assert_eq!(gallop(&starts, from, cell), plain, "{cell} from {from}"));
        }
    }
}
