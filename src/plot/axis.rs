//! Axes: where a value lies between two ends, and which values are worth a tick.

use super::text::{ems, exponent_of, power, short};

/// How values are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Spread {
    Linear,
    /// Of values above 0.
    Log,
    /// log(1 + value), of values from 0; its low end may lie a little below.
    LogOne,
}

/// One axis: its ends, its spread, its words.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    spread: Spread,
    low: f64,
    high: f64,
    /// The larger value first.
    falling: bool,
    /// No ticks between whole numbers.
    whole: bool,
    /// Without the signs of what lies below 0.
    unsigned: bool,
    /// Where 0 stands on an axis that cannot have it: below everything else.
    zero: Option<f64>,
    pub(super) label: String,
}

/// A value with a mark.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) text: String,
}

impl Axis {
    /// Over all finite `values` that the spread can show; without any over 0 … 1.
    pub(super) fn over(spread: Spread, label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let legal = |value: &f64| match spread {
            Spread::Linear => value.is_finite(),
            Spread::Log => value.is_finite() && *value > 0.0,
            Spread::LogOne => value.is_finite() && *value >= 0.0,
        };
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        values.into_iter().filter(legal).for_each(|value| (low, high) = (low.min(value), high.max(value)));
        if low > high {
            (low, high) = if spread == Spread::Log { (0.1, 1.0) } else { (0.0, 1.0) };
        }
        if high - low <= 1e-12 * low.abs().max(high.abs()) || low == high {
            (low, high) = match spread {
                Spread::Linear => {
                    let half = if low == 0.0 { 0.5 } else { (0.1 * low.abs()).min(f64::MAX / 4.0) };
                    (low - half, high + half)
                }
                Spread::Log => ((low / 3.0).max(f64::MIN_POSITIVE), (high * 3.0).min(f64::MAX)),
                Spread::LogOne => ((low / 2.0).floor(), high * 2.0 + 1.0),
            };
        }
        Self { spread, low, high, falling: false, whole: false, unsigned: false, zero: None, label: label.to_owned() }
    }

    pub(super) fn falling(self) -> Self {
        Self { falling: true, ..self }
    }

    pub(super) fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    pub(super) fn unsigned(self) -> Self {
        Self { unsigned: true, ..self }
    }

    /// A logarithmic axis that has a place for 0 as well, below all other values.
    pub(super) fn with_zero(self) -> Self {
        let (a, b) = (self.forward(self.low), self.forward(self.high));
        let place = self.backward(a - (0.1 * (b - a)).max(0.3)).max(f64::MIN_POSITIVE);
        Self { low: place, zero: Some(place), ..self }
    }

    /// With room of that share of its length at both ends.
    pub(super) fn padded(self, share: f64) -> Self {
        self.padded_by(share, share)
    }

    /// With room at the low and at the high end.
    pub(super) fn padded_by(self, below: f64, above: f64) -> Self {
        let (a, b) = (self.forward(self.low), self.forward(self.high));
        let (low, high) = (self.backward(a - (b - a) * below), self.backward(b + (b - a) * above));
        let keep = |new: f64, old: f64| if new.is_finite() { new } else { old };
        let low = if self.spread == Spread::LogOne { low.max(-0.5) } else { low };
        let low = if self.spread == Spread::Log { low.max(f64::MIN_POSITIVE) } else { low };
        Self { low: keep(low, self.low), high: keep(high, self.high), ..self }
    }

    fn forward(&self, value: f64) -> f64 {
        match self.spread {
            // halved: the length of the widest range is a double too
            Spread::Linear => value / 2.0,
            Spread::Log => value.max(f64::MIN_POSITIVE).log10(),
            Spread::LogOne => value.max(-0.9).ln_1p(),
        }
    }

    fn backward(&self, value: f64) -> f64 {
        match self.spread {
            Spread::Linear => value * 2.0,
            Spread::Log => 10f64.powf(value),
            Spread::LogOne => value.exp_m1(),
        }
    }

    /// Where a value lies: 0 at the beginning of the axis, 1 at its end, a little beyond outside of it.
    pub(super) fn at(&self, value: f64) -> f64 {
        let (a, b) = (self.forward(self.low), self.forward(self.high));
        let value = self.zero.filter(|_| value <= 0.0).unwrap_or(value);
        let share = (self.forward(value) - a) / (b - a);
        let share = if share.is_finite() { share.clamp(-1.0, 2.0) } else { 0.0 };
        if self.falling { 1.0 - share } else { share }
    }

    /// As many ticks as find room on `pixels`; `extent` is what a text takes of them.
    pub(super) fn ticks(&self, pixels: f64, extent: impl Fn(&str) -> f64) -> Vec<Tick> {
        let fits = |ticks: &[Tick]| {
            let places: Vec<(f64, f64)> = ticks.iter().map(|tick| (self.at(tick.value) * pixels, extent(&tick.text))).collect();
            places.windows(2).all(|pair| (pair[1].0 - pair[0].0).abs() >= (pair[0].1 + pair[1].1) / 2.0)
        };
        let choices = match self.spread {
            Spread::Linear => self.linear(pixels),
            Spread::Log => self.decades(),
            Spread::LogOne => self.zero_and_up(),
        };
        let mut choices = choices;
        choices.iter_mut().for_each(|ticks| ticks.retain(|tick| tick.value.is_finite()));
        let last = choices.last().cloned().unwrap_or_default();
        let mut chosen = choices.into_iter().find(|ticks| fits(ticks)).unwrap_or(last);
        while chosen.len() > 2 && !fits(&chosen) {
            chosen = chosen.into_iter().step_by(2).collect();
        }
        if let Some(zero) = self.zero {
            let far = |tick: &Tick| (self.at(tick.value) - self.at(zero)).abs() * pixels >= extent(&tick.text);
            chosen.retain(far);
            chosen.insert(0, Tick { value: 0.0, text: "0".into() });
        }
        if self.unsigned {
            chosen.iter_mut().for_each(|tick| tick.text = tick.text.replace('−', ""));
        }
        chosen
    }

    fn inside(&self, value: f64) -> bool {
        let (a, b, x) = (self.forward(self.low), self.forward(self.high), self.forward(value));
        let slack = 1e-9 * (b - a);
        (value > 0.0 || self.spread != Spread::Log) && x >= a - slack && x <= b + slack
    }

    /// Finest first.
    fn linear(&self, pixels: f64) -> Vec<Vec<Tick>> {
        let most = (pixels / 26.0).clamp(2.0, 10.0) as u32;
        let range = self.high / 2.0 - self.low / 2.0;
        let mut choices = Vec::new();
        for n in (1..=most).rev() {
            let rough = range / f64::from(n) * 2.0;
            let base = 10f64.powi(exponent_of(rough));
            let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * base).find(|step| *step >= rough * 0.999).unwrap_or(rough);
            let step = if self.whole { step.max(1.0) } else { step };
            if !(step.is_finite() && step > 0.0) {
                continue;
            }
            let first = (self.low / step).ceil();
            let values: Vec<f64> = (0..=20).map(|i| (first + f64::from(i)) * step).filter(|v| v.is_finite() && self.inside(*v)).collect();
            choices.push(labelled(&values, step));
        }
        choices
    }

    fn decades(&self) -> Vec<Vec<Tick>> {
        let (from, to) = (exponent_of(self.low) - 1, exponent_of(self.high) + 1);
        let powers: Vec<i32> = (from..=to).filter(|e| self.inside(10f64.powi(*e))).collect();
        if powers.len() < 2 && self.high / self.low < 30.0 {
            let mut rough = self.linear(360.0);
            rough.retain(|ticks| !ticks.is_empty());
            if powers.is_empty() || rough.first().is_some_and(|ticks| ticks.len() > 2) {
                return rough;
            }
        }
        let plain = powers.iter().all(|e| (-3..=4).contains(e));
        let text = |mantissa: f64, e: i32| {
            if plain {
                short(mantissa * 10f64.powi(e), 1)
            } else if mantissa == 1.0 {
                power(e)
            } else {
                format!("{mantissa}·{}", power(e))
            }
        };
        let tick = |mantissa: f64, e: i32| Tick { value: mantissa * 10f64.powi(e), text: text(mantissa, e) };
        let fine = (from..=to).flat_map(|e| [1.0, 2.0, 5.0].map(|m| tick(m, e))).filter(|tick| self.inside(tick.value)).collect();
        let mut choices = if powers.len() <= 3 { vec![fine] } else { Vec::new() };
        for stride in [1, 2, 5, 10, 20, 50, 100] {
            choices.push(powers.iter().filter(|e| e.rem_euclid(stride) == 0).map(|e| tick(1.0, *e)).collect());
        }
        choices.retain(|ticks: &Vec<Tick>| !ticks.is_empty());
        choices
    }

    fn zero_and_up(&self) -> Vec<Vec<Tick>> {
        let tick = |value: f64| Tick { value, text: count(value) };
        let top = exponent_of(self.high.max(1.0)).min(300);
        let grid = |mantissas: &[f64], stride: i32| -> Vec<Tick> {
            let powers = (0..=top).filter(|e| e % stride == 0);
            let values = powers.flat_map(|e| mantissas.iter().map(move |m| m * 10f64.powi(e)));
            std::iter::once(0.0).chain(values).filter(|value| self.inside(*value)).map(tick).collect()
        };
        let mut choices = vec![grid(&[1.0, 2.0, 5.0], 1), grid(&[1.0, 3.0], 1)];
        choices.extend([1, 2, 3, 5, 10].map(|stride| grid(&[1.0], stride)));
        if choices[2].len() < 3 && self.high > 3.0 && self.high / (1.0 + self.low) < 8.0 {
            choices.splice(0..0, self.linear(480.0));
        }
        choices.retain(|ticks| !ticks.is_empty());
        choices
    }
}

/// A count on an axis: 20000 is 20k.
pub(super) fn count(value: f64) -> String {
    match value.abs() {
        v if v >= 1e9 => short(value, 2),
        v if v >= 1e6 => format!("{}M", short(value / 1e6, 3)),
        v if v >= 1e4 => format!("{}k", short(value / 1e3, 3)),
        _ => short(value, 4),
    }
}

/// Ticks `step` apart, with as many digits as tell them apart.
fn labelled(values: &[f64], step: f64) -> Vec<Tick> {
    let most = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let (unit, sign) = match most {
        m if m >= 1e9 || (m > 0.0 && m < 1e-3) => (10f64.powi(exponent_of(m)), format!("·{}", power(exponent_of(m)))),
        m if m >= 1e6 && step >= 1e4 => (1e6, "M".to_owned()),
        m if m >= 1e4 && step >= 1e2 => (1e3, "k".to_owned()),
        _ => (1.0, String::new()),
    };
    let mut decimals = (-exponent_of(step / unit)).clamp(0, 12) as usize;
    // 2.5 of a unit is told by one digit more than its exponent says
    let lead = step / unit * 10f64.powi(decimals as i32);
    if (lead - lead.round()).abs() > 1e-6 {
        decimals += 1;
    }
    let text = |value: f64| {
        let rounded = value / unit;
        if rounded == 0.0 || rounded.abs() < 1e-9 * step / unit {
            return "0".to_owned();
        }
        let number = if rounded.abs() < 1e15 { format!("{rounded:.decimals$}") } else { format!("{rounded:.3e}") };
        format!("{}{sign}", number.replace('-', "−"))
    };
    values.iter().map(|value| Tick { value: *value, text: text(*value) }).collect()
}

/// What a text in a row takes of it, with a gap.
pub(super) fn across(size: f64) -> impl Fn(&str) -> f64 {
    move |text| ems(text) * size + 0.9 * size
}

/// What a text in a column takes of it, with a gap.
pub(super) fn down(size: f64) -> impl Fn(&str) -> f64 {
    move |_| 1.7 * size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis, pixels: f64) -> Vec<String> {
        axis.ticks(pixels, across(12.0)).into_iter().map(|tick| tick.text).collect()
    }

    #[test]
    fn ticks_are_round_and_find_room() {
        assert_eq!(texts(&Axis::over(Spread::Linear, "", [0.0, 1.0]), 210.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(&Axis::over(Spread::Linear, "", [-30000.0, 50000.0]), 240.0), ["−20k", "0", "20k", "40k"]);
        assert_eq!(texts(&Axis::over(Spread::Log, "", [1e-4, 1.0]), 500.0), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰"]);
        assert_eq!(texts(&Axis::over(Spread::LogOne, "", [0.0, 120.0]), 600.0), ["0", "1", "2", "5", "10", "20", "50", "100"]);
        assert_eq!(texts(&Axis::over(Spread::LogOne, "", [0.0, 120.0]), 150.0), ["0", "1", "3", "10", "30", "100"]);
        assert_eq!(texts(&Axis::over(Spread::Linear, "", [0.0, 3.0]).whole(), 900.0), ["0", "1", "2", "3"]);
    }

    #[test]
    fn any_two_ends_give_places_and_ticks() {
        let extremes = [0.0, -0.0, 1.0, -1.0, f64::MAX, -f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e-300, 1e300, f64::NAN, f64::INFINITY, 0.3];
        for a in extremes {
            for b in extremes {
                for spread in [Spread::Linear, Spread::Log, Spread::LogOne] {
                    let axis = Axis::over(spread, "x", [a, b]).padded(0.05);
                    for value in extremes {
                        assert!(axis.at(value).is_finite(), "{a} {b} {value}");
                    }
                    let ticks = axis.ticks(400.0, across(12.0));
                    assert!(ticks.len() <= 60, "{a} {b} {spread:?}: {}", ticks.len());
                    assert!(ticks.iter().all(|tick| tick.value.is_finite() && !tick.text.is_empty()), "{a} {b} {spread:?} {ticks:?}");
                }
            }
        }
    }

    #[test]
    fn no_tick_lies_outside_however_far_the_ends_are_apart() {
        for (spread, low, high) in
            [(Spread::Log, 2e-13, 3.0), (Spread::Log, 1e-300, 1e300), (Spread::LogOne, 0.0, 1e15), (Spread::Linear, -1e-9, 1e9)]
        {
            let axis = Axis::over(spread, "", [low, high]);
            let ticks = axis.ticks(2000.0, across(12.0));
            assert!(ticks.len() > 2 && ticks.iter().all(|tick| (-1e-6..=1.0 + 1e-6).contains(&axis.at(tick.value))), "{ticks:?}");
        }
    }

    #[test]
    fn a_falling_axis_begins_with_its_largest_value() {
        let axis = Axis::over(Spread::Log, "", [0.01, 1.0]).falling();
        assert_eq!((axis.at(1.0), axis.at(0.01), axis.at(0.1)), (0.0, 1.0, 0.5));
    }
}
