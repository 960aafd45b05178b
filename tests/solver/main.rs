//! Witnesses of the solver: facts about its solutions that do not come from the solver.

mod agreement;
mod bounds;
mod degenerate;
mod folds;
mod limits;
mod made;
mod multinomial;
mod product;
mod properties;
mod real;
mod refit;
mod ridge;
mod shapes;
mod standing;
mod subset;
mod together;
