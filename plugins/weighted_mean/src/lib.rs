//! The smallest aggregate in SQL: a mean that is the same however its rows were grouped.

use braid_guest::Aggregate;

/// Parts of one that are kept: sums of floats depend on their order, those of whole numbers do not.
const PARTS: f64 = 1_000_000.0;

/// The mean of values, each to six digits behind the point and as often as its weight says.
#[derive(Default)]
struct WeightedMean {
    parts: i64,
    weight: i64,
}

impl Aggregate for WeightedMean {
    type Arguments<'a> = (f64, i64);
    type Answer = Option<f64>;

    fn accumulate(&mut self, (value, weight): (f64, i64)) -> Result<(), String> {
        let parts = (value * PARTS).round();
        // Above this a double has no single units.
        if parts.is_nan() || parts.abs() > 2f64.powi(53) {
            return Err(format!("{value:?} is too large for a mean to six digits"));
        }
        let parts =
            (parts as i64).checked_mul(weight).ok_or_else(|| format!("{value:?} times {weight} is too large"))?;
        self.merge(Self { parts, weight })
    }

    fn merge(&mut self, other: Self) -> Result<(), String> {
        self.parts = self.parts.checked_add(other.parts).ok_or("the sum is too large")?;
        self.weight = self.weight.checked_add(other.weight).ok_or("the sum of weights is too large")?;
        Ok(())
    }

    fn finish(self) -> Option<f64> {
        (self.weight != 0).then(|| self.parts as f64 / self.weight as f64 / PARTS)
    }
}

braid_guest::aggregate!(WeightedMean { parts: i64, weight: i64 });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means() {
        let mut mean = WeightedMean::default();
        for row in [(1.5, 3), (2.5, 1)] {
            mean.accumulate(row).expect("it is small");
        }
        assert_eq!(mean.finish(), Some(1.75));
        assert_eq!(WeightedMean::default().finish(), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for row in [(1e300, 1), (f64::NAN, 1), (9e9, i64::MAX)] {
            assert!(WeightedMean::default().accumulate(row).is_err());
        }
    }
}
