//! Proximal maps: argmin ½‖v − w‖² in the metric of the step + penalty(v), for the weights of one row.

use super::Penalty;

impl Penalty {
    pub(crate) fn lambda(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::L1(lambda) | Self::GroupL1(lambda) | Self::L2(lambda) => lambda,
        }
    }

    /// Whether there is none, in effect.
    pub(crate) fn is_none(self) -> bool {
        self.lambda() == 0.0
    }

    /// Maps a row whose weights move by `sizes` times their slopes. A group has one size, with one for each weight its map would have
    /// no closed form: their harmonic mean, for the plain one would be that of weights without slopes, whose size is 1/ε.
    #[inline(always)]
    pub(crate) fn shrink(self, w: &mut [f64], sizes: &[f64]) {
        match self {
            Self::None => {}
            Self::L1(lambda) => {
                for (w, size) in w.iter_mut().zip(sizes) {
                    *w = (w.abs() - lambda * size).max(0.0).copysign(*w);
                }
            }
            Self::L2(lambda) => {
                for (w, size) in w.iter_mut().zip(sizes) {
                    *w /= 1.0 + lambda * size;
                }
            }
            Self::GroupL1(lambda) => {
                let (mut square, mut inverse) = ([0.0; 8], [0.0; 8]);
                let ((w8, w_rest), (s8, s_rest)) = (w.as_chunks::<8>(), sizes.as_chunks::<8>());
                for (w, size) in w8.iter().zip(s8) {
                    for l in 0..8 {
                        square[l] += w[l] * w[l];
                        inverse[l] += 1.0 / size[l];
                    }
                }
                for (l, (w, size)) in w_rest.iter().zip(s_rest).enumerate() {
                    square[l] += w * w;
                    inverse[l] += 1.0 / size;
                }
                let (norm, k) = (square.iter().sum::<f64>().sqrt(), w.len() as f64);
                let least = lambda * k.sqrt() * (k / inverse.iter().sum::<f64>());
                let left = if norm > least { 1.0 - least / norm } else { 0.0 };
                for w in &mut *w {
                    *w = if left > 0.0 { *w * left } else { 0.0 };
                }
            }
        }
    }

    /// Whether a row of zeros stays so while its moments run out: `m` of it times `rate` are its slopes, which only fall from now on.
    #[inline(always)]
    pub(crate) fn holds(self, m: &[f64], rate: f64, sizes: &[f64]) -> bool {
        let (mut largest, mut most, mut inverse) = (0.0_f64, 0.0_f64, 0.0);
        for (m, size) in m.iter().zip(sizes) {
            largest = largest.max(m.abs() * rate);
            most = most.max(*size);
            inverse += 1.0 / size;
        }
        match self {
            Self::L1(lambda) => largest <= lambda,
            // sizes come nearer to each other as second moments fall, so this holds later if it holds now
            Self::GroupL1(lambda) => largest * most * inverse <= lambda * m.len() as f64,
            Self::None | Self::L2(_) => largest == 0.0,
        }
    }
}
