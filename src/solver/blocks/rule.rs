//! The penalties beyond the elastic net, at one coordinate and at one group: values, slopes and minimisers.
//!
//! Everything is on the scale that the penalty acts on, u = wσ, with `l1 = λ·f` (times `l1_ratio` with groups) and
//! `weight = λ·√|g|·(1 − l1_ratio)`. Knows nothing of matrices and losses.
//!
//! MCP: Zhang, Ann. Statist. 2010. SCAD: Fan & Li, JASA 2001. Their one-dimensional minimisers: Breheny & Huang, Ann.
//! Appl. Stat. 2011. Sparse group: Simon, Friedman, Hastie & Tibshirani, JCGS 2013; its dual norm: Ndiaye et al., NeurIPS 2016.

/// Which penalty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    /// weight·‖u‖₂ + Σ l1·|u|.
    Groups,
    /// l1·|u| − u²/(2γ) up to |u| = γ·l1, constant from there.
    Mcp { gamma: f64 },
    /// l1·|u| up to l1, a parabola up to γ·l1, constant from there.
    Scad { gamma: f64 },
    /// l1 wherever u is not 0.
    L0,
    /// l1·|u|, where l1 is the slope of a folded penalty at a point: it lies above that penalty and touches it there.
    Tangent,
}

impl Rule {
    /// Whether a solution is told by a duality gap.
    pub(crate) fn is_convex(self) -> bool {
        self == Self::Groups
    }

    /// The second derivative of a loss above which the whole is convex along a coordinate.
    pub(crate) fn convex_from(self) -> f64 {
        match self {
            Self::Groups | Self::Tangent => 0.0,
            Self::Mcp { gamma } => 1.0 / gamma,
            Self::Scad { gamma } => 1.0 / (gamma - 1.0),
            Self::L0 => f64::INFINITY,
        }
    }

    /// The penalty of a coordinate that is a block by itself.
    pub(crate) fn value(self, u: f64, l1: f64, weight: f64) -> f64 {
        let size = u.abs();
        match self {
            Self::Groups | Self::Tangent => (l1 + weight) * size,
            Self::L0 => l1 * f64::from(u8::from(u != 0.0)),
            Self::Mcp { gamma } if size <= gamma * l1 => l1 * size - size * size / (2.0 * gamma),
            Self::Mcp { gamma } => 0.5 * gamma * l1 * l1,
            Self::Scad { .. } if size <= l1 => l1 * size,
            // (2γ·l1·|u| − u² − l1²) / (2(γ − 1))
            Self::Scad { gamma } if size <= gamma * l1 => l1 * size - (size - l1) * (size - l1) / (2.0 * (gamma - 1.0)),
            Self::Scad { gamma } => 0.5 * l1 * l1 * (gamma + 1.0),
        }
    }

    /// Its slope at |u| > 0 in the direction away from 0.
    pub(crate) fn slope(self, u: f64, l1: f64, weight: f64) -> f64 {
        let size = u.abs();
        match self {
            Self::Groups | Self::Tangent => l1 + weight,
            Self::L0 => 0.0,
            Self::Mcp { gamma } => (l1 - size / gamma).max(0.0),
            Self::Scad { .. } if size <= l1 => l1,
            Self::Scad { gamma } => ((gamma * l1 - size) / (gamma - 1.0)).max(0.0),
        }
    }

    /// Its second derivative there, never above 0.
    pub(crate) fn bend(self, u: f64, l1: f64) -> f64 {
        let size = u.abs();
        match self {
            Self::Mcp { gamma } if size < gamma * l1 => -1.0 / gamma,
            Self::Scad { gamma } if size > l1 && size < gamma * l1 => -1.0 / (gamma - 1.0),
            _ => 0.0,
        }
    }

    /// argmin over u of ½·bend·u² − z·u + penalty(u), bend > 0. Where the penalty is more concave than the parabola is convex
    /// there may be two minima: the lower is taken, and 0 where they are equal.
    pub(crate) fn prox(self, z: f64, bend: f64, l1: f64, weight: f64) -> f64 {
        let size = z.abs();
        let best = match self {
            Self::Groups | Self::Tangent => (size - l1 - weight).max(0.0) / bend,
            Self::Mcp { .. } | Self::Scad { .. } | Self::L0 if l1 == 0.0 => size / bend,
            // it pays from z²/(2·bend) > l1 on
            Self::L0 if size / bend * size > 2.0 * l1 => size / bend,
            Self::L0 => 0.0,
            Self::Mcp { gamma } if bend * gamma > 1.0 => {
                if size <= l1 {
                    0.0
                } else if size <= gamma * l1 * bend {
                    (size - l1) / (bend - 1.0 / gamma)
                } else {
                    size / bend
                }
            }
            Self::Mcp { gamma } => {
                if size <= l1 * (gamma * bend).sqrt() {
                    0.0
                } else {
                    size / bend
                }
            }
            Self::Scad { gamma } if bend * (gamma - 1.0) > 1.0 => {
                if size <= l1 * (1.0 + bend) {
                    (size - l1).max(0.0) / bend
                } else if size <= gamma * l1 * bend {
                    (size * (gamma - 1.0) - gamma * l1) / (bend * (gamma - 1.0) - 1.0)
                } else {
                    size / bend
                }
            }
            Self::Scad { gamma } => {
                let (near, far) = (((size - l1).max(0.0) / bend).min(l1), (size / bend).max(gamma * l1));
                let value = |u: f64| 0.5 * bend * u * u - size * u + self.value(u, l1, 0.0);
                if value(far) < value(near) { far } else { near }
            }
        };
        best * z.signum()
    }

    /// Distance of the descent direction `c` to the subdifferential of the penalty of a single coordinate.
    pub(crate) fn violation(self, c: f64, u: f64, l1: f64, weight: f64) -> f64 {
        // a single step from 0 does not lead past a jump
        if self == Self::L0 && u == 0.0 && l1 > 0.0 {
            return 0.0;
        }
        if u == 0.0 { (c.abs() - l1 - weight).max(0.0) } else { (c - self.slope(u, l1, weight) * u.signum()).abs() }
    }
}

/// |z| less `l1`, with the sign of z; 0 where nothing is left.
pub(crate) fn soften(z: f64, l1: f64) -> f64 {
    (z.abs() - l1).max(0.0) * z.signum()
}

/// Euclidean norm without overflow or loss to underflow.
pub(crate) fn norm(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(0.0f64, |most, x| most.max(x.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    largest * values.map(|x| (x / largest) * (x / largest)).sum::<f64>().sqrt()
}

/// The least t at which the group stays at 0: ‖soften(c, t·l1)‖ = t·weight; infinite where no t does.
pub(crate) fn critical(sides: &mut [(f64, f64)], weight: f64) -> f64 {
    sides.iter_mut().for_each(|side| side.0 = side.0.abs());
    let largest = sides.iter().fold(0.0f64, |most, side| most.max(side.0));
    if largest == 0.0 {
        return 0.0;
    }
    if sides.iter().all(|side| side.1 == 0.0) {
        return norm(sides.iter().map(|side| side.0)) / weight;
    }
    // The root lies between two of the t at which a coordinate comes to be softened to 0; there it is that of a parabola.
    let ends = |side: &(f64, f64)| if side.1 > 0.0 { side.0 / side.1 } else { f64::INFINITY };
    sides.sort_unstable_by(|a, b| ends(b).total_cmp(&ends(a)));
    let (mut square, mut product, mut bound) = (0.0, 0.0, -weight * weight);
    for k in 0..sides.len() {
        let (c, l1) = (sides[k].0 / largest, sides[k].1);
        (square, product, bound) = (square + c * c, product + c * l1, bound + l1 * l1);
        // Σ (c − t·l1)² − t²·weight² over the coordinates so far
        let t = square / (product + (product * product - bound * square).max(0.0).sqrt());
        let next = sides.get(k + 1).map_or(0.0, ends);
        if t * largest >= next {
            return (t * largest).min(ends(&sides[k]));
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [Rule; 4] = [Rule::Groups, Rule::Mcp { gamma: 3.0 }, Rule::Scad { gamma: 3.7 }, Rule::L0];

    #[test]
    fn every_prox_agrees_with_brute_force_where_the_whole_is_convex_and_where_it_is_not() {
        for rule in RULES {
            for bend in [1.0, 0.2, 2.5] {
                for z in [0.1, 0.45, -0.6, 0.9, 1.3, -2.0, 4.0] {
                    for (l1, weight) in [(0.5, 0.0), (0.0, 0.0), (0.3, if rule == Rule::Groups { 0.2 } else { 0.0 })] {
                        let value = |u: f64| 0.5 * bend * u * u - z * u + rule.value(u, l1, weight);
                        let grid = (-250_000..=250_000).map(|k| f64::from(k) * 1e-4);
                        let best = grid.map(value).fold(f64::INFINITY, f64::min);
                        let found = rule.prox(z, bend, l1, weight);
                        assert!(value(found) <= best + 1e-12, "{rule:?} {bend} {z} {l1}: {found}");
                        let c = z - bend * found;
                        assert!(rule.violation(c, found, l1, weight) < 1e-12, "{rule:?} {bend} {z} {l1}: {found}");
                    }
                }
            }
        }
    }

    #[test]
    fn slopes_and_bends_agree_with_differences_and_values_join() {
        for rule in RULES {
            for u in [0.2, 0.9, 1.4, 1.6, 2.1, 5.0] {
                let (l1, step) = (0.5, 1e-6);
                let slope = (rule.value(u + step, l1, 0.0) - rule.value(u - step, l1, 0.0)) / (2.0 * step);
                assert!((slope - rule.slope(u, l1, 0.0)).abs() < 1e-6, "{rule:?} {u}");
                let bend = (rule.slope(u + step, l1, 0.0) - rule.slope(u - step, l1, 0.0)) / (2.0 * step);
                assert!((bend - rule.bend(u, l1)).abs() < 1e-6, "{rule:?} {u}");
            }
        }
    }

    #[test]
    fn the_critical_t_is_where_the_group_comes_to_zero() {
        for (sides, weight) in [
            (vec![(3.0, 0.0), (-4.0, 0.0)], 2.0),
            (vec![(3.0, 1.0), (-4.0, 0.5), (0.1, 2.0)], 0.7),
            (vec![(1.0, 1.0)], 1.0),
            (vec![(1.0, 0.0), (2.0, 3.0)], 1e-3),
            (vec![(1e-160, 1.0), (2e-160, 1.0)], 1.4),
            (vec![(1e150, 1.0), (2.0, 0.3)], 1.4),
        ] {
            let t = critical(&mut sides.clone(), weight);
            let left = norm(sides.iter().map(|(c, l1)| soften(*c, t * l1)));
            assert!((left - t * weight).abs() <= 1e-12 * t * (1.0 + weight), "{sides:?} {weight}: {t}");
        }
        assert_eq!(critical(&mut [(0.0, 1.0)], 1.0), 0.0);
        assert_eq!(critical(&mut [(-6.0, 0.0)], 2.0), 3.0);
    }
}
