//! Round trips of, and damage to, Parquet segments.

use std::collections::HashMap;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;
use braid_kernel::laws_store::{assert_same_rows, segments_laws};
use proptest::prelude::*;

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
        format!("{}.{}.{}.{}", hash >> 56, hash >> 48 & 255, hash >> 40 & 255, hash >> 32 & 255)
    }));
    let kinds = ["view", "click", "purchase"];
    let kind = StringArray::from_iter_values((0..rows).map(|row| kinds[row * 7 / 3 % 3]));
    let time = TimestampMillisecondArray::from_iter_values((0..rows as i64).map(|row| 1_700_000_000_000 + row / 20));
    RecordBatch::try_from_iter([
        ("user_id", strings(1, 10_000)),
        ("page_id", strings(2, 1_000)),
        ("ad_id", strings(3, 1_000)),
        ("event_type", Arc::new(kind) as ArrayRef),
        ("event_time", Arc::new(time)),
        ("ip_address", Arc::new(ip)),
        ("offset", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
    ])
    .expect("a batch")
}

/// One batch with a column of every type that a table of Braid can have, and a few more; one row in five is null.
fn every_type(seed: i64, rows: usize) -> RecordBatch {
    let valid: Vec<bool> = (0..rows as i64).map(|row| (row + seed) % 5 != 0).collect();
    let nulls = || Some(NullBuffer::from(valid.clone()));
    let number = |row: usize| (row as i64 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
    let numbers = Int64Array::new((0..rows).map(number).collect(), nulls());
    let small = Int64Array::new((0..rows).map(|row| number(row).rem_euclid(100)).collect(), nulls());
    let text = StringArray::from_iter((0..rows).map(|row| valid[row].then(|| format!("{}-ключ", number(row) % 50))));
    let floats = Float64Array::new((0..rows).map(|row| f64::from_bits(number(row) as u64)).collect(), nulls());
    let wide: Decimal128Array = (0..rows).map(|row| valid[row].then(|| number(row) as i128 * 1_000_003)).collect();
    let wider: Decimal256Array = (0..rows)
        .map(|row| {
            valid[row].then(|| i256::from_i128(number(row) as i128).wrapping_mul(i256::from_i128(i128::MAX / 7)))
        })
        .collect();
    let bytes =
        BinaryArray::from_iter((0..rows).map(|row| valid[row].then(|| number(row).to_le_bytes()[..row % 9].to_vec())));
    let lengths = (0..rows).map(|row| if valid[row] { row % 4 } else { 0 });
    let offsets = OffsetBuffer::<i32>::from_lengths(lengths);
    let items =
        Int64Array::from_iter((0..*offsets.last().expect("an end") as i64).map(|item| (item % 3 != 0).then_some(item)));
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let list = ListArray::new(item, offsets.clone(), Arc::new(items.clone()), nulls());
    let inside =
        Fields::from(vec![Field::new("number", DataType::Int64, true), Field::new("text", DataType::Utf8, true)]);
    let structs = StructArray::new(inside.clone(), vec![Arc::new(numbers.clone()), Arc::new(text.clone())], nulls());
    let elements = items.len();
    let element =
        StructArray::new(Fields::from(vec![Field::new("end", DataType::Int64, true)]), vec![Arc::new(items)], None);
    assert_eq!(element.len(), elements);
    let field = Arc::new(Field::new_list_field(element.data_type().clone(), false));
    let nested = ListArray::new(field, offsets, Arc::new(element), nulls());
    let as_type = |array: &dyn Array, to: DataType| cast(array, &to).expect("a cast that exists");
    let dictionary = |key: DataType, value: DataType| DataType::Dictionary(Box::new(key), Box::new(value));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("boolean", Arc::new(BooleanArray::from_iter((0..rows).map(|row| valid[row].then(|| number(row) % 2 == 0))))),
        ("int8", as_type(&small, DataType::Int8)),
        ("int16", as_type(&small, DataType::Int16)),
        ("int32", as_type(&small, DataType::Int32)),
        ("uint8", as_type(&small, DataType::UInt8)),
        ("uint16", as_type(&small, DataType::UInt16)),
        ("uint32", as_type(&small, DataType::UInt32)),
        ("uint64", as_type(&small, DataType::UInt64)),
        ("float32", as_type(&small, DataType::Float32)),
        ("float64", Arc::new(floats)),
        ("date32", as_type(&as_type(&small, DataType::Int32), DataType::Date32)),
        ("date64", as_type(&as_type(&as_type(&small, DataType::Int32), DataType::Date32), DataType::Date64)),
        ("time32", as_type(&as_type(&small, DataType::Int32), DataType::Time32(TimeUnit::Millisecond))),
        ("time64", as_type(&small, DataType::Time64(TimeUnit::Nanosecond))),
        ("second", as_type(&numbers, DataType::Timestamp(TimeUnit::Second, None))),
        ("millisecond", as_type(&numbers, DataType::Timestamp(TimeUnit::Millisecond, None))),
        ("microsecond", as_type(&numbers, DataType::Timestamp(TimeUnit::Microsecond, None))),
        ("nanosecond", as_type(&numbers, DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Madrid".into())))),
        ("duration", as_type(&numbers, DataType::Duration(TimeUnit::Microsecond))),
        ("utf8_view", as_type(&text, DataType::Utf8View)),
        ("large_utf8", as_type(&text, DataType::LargeUtf8)),
        ("binary_view", as_type(&bytes, DataType::BinaryView)),
        ("large_binary", as_type(&bytes, DataType::LargeBinary)),
        ("binary", Arc::new(bytes)),
        ("decimal128", Arc::new(wide.with_precision_and_scale(38, 6).expect("fits"))),
        ("decimal128_small", as_type(&small, DataType::Decimal128(9, 2))),
        ("decimal256", Arc::new(wider.with_precision_and_scale(76, 9).expect("fits"))),
        (
            "fixed",
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    (0..rows).map(|row| valid[row].then(|| number(row).to_be_bytes())),
                    8,
                )
                .expect("eight bytes"),
            ),
        ),
        ("dictionary", as_type(&text, dictionary(DataType::Int32, DataType::Utf8))),
        ("dictionary8", as_type(&text, dictionary(DataType::UInt8, DataType::Utf8))),
        ("dictionary_of_numbers", as_type(&small, dictionary(DataType::Int16, DataType::Int64))),
        ("null", Arc::new(NullArray::new(rows))),
        ("list", Arc::new(list)),
        ("struct", Arc::new(structs)),
        ("list_of_structs", Arc::new(nested)),
        ("int64", Arc::new(numbers)),
        ("utf8", Arc::new(text)),
    ];
    let mut fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    fields.push(Field::new("row", DataType::Int64, false).with_metadata(notes("field")));
    let mut arrays: Vec<ArrayRef> = columns.into_iter().map(|(_, column)| column).collect();
    arrays.push(Arc::new(Int64Array::from_iter_values(0..rows as i64)));
    let schema = Schema::new_with_metadata(fields, notes("schema"));
    RecordBatch::try_new(Arc::new(schema), arrays).expect("a batch")
}

/// Enough entries that a hash map's order is hardly ever the same twice.
fn notes(of: &str) -> HashMap<String, String> {
    (0..12).map(|note| (format!("{of} {note}"), format!("value {note}"))).collect()
}

fn memory() -> (Arc<dyn Store>, ParquetSegments) {
    let store = open("memory://").expect("opens");
    (store.clone(), ParquetSegments::new(store))
}

#[tokio::test]
async fn keeps_the_laws() {
    let (_, segments) = memory();
    segments_laws(&segments, &[events(1_000), events(0), events(3)]).await;
    segments_laws(&segments, &[every_type(0, 100), every_type(7, 20_000), every_type(1, 1)]).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = open(&format!("file://{}", directory.path().display())).expect("opens");
    segments_laws(&ParquetSegments::new(store), &[every_type(3, 500)]).await;
}

#[test]
fn each_type_alone_comes_back_as_it_was() {
    let all = every_type(0, 300);
    for column in 0..all.num_columns() {
        let one = all.project(&[column]).expect("a column");
        let name = one.schema().field(0).name().clone();
        let bytes = encode(std::slice::from_ref(&one)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = decode_rows(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found[0].schema(), one.schema(), "{name}");
        assert_same_rows(&[one], &found);
    }
}

#[test]
fn floats_come_back_bit_by_bit() {
    let bits = [
        0.0_f64.to_bits(),
        (-0.0_f64).to_bits(),
        f64::NAN.to_bits(),
        0x7FF8_0000_0000_0001,
        0xFFF0_0000_0000_0001,
        1,
        f64::MIN.to_bits(),
    ];
    let floats = Float64Array::from_iter_values((0..5_000).map(|row| f64::from_bits(bits[row % bits.len()])));
    let batch = RecordBatch::try_from_iter([("float", Arc::new(floats) as ArrayRef)]).expect("a batch");
    let mut row = 0;
    for found in decode_rows(encode(&[batch]).expect("encodes")).expect("decodes") {
        for float in found.column(0).as_primitive::<Float64Type>().values() {
            assert_eq!(float.to_bits(), bits[row % bits.len()], "row {row}");
            row += 1;
        }
    }
    assert_eq!(row, 5_000);
}

#[test]
fn only_the_rows_decide_the_bytes() {
    for whole in [events(ROWS_PER_GROUP + 5_000), every_type(0, 4_000)] {
        let bytes = encode(std::slice::from_ref(&whole)).expect("encodes");
        for size in [1_000, 8_192, 65_537] {
            let parts: Vec<RecordBatch> = (0..whole.num_rows())
                .step_by(size)
                .map(|start| whole.slice(start, size.min(whole.num_rows() - start)))
                .collect();
            let found = encode(&parts).expect("encodes");
            assert!(found == bytes, "batches of {size} rows give other bytes");
            assert_same_rows(&parts, &decode_rows(found).expect("decodes"));
        }
    }
}

#[test]
fn a_dictionary_may_grow_from_batch_to_batch() {
    let part = |first: usize| {
        let text = StringArray::from_iter_values((first..first + 100).map(|value| value.to_string()));
        let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let column = cast(&text, &kind).expect("a dictionary");
        RecordBatch::try_from_iter([("d", column)]).expect("a batch")
    };
    let parts: Vec<RecordBatch> = (0..400).map(|number| part(number * 100)).collect();
    let found = decode_rows(encode(&parts).expect("encodes")).expect("decodes");
    assert_same_rows(&parts, &found);
}

#[tokio::test]
async fn what_is_no_segment_is_refused_with_its_reason() {
    let (store, segments) = memory();
    let columnless = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        vec![],
        &RecordBatchOptions::new().with_row_count(Some(3)),
    )
    .expect("rows without columns");
    let two = [events(1), every_type(0, 1)];
    for (batches, expected) in [(&[][..], "no batch"), (&[columnless], "without columns"), (&two, "two schemas")] {
        match segments.write("x", batches).await {
            Err(StoreError::Failed { name, reason }) => {
                assert!(name == "x" && reason.contains(expected), "{reason}")
            }
            other => panic!("expected `{expected}`, found {other:?}"),
        }
    }
    assert!(store.list("").await.expect("lists").is_empty());
}

#[tokio::test]
async fn every_flipped_bit_and_every_cut_is_found() {
    let (store, segments) = memory();
    let segment = segments.write("log/s/1.parquet", &[events(40)]).await.expect("writes");
    let good = store.get(&segment.name).await.expect("reads").to_vec();
    let found = async |bytes: Vec<u8>, what: String| {
        store.put(&segment.name, bytes.into()).await.expect("put");
        match segments.read(&segment).await {
            Err(StoreError::Corrupt { name, .. }) => assert_eq!(name, segment.name),
            other => panic!("{what}: {other:?}"),
        }
    };
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        found(bad, format!("bit {bit} flipped")).await;
    }
    for length in 0..good.len() {
        found(good[..length].to_vec(), format!("cut to {length} bytes")).await;
    }
    found([&good[..], b"x"].concat(), "a byte too many".to_owned()).await;
    store.put(&segment.name, good.into()).await.expect("put");
    assert_same_rows(&[events(40)], &segments.read(&segment).await.expect("good again"));
}

/// Not even bytes that were damaged before their checksum was taken bring a reader down.
#[tokio::test]
async fn a_damaged_file_with_a_right_checksum_is_an_error_or_rows() {
    let (store, segments) = memory();
    let good = encode(&[every_type(0, 50)]).expect("encodes").to_vec();
    let mut refused = 0;
    for step in 0..600 {
        let mut bad = good.clone();
        let at = step * 7919 % bad.len();
        bad[at] ^= 1 << (step % 8);
        let segment = Segment { name: "x".to_owned(), rows: 50, bytes: bad.len() as u64, crc: crc32fast::hash(&bad) };
        store.put("x", bad.into()).await.expect("put");
        match segments.read(&segment).await {
            Ok(_) => {}
            Err(StoreError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(refused > 0);
}

#[derive(Debug, Clone)]
struct Rows {
    numbers: Vec<Option<i64>>,
    floats: Vec<u64>,
    texts: Vec<Option<String>>,
    lists: Vec<Option<Vec<Option<i32>>>>,
    decimals: Vec<Option<i128>>,
    cuts: Vec<usize>,
}

fn rows() -> impl Strategy<Value = Rows> {
    (0..200_usize).prop_flat_map(|rows| {
        let of = |count| prop::collection::vec(any::<Option<i64>>(), count);
        let list = prop::option::of(prop::collection::vec(any::<Option<i32>>(), 0..5));
        (
            of(rows),
            prop::collection::vec(any::<u64>(), rows),
            prop::collection::vec(prop::option::of(".{0,20}"), rows),
            prop::collection::vec(list, rows),
            prop::collection::vec(prop::option::of(-10_i128.pow(37)..10_i128.pow(37)), rows),
            prop::collection::vec(0..=rows, 0..4),
        )
            .prop_map(|(numbers, floats, texts, lists, decimals, cuts)| Rows {
                numbers,
                floats,
                texts,
                lists,
                decimals,
                cuts,
            })
    })
}

impl Rows {
    fn batches(&self) -> Vec<RecordBatch> {
        let mut lists = ListBuilder::new(Int32Builder::new());
        lists.extend(self.lists.iter().cloned());
        let decimals = Decimal128Array::from(self.decimals.clone());
        let columns: [(&str, ArrayRef, bool); 6] = [
            ("numbers", Arc::new(Int64Array::from(self.numbers.clone())), true),
            (
                "floats",
                Arc::new(Float64Array::from_iter_values(self.floats.iter().copied().map(f64::from_bits))),
                false,
            ),
            ("texts", Arc::new(StringArray::from(self.texts.clone())), true),
            ("views", Arc::new(StringViewArray::from_iter(&self.texts)), true),
            ("lists", Arc::new(lists.finish()), true),
            ("decimals", Arc::new(decimals.with_precision_and_scale(38, 10).expect("fits")), true),
        ];
        let whole = RecordBatch::try_from_iter_with_nullable(columns).expect("a batch");
        let mut ends = self.cuts.clone();
        ends.push(whole.num_rows());
        ends.sort_unstable();
        let mut start = 0;
        let cut = |end| {
            let part = whole.slice(start, end - start);
            start = end;
            part
        };
        ends.into_iter().map(cut).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_batches_come_back(rows in rows()) {
        let batches = rows.batches();
        let bytes = encode(&batches).expect("encodes");
        let found = decode_rows(bytes.clone()).expect("decodes");
        assert_same_rows(&batches, &found);
        let read: Vec<u64> = found
            .iter()
            .flat_map(|batch| batch.column(1).as_primitive::<Float64Type>().values().iter().map(|float| float.to_bits()))
            .collect();
        prop_assert_eq!(&read, &rows.floats);
        prop_assert_eq!(encode(&found).expect("encodes"), bytes);
    }
}
