//! Round trips, damage and costs of Parquet segments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use braid_kernel::laws_store::{assert_same_rows, segments_laws};

use super::*;
use crate::open;

fn events(rows: usize) -> RecordBatch {
    let strings = |column: u64, distinct: u64| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..rows as u64).map(|row| {
            let value = (row + column).wrapping_mul(0x9E37_79B9_7F4A_7C15) % distinct;
            let wide = (value + column).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            format!("{wide:016x}-{:04x}-{value:012x}", wide >> 48)
        })))
    };
    let ip = StringArray::from_iter_values((0..rows as u64).map(|row| {
        let hash = row.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        format!(
            "{}.{}.{}.{}",
            hash >> 56,
            hash >> 48 & 255,
            hash >> 40 & 255,
            hash >> 32 & 255
        )
    }));
    let kinds = ["view", "click", "purchase"];
    let kind = StringArray::from_iter_values((0..rows).map(|row| kinds[row * 7 / 3 % 3]));
    let time = TimestampMillisecondArray::from_iter_values(
        (0..rows as i64).map(|row| 1_700_000_000_000 + row / 20),
    );
    RecordBatch::try_from_iter([
        ("user_id", strings(1, 10_000)),
        ("page_id", strings(2, 1_000)),
        ("ad_id", strings(3, 1_000)),
        ("event_type", Arc::new(kind) as ArrayRef),
        ("event_time", Arc::new(time)),
        ("ip_address", Arc::new(ip)),
        (
            "offset",
            Arc::new(Int64Array::from_iter_values(0..rows as i64)),
        ),
    ])
    .expect("a batch")
}

/// Prints what the codecs cost: `cargo test -p braid-storage --release -- --ignored --nocapture costs`.
#[test]
#[ignore = "measures, and asserts nothing about time"]
fn costs() {
    let batches = vec![events(ROWS_PER_GROUP)];
    let codecs = [
        ("none", Compression::UNCOMPRESSED),
        ("lz4", Compression::LZ4_RAW),
        ("snappy", Compression::SNAPPY),
        (
            "zstd 1",
            Compression::ZSTD(parquet::basic::ZstdLevel::try_new(1).expect("a level")),
        ),
    ];
    for (name, codec) in codecs {
        for dictionary in [true, false] {
            for statistics in [
                EnabledStatistics::None,
                EnabledStatistics::Chunk,
                EnabledStatistics::Page,
            ] {
                let properties = properties()
                    .into_builder()
                    .set_compression(codec)
                    .set_dictionary_enabled(dictionary)
                    .set_statistics_enabled(statistics)
                    .build();
                let (mut write, mut read) = (Duration::MAX, Duration::MAX);
                let mut size = 0;
                for _ in 0..7 {
                    let start = Instant::now();
                    let bytes = encode_as(&batches, properties.clone()).expect("encodes");
                    write = write.min(start.elapsed());
                    size = bytes.len();
                    let start = Instant::now();
                    let found = decode_rows(bytes).expect("decodes");
                    read = read.min(start.elapsed());
                    assert_same_rows(&batches, &found);
                }
                let per_row = |time: Duration| time.as_nanos() / ROWS_PER_GROUP as u128;
                println!(
                    "{name:8} dictionary {dictionary:5} statistics {statistics:?}: write {} ns/row, read {} ns/row, {:.1} bytes/row",
                    per_row(write),
                    per_row(read),
                    size as f64 / ROWS_PER_GROUP as f64
                );
            }
        }
    }
}
