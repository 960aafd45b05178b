//! exp, ln and tanh in plain arithmetic without branches, so that a loop over rows runs in the widest registers; the same bits on
//! every machine. Within two units in the last place over the ranges they say.
//!
//! Reduction by multiples of ln 2, kept in two parts, and series: Cody & Waite, Software Manual for the Elementary
//! Functions (1980).

/// ln 2 = `LN2_HIGH + LN2_LOW`; the first part times any exponent is exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Adding it to a small number rounds that to an integer, which then stands in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Below this exp is taken as 0, above the other as infinite.
const LEAST: f64 = -708.0;
const MOST: f64 = 709.0;
/// Below this the series of [`tanh`] is exact to rounding.
const SMALL: f64 = 0.35;
/// 1/k!
const EXP: [f64; 14] = [
    1.0,
    1.0,
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];
/// 2/(2k + 1)
const ATANH: [f64; 11] =
    [2.0, 2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0, 2.0 / 11.0, 2.0 / 13.0, 2.0 / 15.0, 2.0 / 17.0, 2.0 / 19.0, 2.0 / 21.0];
/// The bits of √½, where the mantissas of [`ln`] begin, and of 1.
const ROOT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
const ONE: u64 = 0x3FF0_0000_0000_0000;
/// The bits of 2^52: a small integer in its low bits is that integer, less 2^52.
const TWO_52: u64 = 0x4330_0000_0000_0000;

/// e^x; 0 below −708, infinite above 709.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    let bounded = x.clamp(LEAST, MOST);
    let rounded = bounded * std::f64::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (bounded - k * LN2_HIGH) - k * LN2_LOW;
    let mut sum = EXP[13];
    for term in EXP[..13].iter().rev() {
        sum = sum * r + term;
    }
    let power = f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52);
    let inside = if x < LEAST { 0.0 } else { sum * power };
    if x > MOST { f64::INFINITY } else { inside }
}

/// ln x for normal x > 0.
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    // x = 2^k·m with m in [√½, √2)
    let shifted = x.to_bits().wrapping_sub(ROOT_HALF).wrapping_add(ONE);
    let k = f64::from_bits((shifted >> 52) | TWO_52) - f64::from_bits(1023 | TWO_52);
    let m = f64::from_bits((shifted & 0x000F_FFFF_FFFF_FFFF).wrapping_add(ROOT_HALF));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut sum = ATANH[10];
    for term in ATANH[..10].iter().rev() {
        sum = sum * z + term;
    }
    k * LN2_HIGH + (s * sum + k * LN2_LOW)
}

/// ln(1 + x) for x in [0, 1].
#[inline(always)]
pub(crate) fn ln_1p(x: f64) -> f64 {
    let u = 1.0 + x;
    // what rounding took from u
    ln(u) + (x - (u - 1.0)) / u
}

/// tanh x. Near 0 from the series of e^(2|x|) − 1, which loses nothing there.
#[inline(always)]
pub(crate) fn tanh(x: f64) -> f64 {
    let y = 2.0 * x.abs();
    let near = y.min(SMALL);
    let mut sum = EXP[13];
    for term in EXP[1..13].iter().rev() {
        sum = sum * near + term;
    }
    let less_one = sum * near;
    let far = 1.0 - 2.0 / (exp(y) + 1.0);
    (if y < SMALL { less_one / (less_one + 2.0) } else { far }).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(ours: f64, std: f64) -> bool {
        (ours - std).abs() <= 4.0 * f64::EPSILON * std.abs()
    }

    #[test]
    fn tanh_agrees_with_the_standard_library() {
        for k in -100_000..100_000 {
            let x = f64::from(k) * 2.1e-4;
            assert!((tanh(x) - x.tanh()).abs() <= 6.0 * f64::EPSILON * x.tanh().abs(), "tanh {x}: {} {}", tanh(x), x.tanh());
        }
        assert_eq!((tanh(0.0), tanh(f64::INFINITY), tanh(-1e300), tanh(1e-300)), (0.0, 1.0, -1.0, 1e-300));
        assert!(tanh(f64::NAN).is_nan());
    }

    #[test]
    fn they_agree_with_the_standard_library() {
        for k in 0..200_000 {
            let x = -f64::from(k) * 0.003_54;
            assert!(close(exp(x), x.exp()) && close(exp(-x), (-x).exp()), "exp {x}");
            let e = x.exp();
            assert!(close(ln_1p(e), e.ln_1p()), "ln_1p {e}");
            assert!(close(ln(e), x) || (ln(e) - e.ln()).abs() < 1e-16, "ln {e}");
        }
        assert_eq!((exp(0.0), exp(-0.0), exp(f64::NEG_INFINITY), exp(-1e300)), (1.0, 1.0, 0.0, 0.0));
        assert_eq!((exp(f64::INFINITY), exp(710.0)), (f64::INFINITY, f64::INFINITY));
        assert!(exp(f64::NAN).is_nan());
        assert_eq!((ln(1.0), ln_1p(0.0)), (0.0, 0.0));
        for x in [f64::MIN_POSITIVE, 1e-300, 0.5, 0.7, 0.71, 1.4, 1.5, 2.0, 1e300, f64::MAX] {
            assert!((ln(x) - x.ln()).abs() <= 2.0 * f64::EPSILON * x.ln().abs(), "ln {x}");
        }
    }
}
