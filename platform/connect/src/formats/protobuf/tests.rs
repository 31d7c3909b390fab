//! Messages that nobody wrote, and columns that no message has.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::LineDelimitedWriter;
use braid_spec::model::{Format, Protobuf};
use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, OneofDescriptorProto,
};

use crate::formats::{Decoder, columns_of};

fn field(name: &str, number: i32, kind: Type, of: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        type_name: (!of.is_empty()).then(|| of.to_owned()),
        ..FieldDescriptorProto::default()
    }
}

fn many(field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto { label: Some(Label::Repeated.into()), ..field }
}

fn one_of(field: FieldDescriptorProto) -> FieldDescriptorProto {
    FieldDescriptorProto { oneof_index: Some(0), ..field }
}

fn message(name: &str, fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    let choice = OneofDescriptorProto { name: Some("choice".into()), ..OneofDescriptorProto::default() };
    let oneof_decl = if fields.iter().any(|field| field.oneof_index.is_some()) { vec![choice] } else { vec![] };
    DescriptorProto { name: Some(name.into()), field: fields, oneof_decl, ..DescriptorProto::default() }
}

/// Messages of proto3, except for one of proto2.
fn descriptors() -> Vec<u8> {
    let inner = message("Inner", vec![field("a", 1, Type::Int32, ""), field("b", 2, Type::String, "")]);
    let outer = vec![
        field("n", 1, Type::Int64, ""),
        field("s", 2, Type::String, ""),
        field("inner", 3, Type::Message, ".t.Inner"),
        many(field("inners", 4, Type::Message, ".t.Inner")),
        many(field("numbers", 5, Type::Sint64, "")),
        field("d", 6, Type::Double, ""),
        one_of(field("x", 7, Type::Fixed32, "")),
        one_of(field("y", 8, Type::Bytes, "")),
    ];
    let list = message("List", vec![field("next", 1, Type::Message, ".t.List"), field("n", 2, Type::Int32, "")]);
    let took = message("Took", vec![field("took", 1, Type::Message, ".google.protobuf.Duration")]);
    let file = FileDescriptorProto {
        name: Some("t.proto".into()),
        package: Some("t".into()),
        syntax: Some("proto3".into()),
        dependency: vec!["google/protobuf/duration.proto".into()],
        message_type: vec![message("Outer", outer), inner, list, took],
        ..FileDescriptorProto::default()
    };
    let required = FieldDescriptorProto { label: Some(Label::Required.into()), ..field("must", 1, Type::Int32, "") };
    let told = FieldDescriptorProto { default_value: Some("7".into()), ..field("told", 2, Type::Int32, "") };
    let old = FileDescriptorProto {
        name: Some("old.proto".into()),
        package: Some("t".into()),
        syntax: Some("proto2".into()),
        message_type: vec![message("Old", vec![required, told])],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file, old] }.encode_to_vec()
}

fn protobuf(message: &str) -> Format {
    let (descriptors, message) = (Some(descriptors()), Some(message.to_owned()));
    Format::Protobuf(Box::new(Protobuf { descriptors, message, ..Protobuf::default() }))
}

fn decode(message: &str, records: &[&[u8]]) -> Vec<String> {
    let mut format = protobuf(message);
    let declared = columns_of(&mut format, None).unwrap();
    let mut decoder = Decoder::new(&format, &declared, None, 1000).unwrap();
    for (offset, record) in (0..).zip(records) {
        decoder.record(offset, record);
    }
    let rows = decoder.take().unwrap().unwrap();
    let mut text = vec![];
    let mut writer = LineDelimitedWriter::new(&mut text);
    writer.write(&rows.batch).unwrap();
    writer.finish().unwrap();
    let mut lines: Vec<String> = String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
    lines.extend(rows.bad.iter().map(|bad| format!("{}: {}", bad.offset, bad.reason)));
    lines
}

const GOOD: &[u8] = &[
    0x08, 5, 0x12, 2, b'h', b'i', 0x1a, 2, 0x08, 9, 0x22, 0, 0x22, 3, 0x12, 1, b'z', 0x2a, 2, 3, 4, 0x31, 0, 0, 0, 0,
    0, 0, 0xf0, 0x3f, 0x3d, 1, 0, 0, 0,
];

#[test]
fn the_last_of_a_field_counts() {
    let twice = [GOOD, &[0x08, 6, 0x1a, 3, 0x12, 1, b'q', 0x42, 1, 0xff]].concat();
    // Fields of another type than the descriptor says, and fields and groups that it has not, are as if they were not there.
    let other = [0x0a, 1, b'x', 0x53, 0x08, 1, 0x54, 0x28, 1];
    assert_eq!(
        decode("t.Outer", &[GOOD, &twice, &other]),
        [
            r#"{"n":5,"s":"hi","inner":{"a":9},"inners":[{},{"b":"z"}],"numbers":[-2,2],"d":1.0,"x":1}"#,
            r#"{"n":6,"s":"hi","inner":{"a":9,"b":"q"},"inners":[{},{"b":"z"}],"numbers":[-2,2],"d":1.0,"y":"ff"}"#,
            r#"{"inners":[],"numbers":[-1]}"#,
        ]
    );
    assert_eq!(
        decode("Old", &[&[0x08, 0], &[]]),
        [r#"{"must":0,"told":7}"#, "1: `must`: it is required, and not there"]
    );
}

#[test]
fn columns_that_no_message_has() {
    let columns = |message: &str| columns_of(&mut protobuf(message), None);
    for (message, reason) in [
        ("t.Outr", "the descriptors have no message `t.Outr`, but `t.Outer`, `t.Inner`"),
        ("List", "`next`: `t.List` holds itself, and columns end"),
        ("Took", "`took`: a Duration, and no column is an interval; declare it"),
    ] {
        let said = columns(message).unwrap_err();
        assert!(said.starts_with(reason), "{said}");
    }
    let declared = |name: &str, of: DataType| -> SchemaRef { Schema::new(vec![Field::new(name, of, true)]).into() };
    let check = |name: &str, of: DataType| columns_of(&mut protobuf("t.Outer"), Some(&declared(name, of)));
    assert!(check("n", DataType::Decimal128(20, 0)).is_ok());
    assert!(check("nn", DataType::Int64).unwrap_err().starts_with("the message `t.Outer` has no field `nn`, but `n`"));
    assert_eq!(check("s", DataType::Int64).unwrap_err(), "`s`: it is a string, and no long");
    assert_eq!(check("numbers", DataType::Int64).unwrap_err(), "`numbers`: it is repeated, and no long");
    let mut wrong = Format::Protobuf(Box::new(Protobuf { descriptors: Some(vec![9; 9]), ..Protobuf::default() }));
    assert!(columns_of(&mut wrong, None).unwrap_err().starts_with("the descriptors are wrong"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn messages_that_nobody_wrote_are_bad_records_or_rows(
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        any in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = GOOD.to_vec();
        for (place, byte) in noise {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let shown = decode("t.Outer", &[GOOD, &bytes, &any, GOOD]);
        let alone = decode("t.Outer", &[GOOD]);
        prop_assert_eq!(shown.len(), 4);
        prop_assert_eq!(&shown[0], &alone[0]);
        prop_assert!(shown.iter().filter(|line| **line == alone[0]).count() >= 2);
    }
}
