//! Pictures: plain numbers and texts in, one SVG document out. Knows no models, no HTTP and no files.
//!
//! A document stands alone: no script, no style sheet, no font and no reference. Its size is bounded whatever it is given: lines
//! are thinned, what is many is drawn by its strongest. Numbers that are not finite are left out.

mod axis;
mod calibration;
mod canvas;
mod comparison;
mod cv;
mod histogram;
mod ink;
mod path;
mod pruning;
mod residuals;
mod sheet;
#[cfg(test)]
mod tests;
mod text;
mod tradeoff;
mod tree;

pub use calibration::{Bin, Calibration};
pub use comparison::{Comparison, Contender};
pub use cv::{CvCurve, CvPoint};
pub use histogram::{Bars, HistogramPicture};
pub use ink::{Look, SIDES, Theme};
pub use path::{FitCurve, PathLine, PathPicture};
pub use pruning::{PruningPicture, PruningRow};
pub use residuals::Residuals;
pub use sheet::Heading;
pub use text::short;
pub use tradeoff::{Marked, TradeoffPicture, TradeoffPoint};
pub use tree::{TreeNode, TreePicture};
