//! What a loaded model takes: every allocation counted, by the capacity it has and not by what is in use of it.
//!
//! Not counted: the file of names, which is mapped and shared by all models of a data set, and what the allocator itself needs.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    Cv, EnsembleCard, EnsembleModel, LinearCard, LinearModel, Model, NetworkCard, NetworkModel, Nodes, Predictor, RuleList, RulesCard,
    RulesModel, TreeCard, TreeModel,
};
use crate::dataset::Class;
use crate::job::Warning;

/// Bytes on the heap of a vector of plain numbers or structs.
pub(super) fn of<T>(items: &Vec<T>) -> usize {
    items.capacity() * size_of::<T>()
}

/// Bytes on the heap of a table: its buckets are a power of two, of which seven eighths may be used, with a byte of control each and
/// one group of control bytes more.
pub(super) fn of_table<K, V, S>(table: &HashMap<K, V, S>) -> usize {
    const GROUP: usize = 16;
    match table.capacity() {
        0 => 0,
        capacity => {
            let buckets = if capacity < 8 { (capacity + 1).next_power_of_two() } else { (capacity * 8 / 7).next_power_of_two() };
            buckets * (size_of::<(K, V)>() + 1) + GROUP
        }
    }
}

/// Bytes on the heap below a JSON value.
fn of_json(value: &Value) -> usize {
    match value {
        Value::String(text) => text.capacity(),
        Value::Array(items) => of(items) + items.iter().map(of_json).sum::<usize>(),
        // nodes of a B-tree are half to wholly full
        Value::Object(map) => {
            map.iter().map(|(key, value)| key.capacity() + of_json(value) + (size_of::<String>() + size_of::<Value>()) * 3 / 2).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn of_class(class: &Class) -> usize {
    if let Class::Text(text) = class { text.capacity() } else { 0 }
}

fn of_warnings(warnings: &Vec<Warning>) -> usize {
    let texts = |warning: &Warning| {
        let names: usize = warning.features.iter().map(String::capacity).sum();
        warning.code.capacity() + warning.detail.capacity() + of(&warning.features) + names
    };
    of(warnings) + warnings.iter().map(texts).sum::<usize>()
}

fn of_some_json(values: [&Option<Value>; 3]) -> usize {
    values.into_iter().flatten().map(of_json).sum()
}

fn of_cv(cv: &Cv) -> usize {
    of(&cv.rows) + cv.rows.iter().map(|row| of(&row.per_fold)).sum::<usize>()
}

impl LinearCard {
    fn heap(&self) -> usize {
        let classes = self.classes.as_ref().map_or(0, |all| of(all) + all.iter().flatten().map(of_class).sum::<usize>());
        let texts = [&self.loss, &self.objective, &self.sparsity.support_hash, &self.certificate.tol_kind];
        classes
            + texts.into_iter().map(String::capacity).sum::<usize>()
            + self.intercepts.as_ref().map_or(0, of)
            + [&self.equivalents, &self.metrics, &self.engine].into_iter().map(of_json).sum::<usize>()
            + of_some_json([&self.selection, &self.adaptive, &self.refit])
            + of_warnings(&self.warnings)
    }
}

impl LinearModel {
    fn heap(&self) -> usize {
        let stability = self.stability.as_ref().map_or(0, |found| of(&found.indices) + of(&found.counts));
        self.card.heap()
            + of(&self.indices)
            + of(&self.classes)
            + of(&self.values)
            + of(&self.path)
            + self.cv.as_ref().map_or(0, of_cv)
            + stability
    }

    /// What a prediction reads: a feature, a coefficient and perhaps a class for each non-zero, and the intercepts.
    fn parameters(&self) -> usize {
        let class = if self.classes.is_empty() { 0 } else { size_of::<u32>() };
        let intercepts = self.card.intercepts.as_ref().map_or(1, Vec::len);
        self.values.len() * (size_of::<u32>() + size_of::<f64>() + class) + intercepts * size_of::<f64>()
    }
}

impl TreeCard {
    fn heap(&self) -> usize {
        let classes = self.classes.as_ref().map_or(0, |all| of(all) + all.iter().map(of_class).sum::<usize>());
        let texts = [&self.criterion, &self.objective, &self.sparsity.support_hash];
        classes
            + texts.into_iter().map(String::capacity).sum::<usize>()
            + [&self.metrics, &self.engine].into_iter().map(of_json).sum::<usize>()
            + of_some_json([&self.selection, &None, &None])
            + of_warnings(&self.warnings)
    }
}

impl Nodes {
    fn heap(&self) -> usize {
        of(&self.features) + of(&self.rights) + of(&self.thresholds) + of(&self.values) + of(&self.weights) + of(&self.impurities)
    }
}

impl TreeModel {
    /// What a prediction reads: a feature, a threshold and a child for each split, and what each leaf says.
    fn parameters(&self) -> usize {
        let (leaves, splits) = (self.nodes.n_leaves(), self.nodes.len() / 2);
        splits * (2 * size_of::<u32>() + size_of::<f64>()) + leaves * self.nodes.width * size_of::<f64>()
    }
}

impl RulesCard {
    fn heap(&self) -> usize {
        let classes = self.classes.as_ref().map_or(0, |all| of(all) + all.iter().flatten().map(of_class).sum::<usize>());
        let texts = [&self.loss, &self.objective, &self.sparsity.support_hash, &self.certificate.tol_kind];
        classes
            + texts.into_iter().map(String::capacity).sum::<usize>()
            + [&self.metrics, &self.engine].into_iter().map(of_json).sum::<usize>()
            + of_some_json([&self.selection, &None, &None])
            + of_warnings(&self.warnings)
    }
}

impl RuleList {
    fn heap(&self) -> usize {
        let reals = [&self.coefficients, &self.supports, &self.lows, &self.highs].into_iter().map(of).sum::<usize>();
        reals + of(&self.starts) + of(&self.features)
    }
}

impl RulesModel {
    fn heap(&self) -> usize {
        let terms = of(&self.indices) + of(&self.values) + of(&self.deviations);
        self.card.heap() + self.rules.heap() + terms + of(&self.path) + self.cv.as_ref().map_or(0, of_cv)
    }

    /// What a prediction reads: a feature and a threshold for each condition, a coefficient and its end for each rule, a feature and a
    /// coefficient for each linear term, and the intercept.
    fn parameters(&self) -> usize {
        let pair = size_of::<u32>() + size_of::<f64>();
        (self.card.sparsity.conditions as usize + self.rules.len() + self.values.len()) * pair + size_of::<f64>()
    }
}

impl NetworkCard {
    fn heap(&self) -> usize {
        let classes = self.classes.as_ref().map_or(0, |all| of(all) + all.iter().map(of_class).sum::<usize>());
        classes
            + of(&self.fit.hidden)
            + self.objective.capacity()
            + of(&self.sparsity.layers)
            + [&self.metrics, &self.engine].into_iter().map(of_json).sum::<usize>()
            + of_some_json([&self.selection, &None, &None])
            + of_warnings(&self.warnings)
    }
}

impl NetworkModel {
    fn heap(&self) -> usize {
        let layers = self.layers.iter().map(|layer| layer.bytes() as usize).sum::<usize>();
        self.card.heap() + of(&self.inputs) + of(&self.scales) + of(&self.layers) + layers
    }

    /// What a prediction reads: a feature and its scale for each input, the layers.
    fn parameters(&self) -> usize {
        let layers = self.layers.iter().map(|layer| layer.bytes() as usize).sum::<usize>();
        self.inputs.len() * (size_of::<u32>() + size_of::<f64>()) + layers
    }
}

impl EnsembleCard {
    fn heap(&self) -> usize {
        let classes = self.classes.as_ref().map_or(0, |all| of(all) + all.iter().map(of_class).sum::<usize>());
        let selection = self.selection.as_ref().map_or(0, |one| one.method.capacity() + of(&one.held_out_loss) + of(&one.leaves));
        classes
            + selection
            + of(&self.base)
            + self.objective.capacity()
            + self.sparsity.support_hash.capacity()
            + [&self.metrics, &self.engine].into_iter().map(of_json).sum::<usize>()
            + of_warnings(&self.warnings)
    }
}

impl EnsembleModel {
    fn heap(&self) -> usize {
        let trees = of(&self.trees.starts) + of(&self.trees.features) + of(&self.trees.rights) + of(&self.trees.numbers);
        self.card.heap() + trees + of(&self.importances)
    }

    /// What a prediction reads: a feature, a threshold and a child for each split, what each leaf adds, and what it is added to.
    fn parameters(&self) -> usize {
        let leaves = self.trees.n_leaves();
        let splits = self.trees.n_nodes() - leaves;
        splits * (2 * size_of::<u32>() + size_of::<f64>()) + (leaves + self.card.base.len()) * size_of::<f64>()
    }
}

impl Model {
    /// Bytes of everything it holds.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Linear(model) => model.heap(),
                Self::Tree(model) => model.card.heap() + model.nodes.heap(),
                Self::Rules(model) => model.heap(),
                Self::Network(model) => model.heap(),
                Self::Ensemble(model) => model.heap(),
            }
    }

    /// Bytes of the numbers that a prediction reads, in their stored width: what compares models of different kinds.
    pub fn parameter_bytes(&self) -> u64 {
        match self {
            Self::Linear(model) => model.parameters() as u64,
            Self::Tree(model) => model.parameters() as u64,
            Self::Rules(model) => model.parameters() as u64,
            Self::Network(model) => model.parameters() as u64,
            Self::Ensemble(model) => model.parameters() as u64,
        }
    }
}

impl Predictor {
    /// Bytes of everything it holds, its model and its tables; the file of names is shared and not counted.
    pub fn memory_bytes(&self) -> u64 {
        (size_of::<Self>() + self.model().bytes() + self.tables()) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::sample::model;
    use super::*;

    #[test]
    fn a_table_is_counted_by_its_buckets() {
        let table = |n: u64| (0..n).map(|key| (key, 0_u64)).collect::<HashMap<u64, u64>>();
        assert_eq!(of_table(&table(0)), 0);
        for n in [1_u64, 3, 7, 8, 14, 15, 100, 5000] {
            let buckets = (of_table(&table(n)) - 16) / 17;
            assert!(buckets.is_power_of_two() && buckets as u64 > n, "{n}: {buckets}");
            assert!(buckets as u64 <= (4 * n).max(4), "{n}: {buckets}");
        }
    }

    #[test]
    fn a_coefficient_more_takes_its_place_in_arrays_and_table() {
        let bytes = |n: u32| {
            let indices: Vec<u32> = (0..n).collect();
            let made = Model::Linear(model(&indices, &vec![1.0; n as usize]));
            (made.parameter_bytes(), Predictor::new(Arc::new(made), None).memory_bytes())
        };
        let (few, many) = (bytes(8), bytes(64));
        assert_eq!(many.0 - few.0, 56 * 12);
        // index and value in the model, index and position in the table
        assert!(many.1 - few.1 >= 56 * (12 + 8), "{few:?} {many:?}");
    }
}
