//! A stream of bytes to records in bounded memory, however long a line is.

use std::io::Read;
use std::sync::Arc;

use braid_kernel::{BadRecord, Rows, SourceError};
use memchr::memchr;

use super::{Decoder, RECORD_BYTES_MAX};

/// How much is read at once. It grows only for a record that is longer.
const READ_BYTES: usize = 1024 * 1024;
/// What some editors put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The source failed.
    Error(SourceError),
    /// Nobody wants the rows any more.
    Gone,
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Error(error)
    }
}

/// Reads one partition to its end, and gives out its rows batch by batch.
/// `record_bytes_max` is [`RECORD_BYTES_MAX`], less in tests.
pub(crate) fn read_records(
    reader: &mut dyn Read,
    decoder: &mut Decoder,
    partition: &Arc<str>,
    emit: &mut dyn FnMut(Rows) -> Result<(), Stop>,
) -> Result<(), Stop> {
    read_records_up_to(RECORD_BYTES_MAX, reader, decoder, partition, emit)
}

fn read_records_up_to(
    record_bytes_max: usize,
    reader: &mut dyn Read,
    decoder: &mut Decoder,
    partition: &Arc<str>,
    emit: &mut dyn FnMut(Rows) -> Result<(), Stop>,
) -> Result<(), Stop> {
    decoder.start(partition.clone(), 0);
    let mut buffer = vec![0; READ_BYTES.min(record_bytes_max + 1)];
    let (mut filled, mut first) = (0, true);
    // The rest of a record that was too long is passed over.
    let mut skipping = false;
    loop {
        let end = fill(reader, &mut buffer, &mut filled, partition)?;
        let mut at = 0;
        if first && buffer[..filled].starts_with(BYTE_ORDER_MARK) {
            at = BYTE_ORDER_MARK.len();
        }
        first = false;
        if skipping {
            match memchr(b'\n', &buffer[at..filled]) {
                Some(newline) => (skipping, at) = (false, at + newline + 1),
                None => at = filled,
            }
        }
        loop {
            at += decoder.block(&buffer[at..filled], end);
            if !decoder.full() {
                break;
            }
            if let Some(rows) = decoder.take()? {
                emit(rows)?;
            }
        }
        if end {
            break;
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        if filled > record_bytes_max {
            // The second byte of the line end before may still be there.
            let blank = buffer[..filled].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            decoder.pass(&buffer[..blank]);
            let newline = memchr(b'\n', &buffer[blank..filled]).map(|newline| blank + newline);
            let line = newline.unwrap_or(filled).min(blank + BadRecord::RAW_BYTES_MAX);
            decoder.too_long(&buffer[blank..line]);
            // A quote that was never closed may hold many lines: go on after the first.
            match newline {
                Some(newline) => {
                    buffer.copy_within(newline + 1..filled, 0);
                    filled -= newline + 1;
                }
                None => (skipping, filled) = (true, 0),
            }
            // Whatever follows is read in small pieces again.
            if filled < READ_BYTES && buffer.len() > READ_BYTES {
                buffer.truncate(READ_BYTES);
                buffer.shrink_to_fit();
            }
        } else if filled == buffer.len() {
            let grown = (buffer.len() * 2).min(record_bytes_max + 1);
            buffer.resize(grown, 0);
        }
    }
    if let Some(rows) = decoder.take()? {
        emit(rows)?;
    }
    Ok(())
}

/// Reads until the buffer is full; true at the end of the input.
fn fill(reader: &mut dyn Read, buffer: &mut [u8], filled: &mut usize, partition: &str) -> Result<bool, SourceError> {
    while *filled < buffer.len() {
        match reader.read(&mut buffer[*filled..]) {
            Ok(0) => return Ok(true),
            Ok(read) => *filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SourceError::Retry(format!("{partition}: {error}"))),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, RecordBatch};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use braid_spec::model::{Csv, Format};

    use super::*;

    /// All rows and bad records of some bytes, read with a small limit.
    fn read(
        format: &Format,
        fields: &[(&str, DataType)],
        bytes: &[u8],
    ) -> (Vec<RecordBatch>, Vec<i64>, Vec<BadRecord>) {
        let fields: Vec<Field> = fields.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect();
        let mut decoder = Decoder::new(format, &Arc::new(Schema::new(fields)), None, 4).unwrap();
        let (mut batches, mut offsets, mut bad) = (vec![], vec![], vec![]);
        read_records_up_to(100, &mut &bytes[..], &mut decoder, &Arc::from("f"), &mut |rows| {
            assert!(rows.batch.num_rows() <= 4);
            offsets.extend_from_slice(rows.offsets.values());
            batches.push(rows.batch);
            bad.extend(rows.bad);
            Ok(())
        })
        .unwrap();
        (batches, offsets, bad)
    }

    #[test]
    fn a_line_of_any_length_is_one_bad_record() {
        for length in [99, 100, 101, 102, 150, 199, 200, 201, 5000] {
            let mut bytes = b"one\n".to_vec();
            bytes.extend(vec![b'x'; length]);
            bytes.extend(b"\ntwo\nthree");
            let (_, offsets, bad) = read(&Format::Text, &[("value", DataType::Utf8)], &bytes);
            if length <= 100 {
                assert_eq!((offsets, bad.len()), (vec![0, 1, 2, 3], 0), "{length}");
            } else {
                assert_eq!((offsets, bad.len(), bad[0].offset), (vec![0, 2, 3], 1, 1), "{length}");
                assert!(bad[0].raw.starts_with(b"xxxx"));
            }
        }
    }

    #[test]
    fn a_last_line_that_never_ends_is_one_bad_record() {
        let (_, offsets, bad) = read(&Format::Text, &[("value", DataType::Utf8)], &[b'x'; 5000]);
        assert_eq!((offsets, bad.len()), (vec![], 1));
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_its_line() {
        let csv = Format::Csv(Csv { header: true, delimiter: b',', quote: b'"', null_value: None });
        let mut text = String::from("\u{feff}n,t\n1,a\n2,\"open\n");
        for n in 3..40 {
            text.push_str(&format!("{n},row number {n}\n"));
        }
        let (batches, offsets, bad) = read(&csv, &[("n", DataType::Int32), ("t", DataType::Utf8)], text.as_bytes());
        let rows: Vec<i32> =
            batches.iter().flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec()).collect();
        assert_eq!(rows, [vec![1], (3..40).collect()].concat());
        assert_eq!(bad.iter().map(|b| (b.offset, &b.raw[..])).collect::<Vec<_>>(), [(2, &b"2,\"open"[..])]);
        assert_eq!(offsets, [vec![1], (3..40).collect()].concat());
    }
}
