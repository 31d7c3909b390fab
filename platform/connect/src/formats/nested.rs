//! JSON whose schema holds structs, lists or maps: left to arrow-json, record by record only where a batch has a bad one.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use braid_kernel::SourceError;

/// The decoder of nested schemas. Records wait as text until the batch is wanted.
#[derive(Debug)]
pub(super) struct Nested {
    declared: SchemaRef,
    projection: Vec<usize>,
    text: String,
    ends: Vec<usize>,
}

/// The columns, and what was wrong with which of the records.
pub(super) struct Finished {
    pub(super) columns: Vec<ArrayRef>,
    /// The record's index and the reason, ascending.
    pub(super) bad: Vec<(usize, String)>,
}

impl Nested {
    pub(super) fn new(declared: &SchemaRef, projected: &SchemaRef) -> Result<Self, SourceError> {
        let projection = projected.fields().iter().map(|field| declared.index_of(field.name()));
        let projection = projection.collect::<Result<_, _>>().map_err(|e| SourceError::Fatal(e.to_string()))?;
        let nested = Self { declared: declared.clone(), projection, text: String::new(), ends: Vec::new() };
        nested.decoder().map_err(SourceError::Fatal)?;
        Ok(nested)
    }

    /// Keeps a record that is one JSON object.
    pub(super) fn record(&mut self, record: &str) -> Result<(), String> {
        if !record.trim_start().starts_with('{') {
            return Err(format!("expected an object, found {}", super::json::found(record)));
        }
        serde_json::from_str::<serde::de::IgnoredAny>(record).map_err(|e| e.to_string())?;
        self.text.push_str(record);
        self.text.push('\n');
        self.ends.push(self.text.len());
        Ok(())
    }

    /// The raw text of a kept record.
    pub(super) fn raw(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.text[start..self.ends[index]].trim_end()
    }

    /// Decodes what was kept; call [`Self::clear`] when done with [`Self::raw`].
    pub(super) fn finish(&self) -> Result<Finished, String> {
        if let Ok(columns) = self.decode(&self.text, self.ends.len()) {
            return Ok(Finished { columns, bad: Vec::new() });
        }
        let mut good = String::with_capacity(self.text.len());
        let mut rows = 0;
        let mut bad = Vec::new();
        for index in 0..self.ends.len() {
            let raw = self.raw(index);
            match self.decode(raw, 1) {
                Ok(_) => {
                    good.push_str(raw);
                    good.push('\n');
                    rows += 1;
                }
                Err(reason) => bad.push((index, reason)),
            }
        }
        Ok(Finished { columns: self.decode(&good, rows)?, bad })
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn decoder(&self) -> Result<Decoder, String> {
        // All declared columns are decoded, so that a record is bad for every reader or for none.
        let schema = Schema::new(self.declared.fields().clone());
        let rows = self.ends.len() + 1;
        let builder = ReaderBuilder::new(Arc::new(schema)).with_batch_size(rows);
        builder.build_decoder().map_err(|e| e.to_string())
    }

    fn decode(&self, text: &str, rows: usize) -> Result<Vec<ArrayRef>, String> {
        let mut decoder = self.decoder()?;
        let used = decoder.decode(text.as_bytes()).map_err(|e| e.to_string())?;
        let batch = decoder.flush().map_err(|e| e.to_string())?;
        match batch {
            Some(batch) if used == text.len() && batch.num_rows() == rows => {
                Ok(self.projection.iter().map(|column| batch.column(*column).clone()).collect())
            }
            None if rows == 0 => Ok(self
                .projection
                .iter()
                .map(|column| arrow::array::new_empty_array(self.declared.field(*column).data_type()))
                .collect()),
            _ => Err("the records and the rows do not match".into()),
        }
    }
}
