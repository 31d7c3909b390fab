//! What a deployment says about formats and columns, made right or refused.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::build::{Builder, text_schema};
use crate::model::{Avro, Csv, Format, Protobuf, Registry, SinkAvro, SinkFormat, SinkRegistry, SubjectName, Text};
use crate::value::Fields;

/// The longest file of a schema.
const SCHEMA_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where records come from, as far as it decides which formats they may have.
pub(crate) enum Home {
    Files,
    /// Kafka, and its topic, if it is one.
    Kafka(Option<String>),
    /// Lines of a socket or of HTTP.
    Lines,
    /// What was wrong itself, so that no format is.
    Unknown,
}

impl Home {
    fn in_files(&self) -> bool {
        matches!(self, Self::Files | Self::Unknown)
    }

    fn in_kafka(&self) -> bool {
        matches!(self, Self::Kafka(_) | Self::Unknown)
    }
}

impl Builder<'_> {
    pub(crate) fn format(&mut self, fields: &Fields, default: Option<Format>, home: &Home) -> Format {
        let Some(choice) = fields.fields("format") else {
            if !fields.has("format") && default.is_none() {
                let mistake = self.map.at_key(&fields.path, "a source needs the key `format`");
                let all = "`format`: one of `json`, `csv`, `text`, `parquet`, `raw`, `avro`, `protobuf`";
                self.mistakes.push(mistake.expected(all));
            }
            // `Native` checks no schema: a missing format is one mistake, not two.
            return default.unwrap_or(Format::Native);
        };
        if let Some(csv) = choice.fields("csv") {
            return Format::Csv(self.csv(csv, home.in_files()));
        }
        let path = fields.path_of("format");
        if choice.has("parquet") && !home.in_files() {
            let expected = Some("one of `json`, `csv`, `text`".to_owned());
            self.wrong(&path, "Parquet is read from files only", expected, None);
        }
        if choice.has("raw") && !home.in_kafka() {
            let expected = Some("one of `json`, `csv`, `text`, `parquet`".to_owned());
            let hint = Some("lines are `text`".to_owned());
            self.wrong(&path, "raw records are read from Kafka only", expected, hint);
        }
        if choice.has("avro") && matches!(home, Home::Lines) {
            let expected = Some("one of `json`, `csv`, `text`".to_owned());
            self.wrong(&path, "Avro is read from files and from Kafka; here records are lines", expected, None);
        }
        if choice.has("protobuf") && !home.in_kafka() {
            let expected = Some("one of `json`, `csv`, `text`".to_owned());
            self.wrong(&path, "Protobuf is read from Kafka only", expected, None);
        }
        if let Some(avro) = choice.fields("avro") {
            return self.avro(avro, home);
        }
        if let Some(protobuf) = choice.fields("protobuf") {
            return self.protobuf(protobuf, home);
        }
        match () {
            () if choice.has("json") => Format::Json,
            () if choice.has("text") => Format::Text,
            () if choice.has("parquet") => Format::Parquet,
            () if choice.has("raw") => Format::Raw,
            () => Format::Native,
        }
    }

    /// The schema's text, where it is given.
    fn avro_schema(&mut self, avro: &Fields) -> Option<String> {
        let (written, file) = (avro.text_maybe("schema"), avro.text_maybe("schema_file"));
        if written.is_some() && file.is_some() {
            let mistake = self.map.at_key(&avro.path_of("schema"), "`schema_file` says the schema already");
            self.mistakes.push(mistake.hint(Some("remove one of the two")));
        }
        let from_file = file.and_then(|file| self.beside(avro, "schema_file", &file));
        let from_file = from_file.and_then(|bytes| String::from_utf8(bytes).ok());
        written.or(from_file)
    }

    fn avro(&mut self, avro: &Fields, home: &Home) -> Format {
        let schema = self.avro_schema(avro).map(|text| Text { text, references: vec![] });
        let registry = self.registry(avro, home);
        let given = ["schema", "schema_file", "registry"].iter().any(|key| avro.has(key));
        if !given && matches!(home, Home::Kafka(_)) {
            let mistake = self.map.at_value(&avro.path, "nothing says which schema the records have");
            let expected = "`schema_file`, `schema` or `registry`";
            self.mistakes
                .push(mistake.expected(expected).hint(Some("write `format: {avro: {schema_file: order.avsc}}`")));
        }
        if registry.is_some() && schema.is_some() {
            let message = "with a registry, the schema is not given here";
            let mistake = self.map.at_key(&avro.path_of("registry"), message);
            self.mistakes
                .push(mistake.hint(Some("name the columns in the source's `schema`, or a `version` of the subject")));
        }
        let permissive = avro.text("mode") == "permissive";
        Format::Avro(Box::new(Avro { schema, registry, in_files: home.in_files(), permissive }))
    }

    /// What a Kafka sink makes of rows.
    pub(crate) fn sink_format(&mut self, kafka: &Fields) -> SinkFormat {
        let Some(avro) = kafka.fields("format").and_then(|format| format.fields("avro")) else {
            return SinkFormat::Json;
        };
        let registry = avro.fields("registry").map(|fields| SinkRegistry {
            at: self.registry(avro, &Home::Kafka(None)).unwrap_or_default(),
            subject_name: match fields.text("subject_name_strategy").as_str() {
                "record_name" => SubjectName::Record,
                "topic_record_name" => SubjectName::TopicRecord,
                _ => SubjectName::Topic,
            },
            auto_register_schemas: fields.flag("auto_register_schemas"),
        });
        let schema = self.avro_schema(avro);
        SinkFormat::Avro(Box::new(SinkAvro { schema, registry }))
    }

    fn protobuf(&mut self, protobuf: &Fields, home: &Home) -> Format {
        let file = protobuf.text_maybe("descriptor_file");
        let descriptors = file.and_then(|file| self.beside(protobuf, "descriptor_file", &file));
        let registry = self.registry(protobuf, home);
        if !protobuf.has("descriptor_file") && !protobuf.has("registry") {
            let mistake = self.map.at_value(&protobuf.path, "nothing says what the messages are");
            let hint = "write `format: {protobuf: {descriptor_file: order.desc, message: Order}}`";
            self.mistakes.push(mistake.expected("`descriptor_file` and `message`, or `registry`").hint(Some(hint)));
        } else if protobuf.has("descriptor_file") && !protobuf.has("message") {
            let mistake = self.map.at_value(&protobuf.path, "nothing says which message of the descriptors it is");
            self.mistakes.push(mistake.expected("`message`: its name, with the package or without"));
        }
        Format::Protobuf(Box::new(Protobuf {
            descriptors,
            message: protobuf.text_maybe("message"),
            registry,
            permissive: protobuf.text("mode") == "permissive",
            emit_default_values: protobuf.flag("emit_default_values"),
            enums_as_ints: protobuf.flag("enums_as_ints"),
            unwrap_primitive_wrapper_types: protobuf.flag("unwrap_primitive_wrapper_types"),
            upcast_unsigned_ints: protobuf.flag("upcast_unsigned_ints"),
        }))
    }

    fn registry(&mut self, format: &Fields, home: &Home) -> Option<Registry> {
        let fields = format.fields("registry")?;
        if matches!(home, Home::Files) {
            let mistake = self.map.at_key(&fields.path, "files hold their schema, and no registry's");
            self.mistakes.push(mistake.hint(Some("remove `registry`")));
        }
        let url = fields.text("url");
        let parsed = url::Url::parse(&url);
        let expected = || Some("a URL such as `http://localhost:8081`".to_owned());
        match parsed {
            _ if fields.text_maybe("url").is_none() => {}
            Ok(parsed) if parsed.has_authority() && ["http", "https"].contains(&parsed.scheme()) => {
                if !parsed.username().is_empty() || parsed.password().is_some() {
                    let mistake = self
                        .map
                        .at_key(&fields.path_of("url"), "a login does not stand in the URL, where it would be shown");
                    self.mistakes.push(mistake.hint(Some("write `username` and `password`")));
                }
            }
            _ => self.wrong(&fields.path_of("url"), "this is no URL of a registry", expected(), None),
        }
        let login = match (fields.text_maybe("username"), fields.text_maybe("password")) {
            (None, None) => None,
            (Some(user), Some(password)) => Some((user, password)),
            (user, _) => {
                let (there, missing) = if user.is_some() { ("username", "password") } else { ("password", "username") };
                if !fields.is_bad(missing) {
                    let mistake =
                        self.map.at_key(&fields.path_of(there), format!("`{there}` stands without `{missing}`"));
                    self.mistakes.push(mistake.expected("both, or none"));
                }
                None
            }
        };
        let subject = fields.text_maybe("subject").or_else(|| match home {
            Home::Kafka(Some(topic)) => Some(format!("{topic}-value")),
            _ => None,
        });
        Some(Registry { url, subject: subject.unwrap_or_default(), version: fields.whole_maybe("version"), login })
    }

    /// The bytes of a file that stands beside the deployment's, or in the working directory.
    fn beside(&mut self, fields: &Fields, key: &str, file: &str) -> Option<Vec<u8>> {
        let places: [PathBuf; 2] = [self.folder.join(file), self.working.join(file)];
        let found = places.iter().find(|place| place.is_file()).unwrap_or(&places[1]);
        let read = std::fs::metadata(found).and_then(|about| match about.len() > SCHEMA_BYTES_MAX {
            true => Err(std::io::Error::other(format!("it has more than {SCHEMA_BYTES_MAX} bytes"))),
            false => std::fs::read(found),
        });
        match read {
            Ok(bytes) => Some(bytes),
            Err(_) if !self.check_files => None,
            Err(error) => {
                let message = match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        "there is no such file, neither beside the deployment file nor in the working directory"
                            .to_owned()
                    }
                    _ => format!("the file cannot be read: {error}"),
                };
                self.wrong(&fields.path_of(key), message, None, None);
                None
            }
        }
    }

    fn csv(&mut self, csv: &Fields, in_files: bool) -> Csv {
        let header = csv.flag_maybe("header").unwrap_or(in_files);
        if header && !in_files {
            let hint = Some("remove it: the values stand in the order of the schema".to_owned());
            self.wrong(&csv.path_of("header"), "only files have a header", None, hint);
        }
        let (delimiter, quote) = (csv.character("delimiter"), csv.character("quote"));
        for (key, character) in [("delimiter", delimiter), ("quote", quote)] {
            if matches!(character, b'\n' | b'\r') {
                self.wrong(&csv.path_of(key), "a line's end cannot be used here", None, None);
            }
        }
        if delimiter == quote && !csv.is_bad("delimiter") && !csv.is_bad("quote") {
            self.wrong(&csv.path_of("quote"), "`delimiter` and `quote` are the same", None, None);
        }
        Csv { header, delimiter, quote, null_value: csv.text_maybe("null_value") }
    }

    pub(crate) fn schema(&mut self, fields: &Fields, what: &str, format: &mut Format) -> SchemaRef {
        let schema = fields.columns("schema");
        match (&*format, schema) {
            (Format::Avro(_) | Format::Protobuf(_), schema) => self.elsewhere(fields, what, format, schema),
            (Format::Native, schema) => schema.unwrap_or_else(|| Arc::new(Schema::empty())),
            (Format::Raw, schema) => {
                if schema.is_some() || fields.is_bad("schema") {
                    let mistake = self.map.at_key(&fields.path_of("schema"), "raw records have their own columns");
                    self.mistakes.push(mistake.hint(Some("remove it; say in a view what the bytes mean")));
                }
                Arc::new(Schema::new(vec![Field::new("value", DataType::Binary, true)]))
            }
            (Format::Text, None) if !fields.has("schema") => text_schema(),
            (_, None) => {
                if !fields.has("schema") {
                    let mistake = self.map.at_key(&fields.path, format!("{what} needs the key `schema`"));
                    self.mistakes.push(
                        mistake.expected("`schema`: a map from columns to types, such as `{id: long, name: string}`"),
                    );
                }
                Arc::new(Schema::empty())
            }
            (Format::Text, Some(schema)) => {
                let values: Vec<&Field> = schema.fields().iter().map(AsRef::as_ref).collect();
                if !matches!(values.as_slice(), [one] if one.data_type() == &DataType::Utf8) {
                    let mistake = self.map.at_key(&fields.path_of("schema"), "text has one column, and it is a string");
                    self.mistakes.push(mistake.expected("`{value: string}`, or no `schema`"));
                }
                schema
            }
            (_, Some(schema)) => schema,
        }
    }

    /// The columns of a format whose schema is elsewhere: those that are declared, or those that it says.
    fn elsewhere(
        &mut self,
        fields: &Fields,
        what: &str,
        format: &mut Format,
        declared: Option<SchemaRef>,
    ) -> SchemaRef {
        let nothing = Arc::new(Schema::empty());
        let path = fields.path_of("format");
        // What is wrong with the format or the columns was said.
        let said = self.mistakes.iter().any(|mistake| mistake.path.starts_with(&path)) || fields.is_bad("schema");
        let (known, registry) = match &*format {
            Format::Avro(avro) => (avro.schema.is_some(), avro.registry.as_ref()),
            Format::Protobuf(protobuf) => (protobuf.descriptors.is_some(), protobuf.registry.as_ref()),
            _ => (false, None),
        };
        let asks = registry.is_some() && !known && (declared.is_none() || matches!(format, Format::Protobuf(_)));
        if !said && asks && registry.is_some_and(|registry| registry.subject.is_empty()) {
            let path =
                format!("{path}.{}.registry", if matches!(format, Format::Avro(_)) { "avro" } else { "protobuf" });
            let mistake = self.map.at_key(&path, "the registry has many subjects, and none is named");
            self.mistakes.push(mistake.expected("`subject`, as the source has not exactly one topic"));
            return declared.unwrap_or(nothing);
        }
        match (declared, known || registry.is_some()) {
            (declared, _) if said => declared.unwrap_or(nothing),
            (None, false) if self.check_files => {
                let mistake = self.map.at_key(&fields.path, format!("{what} of Avro files needs the key `schema`"));
                let hint = "or write `format: {avro: {schema_file: …}}`: the columns are then its own";
                let expected = "`schema`: a map from columns to types, such as `{id: long, name: string}`";
                self.mistakes.push(mistake.expected(expected).hint(Some(hint)));
                nothing
            }
            (Some(declared), false) => declared,
            (None, false) => nothing,
            (declared, true) => match (self.columns)(format, declared.as_ref()) {
                Ok(columns) => columns,
                Err(reason) => {
                    self.wrong(&path, reason, None, None);
                    declared.unwrap_or(nothing)
                }
            },
        }
    }
}
