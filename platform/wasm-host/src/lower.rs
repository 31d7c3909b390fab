//! From Arrow to the contract's layout: borrowed wherever a slice of the batch lies there already as it must.

use std::borrow::Cow;

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::buffer::BooleanBuffer;
use braid_wire::{Layout, Type, bitmap_bytes};

use crate::boundary::{ColumnIn, WireType};

/// One column, ready to be lowered.
pub(crate) struct Lowered<'a> {
    name: &'a str,
    data_type: WireType,
    validity: Option<Cow<'a, [u8]>>,
    offsets: Option<Cow<'a, [u8]>>,
    values: Cow<'a, [u8]>,
}

impl Lowered<'_> {
    pub(crate) fn as_column(&self) -> ColumnIn<'_> {
        ColumnIn {
            name: self.name,
            data_type: self.data_type,
            validity: self.validity.as_deref(),
            offsets: self.offsets.as_deref(),
            values: &self.values,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let optional = |bytes: &Option<Cow<'_, [u8]>>| bytes.as_ref().map_or(0, |b| b.len());
        self.values.len() + optional(&self.validity) + optional(&self.offsets)
    }
}

/// The columns of a batch whose types are `types`. `data` is the batch's columns as [`ArrayData`], which they borrow from.
pub(crate) fn lower<'a>(batch: &'a RecordBatch, data: &'a [ArrayData], types: &[Type]) -> Vec<Lowered<'a>> {
    let fields = batch.schema_ref().fields().iter();
    let columns = fields.zip(data).zip(types);
    columns.map(|((field, data), data_type)| lower_column(field.name(), data, *data_type)).collect()
}

/// The columns of a batch, as what [`lower`] borrows from.
pub(crate) fn column_data(batch: &RecordBatch) -> Vec<ArrayData> {
    batch.columns().iter().map(|column| column.to_data()).collect()
}

fn lower_column<'a>(name: &'a str, data: &'a ArrayData, data_type: Type) -> Lowered<'a> {
    let (rows, offset) = (data.len(), data.offset());
    let nulls = data.nulls().filter(|nulls| nulls.null_count() > 0);
    let validity = nulls.map(|nulls| bits(nulls.inner()));
    let (offsets, values) = match data_type.layout() {
        Layout::Bits => {
            (None, Cow::Owned(bits(&BooleanBuffer::new(data.buffers()[0].clone(), offset, rows)).into_owned()))
        }
        Layout::Fixed(width) => {
            let bytes = data.buffers()[0].as_slice();
            (None, Cow::Borrowed(&bytes[offset * width..(offset + rows) * width]))
        }
        Layout::Offsets => {
            let (offsets, from, to) = rebased(data);
            (Some(offsets), Cow::Borrowed(&data.buffers()[1].as_slice()[from..to]))
        }
    };
    Lowered { name, data_type: data_type.into(), validity, offsets, values }
}

/// The bits of a bitmap from its first byte on, and zeros after the last one: what lies beside a slice is not shown.
fn bits(bitmap: &BooleanBuffer) -> Cow<'_, [u8]> {
    let (offset, rows) = (bitmap.offset(), bitmap.len());
    let bytes = bitmap_bytes(rows);
    if offset % 8 == 0 && rows % 8 == 0 {
        return Cow::Borrowed(&bitmap.values()[offset / 8..offset / 8 + bytes]);
    }
    let mut sliced = bitmap.sliced().as_slice()[..bytes].to_vec();
    if let Some(last) = sliced.last_mut()
        && rows % 8 != 0
    {
        *last &= (1 << (rows % 8)) - 1;
    }
    Cow::Owned(sliced)
}

/// Offsets that begin with 0, and which bytes they are offsets into.
fn rebased(data: &ArrayData) -> (Cow<'_, [u8]>, usize, usize) {
    if data.is_empty() {
        return (Cow::Owned(0i32.to_le_bytes().to_vec()), 0, 0);
    }
    let buffer = &data.buffers()[0];
    let range = data.offset()..data.offset() + data.len() + 1;
    let offsets = &buffer.typed_data::<i32>()[range.clone()];
    let (first, last) = (offsets[0], offsets[data.len()]);
    let rebased = if first == 0 {
        Cow::Borrowed(&buffer.as_slice()[range.start * 4..range.end * 4])
    } else {
        Cow::Owned(offsets.iter().flat_map(|o| (o - first).to_le_bytes()).collect())
    };
    (rebased, first as usize, last as usize)
}
