//! Rows as people read them: tables, and what differs between two lists of lines.

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use braid_kernel::keyed::FailedRow;

/// Something with a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What it is.
    pub title: String,
    /// Its lines.
    pub text: String,
}

impl Shown {
    /// A text under a title.
    pub fn new(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { title: title.into(), text: text.into() }
    }
}

fn options() -> FormatOptions<'static> {
    FormatOptions::default().with_display_error(true).with_null("null")
}

/// A table.
pub fn table(rows: &RecordBatch) -> String {
    if rows.num_rows() == 0 {
        return "no rows".to_owned();
    }
    match pretty_format_batches_with_options(std::slice::from_ref(rows), &options()) {
        Ok(table) => table.to_string(),
        Err(error) => error.to_string(),
    }
}

/// A line for each row: `id: 1, name: "ada"`.
pub fn lines(rows: &RecordBatch) -> Vec<String> {
    let schema = rows.schema();
    let options = options();
    let columns = rows.columns().iter().zip(schema.fields());
    let columns: Vec<_> =
        columns.map(|(column, field)| (field, column, ArrayFormatter::try_new(column.as_ref(), &options))).collect();
    let line = |row: usize| {
        let cells = columns.iter().map(|(field, column, formatter)| {
            let text = match formatter {
                Ok(formatter) => formatter.value(row).to_string(),
                Err(error) => error.to_string(),
            };
            match field.data_type() {
                arrow::datatypes::DataType::Utf8 if column.is_valid(row) => format!("{}: {text:?}", field.name()),
                _ => format!("{}: {text}", field.name()),
            }
        });
        cells.collect::<Vec<_>>().join(", ")
    };
    (0..rows.num_rows()).map(line).collect()
}

/// Rows that failed, with their numbers from 1.
pub fn failed(failed: &[FailedRow]) -> String {
    let lines = failed.iter().map(|FailedRow { row, reason }| format!("row {} failed: {reason}", row + 1));
    lines.collect::<Vec<_>>().join("\n")
}

/// What must go (`-`) and what must come (`+`) so that `left` becomes `right`; what both have stands between.
pub fn difference(left: &[String], right: &[String]) -> String {
    // longest[i][j]: how many lines the rests from i and from j have in common, in order.
    let mut longest = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            longest[i][j] = match left[i] == right[j] {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && left[i] == right[j] {
            lines.push(format!("  {}", left[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == right.len() || (i < left.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            lines.push(format!("- {}", left[i]));
            i += 1;
        } else {
            lines.push(format!("+ {}", right[j]));
            j += 1;
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_keeps_what_both_have() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(difference(&lines("a b c"), &lines("a c d")), "  a\n- b\n  c\n+ d");
        assert_eq!(difference(&lines("a"), &lines("a")), "  a");
    }
}
