//! The decoders against each other and against cases by hand.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use braid_spec::model::Csv;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields = fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn decode(format: &Format, declared: &SchemaRef, projection: Option<&[&str]>, bytes: &[u8]) -> Rows {
    let names = projection.map(|names| names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
    let mut decoder = Decoder::new(format, declared, names.as_deref(), 1 << 20).unwrap();
    decoder.start(Arc::from("f"), 0);
    decoder.block(bytes, true);
    decoder.take().unwrap().unwrap_or_else(|| Rows {
        batch: RecordBatch::new_empty(decoder.schema().clone()),
        partition: Arc::from("f"),
        offsets: Int64Array::from(Vec::<i64>::new()),
        bad: vec![],
    })
}

/// Rows as `a=1 b=∅`, one text per row, then bad records as `offset: reason`.
fn show(rows: &Rows) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let batch = &rows.batch;
    let mut lines = Vec::new();
    for row in 0..batch.num_rows() {
        let schema = batch.schema();
        let cells = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            let formatter = ArrayFormatter::try_new(column, &options).unwrap();
            format!("{}={}", field.name(), formatter.value(row))
        });
        lines.push(format!("{}| {}", rows.offsets.value(row), cells.collect::<Vec<_>>().join(" ")));
    }
    lines.extend(rows.bad.iter().map(|bad| format!("{}! {}", bad.offset, bad.reason)));
    lines
}

fn everything() -> SchemaRef {
    schema(&[
        ("s", DataType::Utf8),
        ("l", DataType::Int64),
        ("i", DataType::Int32),
        ("d", DataType::Float64),
        ("b", DataType::Boolean),
        ("m", DataType::Decimal128(10, 3)),
        ("t", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("e", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("y", DataType::Date32),
        ("x", DataType::Binary),
    ])
}

#[test]
fn json_records_good_and_bad() {
    let text = br#"{"s":"a","l":1,"i":2,"d":2.5,"b":true,"m":2.55,"t":"2020-01-02T03:04:05Z","e":1577934245123,"y":"2020-01-02","x":"AAE="}
{"l": -9223372036854775808 , "s":"tab\tquote\" \u00e9 \ud83d\ude00 \/"}
 { } 

{"s":null,"l":null,"m":"12.5","e":"2020-01-02 03:04:05"}
{"unknown":{"deep":[1,{"x":"}"}]},"s":"after"}
{"s":"first","s":"last"}
{"l":9223372036854775808}
{"l":1.0}
{"l":"1"}
{"l":01}
{"i":2147483648}
{"s":1}
{"s":"open}
{"s":"a"} x
{"s":"a",}
{"s" "a"}
[1]
{"d":nan}
{"m":2.5555}
{"t":"soon"}
{"y":"2020-02-30"}
{"b":"true"}
{"x":"no base64!"}
{"s":"\x"}
{"s":"\ud800"}
{"unknown":{"a":}}
{"s":"fin"}"#;
    let all = decode(&Format::Json, &everything(), None, text);
    insta::assert_snapshot!(show(&all).join("\n"));
    let some = decode(&Format::Json, &everything(), Some(&["l", "s"]), text);
    assert_eq!(some.offsets, all.offsets);
    assert_eq!(some.bad, all.bad, "a record is bad for every reader or for none");
    assert_eq!(some.batch.column(0).as_ref(), all.batch.column(0).as_ref());
    assert_eq!(some.batch.column(1).as_primitive::<Int64Type>(), all.batch.column(1).as_primitive::<Int64Type>());
    let none = decode(&Format::Json, &everything(), Some(&[]), text);
    assert_eq!((none.batch.num_rows(), none.batch.num_columns()), (all.batch.num_rows(), 0));
}

#[test]
fn invalid_utf8_and_raw_control_characters_are_bad() {
    let text = b"{\"s\":\"a\"}\n{\"s\":\"\xff\"}\n{\"s\":\"a\tb\"}\n{\t\"s\":\"c\"}\r\n{\"s\":\"d\"}";
    let rows = decode(&Format::Json, &schema(&[("s", DataType::Utf8)]), None, text);
    assert_eq!(
        show(&rows),
        ["0| s=a", "3| s=c", "4| s=d", "1! invalid UTF-8", "2! a raw control character in a string at byte 6"]
    );
    assert_eq!(rows.bad[0].raw, b"{\"s\":\"\xff\"}");
}

#[test]
fn nested_json_keeps_good_records_and_their_offsets() {
    let inner = DataType::Struct(vec![Field::new("a", DataType::Int64, true)].into());
    let declared = schema(&[("n", inner), ("s", DataType::Utf8)]);
    let text = br#"{"n":{"a":1},"s":"x"}
{"n":3}
{"n":{"a":2}}{"n":{"a":3}}

{"s":"y"}
{"n":
{"n":{"a":4},"s":"z"}"#;
    let rows = decode(&Format::Json, &declared, None, text);
    assert_eq!(rows.offsets.values(), &[0, 4, 6]);
    assert_eq!(rows.bad.iter().map(|bad| bad.offset).collect::<Vec<_>>(), [1, 2, 5]);
    assert_eq!(rows.bad[0].raw, br#"{"n":3}"#);
    let projected = decode(&Format::Json, &declared, Some(&["s"]), text);
    assert_eq!(projected.batch.column(0), rows.batch.column(1));
    assert_eq!(projected.bad, rows.bad);
}

fn csv(header: bool) -> Format {
    Format::Csv(Csv { header, delimiter: b',', quote: b'"', null_value: Some("NA".into()) })
}

#[test]
fn csv_rows_good_and_bad() {
    let declared = schema(&[("q", DataType::Int64), ("p", DataType::Decimal128(10, 3)), ("s", DataType::Utf8)]);
    let text =
        b"s,extra,p,q\r\nlamp,,2.55,6\r\n\"two\nlines, \"\"quoted\"\"\",x,3,NA\r\n\r\nshort,1\r\nlong,1,2,3,4\r\n\
        f,,1,17850.0\r\n\xff,,1,1\r\nopen,\"1,2,3\r\nNA,,,\r\n5\" pot,,0.001,-1\r\nlast,,1,2";
    let all = decode(&csv(true), &declared, None, text);
    insta::assert_snapshot!(show(&all).join("\n"));
    // Where each row begins, as an editor counts lines, from 0.
    let begin = |record: &[u8]| {
        text[..text.windows(record.len()).position(|w| w == record).unwrap()].iter().filter(|b| **b == b'\n').count()
            as i64
    };
    assert!(all.bad.iter().all(|bad| bad.offset == begin(&bad.raw)), "{:?}", all.bad);
    assert_eq!(all.bad[4].raw, b"open,\"1,2,3");
    let some = decode(&csv(true), &declared, Some(&["s"]), text);
    assert_eq!((&some.bad, &some.offsets), (&all.bad, &all.offsets));
}

#[test]
fn csv_without_a_needed_column_says_so_once() {
    let rows = decode(&csv(true), &schema(&[("z", DataType::Int64)]), None, b"a,b\n1,2\n3,4\n");
    assert_eq!(show(&rows), ["0! the header has no column `z`, but a, b"]);
}

#[test]
fn csv_is_cut_in_the_same_places_wherever_the_buffer_ends() {
    let declared = schema(&[("a", DataType::Utf8), ("b", DataType::Utf8)]);
    let text = b"a,b\n1,\"x\ny\"\n2,\"\"\"\"\n\n3,\"open\n4,\"z\"\n5,w\r\n6\n7,\"ends\"";
    let whole = show(&decode(&csv(true), &declared, None, text));
    for size in 1..text.len() {
        let mut decoder = Decoder::new(&csv(true), &declared, None, 100).unwrap();
        decoder.start(Arc::from("f"), 0);
        let mut at = 0;
        for end in (size..).step_by(size) {
            at += decoder.block(&text[at..end.min(text.len())], end >= text.len());
            if end >= text.len() {
                break;
            }
        }
        // An open quote may only be recognised with the rest of the input in sight: ask for the tail again.
        at += decoder.block(&text[at..], true);
        assert_eq!((show(&decoder.take().unwrap().unwrap()), at), (whole.clone(), text.len()), "{size}");
    }
}

#[test]
fn many_open_quotes_do_not_take_for_ever() {
    let line = b"z\",\",\",\":\n";
    let text: Vec<u8> = line.iter().copied().cycle().take(line.len() * 100_000).collect();
    let rows = decode(&csv(false), &schema(&[("a", DataType::Utf8)]), None, &text);
    assert!(!rows.bad.is_empty());
}

#[test]
fn records_one_by_one() {
    for (format, good, bad) in [
        (Format::Json, &b"{\"a\":\n\"x\"}"[..], &b"{\"a\":1}"[..]),
        (csv(false), b"\"x\"\n", b"x\ny"),
        (Format::Text, b"x", b"\xff"),
    ] {
        let name = if format == Format::Text { "value" } else { "a" };
        let mut decoder = Decoder::headless(&format, &schema(&[(name, DataType::Utf8)]), None, 10).unwrap();
        decoder.record(7, good);
        decoder.record(9, bad);
        decoder.record(12, good);
        let rows = decoder.take().unwrap().unwrap();
        assert_eq!(rows.offsets.values(), &[7, 12], "{format:?}");
        assert_eq!(rows.bad[0].offset, 9);
        assert_eq!(rows.batch.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["x", "x"]);
    }
    assert!(Decoder::headless(&csv(true), &everything(), None, 10).is_err());
    assert!(Decoder::new(&Format::Text, &everything(), None, 10).is_err());
    assert!(Decoder::new(&Format::Parquet, &everything(), None, 10).is_err());
}

#[test]
fn batches_end_where_they_are_told() {
    let mut decoder = Decoder::new(&Format::Text, &schema(&[("value", DataType::Utf8)]), None, 3).unwrap();
    decoder.start(Arc::from("f"), 5);
    let text = b"a\nb\nc\nd\ne";
    let used = decoder.block(text, false);
    assert!(decoder.full());
    assert_eq!((used, decoder.take().unwrap().unwrap().offsets.values().to_vec()), (6, vec![5, 6, 7]));
    assert_eq!(decoder.block(&text[used..], false), 2);
    assert_eq!(decoder.block(&text[used + 2..], true), 1);
    assert_eq!(decoder.take().unwrap().unwrap().offsets.values(), &[8, 9]);
}

/// Values of JSON that a flat schema may meet.
fn any_value() -> impl Strategy<Value = Json> {
    prop_oneof![
        4 => any::<i64>().prop_map(Json::from),
        2 => (-1000i64..1000).prop_map(Json::from),
        2 => any::<f64>().prop_filter("JSON has no NaN", |f| f.is_finite()).prop_map(Json::from),
        4 => any::<String>().prop_map(Json::from),
        1 => any::<bool>().prop_map(Json::from),
        1 => Just(Json::Null),
        1 => Just(serde_json::json!({"x": [1, "}"]})),
    ]
}

proptest! {
    /// The oracle: serde_json's tree, looked up by column.
    #[test]
    fn json_equals_a_tree_reader(
        records in prop::collection::vec(prop::collection::vec(("[lsdbz]|é\n", any_value()), 0..6), 1..20),
        pretty in any::<bool>(), projected in any::<bool>(),
    ) {
        let declared = schema(&[
            ("l", DataType::Int64), ("s", DataType::Utf8), ("d", DataType::Float64), ("b", DataType::Boolean),
        ]);
        let mut text = String::new();
        let mut expected = Vec::new();
        for (offset, fields) in records.iter().enumerate() {
            let colon = if pretty { " : " } else { ":" };
            let members: Vec<String> = fields.iter().map(|(k, v)| format!("{}{colon}{v}", Json::from(k.as_str()))).collect();
            text.push_str(&format!("{{{}}}\n", members.join(if pretty { " , " } else { "," })));
            let fits = fields.iter().all(|(key, value)| value.is_null() || match key.as_str() {
                "l" => value.is_i64(),
                "s" => value.is_string(),
                "d" => value.is_number(),
                "b" => value.is_boolean(),
                _ => true,
            });
            if fits {
                let last = |key: &str| fields.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.clone()).unwrap_or_default();
                expected.push((offset as i64, last("l").as_i64(), last("s").as_str().map(str::to_owned),
                    last("d").as_f64(), last("b").as_bool()));
            }
        }
        let projection: &[&str] = &["s", "d"];
        let rows = decode(&Format::Json, &declared, projected.then_some(projection), text.as_bytes());
        prop_assert_eq!(rows.offsets.len() + rows.bad.len(), records.len());
        prop_assert_eq!(rows.batch.num_rows(), expected.len());
        let column = |name: &str| rows.batch.column_by_name(name);
        for (row, (offset, l, s, d, b)) in expected.iter().enumerate() {
            prop_assert_eq!(rows.offsets.value(row), *offset);
            let strings = column("s").unwrap().as_string::<i32>();
            prop_assert_eq!(strings.is_valid(row).then(|| strings.value(row)), s.as_deref());
            let doubles = column("d").unwrap().as_primitive::<arrow::datatypes::Float64Type>();
            prop_assert_eq!(doubles.is_valid(row).then(|| doubles.value(row).to_bits()), d.map(f64::to_bits));
            if !projected {
                let longs = column("l").unwrap().as_primitive::<Int64Type>();
                prop_assert_eq!(longs.is_valid(row).then(|| longs.value(row)), *l);
                let booleans = column("b").unwrap().as_boolean();
                prop_assert_eq!(booleans.is_valid(row).then(|| booleans.value(row)), *b);
            }
        }
    }

    /// Whatever the bytes are: no panic, and every line is a row, a bad record, or blank.
    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(
        prop_oneof![Just(b'"'), Just(b'{'), Just(b':'), Just(b','), Just(b'\\'), Just(b'u'), Just(b'\n'), Just(b'l'), any::<u8>()], 0..200)) {
        let rows = decode(&Format::Json, &everything(), None, &bytes);
        let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)).count();
        prop_assert_eq!(rows.batch.num_rows() + rows.bad.len(), lines);
        decode(&csv(true), &everything(), None, &bytes);
        decode(&csv(false), &everything(), None, &bytes);
        bytes.splice(0..0, *b"{\"s\":\"");
        decode(&Format::Json, &everything(), None, &bytes);
    }
}
