//! `split(text, regex[, limit])` as in Spark.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use regex::Regex;

use crate::spark::compile;

/// The function.
pub fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(Split { signature: Signature::user_defined(Volatility::Immutable) }))
}

/// The pattern compiled last: a query has one per call.
static LAST: Mutex<Option<(String, Regex)>> = Mutex::new(None);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Split {
    signature: Signature,
}

impl ScalarUDFImpl for Split {
    fn name(&self) -> &str {
        "split"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments.len() {
            2 => Ok(vec![DataType::Utf8, DataType::Utf8]),
            3 => Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]),
            _ => plan_err!("split takes a text, a regular expression and optionally a limit"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = |index: usize| args.args[index].to_array(args.number_rows);
        let (texts, patterns) = (column(0)?, column(1)?);
        let (texts, patterns) = (texts.as_string::<i32>(), patterns.as_string::<i32>());
        let limits = if args.args.len() == 3 { Some(column(2)?) } else { None };
        let limits = limits.as_ref().map(|limits| limits.as_primitive::<Int64Type>());
        let mut lists = ListBuilder::new(StringBuilder::new());
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for row in 0..args.number_rows {
            let known = texts.is_valid(row) && patterns.is_valid(row);
            if !known || limits.is_some_and(|limits| limits.is_null(row)) {
                lists.append_null();
                continue;
            }
            let pattern = patterns.value(row);
            let regex = match last.take() {
                Some((known, regex)) if known == pattern => regex,
                _ => compile(pattern)?,
            };
            let limit = limits.map_or(-1, |limits| limits.value(row));
            split(texts.value(row), &regex, limit, |part| lists.values().append_value(part));
            lists.append(true);
            last = Some((pattern.to_owned(), regex));
        }
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = last;
        let lists: ArrayRef = Arc::new(lists.finish());
        if lists.len() != args.number_rows {
            return exec_err!("split lost a row");
        }
        Ok(ColumnarValue::Array(lists))
    }
}

/// Java's rule: an empty match at the start makes no part, and an empty pattern splits between characters.
fn split<'a>(text: &'a str, regex: &Regex, limit: i64, mut part: impl FnMut(&'a str)) {
    let (mut from, mut parts) = (0, 1);
    for found in regex.find_iter(text) {
        if limit > 0 && parts >= limit {
            break;
        }
        let empty_edge = found.is_empty() && (found.start() == 0 || found.end() == text.len());
        if empty_edge || (found.end() == 0) {
            continue;
        }
        part(&text[from..found.start()]);
        from = found.end();
        parts += 1;
    }
    part(&text[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_as_java_does() {
        let parts = |text: &'static str, pattern: &str, limit| {
            let mut parts = Vec::new();
            split(text, &Regex::new(pattern).unwrap(), limit, |part| parts.push(part));
            parts
        };
        assert_eq!(parts("one  two", r"\s+", -1), ["one", "two"]);
        assert_eq!(parts(" a b ", " ", -1), ["", "a", "b", ""]);
        assert_eq!(parts("", " ", -1), [""]);
        assert_eq!(parts("a1b2c", "[0-9]", 2), ["a", "b2c"]);
        assert_eq!(parts("abc", "", -1), ["a", "b", "c"]);
    }
}
