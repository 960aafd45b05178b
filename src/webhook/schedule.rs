//! When to try again: exponential back-off with full jitter, given up after a day.

use std::time::Duration;

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
/// The longest pause after the first, second, … attempt; after those, the last.
const PAUSES: [u64; 7] = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR];
/// No pause is shorter.
const LEAST: Duration = Duration::from_millis(500);
/// A message is given up that could not be delivered within this time.
const PATIENCE: Duration = Duration::from_secs(24 * HOUR);

/// The pause after attempt number `step` (1, 2, …) of a series begun `age` ago; `None` = give up. `random` is drawn
/// evenly from all numbers: receivers that fell together are not asked together.
pub(super) fn delay(step: i64, age: Duration, random: u64) -> Option<Duration> {
    let index = usize::try_from(step.max(1) - 1).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
    let share = random as f64 / u64::MAX as f64;
    let pause = Duration::from_secs(PAUSES[index]).mul_f64(share).max(LEAST);
    (age + pause <= PATIENCE).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_hours_and_are_spread_over_their_whole_range() {
        for (step, pause) in PAUSES.iter().enumerate() {
            let step = i64::try_from(step).unwrap() + 1;
            assert_eq!(delay(step, Duration::ZERO, u64::MAX), Some(Duration::from_secs(*pause)));
            assert_eq!(delay(step, Duration::ZERO, 0), Some(LEAST));
            let half = delay(step, Duration::ZERO, u64::MAX / 2).unwrap();
            assert!((half.as_secs_f64() / *pause as f64 - 0.5).abs() < 1e-6);
        }
        assert_eq!(delay(1000, Duration::ZERO, u64::MAX), Some(Duration::from_secs(3 * HOUR)));
        assert_eq!(delay(0, Duration::ZERO, u64::MAX), delay(1, Duration::ZERO, u64::MAX));
    }

    #[test]
    fn a_series_ends_within_a_day_whatever_is_drawn() {
        let mut attempts = Vec::new();
        for random in [0, u64::MAX / 7, u64::MAX / 2, u64::MAX] {
            let (mut age, mut step) = (Duration::ZERO, 1);
            while let Some(pause) = delay(step, age, random) {
                age += pause;
                step += 1;
                if step > 1_000_000 {
                    break;
                }
            }
            assert!(age <= PATIENCE && age > PATIENCE - Duration::from_secs(3 * HOUR), "{age:?}");
            attempts.push(step);
        }
        assert!((10..30).contains(&attempts[3]) && (15..60).contains(&attempts[2]), "{attempts:?}");
        assert_eq!(delay(5, PATIENCE, 0), None);
    }
}
