//! Avro by hand, and Avro that nobody wrote.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::LineDelimitedWriter;
use braid_kernel::Rows;
use braid_spec::model::{Avro, Format, Text};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::container::{Wanted, read_file};
use super::datum::encode;
use super::schema::Schema;
use crate::formats::{Decoder, columns_of};

fn avro(schema: &str) -> Format {
    let text = Text { text: schema.into(), references: vec![] };
    Format::Avro(Box::new(Avro { schema: Some(text), ..Avro::default() }))
}

fn columns(schema: &str) -> Result<SchemaRef, String> {
    columns_of(&mut avro(schema), None)
}

/// Rows as JSON, then bad records as `offset: reason`.
fn shown(batches: &[RecordBatch], rows: &[Rows]) -> Vec<String> {
    let mut text = vec![];
    let mut writer = LineDelimitedWriter::new(&mut text);
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    let mut lines: Vec<String> = String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
    lines.extend(rows.iter().flat_map(|rows| &rows.bad).map(|bad| format!("{}: {}", bad.offset, bad.reason)));
    lines
}

/// Records of one schema, one by one.
fn decode(format: &Format, declared: &SchemaRef, records: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::new(format, declared, None, 1000).unwrap();
    for (offset, record) in (0..).zip(records) {
        decoder.record(offset, record);
    }
    let rows: Vec<Rows> = decoder.take().unwrap().into_iter().collect();
    shown(&rows.iter().map(|rows| rows.batch.clone()).collect::<Vec<_>>(), &rows)
}

fn datum(schema: &str, value: &Value) -> Vec<u8> {
    let mut bytes = vec![];
    encode(value, &Schema::parse(schema, &[]).unwrap(), &mut bytes).unwrap();
    bytes
}

fn file(schema: &str, codec: &str, blocks: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let header = r#"{"type":"map","values":"bytes"}"#;
    let mut file = b"Obj\x01".to_vec();
    file.extend(datum(header, &json!({"avro.schema": schema, "avro.codec": codec})));
    file.extend([7; 16]);
    for (count, block) in blocks {
        file.extend(datum(r#""long""#, &json!(count)));
        file.extend(datum(r#""long""#, &json!(block.len())));
        file.extend(block);
        file.extend([7; 16]);
    }
    file
}

fn read(format: &Avro, declared: &SchemaRef, mut bytes: &[u8]) -> Vec<Rows> {
    let wanted = Wanted { format, declared, projected: declared, batch_rows: 4 };
    let mut all = vec![];
    let emit = &mut |rows: Rows| {
        assert_eq!(rows.batch.num_rows(), rows.offsets.len());
        all.push(rows);
        Ok(())
    };
    read_file(&mut bytes, &wanted, &Arc::from("f"), emit).unwrap();
    all
}

fn lines(rows: &[Rows]) -> Vec<String> {
    shown(&rows.iter().map(|rows| rows.batch.clone()).collect::<Vec<_>>(), rows)
}

const ALL: &str = r#"{"type":"record","name":"All","fields":[
    {"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},{"name":"f","type":"float"},
    {"name":"d","type":"double"},{"name":"x","type":"bytes"},{"name":"s","type":["null","string"]},
    {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
    {"name":"m","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"u","type":{"type":"fixed","size":16,"name":"U","logicalType":"uuid"}},
    {"name":"a","type":{"type":"array","items":{"type":"record","name":"R","fields":[
        {"name":"k","type":{"type":"map","values":"int"}},{"name":"o","type":["int","string","null"]}]}}}]}"#;

fn all(number: i32) -> Value {
    json!({"b": number % 2 == 0, "i": number, "l": i64::from(number) << 33, "f": 0.5, "d": -2.25, "x": "\u{ff}\u{0}",
        "s": (number % 3 == 0).then(|| format!("s{number}")), "e": "B", "m": "\u{ff}\u{9c}", "t": -1, "u": "0123456789abcdef",
        "a": [{"k": {"one": 1, "two": number}, "o": "text"}, {"k": {}, "o": 7}, {"k": {}, "o": null}]})
}

#[test]
fn every_type() {
    let declared = columns(ALL).unwrap();
    let rows = decode(&avro(ALL), &declared, &[&datum(ALL, &all(3)), &datum(ALL, &all(4))]);
    insta::assert_snapshot!(rows.join("\n"));
}

#[test]
fn schemas_that_no_columns_are() {
    for (schema, reason) in [
        ("{", "no JSON"),
        (r#"{"type":"record","name":"R","fields":[]}"#, "has no fields"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"null"}]}"#, "always null"),
        (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"Q"}]}"#, "names `Q`, which is no type"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}"#,
            "`next`: `R` holds itself, and columns end",
        ),
        (
            r#"{"type":"bytes","logicalType":"decimal","precision":39,"scale":2}"#,
            "`value`: a decimal of 39 digits; a column has at most 38",
        ),
    ] {
        let said = columns(schema).unwrap_err();
        assert!(said.contains(reason), "{said}");
    }
    // Each type names the one before twice: few bytes, very many columns.
    let mut fields = String::from(r#"{"type":"record","name":"R0","fields":[{"name":"x","type":"int"}]}"#);
    for n in 1..30 {
        let inner = n - 1;
        fields = format!(
            r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":{fields}}},{{"name":"b","type":"R{inner}"}}]}}"#
        );
    }
    assert!(columns(&fields).unwrap_err().contains("too often"), "{fields}");
}

#[test]
fn writers_and_columns_are_resolved() {
    let read = |writer: &str, value: Value, declared: &str| {
        let reader = Schema::parse(declared, &[]).unwrap().columns().unwrap();
        let declared = Arc::new(arrow::datatypes::Schema::new(reader));
        decode(&avro(writer), &declared, &[&datum(writer, &value)]).join("\n")
    };
    let timestamp = |unit: &str| format!(r#"{{"type":"long","logicalType":"timestamp-{unit}"}}"#);
    let decimal = |scale: u8| format!(r#"{{"type":"bytes","logicalType":"decimal","precision":5,"scale":{scale}}}"#);
    for (writer, value, declared, wanted) in [
        (r#""int""#, json!(-7), r#""double""#, r#"{"value":-7.0}"#),
        (r#""long""#, json!(1_i64 << 40), r#""int""#, "0: `value`: 1099511627776 is too great for its column"),
        (r#""long""#, json!(7), r#""int""#, r#"{"value":7}"#),
        (r#""string""#, json!("é"), r#""bytes""#, r#"{"value":"c3a9"}"#),
        (r#""bytes""#, json!("\u{ff}"), r#""string""#, "0: `value`: invalid UTF-8"),
        (r#""string""#, json!("1"), r#""int""#, "0: `value`: a string is no int"),
        (r#"["null","int"]"#, json!(null), r#""long""#, "{}"),
        (r#"["int","string"]"#, json!("x"), r#""int""#, "0: `value`: a string is no int"),
        (r#"["int","string"]"#, json!(5), r#""int""#, r#"{"value":5}"#),
        (&timestamp("millis"), json!(1500), &timestamp("micros"), r#"{"value":"1970-01-01T00:00:01.500"}"#),
        (
            &timestamp("millis"),
            json!(i64::MAX),
            &timestamp("micros"),
            "0: `value`: the time 9223372036854775807 is too far away",
        ),
        (&decimal(1), json!("\u{7f}"), &decimal(3), r#"{"value":12.700}"#),
        (&decimal(3), json!("\u{7f}"), &decimal(1), "0: `value`: a decimal with more places than its column"),
        (&decimal(0), json!("\u{7f}\u{ff}\u{ff}"), &decimal(0), "0: `value`: a decimal of more than 5 digits"),
    ] {
        assert_eq!(read(writer, value, declared), wanted, "{writer} as {declared}");
    }
}

#[test]
fn columns_that_the_only_writer_has_not_are_refused() {
    let (declared, other) = (columns(ALL).unwrap(), columns(r#""string""#).unwrap());
    assert!(columns_of(&mut avro(ALL), Some(&declared)).is_ok());
    let said = columns_of(&mut avro(ALL), Some(&other)).unwrap_err();
    assert!(said.starts_with("the Avro schema has no field `value`, but `b`, `i`"), "{said}");
    let said = columns_of(&mut avro(r#""int""#), Some(&other)).unwrap_err();
    assert_eq!(said, "`value`: an int is no string");
}

#[test]
fn counts_of_nothing_are_bounded() {
    // A list of so many nulls, of so many lists of them; and a block of so many records without bytes.
    let nulls = r#"{"type":"array","items":["null","int"]}"#;
    let huge = datum(r#""long""#, &json!(i64::MAX));
    let declared = columns(nulls).unwrap();
    let said = decode(&avro(nulls), &declared, &[&huge, &[1, 2], &[0]]);
    assert!(said[1].starts_with("0: `value`: a list of 9223372036854775807 items is longer"), "{said:?}");
    assert_eq!(said.len(), 3, "{said:?}");
    let empty = r#"{"type":"record","name":"R","fields":[]}"#;
    let said = lines(&read(&Avro::default(), &declared, &file(empty, "null", &[(i64::MAX, vec![])])));
    assert_eq!(
        said,
        [format!("0: from here on the file is unreadable: a block of 0 bytes claims {} records", i64::MAX)]
    );
}

#[test]
fn a_block_that_unpacks_to_too_much_ends_the_file() {
    let zeros = vec![0; 65 * 1024 * 1024];
    let declared = columns(r#""int""#).unwrap();
    for (codec, packed) in [
        ("zstandard", zstd::bulk::compress(&zeros, 1).unwrap()),
        ("snappy", [snap::raw::Encoder::new().compress_vec(&zeros).unwrap(), vec![0; 4]].concat()),
        ("deflate", miniz_oxide::deflate::compress_to_vec(&zeros, 1)),
        ("lzma", vec![]),
    ] {
        let said = lines(&read(&Avro::default(), &declared, &file(r#""int""#, codec, &[(1, packed)])));
        assert_eq!(said.len(), 1, "{codec}: {said:?}");
        assert!(said[0].starts_with("0: from here on the file is unreadable: "), "{codec}: {said:?}");
    }
}

#[test]
fn a_bad_record_of_a_file_costs_itself() {
    let writer = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"long"},{"name":"s","type":"string"}]}"#;
    let declared =
        columns(r#"{"type":"record","name":"R","fields":[{"name":"n","type":"int"},{"name":"s","type":"string"}]}"#);
    let declared = declared.unwrap();
    let record = |n: i64| datum(writer, &json!({"n": n, "s": "x"}));
    let blocks = [
        (3, [record(1), record(1 << 40), record(3)].concat()),
        (3, [record(4), vec![2, 99], record(6)].concat()),
        (1, [record(7), vec![0]].concat()),
        (1, record(8)),
    ];
    let bytes = file(writer, "null", &blocks);
    let rows = read(&Avro::default(), &declared, &bytes);
    assert_eq!(
        lines(&rows),
        [
            r#"{"n":1,"s":"x"}"#,
            r#"{"n":3,"s":"x"}"#,
            r#"{"n":4,"s":"x"}"#,
            r#"{"n":7,"s":"x"}"#,
            r#"{"n":8,"s":"x"}"#,
            "1: `n`: 1099511627776 is too great for its column",
            "4: `s`: a length of -50; with it 1 records of its block are lost (a length of -50)",
            "7: 1 bytes follow the records of a block",
        ]
    );
    let offsets: Vec<i64> = rows.iter().flat_map(|rows| rows.offsets.values().to_vec()).collect();
    assert_eq!(offsets, [0, 2, 3, 6, 8]);
    let permissive = Avro { permissive: true, ..Avro::default() };
    assert_eq!(lines(&read(&permissive, &declared, &bytes))[1], "{}");
    // A file may end anywhere, and any of its bytes may be another.
    for end in 0..bytes.len() {
        read(&Avro::default(), &declared, &bytes[..end]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn data_that_nobody_wrote_is_a_bad_record_or_a_row(
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = datum(ALL, &all(3));
        for (place, byte) in noise {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let good = datum(ALL, &all(4));
        let declared = columns(ALL).unwrap();
        let short = bytes[..cut.index(bytes.len())].to_vec();
        let shown = decode(&avro(ALL), &declared, &[&good, &bytes, &short, &good]);
        let alone = decode(&avro(ALL), &declared, &[&good]);
        // Whatever became of it, its neighbours are what they were.
        prop_assert_eq!(shown.len(), 4);
        prop_assert_eq!(&shown[0], &alone[0]);
        prop_assert_eq!(shown.iter().filter(|line| **line == alone[0]).count() >= 2, true);
    }

    #[test]
    fn files_that_nobody_wrote_are_read_to_some_end(
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let block: Vec<u8> = (0..5).flat_map(|n| datum(ALL, &all(n))).collect();
        for codec in ["null", "zstandard"] {
            let packed = if codec == "null" { block.clone() } else { zstd::bulk::compress(&block, 1).unwrap() };
            let mut bytes = file(ALL, codec, &[(5, packed.clone()), (5, packed)]);
            for (place, byte) in &noise {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            read(&Avro::default(), &columns(ALL).unwrap(), &bytes);
        }
    }
}
