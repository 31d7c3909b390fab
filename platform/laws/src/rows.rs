//! Rows as an author writes them: maps by a column's name, or lists in the columns' order.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::ReaderBuilder;
use braid_spec::fixtures::{Fixtures, Told};
use serde_json::{Map, Value};

use crate::cell::{self, Row};

/// A batch of these columns. A column that is not named is null.
pub fn from_json(schema: &SchemaRef, rows: &[Value]) -> Result<RecordBatch, String> {
    let decoder = ReaderBuilder::new(schema.clone()).with_strict_mode(true).build_decoder();
    let mut decoder = decoder.map_err(|error| error.to_string())?;
    for (number, row) in rows.iter().enumerate() {
        let wrong = |reason: String| format!("row {}, {row}: {reason}", number + 1);
        let row = named(schema, row).map_err(wrong)?;
        decoder.serialize(&[row]).map_err(|error| wrong(reason(&error.to_string())))?;
    }
    let batch = decoder.flush().map_err(|error| reason(&error.to_string()))?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(schema.clone())))
}

/// What the reader says, without what it is called.
fn reason(error: &str) -> String {
    error.trim_start_matches("Json error: ").to_owned()
}

fn named(schema: &SchemaRef, row: &Value) -> Result<Value, String> {
    let fields = schema.fields();
    match row {
        Value::Object(cells) => {
            if let Some(unknown) = cells.keys().find(|name| schema.index_of(name).is_err()) {
                let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
                return Err(format!("there is no column `{unknown}`; there are: {}", names.join(", ")));
            }
            Ok(row.clone())
        }
        Value::Array(cells) if cells.len() == fields.len() => {
            let cells = fields.iter().zip(cells).map(|(field, cell)| (field.name().clone(), cell.clone()));
            Ok(Value::Object(cells.collect::<Map<_, _>>()))
        }
        Value::Array(cells) => Err(format!("{} values for {} columns", cells.len(), fields.len())),
        _ => Err("a row is a map by the columns' names, or a list in their order".to_owned()),
    }
}

/// The rows of all fixtures whose columns are these.
pub fn examples(schema: &SchemaRef, fixtures: &Fixtures) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for fixture in &fixtures.fixtures {
        for Told { rows: told, .. } in &fixture.epochs {
            let told = from_json(schema, told).map_err(|reason| format!("`{}`: {reason}", fixture.name))?;
            rows.extend(cell::rows(&told));
        }
    }
    Ok(rows)
}
