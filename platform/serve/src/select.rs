//! Which rows of an answer, in which order, from where: the parameters of a scan.
//!
//! `country=Norway`, `revenue.ge=100.5`, `w.start.lt=2011-12-01T00:00:00Z`, `name.is=null`,
//! `order=revenue.desc,country`, `limit=20`, `after=<next of the page before>`. `position` stands for the order in which
//! rows were appended: `order=position.desc` gives the newest first. Pages are cut by the values of the last
//! row, not by its number, so a page does not skip or repeat rows when the answer has moved on in between.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, UInt64Array};
use arrow::compute::kernels::cmp;
use arrow::compute::{
    CastOptions, SortOptions, and, cast_with_options, filter, filter_record_batch, is_not_null, is_null, nullif,
    take_record_batch,
};
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, SortField};

use crate::Limits;
use crate::answer::Answer;
use crate::problem::{Code, Problem};

/// A scan, as it was asked for.
#[derive(Debug, Default)]
pub struct Selection {
    conditions: Vec<Condition>,
    order: Vec<(Place, SortOptions)>,
    order_text: String,
    limit: usize,
    after: Option<Vec<u8>>,
}

/// What rows are ordered by.
#[derive(Debug)]
enum Place {
    Position,
    Column(Vec<String>),
}

#[derive(Debug)]
struct Condition {
    path: Vec<String>,
    test: Test,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Is,
}

/// A page of rows.
#[derive(Debug)]
pub struct Page {
    /// The rows.
    pub rows: RecordBatch,
    /// What `after` takes for the rows behind these; `None` where these are the last.
    pub next: Option<String>,
}

impl Selection {
    /// Reads the parameters that are about rows; those in `other` are somebody else's.
    pub fn parse(parameters: &[(String, String)], other: &[&str], schema: &Schema) -> Result<Self, Problem> {
        let mut selection = Self { limit: Limits::SCAN_ROWS_DEFAULT, ..Self::default() };
        for (name, value) in parameters {
            match name.as_str() {
                "limit" => selection.limit = limit(value, Limits::SCAN_ROWS_MAX)?,
                "order" => {
                    selection.order_text.clone_from(value);
                    for part in value.split(',').filter(|part| !part.is_empty()) {
                        selection.order.push(order(part, schema)?);
                    }
                }
                "after" => selection.after = Some(cursor_bytes(value)?),
                name if other.contains(&name) => {}
                name => selection.conditions.push(condition(name, value, schema)?),
            }
        }
        Ok(selection)
    }

    /// The page of an answer. Rows come by the order asked for and then by key, or in the order in which they were appended.
    pub fn apply(&self, answer: &Answer) -> Result<Page, Problem> {
        let mut rows = answer.rows.clone();
        let mut positions: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..rows.num_rows() as u64));
        for condition in &self.conditions {
            let mask = condition.mask(&rows)?;
            positions = filter(&positions, &mask).map_err(Problem::internal)?;
            rows = filter_record_batch(&rows, &mask).map_err(Problem::internal)?;
        }
        let mut sort: Vec<(ArrayRef, SortOptions)> = vec![];
        for (place, options) in &self.order {
            let column = match place {
                Place::Position => positions.clone(),
                Place::Column(path) => column(&rows, path)?,
            };
            sort.push((column, *options));
        }
        match answer.keys.is_empty() || answer.by_key().is_none() {
            true => sort.push((positions, SortOptions::default())),
            false => sort.extend(answer.keys.iter().map(|key| (rows.column(*key).clone(), SortOptions::default()))),
        }
        let fields = sort
            .iter()
            .map(|(column, options)| SortField::new_with_options(column.data_type().clone(), *options))
            .collect();
        let columns: Vec<ArrayRef> = sort.into_iter().map(|(column, _)| column).collect();
        let places = RowConverter::new(fields)
            .and_then(|converter| converter.convert_columns(&columns))
            .map_err(|error| Problem::new(Code::Unsupported, error.to_string()))?;
        let after = self.after_bytes()?;
        let mut chosen: Vec<u64> = (0..rows.num_rows())
            .filter(|row| after.is_none_or(|after| places.row(*row).data() > after))
            .map(|row| row as u64)
            .collect();
        chosen.sort_unstable_by(|a, b| places.row(*a as usize).data().cmp(places.row(*b as usize).data()));
        let more = chosen.len() > self.limit;
        chosen.truncate(self.limit);
        let next = match chosen.last() {
            Some(last) if more => Some(cursor_text(&self.order_text, places.row(*last as usize).data())),
            _ => None,
        };
        let rows = take_record_batch(&rows, &UInt64Array::from(chosen)).map_err(Problem::internal)?;
        Ok(Page { rows, next })
    }

    fn after_bytes(&self) -> Result<Option<&[u8]>, Problem> {
        let Some(after) = &self.after else {
            return Ok(None);
        };
        match after.split_at_checked(4) {
            Some((order, place)) if order == order_digest(&self.order_text) => Ok(Some(place)),
            _ => Err(bad("`after` belongs to a scan in another order; begin again without it")),
        }
    }
}

impl Condition {
    fn mask(&self, rows: &RecordBatch) -> Result<BooleanArray, Problem> {
        let column = column(rows, &self.path)?;
        let mask = match (self.test, self.value.as_str()) {
            (Test::Is, "null") => is_null(&column),
            (Test::Is, "not_null") => is_not_null(&column),
            (Test::Is, other) => {
                return Err(bad(format!("`.is` takes null or not_null, not `{other}`")));
            }
            (test, value) => {
                let value = StringArray::new_scalar(value);
                let options = CastOptions { safe: false, ..CastOptions::default() };
                let text = value.into_inner();
                let value = cast_with_options(&text, column.data_type(), &options)
                    .map_err(|error| bad(format!("`{}`: {error}", self.path.join("."))))?;
                let value = arrow::array::Scalar::new(value);
                match test {
                    Test::Equal | Test::Is => cmp::eq(&column, &value),
                    Test::NotEqual => cmp::neq(&column, &value),
                    Test::Less => cmp::lt(&column, &value),
                    Test::LessOrEqual => cmp::lt_eq(&column, &value),
                    Test::Greater => cmp::gt(&column, &value),
                    Test::GreaterOrEqual => cmp::gt_eq(&column, &value),
                }
            }
        };
        let mask = mask.map_err(|error| bad(error.to_string()))?;
        match mask.nulls() {
            None => Ok(mask),
            Some(_) => {
                let known = is_not_null(&mask).map_err(Problem::internal)?;
                let values = BooleanArray::new(mask.values().clone(), None);
                and(&values, &known).map_err(Problem::internal)
            }
        }
    }
}

/// A number of rows, at most `most`.
pub fn limit(value: &str, most: usize) -> Result<usize, Problem> {
    match value.parse::<usize>() {
        Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(bad(format!("`limit` is a number from 1 to {most}, not `{value}`"))),
    }
}

fn condition(name: &str, value: &str, schema: &Schema) -> Result<Condition, Problem> {
    let value = value.to_owned();
    if let Some(path) = resolve(name, schema) {
        let test = Test::Equal;
        return Ok(Condition { path, test, value });
    }
    if let Some((rest, test)) = name.rsplit_once('.')
        && let Some(path) = resolve(rest, schema)
    {
        let test = match test {
            "eq" => Test::Equal,
            "ne" => Test::NotEqual,
            "lt" => Test::Less,
            "le" => Test::LessOrEqual,
            "gt" => Test::Greater,
            "ge" => Test::GreaterOrEqual,
            "is" => Test::Is,
            other => {
                return Err(bad(format!(
                    "`{name}`: `{rest}` has no field `{other}`, and tests are eq, ne, lt, le, gt, ge, is"
                )));
            }
        };
        return Ok(Condition { path, test, value });
    }
    Err(unknown_column(name, schema))
}

fn order(part: &str, schema: &Schema) -> Result<(Place, SortOptions), Problem> {
    let place = |name: &str| match resolve(name, schema) {
        Some(path) => Some(Place::Column(path)),
        None => (name == "position").then_some(Place::Position),
    };
    let options = |descending| SortOptions { descending, nulls_first: false };
    if let Some(place) = place(part) {
        return Ok((place, options(false)));
    }
    let (name, descending) = match part.rsplit_once('.') {
        Some((name, "asc")) => (name, false),
        Some((name, "desc")) => (name, true),
        _ => (part, false),
    };
    match place(name) {
        Some(place) => Ok((place, options(descending))),
        None => Err(unknown_column(name, schema)),
    }
}

/// The column of that name, or the field of a struct: `w.start`. A column whose own name has a dot comes first.
fn resolve(name: &str, schema: &Schema) -> Option<Vec<String>> {
    if schema.field_with_name(name).is_ok() {
        return Some(vec![name.to_owned()]);
    }
    for (dot, _) in name.match_indices('.') {
        let Ok(field) = schema.field_with_name(&name[..dot]) else {
            continue;
        };
        if let DataType::Struct(fields) = field.data_type() {
            let inner = resolve(&name[dot + 1..], &Schema::new(fields.clone()))?;
            return Some(std::iter::once(name[..dot].to_owned()).chain(inner).collect());
        }
    }
    None
}

fn column(rows: &RecordBatch, path: &[String]) -> Result<ArrayRef, Problem> {
    let missing = || Problem::internal(format!("column {} is missing", path.join(".")));
    let (first, rest) = path.split_first().ok_or_else(missing)?;
    let mut column = rows.column_by_name(first).ok_or_else(missing)?.clone();
    for name in rest {
        let parent = column.as_struct_opt().ok_or_else(missing)?;
        let child = parent.column_by_name(name).ok_or_else(missing)?;
        column = match parent.nulls() {
            Some(_) => {
                let gone = is_null(&column).map_err(Problem::internal)?;
                nullif(child, &gone).map_err(Problem::internal)?
            }
            None => child.clone(),
        };
    }
    Ok(column)
}

fn unknown_column(name: &str, schema: &Schema) -> Problem {
    let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    bad(format!("there is no column `{name}`; there are: {}", known.join(", ")))
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadParameter, detail)
}

/// Which order a cursor belongs to, in four bytes (FNV-1a).
fn order_digest(order: &str) -> [u8; 4] {
    let hash = order.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.to_be_bytes()
}

fn cursor_text(order: &str, place: &[u8]) -> String {
    use std::fmt::Write;
    let bytes = order_digest(order);
    bytes.iter().chain(place).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn cursor_bytes(text: &str) -> Result<Vec<u8>, Problem> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()
        .filter(|bytes| bytes.len() >= 4)
        .ok_or_else(|| bad("`after` is not the `next` of a page"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use braid_kernel::TableKind;
    use proptest::prelude::*;

    fn answer(values: &[(Option<i64>, Option<String>)], keyed: bool) -> Answer {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from_iter_values(0..values.len() as i64))),
            ("n", Arc::new(Int64Array::from_iter(values.iter().map(|v| v.0)))),
            ("s", Arc::new(StringArray::from_iter(values.iter().map(|v| v.1.as_ref())))),
        ];
        let rows =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
        match keyed {
            true => Answer::new(rows.unwrap(), TableKind::Keyed, vec![0]),
            false => Answer::new(rows.unwrap(), TableKind::Append, vec![]),
        }
    }

    fn ids(rows: &RecordBatch) -> Vec<i64> {
        let ids = rows.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        ids.values().to_vec()
    }

    fn selection(parameters: &[(&str, String)], answer: &Answer) -> Selection {
        let own = |(name, value): &(&str, String)| (name.to_string(), value.clone());
        let parameters: Vec<_> = parameters.iter().map(own).collect();
        Selection::parse(&parameters, &[], &answer.rows.schema()).unwrap()
    }

    proptest! {
        /// Pages put together are the answer, once each, in the order of a plain sort; nulls come last either way.
        #[test]
        fn pages_are_the_whole(
            values in prop::collection::vec((prop::option::of(-3_i64..3), prop::option::of("[ab\\PC]{0,2}")), 0..40),
            limit in 1_usize..9,
            descending: bool,
            keyed: bool,
        ) {
            let answer = answer(&values, keyed);
            let direction = if descending { "desc" } else { "asc" };
            let order = format!("n.{direction},s");
            let mut expected: Vec<i64> = (0..values.len() as i64).collect();
            expected.sort_by_key(|id| {
                let (n, s) = &values[*id as usize];
                let n = (n.is_none(), n.map_or(0, |n| if descending { -n } else { n }));
                (n, s.is_none(), s.clone(), *id)
            });
            let mut seen = vec![];
            let mut after = None;
            loop {
                let mut parameters = vec![("order", order.clone()), ("limit", limit.to_string())];
                parameters.extend(after.map(|after| ("after", after)));
                let page = selection(&parameters, &answer).apply(&answer).unwrap();
                prop_assert!(page.rows.num_rows() <= limit);
                seen.extend(ids(&page.rows));
                after = page.next;
                if after.is_none() { break; }
            }
            prop_assert_eq!(seen, expected);
        }

        /// A cursor from outside is refused or is a place; it is never a panic.
        #[test]
        fn any_cursor_is_survived(text in "\\PC{0,40}|[0-9a-f]{0,40}") {
            let answer = answer(&[(Some(1), None)], true);
            let parameters = [("after".to_owned(), text)];
            if let Ok(selection) = Selection::parse(&parameters, &[], &answer.rows.schema()) {
                let _ = selection.apply(&answer);
            }
        }
    }

    #[test]
    fn a_null_passes_no_comparison() {
        let answer = answer(&[(None, None), (Some(1), None), (Some(2), None)], true);
        for (name, value, expected) in [
            ("n.ne", "1", vec![2]),
            ("n.le", "1", vec![1]),
            ("n.is", "null", vec![0]),
            ("n.is", "not_null", vec![1, 2]),
        ] {
            let page = selection(&[(name, value.to_owned())], &answer).apply(&answer).unwrap();
            assert_eq!(ids(&page.rows), expected, "{name}={value}");
        }
    }
}
