//! A batch by columns: which inputs it holds, and on which of its rows each of them lies.

use std::ops::Range;

use super::clock::Clock;
use super::{Halt, Rows};

const NOWHERE: u32 = u32::MAX;
/// What an entry costs, in units of work.
const ENTRY: usize = 8;

/// The entries of a batch within some inputs. Kept from batch to batch for its room.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Place of each input among those met.
    places: Vec<u32>,
    /// Inputs met, in the order they were.
    pub(crate) inputs: Vec<u32>,
    /// Where the entries of each begin, and where the last ones end.
    starts: Vec<u32>,
    /// Row in the batch, and value.
    entries: Vec<(u32, f64)>,
}

impl Batch {
    pub(crate) fn new(n_inputs: usize) -> Self {
        Self { places: vec![NOWHERE; n_inputs], inputs: Vec::new(), starts: Vec::new(), entries: Vec::new() }
    }

    /// Takes the entries of `rows` at the inputs `of`.
    pub(crate) fn gather(&mut self, x: &Rows, rows: &[u32], of: &Range<usize>, clock: &mut Clock) -> Result<(), Halt> {
        for &input in &self.inputs {
            self.places[input as usize] = NOWHERE;
        }
        self.inputs.clear();
        self.starts.clear();
        for &row in rows {
            let inputs = within(x, row, of).0;
            clock.work(ENTRY * inputs.len())?;
            for &input in inputs {
                let input = input - of.start as u32;
                let place = &mut self.places[input as usize];
                if *place == NOWHERE {
                    *place = self.inputs.len() as u32;
                    self.inputs.push(input);
                    self.starts.push(0);
                }
                self.starts[*place as usize] += 1;
            }
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        self.starts.push(end);
        self.entries.resize(end as usize, (0, 0.0));
        // backwards, so that each start comes to lie where it should and rows rise
        for (at, &row) in rows.iter().enumerate().rev() {
            let (inputs, values) = within(x, row, of);
            clock.work(ENTRY * inputs.len())?;
            for (&input, &value) in inputs.iter().zip(values) {
                let start = &mut self.starts[self.places[(input - of.start as u32) as usize] as usize];
                *start -= 1;
                self.entries[*start as usize] = (at as u32, value);
            }
        }
        Ok(())
    }

    /// Entries of the input met at `place`.
    #[inline(always)]
    pub(crate) fn entries(&self, place: usize) -> &[(u32, f64)] {
        &self.entries[self.starts[place] as usize..self.starts[place + 1] as usize]
    }
}

/// Inputs and values of a row that lie in `of`.
pub(crate) fn within<'x>(x: &'x Rows, row: u32, of: &Range<usize>) -> (&'x [u32], &'x [f64]) {
    let (inputs, values) = x.row(row);
    if of.start == 0 && of.end >= x.n_inputs() {
        return (inputs, values);
    }
    let begin = inputs.partition_point(|&input| (input as usize) < of.start);
    let end = inputs.partition_point(|&input| (input as usize) < of.end);
    (&inputs[begin..end], &values[begin..end])
}
