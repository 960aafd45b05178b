//! Sparse columns in owned or mapped memory, and what can be asked of them.
//!
//! The bottom room: numbers only. It knows nothing of files, names, targets or requests.
//! A matrix here holds **only its non-empty columns**; `features` says which feature each stored column is, so that
//! memory follows the non-zeros and never the largest index.

mod buffer;
mod columns;
mod kernels;

pub use buffer::Buffer;
pub use columns::{Column, Columns, ColumnsView, Number, Values, ValuesView};
pub use kernels::{Moments, dot};
