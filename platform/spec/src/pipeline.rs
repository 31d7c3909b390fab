//! A view's pipeline becomes SQL: one common table expression a step, in the order of the steps.
//!
//! So a pipeline has whatever SQL has, in every layout, and is checked, planned and run as if the SQL had been written.
//! Plugins that it begins with become a stream, and its outputs become sinks.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::build::{Builder, output_mode};
use crate::check::Known;
use crate::keys_pipeline::OUTPUTS;
use crate::model::{Delivery, Expression, OutputMode, Role, Sink, SinkKind, Stream, TextFiles, View};
use crate::text_of_steps::{Text, interval};
use crate::value::{Fields, Value};

/// Views, and what pipelines add to a deployment.
#[derive(Default)]
pub(crate) struct Answers {
    pub streams: Vec<Stream>,
    pub views: BTreeMap<String, View>,
    pub sinks: BTreeMap<String, Sink>,
    /// Per path of a view's SQL of what it was made.
    pub made: Vec<(String, Text)>,
    /// Per path of a stream or sink the step that it is.
    pub moved: Vec<(String, String)>,
}

/// A window of event time.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub length: Duration,
    pub slide: Option<Duration>,
    pub time: String,
    pub path: String,
}

impl Window {
    /// The window that an instant is in.
    pub(crate) fn call(&self, time: &str) -> Text {
        let mut text = Text::default();
        text.say("window(").name(time).say(&format!(", '{}'", interval(self.length)));
        if let Some(slide) = self.slide.filter(|slide| *slide != self.length) {
            text.say(&format!(", '{}'", interval(slide)));
        }
        text.say(")");
        text
    }

    pub(crate) fn slides(&self) -> bool {
        self.slide.is_some_and(|slide| slide != self.length)
    }
}

/// A pipeline on its way to SQL.
pub(crate) struct Pipeline<'a, 'b> {
    pub builder: &'a mut Builder<'b>,
    pub root: &'a Fields,
    view: &'a str,
    steps: &'a [Fields],
    /// What the names of steps begin with; no table's does.
    prefix: String,
    /// The steps so far, with their names and paths.
    done: Vec<(String, Text, String)>,
    /// The table whose rows flow.
    pub rows: String,
    /// Their event time, as far as it is known.
    pub time: Option<String>,
    /// The window in which what follows is counted, reduced or joined.
    pub window: Option<Window>,
    /// It has a stream of its own.
    streams: bool,
    /// Whether rows change: they were reduced, and not per window.
    pub changes: bool,
    /// The step at hand.
    pub number: usize,
    pub operation: &'static str,
    expressions: Vec<Expression>,
    output: Option<&'static str>,
}

/// A step's operation and what it says.
fn operation(step: &Fields) -> Option<(&'static str, &Value)> {
    step.values.iter().map(|(name, value)| (*name, value)).next().filter(|(_, value)| !matches!(value, Value::Bad))
}

impl Builder<'_> {
    /// The views, and what pipelines add.
    pub(crate) fn views(&mut self, root: &Fields, answers: &mut Answers) {
        for (name, fields) in root.named("views") {
            let view = match fields.steps("pipeline") {
                Some(steps) => {
                    let mut pipeline = Pipeline::new(self, root, name, steps);
                    pipeline.run(answers);
                    let (sql, expressions) = pipeline.finish(answers);
                    View { sql, pipeline: Some(expressions) }
                }
                None => View { sql: fields.text("sql"), pipeline: None },
            };
            answers.views.insert(name.clone(), view);
        }
    }
}

impl<'a, 'b> Pipeline<'a, 'b> {
    fn new(builder: &'a mut Builder<'b>, root: &'a Fields, view: &'a str, steps: &'a [Fields]) -> Self {
        let sections = ["sources", "streams", "tables", "views"];
        let mut prefix = "step".to_owned();
        while sections
            .iter()
            .flat_map(|section| root.named(section))
            .any(|(name, _)| name.starts_with(&format!("{prefix}_")))
        {
            prefix.push('_');
        }
        Self {
            builder,
            root,
            view,
            steps,
            prefix,
            done: Vec::new(),
            rows: String::new(),
            time: None,
            window: None,
            streams: false,
            changes: false,
            number: 0,
            operation: "",
            expressions: Vec::new(),
            output: None,
        }
    }

    /// The path of the step at hand.
    pub(crate) fn path(&self) -> String {
        format!("{}.{}", self.steps[self.number].path, self.operation)
    }

    pub(crate) fn wrong(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        let mistake = self.builder.map.at_key(path, message).hint(Some(hint));
        self.builder.mistakes.push(mistake);
    }

    fn run(&mut self, answers: &mut Answers) {
        for (number, step) in self.steps.iter().enumerate() {
            let Some((name, value)) = operation(step) else { continue };
            (self.number, self.operation) = (number, name);
            let path = self.path();
            if number == 0 && name != "from" {
                self.wrong(
                    &path,
                    "a pipeline begins with `from`",
                    "write `- from: …` before it: a source, stream or view",
                );
            }
            match (self.output, OUTPUTS.contains(&name)) {
                (Some(output), false) => {
                    let hint = "outputs stand last; make a view of the steps before it to show what is between";
                    self.wrong(&path, format!("`{name}` stands behind the output `{output}`"), hint);
                }
                (Some(output), true) if output == name => {
                    self.wrong(&path, format!("`{name}` stands here twice"), "remove one");
                }
                _ => self.step(name, value, &path, answers),
            }
        }
        if let Some(window) = self.window.take() {
            let hint = "put `count`, `count_by_value`, `reduce`, `reduce_by_key`, `join` or `cogroup` behind it";
            self.wrong(&window.path, "nothing is counted, reduced or joined in this window", hint);
        }
    }

    fn step(&mut self, name: &'static str, value: &Value, path: &str, answers: &mut Answers) {
        match (name, value) {
            ("from", Value::Text(from)) => self.from(from, path, answers),
            ("map" | "flat_map" | "filter", Value::NamedWords(words)) if is_plugin(words) => {
                self.plugin(&words[0].1, &format!("{path}.plugin"), answers);
            }
            ("transform", Value::Fields(fields)) => {
                if let Some(plugin) = fields.text_maybe("plugin") {
                    self.plugin(&plugin, &fields.path_of("plugin"), answers);
                }
            }
            ("map_with_state" | "update_state_by_key", Value::Fields(fields)) => self.keyed(fields, path, answers),
            ("pprint" | "save_as_text_files" | "foreach_rdd", Value::Fields(fields)) => {
                self.output(name, fields, answers)
            }
            (_, Value::NamedWords(columns)) => self.columns(columns, path),
            (_, Value::Text(condition)) => self.filter(condition, path),
            (_, Value::List(names)) => self.union(names, path, answers),
            (_, Value::Fields(fields)) => self.group(fields, answers),
            _ => {}
        }
    }

    fn from(&mut self, from: &str, path: &str, answers: &Answers) {
        if self.number > 0 {
            let hint = "it stands first; `union` takes the rows of others in, and `join` their columns";
            return self.wrong(path, "`from` stands in the middle of a pipeline", hint);
        }
        let known = Known::of(self.root, &["sources", "streams", "views"]);
        self.builder.refer(self.root, &known, "source, stream or view", from, path);
        self.rows = from.to_owned();
        self.time = self.time_of(from, answers);
    }

    /// A plugin in front becomes a stream.
    fn plugin(&mut self, plugin: &str, path: &str, answers: &mut Answers) {
        let known = Known::of(self.root, &["plugins"]);
        self.builder.refer(self.root, &known, "plugin", plugin, path);
        if let Some(stream) = self.stream(path, answers) {
            stream.apply.push(plugin.to_owned());
        }
    }

    /// A plugin with state ends the pipeline's own stream.
    fn keyed(&mut self, fields: &Fields, path: &str, answers: &mut Answers) {
        let keyed = self.builder.transform_with_state(self.root, fields);
        let time = keyed.event_time.clone();
        if let Some(stream) = self.stream(path, answers) {
            stream.transform_with_state = Some(keyed);
            answers.moved.push((format!("streams.{}.transform_with_state", self.rows), path.to_owned()));
            self.time = time;
        }
    }

    /// The pipeline's own stream, in which plugins stand; a mistake where that cannot be any more.
    fn stream<'c>(&mut self, path: &str, answers: &'c mut Answers) -> Option<&'c mut Stream> {
        let hint = "move it up behind `from`; or apply it in a stream, and read that: \
                    `streams: {clean: {from: lines, apply: [plugin]}}`";
        if !self.done.is_empty() || self.window.is_some() {
            self.wrong(path, "a plugin takes rows as they come in, before any SQL", hint);
            return None;
        }
        if self.root.named("views").any(|(name, _)| *name == self.rows) {
            self.wrong(path, format!("a plugin takes rows as they come in, and `{}` is a view", self.rows), hint);
            return None;
        }
        if answers.streams.iter().any(|stream| stream.name == self.rows && stream.remembers().is_some()) {
            let message = format!("`{}` remembers rows, and only views can read such a stream", self.rows);
            self.wrong(path, message, "apply the plugin in that stream");
            return None;
        }
        if !std::mem::replace(&mut self.streams, true) {
            let mut name = format!("{}_input", self.view);
            let sections = ["sources", "streams", "tables", "views", "sinks"];
            while sections.iter().flat_map(|section| self.root.named(section)).any(|(taken, _)| *taken == name) {
                name.push('_');
            }
            answers.moved.push((format!("streams.{name}"), path.to_owned()));
            let from = vec![std::mem::replace(&mut self.rows, name.clone())];
            let (apply, drop_duplicates, transform_with_state) = (vec![], None, None);
            answers.streams.push(Stream { name, from, apply, drop_duplicates, transform_with_state });
        }
        answers.streams.last_mut()
    }

    /// An output becomes a sink.
    fn output(&mut self, name: &'static str, fields: &Fields, answers: &mut Answers) {
        self.output = Some(name);
        let to = match name {
            "pprint" => SinkKind::Pprint { rows_max: usize::try_from(fields.whole("num")).unwrap_or(usize::MAX) },
            "foreach_rdd" => {
                let plugin = fields.text("plugin");
                if !fields.is_bad("plugin") {
                    let known = Known::of(self.root, &["plugins"]);
                    self.builder.refer(self.root, &known, "plugin", &plugin, &fields.path_of("plugin"));
                }
                SinkKind::Plugin { plugin, options: fields.pairs("options") }
            }
            _ => SinkKind::Text(TextFiles::PerEpoch {
                prefix: fields.text("prefix"),
                suffix: fields.text_maybe("suffix"),
            }),
        };
        let output_mode = match fields.text_maybe("output_mode") {
            Some(word) => output_mode(&word),
            None if self.changes => OutputMode::Update,
            None => OutputMode::Append,
        };
        let sink = format!("{}_{name}", self.view);
        let sections = ["sources", "streams", "tables", "views", "sinks"];
        if sections.iter().flat_map(|section| self.root.named(section)).any(|(taken, _)| *taken == sink) {
            self.wrong(
                &fields.path,
                format!("`{sink}` is the name of this output, and of something else"),
                "rename that",
            );
        }
        if name == "foreach_rdd" {
            answers.moved.push((format!("sinks.{sink}.plugin"), fields.path_of("plugin")));
        }
        answers.moved.push((format!("sinks.{sink}"), fields.path_of("output_mode")));
        let delivery = to.delivery().unwrap_or(Delivery::AtLeastOnce);
        answers.sinks.insert(sink, Sink { from: self.view.to_owned(), output_mode, delivery, to });
    }

    /// The event time of a source, stream or view, as far as it is known here.
    pub(crate) fn time_of(&self, name: &str, answers: &Answers) -> Option<String> {
        let find = |section: &str| self.root.named(section).find(|(other, _)| *other == name).map(|(_, fields)| fields);
        if let Some(source) = find("sources") {
            return source.fields("watermark").and_then(|watermark| watermark.text_maybe("event_time"));
        }
        let stream = answers.streams.iter().find(|stream| stream.name == name)?;
        if let Some(keyed) = &stream.transform_with_state {
            return keyed.event_time.clone();
        }
        self.time_of(stream.from.first()?, answers)
    }

    /// The event time that columns must be kept for: that of the window at hand or of the next one.
    pub(crate) fn needed_time(&self) -> Option<String> {
        if let Some(window) = &self.window {
            return Some(window.time.clone());
        }
        for step in &self.steps[self.number + 1..] {
            match operation(step) {
                Some(("count" | "count_by_value" | "reduce" | "reduce_by_key" | "cogroup", _)) => return None,
                Some((name, Value::Fields(fields))) if name == "window" || name.ends_with("_window") => {
                    return fields.text_maybe("time").or_else(|| self.time.clone());
                }
                _ => {}
            }
        }
        None
    }

    /// Notes an expression, and writes it down.
    pub(crate) fn expression(&mut self, text: &mut Text, sql: &str, path: &str, role: Role) {
        let (step, operation) = (self.number, self.operation);
        self.expressions.push(Expression { path: path.to_owned(), step, operation, sql: sql.to_owned(), role });
        text.say_of_file(sql, path);
    }

    /// Ends a step: what follows reads its rows.
    pub(crate) fn push(&mut self, text: Text) {
        self.rows = format!("{}_{}", self.prefix, self.number + 1);
        self.done.push((self.rows.clone(), text, self.steps[self.number].path.clone()));
    }

    /// The SQL of all steps.
    fn finish(mut self, answers: &mut Answers) -> (String, Vec<Expression>) {
        let mut text = Text::default();
        match self.done.pop() {
            None => {
                text.say("SELECT * FROM ").name(&self.rows);
            }
            Some((_, last, last_path)) => {
                for (number, (name, step, path)) in self.done.into_iter().enumerate() {
                    text.say(if number == 0 { "WITH " } else { ",\n" })
                        .say(&format!("{name} AS ("))
                        .take(step, &path)
                        .say(")");
                }
                if !text.sql.is_empty() {
                    text.say("\n");
                }
                text.take(last, &last_path);
            }
        }
        let sql = text.sql.clone();
        answers.made.push((format!("views.{}.sql", self.view), text));
        (sql, self.expressions)
    }
}

/// `{plugin: name}`.
fn is_plugin(words: &[(String, String)]) -> bool {
    matches!(words, [(key, _)] if key == "plugin")
}
