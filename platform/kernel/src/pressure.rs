//! Back-pressure: how many rows a second a source may give, from how fast the epochs before were processed.

use std::collections::BTreeMap;
use std::time::Duration;

/// The gains of the controller, and the bounds of what it says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backpressure {
    /// How long an epoch should take.
    pub interval: Duration,
    /// Rows a second until there is an estimate; no limit where it is not given.
    pub initial_rate: Option<f64>,
    /// Never less, in rows a second.
    pub min_rate: f64,
    /// The weight of the difference between the last rate and what was processed.
    pub proportional: f64,
    /// The weight of what has piled up.
    pub integral: f64,
    /// The weight of the difference's change.
    pub derived: f64,
}

/// One epoch, as the controller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Rows of the source.
    pub rows: u64,
    /// How long it took, in milliseconds.
    pub spent_ms: i64,
    /// How much later it began than it should have, in milliseconds.
    pub late_ms: i64,
}

/// What is remembered of the epochs before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    at_ms: i64,
    rate: f64,
    error: f64,
    /// The first epoch only measures.
    tuned: bool,
}

impl Backpressure {
    /// Takes an epoch into account. The algorithm is Spark's
    /// `org.apache.spark.streaming.scheduler.rate.PIDRateEstimator`: a PID controller whose set point is the rate at
    /// which rows are processed, whose error is the last rate's distance from it, and whose integral is the rows that
    /// came due while the epoch was late.
    pub fn next(&self, before: Option<Estimate>, seen: Observed) -> Option<Estimate> {
        if seen.rows == 0 || seen.spent_ms <= 0 || before.is_some_and(|before| seen.at_ms <= before.at_ms) {
            return before;
        }
        let processed = seen.rows as f64 * 1000.0 / seen.spent_ms as f64;
        let Some(before) = before else {
            return Some(Estimate { at_ms: seen.at_ms, rate: processed, error: 0.0, tuned: false });
        };
        let error = before.rate - processed;
        let piled_up = seen.late_ms.max(0) as f64 * processed / self.interval.as_millis().max(1) as f64;
        let change = (error - before.error) * 1000.0 / (seen.at_ms - before.at_ms) as f64;
        let rate = before.rate - self.proportional * error - self.integral * piled_up - self.derived * change;
        Some(Estimate { at_ms: seen.at_ms, rate: rate.max(self.min_rate), error, tuned: true })
    }

    /// The rate that holds now, in rows a second.
    fn rate(&self, estimate: Option<&Estimate>) -> Option<f64> {
        estimate.filter(|estimate| estimate.tuned).map(|estimate| estimate.rate).or(self.initial_rate)
    }
}

/// The estimates of all sources.
#[derive(Debug, Default)]
pub struct Pressure {
    sources: BTreeMap<String, Estimate>,
    late_ms: i64,
}

impl Pressure {
    /// Takes an epoch into account: its rows per source.
    pub fn observe(&mut self, settings: &Backpressure, rows: &BTreeMap<String, u64>, at_ms: i64, spent_ms: i64) {
        for (name, rows) in rows {
            let seen = Observed { at_ms, rows: *rows, spent_ms, late_ms: self.late_ms };
            if let Some(next) = settings.next(self.sources.get(name).copied(), seen) {
                self.sources.insert(name.clone(), next);
            }
        }
        // Epochs do not queue: the next is late by as much as this one was too long.
        let interval_ms = i64::try_from(settings.interval.as_millis()).unwrap_or(i64::MAX);
        self.late_ms = spent_ms.saturating_sub(interval_ms).max(0);
    }

    /// The rate that holds for a source, in rows a second, and how many rows of an epoch that is.
    pub fn limit(&self, settings: &Backpressure, source: &str) -> Option<(f64, u64)> {
        let rate = settings.rate(self.sources.get(source))?;
        Some((rate, (rate * settings.interval.as_secs_f64()).max(1.0) as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULTS: Backpressure = Backpressure {
        interval: Duration::from_secs(1),
        initial_rate: None,
        min_rate: 100.0,
        proportional: 1.0,
        integral: 0.2,
        derived: 0.0,
    };

    /// Epochs with so many rows each, and what each took.
    fn rates(settings: &Backpressure, epochs: &[(u64, i64, i64)]) -> Vec<Option<f64>> {
        let (mut estimate, mut at_ms) = (None, 0);
        let mut rates = vec![];
        for (rows, spent_ms, late_ms) in epochs.iter().copied() {
            at_ms += 1_000;
            estimate = settings.next(estimate, Observed { at_ms, rows, spent_ms, late_ms });
            rates.push(settings.rate(estimate.as_ref()));
        }
        rates
    }

    #[test]
    fn the_first_epoch_measures_and_the_second_says() {
        assert_eq!(rates(&DEFAULTS, &[(6_000, 3_000, 0), (4_000, 2_000, 0)]), [None, Some(2_000.0)]);
        let initial = Backpressure { initial_rate: Some(500.0), ..DEFAULTS };
        assert_eq!(rates(&initial, &[(6_000, 3_000, 0), (4_000, 2_000, 0)]), [Some(500.0), Some(2_000.0)]);
    }

    #[test]
    fn what_piled_up_is_taken_off_and_the_least_is_kept() {
        // 2,000 rows a second, two seconds late: a fifth of the 4,000 that came due meanwhile.
        assert_eq!(rates(&DEFAULTS, &[(2_000, 1_000, 0), (2_000, 1_000, 2_000)])[1], Some(1_200.0));
        assert_eq!(rates(&DEFAULTS, &[(2_000, 1_000, 0), (2_000, 1_000, 60_000)])[1], Some(100.0));
        assert_eq!(rates(&DEFAULTS, &[(1, 1_000, 0), (1, 1_000, 0)])[1], Some(100.0));
    }

    #[test]
    fn an_epoch_without_rows_or_time_says_nothing() {
        assert_eq!(rates(&DEFAULTS, &[(10, 10, 0), (0, 500, 0), (10, 0, 0)]), [None, None, None]);
        let before = DEFAULTS.next(None, Observed { at_ms: 5, rows: 1, spent_ms: 1, late_ms: 0 });
        assert_eq!(DEFAULTS.next(before, Observed { at_ms: 5, rows: 9, spent_ms: 1, late_ms: 0 }), before);
    }

    #[test]
    fn the_gains_weigh_the_error_and_its_change() {
        let half = Backpressure { proportional: 0.5, ..DEFAULTS };
        assert_eq!(rates(&half, &[(2_000, 1_000, 0), (1_000, 1_000, 0)])[1], Some(1_500.0));
        let derived = Backpressure { derived: 0.1, ..DEFAULTS };
        assert_eq!(rates(&derived, &[(2_000, 1_000, 0), (1_000, 1_000, 0)])[1], Some(900.0));
    }

    proptest! {
        /// Whatever a source offers, epochs come to take as long as they should, if a row costs what a row costs.
        #[test]
        fn epochs_come_to_take_their_time(rows_per_second in 500u64..1_000_000, first in 1u64..10_000_000) {
            let mut pressure = Pressure::default();
            let (mut at_ms, mut spent_ms) = (0, 0);
            for _ in 0..40 {
                let rows = pressure.limit(&DEFAULTS, "s").map_or(first, |(_, rows)| rows);
                spent_ms = (rows * 1_000 / rows_per_second).max(1) as i64;
                at_ms += spent_ms.max(1_000);
                pressure.observe(&DEFAULTS, &[("s".to_string(), rows)].into(), at_ms, spent_ms);
            }
            let (_, rows) = pressure.limit(&DEFAULTS, "s").unwrap();
            prop_assert!((900..=1_100).contains(&(rows * 1_000 / rows_per_second)), "{rows} rows, {spent_ms} ms");
        }
    }
}
