//! ⊕ of states: the last row per key, in the order of keys.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::row::{RowConverter, Rows, SortField};
use braid_kernel::Front;
use datafusion::common::Result;

/// Rows with their keys as comparable bytes; with none, where a state has one key.
struct Part<'a> {
    rows: &'a RecordBatch,
    keys: Option<Rows>,
}

/// Merges parts, oldest first; a key that is gone leaves no trace.
pub fn merge(parts: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    let whole: Vec<usize> = parts.iter().map(RecordBatch::num_rows).collect();
    merge_heads(&with_keys(parts)?, &whole, true)
}

/// Merges the fronts of parts in the order of their keys: see [`braid_kernel::Merge::front`].
pub fn front(parts: &[RecordBatch], goes_on: &[bool], first: bool) -> Result<Front> {
    let parts = with_keys(parts)?;
    let open = parts.iter().zip(goes_on).filter(|(part, goes_on)| **goes_on && part.rows.num_rows() > 0);
    let lasts = open.filter_map(|(part, _)| Some(part.keys.as_ref()?.row(part.rows.num_rows() - 1)));
    let cuts: Vec<usize> = match lasts.min() {
        None => parts.iter().map(|part| part.rows.num_rows()).collect(),
        Some(last) => {
            let cut = |part: &Part<'_>| {
                let keys = part.keys.as_ref();
                let (mut from, mut to) = (0, part.rows.num_rows());
                while from < to {
                    let middle = (from + to) / 2;
                    match keys.is_none_or(|keys| keys.row(middle) <= last) {
                        true => from = middle + 1,
                        false => to = middle,
                    }
                }
                from
            };
            parts.iter().map(cut).collect()
        }
    };
    let rest = parts.iter().zip(&cuts).map(|(part, cut)| part.rows.slice(*cut, part.rows.num_rows() - cut)).collect();
    Ok(Front { merged: merge_heads(&parts, &cuts, first)?.into_iter().collect(), rest })
}

fn with_keys(parts: &[RecordBatch]) -> Result<Vec<Part<'_>>> {
    let Some(first) = parts.first() else {
        return Ok(Vec::new());
    };
    let schema = first.schema();
    let keys = schema.fields().iter().take_while(|field| field.name().starts_with("key")).count();
    let fields = schema.fields()[..keys].iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let with_keys = |rows| {
        let keys = if keys == 0 { None } else { Some(converter.convert_columns(&RecordBatch::columns(rows)[..keys])?) };
        Ok(Part { rows, keys })
    };
    parts.iter().map(with_keys).collect()
}

/// Merges so many rows of each part.
fn merge_heads(parts: &[Part<'_>], heads: &[usize], first: bool) -> Result<Option<RecordBatch>> {
    let mut order: Vec<(u32, u32)> = Vec::new();
    for (number, head) in heads.iter().enumerate() {
        order.extend((0..*head).map(|row| (number as u32, row as u32)));
    }
    let key = |(number, row): &(u32, u32)| parts[*number as usize].keys.as_ref().map(|keys| keys.row(*row as usize));
    // The sort is stable: of equal keys the last is the newest. A base is in order already, which makes it cheap.
    order.sort_by(|one, other| key(one).cmp(&key(other)));
    let gone: Vec<&BooleanArray> =
        parts.iter().map(|part| part.rows.column(part.rows.num_columns() - 1).as_boolean()).collect();
    let last = order.iter().enumerate().filter(|(index, at)| {
        let newest = order.get(index + 1).is_none_or(|next| key(next) != key(at));
        newest && !(first && gone[at.0 as usize].value(at.1 as usize))
    });
    let last: Vec<(usize, usize)> = last.map(|(_, (number, row))| (*number as usize, *row as usize)).collect();
    if last.is_empty() {
        return Ok(None);
    }
    drop(order);
    let rows: Vec<&RecordBatch> = parts.iter().map(|part| part.rows).collect();
    Ok(Some(interleave_record_batch(&rows, &last)?))
}
