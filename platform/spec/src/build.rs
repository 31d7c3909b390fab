//! Right values made into a deployment, with the checks that need one entry only.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use url::Url;

use crate::build_format::Home;
use crate::diagnostics::Diagnostic;
use crate::keys::SOURCE_KINDS;
use crate::model::{
    Backpressure, Delivery, Format, Grants, OnBadRecord, OnBrokenLaw, OnPluginError, OutputMode, Plugin, Restart, Sink,
    SinkKind, Source, SourceKind, StateBounds, StaticTable, TextFiles, Trigger, Watermark,
};
use crate::source_map::SourceMap;
use crate::suggest::did_you_mean;
use crate::value::Fields;

/// Schemes of a store.
const STORE_SCHEMES: &[&str] = &["file", "s3", "gs", "az", "memory"];

/// Makes the parts of a deployment, noting mistakes.
pub(crate) struct Builder<'a> {
    pub map: &'a SourceMap,
    pub mistakes: &'a mut Vec<Diagnostic>,
    /// The deployment file's folder.
    pub folder: &'a Path,
    /// The working directory.
    pub working: &'a Path,
    pub check_files: bool,
    /// The columns of a format that has a schema elsewhere.
    pub columns: &'a crate::FindColumns,
    /// Whether rows flow to sinks as they come.
    pub flows: bool,
}

impl Builder<'_> {
    pub(crate) fn wrong(
        &mut self,
        path: &str,
        message: impl Into<String>,
        expected: Option<String>,
        hint: Option<String>,
    ) {
        let mut mistake = self.map.at_value(path, message).hint(hint);
        mistake.expected = expected;
        self.mistakes.push(mistake);
    }

    /// The deployment's name, checked.
    pub(crate) fn name(&mut self, root: &Fields) -> String {
        let name = root.text("name");
        let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.is_empty() && (!name.chars().all(right) || name.starts_with('-') || name.len() > 63) {
            let better: String = name.to_lowercase().chars().map(|c| if right(c) { c } else { '-' }).take(63).collect();
            let better = better.trim_matches('-');
            let hint = (!better.is_empty()).then(|| format!("write `{better}`"));
            let expected = Some("lower-case letters, digits and dashes, at most 63".to_owned());
            self.wrong("name", "this cannot be a deployment's name", expected, hint);
        }
        name
    }

    /// The store's URL; a relative one starts at the working directory. `given` comes from the command line and not from the
    /// file.
    pub(crate) fn store(&mut self, root: &Fields, name: &str, given: Option<&str>) -> String {
        let Some(store) = given.map(str::to_owned).or_else(|| root.text_maybe("store")) else {
            return self.absolute(&format!("./data/{name}"));
        };
        let (problem, hint) = match store.split_once("://") {
            Some(("file", path)) if !path.is_empty() => return self.absolute(path),
            Some(("memory", _)) => return store,
            Some((scheme, rest)) if STORE_SCHEMES.contains(&scheme) => {
                if !rest.is_empty() && !rest.starts_with('/') {
                    return store;
                }
                ("the store's URL says no place", None)
            }
            Some((scheme, _)) => {
                ("the store's URL has a scheme that is unknown", did_you_mean(scheme, STORE_SCHEMES.iter().copied()))
            }
            None => {
                let written = given.or_else(|| self.map.written("store"));
                ("the store is no URL", written.map(|written| format!("write `file://{written}`")))
            }
        };
        let mut mistake = self.map.at_value("store", problem).hint(hint);
        if given.is_some() {
            mistake = mistake.outside("--store");
        }
        let expected = "a URL such as `file://./data`, `s3://bucket/folder`, `gs://…`, `az://…` or `memory://`";
        self.mistakes.push(mistake.expected(expected));
        store
    }

    fn absolute(&self, path: &str) -> String {
        let path = if Path::new(path).is_absolute() {
            PathBuf::from(path)
        } else {
            let relative = path.strip_prefix("./").unwrap_or(path);
            self.working.join(relative)
        };
        format!("file://{}", path.display())
    }

    /// When epochs run.
    pub(crate) fn trigger(&mut self, root: &Fields) -> Trigger {
        let Some(trigger) = root.fields("trigger") else { return Trigger::Default };
        for key in ["once", "available_now"] {
            if trigger.flag_maybe(key) == Some(false) {
                let hint = Some("leave `trigger` out for the default".to_owned());
                self.wrong(&trigger.path_of(key), format!("`{key}` is `true` or not there"), None, hint);
            }
        }
        match (trigger.duration_maybe("processing_time"), trigger.duration_maybe("continuous")) {
            (Some(interval), _) => Trigger::ProcessingTime(interval),
            (None, Some(interval)) => Trigger::Continuous(interval),
            (None, None) if trigger.has("once") => Trigger::Once,
            (None, None) => Trigger::AvailableNow,
        }
    }

    /// How the intake follows what is processed, where it does.
    pub(crate) fn backpressure(&mut self, root: &Fields) -> Option<Backpressure> {
        let fields = root.fields("backpressure")?;
        fields.flag("enabled").then(|| Backpressure {
            initial_rate: fields.whole_maybe("initial_rate"),
            min_rate: fields.whole("min_rate"),
            proportional: fields.number("proportional"),
            integral: fields.number("integral"),
            derived: fields.number("derived"),
        })
    }

    /// What happens after a failure.
    pub(crate) fn restart(&mut self, root: &Fields) -> Restart {
        let restart = root.fields("restart").cloned().unwrap_or_default();
        let (backoff_min, backoff_max) = (restart.duration("backoff_min"), restart.duration("backoff_max"));
        if backoff_max < backoff_min {
            let hint = Some("the wait begins at `backoff_min` and doubles up to `backoff_max`".to_owned());
            self.wrong(&restart.path_of("backoff_max"), "`backoff_max` is less than `backoff_min`", None, hint);
        }
        Restart { max_attempts: restart.whole("max_attempts"), backoff_min, backoff_max }
    }

    /// Where what is remembered is kept.
    pub(crate) fn state(&mut self, root: &Fields) -> StateBounds {
        let state = root.fields("state").cloned().unwrap_or_default();
        let directory = state.text_maybe("directory").map(|directory| self.working.join(directory));
        StateBounds { memory_bytes: state.whole("memory"), directory }
    }

    pub(crate) fn source(&mut self, fields: &Fields) -> Source {
        let mut from = self.source_kind(fields);
        let default = match from {
            SourceKind::Files(_) | SourceKind::Kafka(_) => None,
            SourceKind::Socket(_) => Some(Format::Text),
            SourceKind::Http(_) => Some(Format::Json),
            SourceKind::Rate(_) | SourceKind::RateMicroBatch(_) => Some(Format::Native),
        };
        let known_kind = SOURCE_KINDS.iter().any(|kind| fields.has(kind));
        let generated = matches!(from, SourceKind::Rate(_) | SourceKind::RateMicroBatch(_));
        let (format, schema) = if generated && known_kind {
            for key in ["format", "schema"] {
                if fields.has(key) {
                    let message = format!("a rate source has no `{key}`: it makes rows itself");
                    let mistake = self.map.at_key(&fields.path_of(key), message);
                    let hint = "remove it; the columns are `timestamp` (a timestamp) and `value` (a long)";
                    self.mistakes.push(mistake.hint(Some(hint)));
                }
            }
            (Format::Native, rate_schema())
        } else {
            let home = match &from {
                _ if !known_kind => Home::Unknown,
                SourceKind::Files(_) => Home::Files,
                SourceKind::Kafka(kafka) => Home::Kafka(kafka.topics.only()),
                _ => Home::Lines,
            };
            let mut format = self.format(fields, default.filter(|_| known_kind), &home);
            let schema = self.schema(fields, "a source", &mut format);
            match &mut from {
                SourceKind::Kafka(kafka) => {
                    let schema = self.with_metadata(fields, kafka, &format, &schema);
                    (format, schema)
                }
                _ => (format, schema),
            }
        };
        Source {
            from,
            format,
            watermark: self.watermark(fields, &schema),
            schema,
            on_bad_record: match fields.text("on_bad_record").as_str() {
                "fail" => OnBadRecord::Fail,
                "drop" => OnBadRecord::Drop,
                _ => OnBadRecord::DeadLetter,
            },
        }
    }

    fn watermark(&mut self, fields: &Fields, schema: &Schema) -> Option<Watermark> {
        let watermark = fields.fields("watermark")?;
        let event_time = watermark.text("event_time");
        let path = watermark.path_of("event_time");
        let expected = Some("a column of the schema that is a `timestamp` or a `timestamp_millis`".to_owned());
        let times = || schema.fields().iter().filter(|field| is_time(field)).map(|field| field.name().as_str());
        match schema.field_with_name(&event_time) {
            _ if event_time.is_empty() || schema.fields().is_empty() => {}
            Ok(field) if is_time(field) => {}
            Ok(_) => {
                let hint = times().next().map_or_else(
                    || format!("declare it as `{event_time}: timestamp`, or as `timestamp_millis` if it is a number"),
                    |time| format!("did you mean `{time}`?"),
                );
                self.wrong(&path, "the event time's column is no timestamp", expected, Some(hint));
            }
            Err(_) => {
                let hint = did_you_mean(&event_time, times())
                    .or_else(|| times().next().map(|time| format!("did you mean `{time}`?")));
                self.wrong(&path, "the event time's column is not in the schema", expected, hint);
            }
        }
        Some(Watermark {
            event_time,
            delay: watermark.duration("delay"),
            idle_timeout: watermark.duration_maybe("idle_timeout"),
        })
    }

    pub(crate) fn table(&mut self, fields: &Fields) -> StaticTable {
        let mut format = self.format(fields, Some(Format::Native), &Home::Files);
        StaticTable {
            path: fields.fields("file").map(|file| file.text("path")).unwrap_or_default(),
            schema: self.schema(fields, "a table", &mut format),
            format,
            refresh: fields.duration_maybe("refresh"),
        }
    }

    pub(crate) fn plugin(&mut self, fields: &Fields) -> Plugin {
        let limits = fields.fields("limits").cloned().unwrap_or_default();
        Plugin {
            code: self.plugin_code(fields),
            limits: self.plugin_limits(&fields.path_of("limits"), &limits),
            grants: self.grants(fields),
            on_error: match fields.text("on_error").as_str() {
                "fail" => OnPluginError::Fail,
                "skip" => OnPluginError::Skip,
                _ => OnPluginError::DeadLetter,
            },
            laws: match fields.text("laws").as_str() {
                "warn" => OnBrokenLaw::Warn,
                "skip" => OnBrokenLaw::Skip,
                _ => OnBrokenLaw::Refuse,
            },
        }
    }

    fn grants(&mut self, fields: &Fields) -> Grants {
        let Some(grants) = fields.fields("grants") else { return Grants::default() };
        let path = grants.path_of("http");
        let mut http = Vec::new();
        for (number, written) in grants.list("http").iter().enumerate() {
            match origin(written) {
                Ok(origin) if http.contains(&origin) => {
                    let hint = Some("remove it".to_owned());
                    self.wrong(&format!("{path}[{number}]"), "the origin stands in this list twice", None, hint);
                }
                Ok(origin) => http.push(origin),
                Err(hint) => {
                    let expected =
                        Some("an origin such as `https://api.example.com` or `http://127.0.0.1:9000`".into());
                    self.wrong(&format!("{path}[{number}]"), "this is no origin that can be granted", expected, hint);
                }
            }
        }
        Grants {
            http,
            private_addresses: grants.flag("private_addresses"),
            log: grants.flag("log"),
            env: grants.pairs("env"),
            clock: grants.flag("clock"),
            random: grants.flag("random"),
        }
    }

    pub(crate) fn sink(&mut self, fields: &Fields) -> Sink {
        let part = |name: &str| fields.fields(name).cloned().unwrap_or_default();
        let to = if fields.has("console") {
            SinkKind::Console { rows_max: usize::try_from(part("console").whole("num_rows")).unwrap_or(usize::MAX) }
        } else if fields.has("parquet") {
            SinkKind::Parquet { path: part("parquet").text("path") }
        } else if fields.has("text") {
            SinkKind::Text(TextFiles::Folder { path: part("text").text("path") })
        } else if fields.has("kafka") {
            let kafka = part("kafka");
            SinkKind::Kafka {
                brokers: self.brokers(&kafka),
                topic: kafka.text("topic"),
                client: self.client(&kafka),
                format: self.sink_format(&kafka),
            }
        } else if fields.has("plugin") {
            SinkKind::Plugin { plugin: fields.text("plugin"), options: fields.pairs("options") }
        } else {
            SinkKind::Memory
        };
        if fields.has("options") && !fields.has("plugin") {
            let mistake = self.map.at_key(&fields.path_of("options"), "only a sink with a plugin has `options`");
            let hint = "write them below its kind, such as `console: {num_rows: 5}`";
            self.mistakes.push(mistake.hint(Some(hint)));
        }
        let delivery = match fields.text_maybe("delivery").as_deref() {
            Some("at_least_once") => Delivery::AtLeastOnce,
            Some("at_most_once") => Delivery::AtMostOnce,
            written => {
                let most = to.delivery();
                if let (Some(_), Err(reason)) = (written, &most) {
                    let expected = Some("at_least_once or at_most_once".to_owned());
                    let hint = Some("leave it out, or write to Kafka or files".to_owned());
                    self.wrong(&fields.path_of("delivery"), *reason, expected, hint);
                }
                match (written, &to) {
                    // As in Spark: what flows into transactions is seen only when they end, so that is asked for.
                    (None, SinkKind::Kafka { .. }) if self.flows => Delivery::AtLeastOnce,
                    _ => most.unwrap_or(Delivery::AtLeastOnce),
                }
            }
        };
        Sink { from: fields.text("from"), output_mode: output_mode(&fields.text("output_mode")), delivery, to }
    }

    /// Notes names that a list holds twice.
    pub(crate) fn no_repeats(&mut self, list: &[String], path: &str, what: &str) {
        let mut seen = BTreeSet::new();
        for (number, name) in list.iter().enumerate() {
            if !seen.insert(name) {
                let message = format!("{what} stands in this list twice");
                self.wrong(&format!("{path}[{number}]"), message, None, Some("remove it".to_owned()));
            }
        }
    }
}

/// An origin as URLs serialize it; or what to write, if anything.
fn origin(written: &str) -> Result<String, Option<String>> {
    let url = match Url::parse(written) {
        Ok(url) => url,
        Err(_) if !written.contains("://") => return Err(Some(format!("write `https://{written}`"))),
        Err(_) => return Err(None),
    };
    let origin = url.origin().ascii_serialization();
    match url.scheme() {
        "http" | "https" if written.contains('*') => Err(Some("write each origin out: `*` stands for nothing".into())),
        "http" | "https" if url.as_str().trim_end_matches('/') == origin => Ok(origin),
        "http" | "https" => Err(Some(format!("write `{origin}`: an origin is scheme, host and port only"))),
        _ => Err(None),
    }
}

pub(crate) fn output_mode(word: &str) -> OutputMode {
    match word {
        "update" => OutputMode::Update,
        "complete" => OutputMode::Complete,
        _ => OutputMode::Append,
    }
}

fn is_time(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Timestamp(_, _))
}

pub(crate) fn text_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]))
}

/// The rows that a rate source makes.
fn rate_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("value", DataType::Int64, true),
    ]))
}
