//! Variance, covariance, correlation, regression, skewness and kurtosis of exact sums of powers.
//!
//! A state is the count and the exact sums Σx, Σy, Σx², Σxy, … ([`ExactSum`]), so partial states merge in any order to
//! the same bits. Products of doubles are kept exactly as a rounded product and its error (T. J. Dekker, "A floating-point
//! technique for extending the available precision", Numerische Mathematik 18, 1971). Central moments are then differences
//! of exact products, rounded once: nothing cancels.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::exact_sum::ExactSum;
use crate::grouped::{passes, state_of_each};
use crate::ungrouped::Ungrouped;

/// What is asked of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    VarPop,
    VarSamp,
    StddevPop,
    StddevSamp,
    Skewness,
    Kurtosis,
    CovarPop,
    CovarSamp,
    Corr,
    RegrCount,
    RegrAvgX,
    RegrAvgY,
    RegrSxx,
    RegrSyy,
    RegrSxy,
    RegrSlope,
    RegrIntercept,
    RegrR2,
}

/// Name, other names, and what it is.
const KINDS: &[(&str, &[&str], Kind)] = &[
    ("var_pop", &[], Kind::VarPop),
    ("var_samp", &["variance", "var", "var_sample"], Kind::VarSamp),
    ("stddev_pop", &[], Kind::StddevPop),
    ("stddev", &["stddev_samp", "std"], Kind::StddevSamp),
    ("skewness", &[], Kind::Skewness),
    ("kurtosis", &[], Kind::Kurtosis),
    ("covar_pop", &[], Kind::CovarPop),
    ("covar_samp", &["covar"], Kind::CovarSamp),
    ("corr", &[], Kind::Corr),
    ("regr_count", &[], Kind::RegrCount),
    ("regr_avgx", &[], Kind::RegrAvgX),
    ("regr_avgy", &[], Kind::RegrAvgY),
    ("regr_sxx", &[], Kind::RegrSxx),
    ("regr_syy", &[], Kind::RegrSyy),
    ("regr_sxy", &[], Kind::RegrSxy),
    ("regr_slope", &[], Kind::RegrSlope),
    ("regr_intercept", &[], Kind::RegrIntercept),
    ("regr_r2", &[], Kind::RegrR2),
];

/// The functions, in place of DataFusion's.
pub fn functions() -> Vec<Arc<AggregateUDF>> {
    let each = KINDS.iter().map(|(name, aliases, kind)| Moments {
        name,
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        kind: *kind,
        signature: Signature::user_defined(Volatility::Immutable),
    });
    each.map(|function| Arc::new(AggregateUDF::from(function))).collect()
}

impl Kind {
    fn arguments(self) -> usize {
        match self {
            Kind::VarPop | Kind::VarSamp | Kind::StddevPop | Kind::StddevSamp | Kind::Skewness | Kind::Kurtosis => 1,
            _ => 2,
        }
    }

    /// The powers of x and of y that are summed. In Spark's `f(y, x)` of two, x is the second.
    fn powers(self) -> &'static [(u8, u8)] {
        match self {
            Kind::Kurtosis => &[(1, 0), (2, 0), (3, 0), (4, 0)],
            Kind::Skewness => &[(1, 0), (2, 0), (3, 0)],
            kind if kind.arguments() == 1 => &[(1, 0), (2, 0)],
            _ => &[(1, 0), (0, 1), (2, 0), (1, 1), (0, 2)],
        }
    }

    fn answer(self) -> DataType {
        if self == Kind::RegrCount { DataType::Int64 } else { DataType::Float64 }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Moments {
    name: &'static str,
    aliases: Vec<String>,
    kind: Kind,
    signature: Signature,
}

impl AggregateUDFImpl for Moments {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        if arguments.len() != self.kind.arguments() {
            return plan_err!("{} takes {} arguments", self.name, self.kind.arguments());
        }
        Ok(vec![DataType::Float64; arguments.len()])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.kind.answer())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let mut fields = vec![Field::new(format_state_name(args.name, "count"), DataType::Int64, true)];
        let sums = self
            .kind
            .powers()
            .iter()
            .map(|(x, y)| Field::new(format_state_name(args.name, &format!("x{x}y{y}")), DataType::Binary, true));
        fields.extend(sums);
        Ok(fields.into_iter().map(Arc::new).collect())
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Ungrouped::of(MomentGroups::new(self.kind))?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(MomentGroups::new(self.kind)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A number as a sum of doubles, without loss.
type Expansion = Vec<f64>;

/// The rounded product and what rounding took from it.
fn product(a: f64, b: f64) -> (f64, f64) {
    let rounded = a * b;
    let error = a.mul_add(b, -rounded);
    // An overflow has no error to speak of.
    (rounded, if rounded.is_finite() { error } else { 0.0 })
}

fn times(left: &[f64], right: &[f64]) -> Expansion {
    let mut sum = ExactSum::default();
    for a in left {
        for b in right {
            let (rounded, error) = product(*a, *b);
            sum.add(rounded);
            sum.add(error);
        }
    }
    expansion(sum)
}

/// The doubles that a sum consists of, the greatest first.
fn expansion(mut sum: ExactSum) -> Expansion {
    let mut parts = Vec::new();
    loop {
        let part = sum.value();
        if part == 0.0 {
            return parts;
        }
        parts.push(part);
        if !part.is_finite() {
            return parts;
        }
        sum.add(-part);
    }
}

/// The rounded sum of multiples of expansions.
fn combined(terms: &[(f64, &[f64])]) -> f64 {
    let mut sum = ExactSum::default();
    for (factor, parts) in terms {
        for part in parts.iter() {
            let (rounded, error) = product(*factor, *part);
            sum.add(rounded);
            sum.add(error);
        }
    }
    sum.value()
}

#[derive(Debug, Clone)]
struct Sums {
    count: i64,
    sums: Vec<ExactSum>,
}

#[derive(Debug)]
struct MomentGroups {
    kind: Kind,
    groups: Vec<Sums>,
}

impl MomentGroups {
    fn new(kind: Kind) -> Self {
        Self { kind, groups: Vec::new() }
    }

    fn resize(&mut self, total: usize) {
        let empty = Sums { count: 0, sums: vec![ExactSum::default(); self.kind.powers().len()] };
        self.groups.resize(total, empty);
    }

    fn add(&mut self, group: usize, x: f64, y: f64) {
        let sums = &mut self.groups[group];
        sums.count += 1;
        for ((of_x, of_y), sum) in self.kind.powers().iter().zip(&mut sums.sums) {
            match (of_x, of_y) {
                (1, 0) => sum.add(x),
                (0, 1) => sum.add(y),
                (of_x, of_y) => {
                    let factors =
                        std::iter::repeat_n(x, usize::from(*of_x)).chain(std::iter::repeat_n(y, usize::from(*of_y)));
                    let mut parts = vec![1.0];
                    for factor in factors {
                        parts = parts
                            .iter()
                            .flat_map(|part| {
                                let (rounded, error) = product(*part, factor);
                                [rounded, error]
                            })
                            .filter(|part| *part != 0.0)
                            .collect();
                    }
                    parts.into_iter().for_each(|part| sum.add(part));
                }
            }
        }
    }
}

impl Sums {
    fn of(&self, index: usize) -> Expansion {
        expansion(self.sums[index].clone())
    }

    /// n²·(the mean of products of deviations), rounded once: n·Σab − Σa·Σb.
    fn central(&self, ab: usize, a: usize, b: usize) -> f64 {
        let (sum, square) = (self.of(ab), times(&self.of(a), &self.of(b)));
        combined(&[(self.count as f64, &sum), (-1.0, &square)])
    }

    fn answer(&self, kind: Kind) -> Option<f64> {
        let n = self.count as f64;
        if self.count == 0 {
            return (kind == Kind::RegrCount).then_some(0.0);
        }
        let sample = |of: f64| (self.count > 1).then(|| of / n / (n - 1.0));
        let xx = || self.central(2, 0, 0);
        let yy = || self.central(4, 1, 1);
        let xy = || self.central(3, 0, 1);
        let variance = || self.central(1, 0, 0);
        match kind {
            Kind::VarPop => Some(variance() / n / n),
            Kind::VarSamp => sample(variance()),
            Kind::StddevPop => Some((variance() / n / n).sqrt()),
            Kind::StddevSamp => sample(variance()).map(f64::sqrt),
            Kind::Skewness => {
                // n³·(the third central moment) = n²·Σx³ − 3n·Σx·Σx² + 2(Σx)³
                let (s1, s2, s3) = (self.of(0), self.of(1), self.of(2));
                let (cross, cube) = (times(&s1, &s2), times(&times(&s1, &s1), &s1));
                let third = combined(&[(n * n, &s3), (-3.0 * n, &cross), (2.0, &cube)]) / n / n / n;
                let second = variance() / n / n;
                (second != 0.0).then(|| third / (second * second * second).sqrt())
            }
            Kind::Kurtosis => {
                // n⁴·(the fourth central moment) = n³·Σx⁴ − 4n²·Σx·Σx³ + 6n·(Σx)²·Σx² − 3(Σx)⁴
                let (s1, s2, s3, s4) = (self.of(0), self.of(1), self.of(2), self.of(3));
                let square = times(&s1, &s1);
                let (a, b, c) = (times(&s1, &s3), times(&square, &s2), times(&square, &square));
                let terms: [(f64, &[f64]); 4] = [(n * n * n, &s4), (-4.0 * n * n, &a), (6.0 * n, &b), (-3.0, &c)];
                let fourth = combined(&terms) / n / n / n / n;
                let second = variance() / n / n;
                (second != 0.0).then(|| fourth / (second * second) - 3.0)
            }
            Kind::CovarPop => Some(xy() / n / n),
            Kind::CovarSamp => sample(xy()),
            Kind::Corr => (self.count > 1)
                .then(|| {
                    let spread = xx().sqrt() * yy().sqrt();
                    if spread == 0.0 { f64::NAN } else { xy() / spread }
                })
                .filter(|corr| !corr.is_nan() || n > 1.0),
            Kind::RegrCount => Some(n),
            Kind::RegrAvgX => Some(self.sums[0].value() / n),
            Kind::RegrAvgY => Some(self.sums[1].value() / n),
            Kind::RegrSxx => Some(xx() / n),
            Kind::RegrSyy => Some(yy() / n),
            Kind::RegrSxy => Some(xy() / n),
            Kind::RegrSlope => (self.count > 1 && xx() != 0.0).then(|| xy() / xx()),
            Kind::RegrIntercept => {
                (self.count > 1 && xx() != 0.0).then(|| (self.sums[1].value() - xy() / xx() * self.sums[0].value()) / n)
            }
            Kind::RegrR2 => {
                (self.count > 1 && xx() != 0.0).then(|| if yy() == 0.0 { 1.0 } else { xy() * xy() / (xx() * yy()) })
            }
        }
    }
}

impl GroupsAccumulator for MomentGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.resize(total);
        let columns: Vec<&Float64Array> = values.iter().map(|column| column.as_primitive::<Float64Type>()).collect();
        // Spark calls them f(y, x).
        let (x, y) = (columns[columns.len() - 1], columns[0]);
        for (row, &group) in groups.iter().enumerate() {
            if passes(filter, row) && x.is_valid(row) && y.is_valid(row) {
                self.add(group, x.value(row), y.value(row));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        let answers = groups.iter().map(|sums| sums.answer(self.kind));
        Ok(match self.kind {
            Kind::RegrCount => Arc::new(answers.map(|count| count.map(|count| count as i64)).collect::<Int64Array>()),
            _ => Arc::new(answers.collect::<Float64Array>()),
        })
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        let counts: Int64Array = groups.iter().map(|sums| Some(sums.count)).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(counts)];
        let mut bytes = Vec::new();
        for index in 0..self.kind.powers().len() {
            let mut builder = BinaryBuilder::new();
            for group in &groups {
                bytes.clear();
                group.sums[index].encode(&mut bytes);
                builder.append_value(&bytes);
            }
            columns.push(Arc::new(builder.finish()));
        }
        Ok(columns)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.resize(total);
        let counts = values[0].as_primitive::<Int64Type>();
        for (row, &group) in groups.iter().enumerate() {
            if counts.is_null(row) {
                continue;
            }
            self.groups[group].count += counts.value(row);
            for (sum, column) in self.groups[group].sums.iter_mut().zip(&values[1..]) {
                sum.add_encoded(column.as_binary::<i32>().value(row))
                    .map_err(|reason| exec_datafusion_err!("a damaged state: {reason}"))?;
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        state_of_each(MomentGroups::new(self.kind), values, filter)
    }

    fn size(&self) -> usize {
        self.groups.len() * (size_of::<Sums>() + self.kind.powers().len() * size_of::<ExactSum>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(kind: Kind, pairs: &[(f64, f64)]) -> MomentGroups {
        let mut groups = MomentGroups::new(kind);
        groups.resize(1);
        pairs.iter().for_each(|(y, x)| groups.add(0, *x, *y));
        groups
    }

    fn answer(kind: Kind, pairs: &[(f64, f64)]) -> Option<f64> {
        of(kind, pairs).groups[0].answer(kind)
    }

    #[test]
    fn nothing_cancels() {
        let far: Vec<(f64, f64)> = (0..4).map(|n| (1e15 + f64::from(n), 1e15 + f64::from(n))).collect();
        assert_eq!(answer(Kind::VarPop, &far), Some(1.25));
        assert_eq!(answer(Kind::CovarSamp, &far), Some(5.0 / 3.0));
        assert_eq!(answer(Kind::Skewness, &far), Some(0.0));
        assert_eq!(answer(Kind::Kurtosis, &far).map(|x| (x * 1e9).round()), Some(-1.36e9));
        assert_eq!(answer(Kind::RegrSlope, &far), Some(1.0));
    }

    #[test]
    fn few_values() {
        assert_eq!((answer(Kind::VarSamp, &[(1.0, 1.0)]), answer(Kind::VarPop, &[(1.0, 1.0)])), (None, Some(0.0)));
        assert_eq!((answer(Kind::VarPop, &[]), answer(Kind::RegrCount, &[])), (None, Some(0.0)));
    }

    proptest! {
        #[test]
        fn any_order_and_grouping_has_the_same_bits(
            pairs in prop::collection::vec((-1e6..1e6f64, -1e6..1e6f64), 1..30),
            cut in 0..30usize,
        ) {
            let whole = of(Kind::Kurtosis, &pairs).state(EmitTo::All).unwrap();
            let (left, right) = pairs.split_at(cut.min(pairs.len()));
            let mut merged = MomentGroups::new(Kind::Kurtosis);
            for part in [right, left] {
                merged.merge_batch(&of(Kind::Kurtosis, part).state(EmitTo::All).unwrap(), &[0], 1).unwrap();
            }
            prop_assert_eq!(whole, merged.state(EmitTo::All).unwrap());
        }
    }
}
