//! Aggregates that need all values: a state is how often each value came, so partial states merge in any order.
//!
//! Percentiles, the median and the mode are exact, sets and lists come in ascending order, and the approximate functions
//! (`approx_percentile`, `approx_top_k`) are as exact as the others. The state grows with the number of different values.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, UInt32Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use crate::grouped::{passes, state_of_each};
use crate::multiset_answers::{Counted, answer, answer_type, counted_type};
use crate::spark::normal;
use crate::ungrouped::Ungrouped;

/// What is asked of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Percentile,
    PercentileDisc,
    ApproxPercentile,
    Median,
    Mode,
    Set,
    List,
    Joined,
    TopK,
    SumDistinct,
    AvgDistinct,
    CountDistinct,
}

/// Name, other names, what it is, and the least and greatest number of arguments.
const KINDS: &[(&str, &[&str], Kind, usize, usize)] = &[
    ("percentile", &[], Kind::Percentile, 2, 2),
    ("percentile_disc", &[], Kind::PercentileDisc, 2, 2),
    ("percentile_approx", &["approx_percentile"], Kind::ApproxPercentile, 2, 3),
    ("median", &[], Kind::Median, 1, 1),
    ("mode", &[], Kind::Mode, 1, 1),
    ("collect_set", &[], Kind::Set, 1, 1),
    ("collect_list", &["array_agg"], Kind::List, 1, 1),
    ("string_agg", &["listagg"], Kind::Joined, 1, 2),
    ("approx_top_k", &[], Kind::TopK, 1, 3),
    ("sum_distinct", &[], Kind::SumDistinct, 1, 1),
    ("avg_distinct", &[], Kind::AvgDistinct, 1, 1),
    ("count_distinct", &[], Kind::CountDistinct, 2, usize::MAX),
];

/// The functions, in place of DataFusion's.
pub fn functions() -> Vec<Arc<AggregateUDF>> {
    let each = KINDS.iter().map(|(name, aliases, kind, least, most)| Multiset {
        name,
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        kind: *kind,
        arguments: (*least, *most),
        signature: Signature::user_defined(Volatility::Immutable),
    });
    each.map(|function| Arc::new(AggregateUDF::from(function))).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Multiset {
    name: &'static str,
    aliases: Vec<String>,
    kind: Kind,
    arguments: (usize, usize),
    signature: Signature,
}

impl Multiset {
    /// How many of the arguments are counted together; the others are literals.
    fn counted(&self, arguments: usize) -> usize {
        if self.kind == Kind::CountDistinct { arguments } else { 1 }
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<CountGroups> {
        let counted = self.counted(args.exprs.len());
        Ok(CountGroups {
            kind: self.kind,
            answer: args.return_field.data_type().clone(),
            types: args.expr_fields[..counted].iter().map(|field| field.data_type().clone()).collect(),
            literals: args.exprs[counted..].iter().map(literal).collect::<Result<_>>()?,
            groups: Vec::new(),
        })
    }
}

/// The value of an argument that must not depend on rows.
fn literal(expr: &Arc<dyn PhysicalExpr>) -> Result<ScalarValue> {
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return Ok(literal.value().clone());
    }
    let schema = Arc::new(arrow::datatypes::Schema::empty());
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let one = arrow::array::RecordBatch::try_new_with_options(schema, vec![], &options)?;
    match expr.evaluate(&one) {
        Ok(value) => ScalarValue::try_from_array(&value.into_array(1)?, 0),
        Err(_) => plan_err!("`{expr}` must be a literal"),
    }
}

impl AggregateUDFImpl for Multiset {
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
        let (least, most) = self.arguments;
        if arguments.len() < least || arguments.len() > most {
            return plan_err!("{} takes at least {least} arguments, and not {}", self.name, arguments.len());
        }
        let counted = self.counted(arguments.len());
        let mut types =
            arguments[..counted].iter().map(|given| counted_type(self.kind, given)).collect::<Result<Vec<_>>>()?;
        types.extend(arguments[counted..].iter().cloned());
        Ok(types)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        answer_type(self.kind, arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "values"), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Ungrouped::of(self.groups(&args)?)?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

type Counts = BTreeMap<Box<[u8]>, u64>;

/// How often each value came, per group.
#[derive(Debug)]
struct CountGroups {
    kind: Kind,
    answer: DataType,
    types: Vec<DataType>,
    literals: Vec<ScalarValue>,
    groups: Vec<Counts>,
}

impl CountGroups {
    fn converter(&self) -> Result<RowConverter> {
        Ok(RowConverter::new(self.types.iter().map(|data_type| SortField::new(data_type.clone())).collect())?)
    }

    /// Whether only the first of equal values counts.
    fn distinct(&self) -> bool {
        matches!(self.kind, Kind::Set | Kind::SumDistinct | Kind::AvgDistinct | Kind::CountDistinct)
    }
}

impl GroupsAccumulator for CountGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, Counts::new);
        let distinct = self.distinct();
        let values = &values[..self.types.len()];
        let normal: Vec<ArrayRef> = values.iter().map(normal).collect();
        let rows = self.converter()?.convert_columns(&normal)?;
        for (row, &group) in groups.iter().enumerate() {
            if passes(filter, row) && values.iter().all(|column| column.is_valid(row)) {
                let row = rows.row(row);
                match self.groups[group].get_mut(row.as_ref()) {
                    Some(_) if distinct => {}
                    Some(count) => *count += 1,
                    None => drop(self.groups[group].insert(row.as_ref().into(), 1)),
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        let converter = self.converter()?;
        let parser = converter.parser();
        let answers = groups.iter().map(|counts| {
            let columns = converter.convert_rows(counts.keys().map(|row| parser.parse(row)))?;
            let counted = Counted { values: columns[0].clone(), counts: counts.values().copied().collect() };
            answer(self.kind, &counted, &self.literals, &self.answer)
        });
        let answers = answers.collect::<Result<Vec<_>>>()?;
        if answers.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.answer));
        }
        let found = ScalarValue::iter_to_array(answers)?;
        Ok(if found.data_type() == &self.answer { found } else { arrow::compute::cast(&found, &self.answer)? })
    }

    /// Per value its length, its bytes and its count, in ascending order of values: one encoding for equal states.
    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit_to.take_needed(&mut self.groups);
        let mut builder = BinaryBuilder::new();
        let mut bytes = Vec::new();
        for counts in &groups {
            bytes.clear();
            for (value, count) in counts {
                bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
                bytes.extend_from_slice(value);
                bytes.extend_from_slice(&count.to_le_bytes());
            }
            builder.append_value(&bytes);
        }
        Ok(vec![Arc::new(builder.finish())])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, Counts::new);
        let distinct = self.distinct();
        let states = values[0].as_binary::<i32>();
        let damaged = || exec_datafusion_err!("a damaged state of counted values");
        for (row, &group) in groups.iter().enumerate() {
            if states.is_null(row) {
                continue;
            }
            let mut rest = states.value(row);
            while !rest.is_empty() {
                let (length, after) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
                let (value, after) =
                    after.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
                let (count, after) = after.split_first_chunk::<8>().ok_or_else(damaged)?;
                let count = u64::from_le_bytes(*count);
                let known = self.groups[group].entry(value.into()).or_default();
                *known = if distinct { 1 } else { *known + count };
                rest = after;
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let each = CountGroups {
            kind: self.kind,
            answer: self.answer.clone(),
            types: self.types.clone(),
            literals: self.literals.clone(),
            groups: Vec::new(),
        };
        state_of_each(each, values, filter)
    }

    fn size(&self) -> usize {
        self.groups.iter().flat_map(|counts| counts.keys()).map(|value| value.len() + 48).sum()
    }
}

/// Some of the values.
pub fn places(values: &ArrayRef, indices: impl Iterator<Item = u32>) -> Result<ArrayRef> {
    if values.is_empty() {
        return exec_err!("no values");
    }
    Ok(arrow::compute::take(values, &UInt32Array::from_iter_values(indices), None)?)
}

/// The doubles of a column.
pub fn doubles(values: &ArrayRef) -> Result<Vec<f64>> {
    let doubles = arrow::compute::cast(values, &DataType::Float64)?;
    Ok(doubles.as_primitive::<Float64Type>().values().to_vec())
}
