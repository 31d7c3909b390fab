//! A tree checked against the tables of keys: right values out, every mistake noted. Knows no key by its name.

use std::collections::BTreeMap;

use crate::columns;
use crate::diagnostics::{Diagnostic, MISTAKES_MAX};
use crate::env;
use crate::keys::{KIND, Keys, Names, Need, Shape};
use crate::keys_formats::FORMATS;
use crate::keys_run::elsewhere;
use crate::node::{Class, Entry, Kind, Node, Place, Scalar};
use crate::source_map::{SourceMap, join};
use crate::suggest::{did_you_mean, nearest};
use crate::units;
use crate::value::{Fields, Value, WordOrMap};

/// A value is quoted in a message up to this length.
const SHOWN_CHARS_MAX: usize = 60;

/// Reads one file's tree, noting mistakes.
pub(crate) struct Reader<'a> {
    pub map: &'a mut SourceMap,
    pub mistakes: &'a mut Vec<Diagnostic>,
}

/// Puts the environment's values in place, in the whole tree.
pub(crate) fn put_environment(
    node: &mut Node,
    lookup: &dyn Fn(&str) -> Option<String>,
    map: &SourceMap,
    path: &str,
    key: &str,
    mistakes: &mut Vec<Diagnostic>,
) {
    if mistakes.len() >= MISTAKES_MAX {
        return;
    }
    match &mut node.kind {
        Kind::Scalar(scalar) => match env::substitute(&scalar.text, lookup) {
            Ok(None) => {}
            Ok(Some((text, mut environment))) => {
                environment.secret |= env::is_secret(key);
                scalar.text = text;
                scalar.environment = Some(environment);
            }
            Err(unset) => {
                for one in unset {
                    let place = map.inside(node, raw_text(node), one.at);
                    mistakes.push(map.at(place, path, one.message).hint(Some(one.hint)));
                }
                node.kind = Kind::Broken;
            }
        },
        Kind::List(list) => {
            for (number, item) in list.iter_mut().enumerate() {
                put_environment(item, lookup, map, &format!("{path}[{number}]"), key, mistakes);
            }
        }
        Kind::Map(entries) => {
            for Entry { key, node, .. } in entries {
                put_environment(node, lookup, map, &join(path, key), key, mistakes);
            }
        }
        Kind::Nothing | Kind::Broken => {}
    }
}

fn raw_text(node: &Node) -> &str {
    match &node.kind {
        Kind::Scalar(scalar) => &scalar.text,
        _ => "",
    }
}

/// The key of a path: `streams.a.apply[0]` is an `apply`. Keys passed on have dots themselves, so this is only their end.
fn last_key(path: &str) -> &str {
    let key = path.rsplit('.').next().unwrap_or(path);
    key.split('[').next().unwrap_or(key)
}

/// What a shape wants, in words.
fn wanted(shape: &Shape) -> String {
    match shape {
        Shape::Text => "text".into(),
        Shape::Whole { min, max } if *max < i64::MAX as u64 => format!("a whole number from {min} to {max}"),
        Shape::Whole { min, .. } => format!("a whole number from {min}"),
        Shape::Number => "a number from 0".to_owned(),
        Shape::Flag => "`true` or `false`".into(),
        Shape::Duration { min_ms: 0 } => "a duration such as `10s`, `500ms` or `1h30m`".into(),
        Shape::Duration { .. } => "a duration such as `10s`, `500ms` or `1h30m`, longer than nothing".into(),
        Shape::Size { .. } => "a size such as `64MiB`, `1GB` or `1024`, greater than nothing".into(),
        Shape::Word(words) => one_of(words.iter().copied()),
        Shape::Address => "an address such as `127.0.0.1:8080`".into(),
        Shape::Character => "one ASCII character".into(),
        Shape::OneOrMany => "a name, or a list of names".into(),
        Shape::Many => "a list of names".into(),
        Shape::Group(keys) => format!("{}, a map with the keys {}", keys.what, and(keys.names())),
        Shape::Named(keys, _) => format!("a map from names to what each is: {}", keys.what),
        Shape::Pairs => "a map from options to text, numbers, or true and false".into(),
        Shape::Columns => "a map from columns to types, such as `{id: long, name: string}`".into(),
        Shape::Format => format!("{}, or a map such as `{{csv: {{delimiter: \";\"}}}}`", one_of(FORMATS.names())),
        Shape::PerPartition { words, least, number } => {
            let map = format!("a map such as `{{topic: {{0: 23, 1: {least}}}}}`, each number {number}");
            if words.is_empty() { map } else { format!("{}, or {map}", one_of(words.iter().copied())) }
        }
        Shape::Partitions => "a map from topics to lists of partitions, such as `{topic: [0, 1]}`".into(),
        Shape::Steps(_) => "a list of steps, such as `[{from: lines}, count]`".into(),
        Shape::Groups(keys) => format!("a list of maps, each {} with the keys {}", keys.what, and(keys.names())),
        Shape::Given => {
            "a map from sources to lists of records, such as `{orders: [{id: 1}]}`, or a list of such maps".into()
        }
        Shape::Expect => "a map from views and sinks to lists of rows, or to how many there are".into(),
        Shape::Expressions => "a map from columns to SQL expressions, such as `{word: lower(word)}`".into(),
        Shape::Condition => "an SQL condition, or `{plugin: name}`".into(),
        Shape::NamedWords(words) => {
            format!("a list, or a map from columns, of {}", and(words.iter().copied()))
        }
    }
}

pub(crate) fn one_of(words: impl Iterator<Item = &'static str>) -> String {
    let all: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match all.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", all.join(", ")),
    }
}

fn and(words: impl Iterator<Item = &'static str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// A text in a message: cut, and not at all if it is a secret.
pub(crate) fn shown(text: &str, environment: Option<&env::Substitution>) -> String {
    if let Some(environment) = environment {
        let variables =
            environment.variables.iter().map(|name| format!("${{{name}}}")).collect::<Vec<_>>().join(" and ");
        if environment.secret {
            return format!("the value of {variables}");
        }
        if !variables.is_empty() {
            return format!("{} (from {variables})", shown(text, None));
        }
    }
    let mut cut: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().count() > SHOWN_CHARS_MAX {
        cut.push('…');
    }
    format!("`{}`", cut.replace("\\\"", "\"").replace("\\'", "'"))
}

pub(crate) fn found(node: &Node) -> String {
    match &node.kind {
        Kind::Nothing => "nothing".into(),
        Kind::List(list) if list.is_empty() => "an empty list".into(),
        Kind::List(_) => "a list".into(),
        Kind::Map(map) if map.is_empty() => "an empty map".into(),
        Kind::Map(_) => "a map".into(),
        Kind::Broken => "broken".into(),
        Kind::Scalar(Scalar { text, environment: Some(environment), .. }) if environment.secret => {
            shown(text, Some(environment))
        }
        Kind::Scalar(scalar) => {
            let what = match scalar.class {
                Class::Text => "the text",
                Class::Number => "the number",
                Class::Flag => "the flag",
            };
            format!("{what} {}", shown(&scalar.text, scalar.environment.as_ref()))
        }
    }
}

impl Reader<'_> {
    /// Reads the whole file.
    pub(crate) fn file(&mut self, node: &Node, keys: &'static Keys) -> Fields {
        match &node.kind {
            Kind::Map(entries) => self.fields(entries, "", Place { width: 1, ..node.place }, keys),
            Kind::Nothing => self.fields(&[], "", Place { width: 1, ..node.place }, keys),
            _ => {
                let mistake = self.map.at(node.place, "", format!("the file is {}", found(node)));
                self.mistakes.push(mistake.expected(wanted(&Shape::Group(keys))));
                Fields::default()
            }
        }
    }

    pub(crate) fn wrong(&mut self, node: &Node, path: &str, shape: &Shape, hint: Option<String>) -> Value {
        if !matches!(node.kind, Kind::Broken) {
            let message = format!("`{}` is {}", last_key(path), found(node));
            let mistake = match node.kind {
                Kind::Scalar(_) => self.map.at(node.place, path, message),
                _ => self.map.at_key(path, message),
            };
            self.mistakes.push(mistake.expected(wanted(shape)).hint(hint));
        }
        Value::Bad
    }

    pub(crate) fn value(&mut self, node: &Node, path: &str, key: Place, shape: &Shape) -> Value {
        if self.mistakes.len() >= MISTAKES_MAX {
            return Value::Bad;
        }
        match (shape, &node.kind) {
            (_, Kind::Broken) => Value::Bad,
            (Shape::Group(keys), Kind::Map(entries)) => Value::Fields(self.fields(entries, path, key, keys)),
            (Shape::Group(keys), Kind::Nothing) => Value::Fields(self.fields(&[], path, key, keys)),
            (Shape::Named(keys, names), Kind::Map(entries)) => Value::Named(self.named(entries, path, keys, *names)),
            (Shape::Named(..), Kind::Nothing) => Value::Named(BTreeMap::new()),
            (Shape::Pairs, Kind::Map(entries)) => Value::Pairs(self.pairs(entries, path)),
            (Shape::Columns, Kind::Map(entries)) if !entries.is_empty() => self.columns(entries, path),
            (Shape::Format, Kind::Scalar(scalar)) if FORMATS.names().any(|word| word == scalar.text) => {
                let entry =
                    Entry { key: scalar.text.clone(), place: key, node: Node { kind: Kind::Nothing, ..node.clone() } };
                Value::Fields(self.fields(&[entry], path, key, &FORMATS))
            }
            (Shape::Format, Kind::Map(entries)) => Value::Fields(self.fields(entries, path, key, &FORMATS)),
            (Shape::PerPartition { .. }, Kind::Map(entries)) => self.per_partition(entries, path, shape),
            (Shape::Partitions, Kind::Map(entries)) if !entries.is_empty() => self.partitions(entries, path),
            (Shape::NamedWords(words), Kind::List(list)) => self.listed_words(list, path, words),
            (Shape::NamedWords(words), Kind::Map(entries)) => self.named_words(entries, path, words),
            (Shape::Steps(keys), Kind::List(list)) if !list.is_empty() => self.steps(list, path, keys),
            (Shape::Groups(keys), Kind::List(list)) => self.groups(list, path, keys),
            (Shape::Groups(_), Kind::Nothing) => Value::Steps(Vec::new()),
            (Shape::Given, Kind::Map(_) | Kind::List(_)) => self.given(node, path),
            (Shape::Expect, Kind::Map(entries)) if !entries.is_empty() => self.expectations(entries, path),
            (Shape::Expressions, Kind::Map(entries)) if !entries.is_empty() => self.expressions(entries, path),
            (Shape::Condition, Kind::Map(entries)) if !entries.is_empty() => self.condition(entries, path),
            (Shape::Many, Kind::List(list)) => self.list(list, path),
            (Shape::OneOrMany, Kind::List(list)) if !list.is_empty() => self.list(list, path),
            (Shape::OneOrMany, Kind::Scalar(_)) => match self.name(node, path, shape) {
                Some(name) => Value::List(vec![name]),
                None => Value::Bad,
            },
            (_, Kind::Scalar(scalar)) => match scalar_value(scalar, shape) {
                Ok(value) => value,
                Err(guess) => {
                    let secret = scalar.environment.as_ref().is_some_and(|environment| environment.secret);
                    self.wrong(node, path, shape, guess.filter(|_| !secret))
                }
            },
            _ => self.wrong(node, path, shape, None),
        }
    }

    pub(crate) fn fields(&mut self, entries: &[Entry], path: &str, at: Place, keys: &'static Keys) -> Fields {
        let mut fields = Fields { path: path.to_owned(), ..Fields::default() };
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        for Entry { key, place, node } in entries {
            let path = join(path, key);
            if self.repeated(&mut seen, key, *place, &path) {
                continue;
            }
            if let Some(known) = keys.keys.iter().find(|known| known.name == key) {
                let value = self.value(node, &path, *place, &known.shape);
                fields.values.insert(known.name, value);
            } else if keys.dotted && key.contains('.') {
                // Spark writes these options with a prefix.
                let name = key.strip_prefix("kafka.").unwrap_or(key);
                if let Some(value) = self.pass_on(node, &path, key) {
                    fields.dotted.insert(name.to_owned(), value);
                }
            } else {
                let mistake = self.map.at(*place, &path, format!("{} has no key {}", keys.what, shown(key, None)));
                let meant = nearest(key, keys.names());
                let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
                let hint = elsewhere(keys.what, key).map(str::to_owned).or(hint);
                self.mistakes.push(mistake.expected(one_of(keys.names())).hint(hint));
                // A misspelt key is one mistake: it is not missing too.
                if let Some(known) = keys.keys.iter().find(|known| Some(known.name) == meant)
                    && !entries.iter().any(|entry| entry.key == known.name)
                {
                    seen.insert(known.name, *place);
                    fields.values.insert(known.name, Value::Bad);
                }
            }
        }
        self.missing(&mut fields, &seen, at, keys);
        fields
    }

    /// Notes keys that are missing, and fills in the defaults of those that may be.
    fn missing(&mut self, fields: &mut Fields, seen: &BTreeMap<&str, Place>, at: Place, keys: &'static Keys) {
        let path = fields.path.clone();
        let kinds: Vec<&str> = keys.one_of.iter().copied().filter(|kind| seen.contains_key(kind)).collect();
        match (keys.one_of, kinds.as_slice()) {
            ([], _) | (_, [_]) => {}
            (_, []) => {
                let mistake = self.map.at(at, &path, format!("{} without its {}", keys.what, keys.choice));
                self.mistakes.push(mistake.expected(one_of(keys.one_of.iter().copied())));
            }
            (_, [first, others @ ..]) => {
                for other in others {
                    let (message, hint) = if keys.choice == KIND {
                        let message = format!("{} is `{first}` already and cannot be `{other}` too", keys.what);
                        (message, Some("make two of it, each with its own name"))
                    } else {
                        let message = format!("{} has `{first}` already and cannot have `{other}` too", keys.what);
                        (message, Some("remove one of them"))
                    };
                    let mistake = self.map.at(seen[other], &join(&path, other), message);
                    self.mistakes
                        .push(mistake.expected(format!("exactly {}", one_of(keys.one_of.iter().copied()))).hint(hint));
                }
            }
        }
        for key in keys.keys {
            if seen.contains_key(key.name) {
                continue;
            }
            match (&key.need, &key.shape) {
                (Need::Must, shape) => {
                    let message = format!("{} needs the key `{}`", keys.what, key.name);
                    let mistake = self.map.at(at, &path, message);
                    self.mistakes.push(mistake.expected(format!("`{}`: {}", key.name, wanted(shape))));
                    fields.values.insert(key.name, Value::Bad);
                }
                (Need::Default(text), shape) => {
                    let scalar = Scalar {
                        text: (*text).to_owned(),
                        class: Class::Text,
                        environment: Some(env::Substitution::default()),
                    };
                    let value = scalar_value(&scalar, shape).unwrap_or(Value::Bad);
                    debug_assert!(!matches!(value, Value::Bad), "the default of `{}` is wrong", key.name);
                    fields.values.insert(key.name, value);
                }
                (Need::Optional, Shape::Group(inner)) => {
                    let whole = inner.one_of.is_empty() && !inner.keys.iter().any(|key| matches!(key.need, Need::Must));
                    if whole && !keys.one_of.contains(&key.name) {
                        let mut defaults = Fields { path: join(&path, key.name), ..Fields::default() };
                        self.missing(&mut defaults, &BTreeMap::new(), at, inner);
                        fields.values.insert(key.name, Value::Fields(defaults));
                    }
                }
                (Need::Optional, _) => {}
            }
        }
    }

    pub(crate) fn repeated<'k>(
        &mut self,
        seen: &mut BTreeMap<&'k str, Place>,
        key: &'k str,
        place: Place,
        path: &str,
    ) -> bool {
        let Some(first) = seen.get(key) else {
            seen.insert(key, place);
            return false;
        };
        let message = format!("{} stands here twice", shown(key, None));
        let hint = format!("it was given in line {} already: remove or rename one", first.line);
        let mistake = self.map.at(place, path, message).hint(Some(hint));
        self.mistakes.push(mistake);
        true
    }

    fn named(&mut self, entries: &[Entry], path: &str, keys: &'static Keys, names: Names) -> BTreeMap<String, Fields> {
        let mut all = BTreeMap::new();
        let mut seen = BTreeMap::new();
        for Entry { key, place, node } in entries {
            let path = join(path, key);
            if self.repeated(&mut seen, key, *place, &path) {
                continue;
            }
            if let Some(better) = better_name(key, names) {
                let allowed =
                    if names == Names::Sql { "letters, digits and `_`" } else { "letters, digits, `_` and `-`" };
                let mistake = self.map.at(*place, &path, format!("{} cannot be a name", shown(key, None)));
                let expected = format!("lower-case {allowed}, not beginning with a digit");
                let hint = (!better.is_empty()).then(|| format!("write `{better}`"));
                self.mistakes.push(mistake.expected(expected).hint(hint));
            }
            let fields = match self.value(node, &path, *place, &Shape::Group(keys)) {
                Value::Fields(fields) => fields,
                // Its name is kept, so that what refers to it is no second mistake.
                _ => Fields {
                    path,
                    values: keys.keys.iter().map(|key| (key.name, Value::Bad)).collect(),
                    dotted: BTreeMap::new(),
                },
            };
            all.insert(key.clone(), fields);
        }
        all
    }

    fn list(&mut self, list: &[Node], path: &str) -> Value {
        let mut names: Vec<String> = Vec::new();
        let mut bad = false;
        for (number, item) in list.iter().enumerate() {
            let path = format!("{path}[{number}]");
            match self.name(item, &path, &Shape::Text) {
                Some(name) => names.push(name),
                None => bad = true,
            }
        }
        // A list with holes would move the others' numbers, by which mistakes are placed.
        if bad { Value::Bad } else { Value::List(names) }
    }

    pub(crate) fn name(&mut self, node: &Node, path: &str, shape: &Shape) -> Option<String> {
        if let Kind::Scalar(scalar) = &node.kind
            && let Ok(Value::Text(name)) = scalar_value(scalar, &Shape::Text)
        {
            return Some(name);
        }
        let hint = matches!(&node.kind, Kind::Scalar(scalar) if scalar.class != Class::Text);
        self.wrong(node, path, shape, hint.then(|| "put it in quotes if it is meant as text".to_owned()));
        None
    }

    fn pairs(&mut self, entries: &[Entry], path: &str) -> BTreeMap<String, String> {
        let mut pairs = BTreeMap::new();
        let mut seen = BTreeMap::new();
        for Entry { key, place, node } in entries {
            let path = join(path, key);
            if !self.repeated(&mut seen, key, *place, &path)
                && let Some(value) = self.pass_on(node, &path, key)
            {
                pairs.insert(key.clone(), value);
            }
        }
        pairs
    }

    fn pass_on(&mut self, node: &Node, path: &str, key: &str) -> Option<String> {
        match &node.kind {
            Kind::Scalar(scalar) => {
                if env::is_secret(key) {
                    self.map.hide(node);
                }
                Some(scalar.text.clone())
            }
            Kind::Broken => None,
            _ => {
                let mistake = self.map.at_key(path, format!("an option is {}", found(node)));
                self.mistakes.push(mistake.expected("text, a number, or true or false"));
                None
            }
        }
    }

    fn columns(&mut self, entries: &[Entry], path: &str) -> Value {
        let mut columns = Vec::new();
        let mut seen = BTreeMap::new();
        let mut bad = false;
        for Entry { key, place, node } in entries {
            let path = join(path, key);
            if self.repeated(&mut seen, key, *place, &path) {
                continue;
            }
            let read = match &node.kind {
                Kind::Scalar(scalar) => columns::data_type(&scalar.text),
                _ => Err(None),
            };
            match read {
                Ok(data_type) => columns.push(arrow_schema::Field::new(key, data_type, true)),
                Err(guess) => {
                    bad = true;
                    if !matches!(node.kind, Kind::Broken) {
                        let message =
                            format!("the column {} has a type that is unknown: {}", shown(key, None), found(node));
                        let mistake = match node.kind {
                            Kind::Scalar(_) => self.map.at(node.place, &path, message),
                            _ => self.map.at(*place, &path, message),
                        };
                        let cut = key.contains([')', '>'])
                            || matches!(&node.kind, Kind::Scalar(scalar) if scalar.text.contains(['(', '<']));
                        let hint = match guess {
                            Some(near) => Some(format!("did you mean `{near}`?")),
                            None if cut => Some("between `{ }`, put a type that has a comma in quotes".to_owned()),
                            None => None,
                        };
                        self.mistakes.push(mistake.expected(columns::known()).hint(hint));
                    }
                }
            }
        }
        if bad { Value::Bad } else { Value::Columns(std::sync::Arc::new(arrow_schema::Schema::new(columns))) }
    }
}

/// Reads a scalar as what is wanted. The error is a hint.
pub(crate) fn scalar_value(scalar: &Scalar, shape: &Shape) -> Result<Value, Option<String>> {
    let text = scalar.text.trim();
    // The environment knows text only, so its values may be anything that they look like.
    let is = |class| scalar.class == class || scalar.environment.is_some();
    let write = |guess: Option<String>| guess.map(|guess| format!("did you mean `{guess}`?"));
    match shape {
        Shape::Text if !is(Class::Text) => Err(Some(format!("put it in quotes if it is meant as text: \"{text}\""))),
        Shape::Text if text.is_empty() => Err(None),
        Shape::Text => Ok(Value::Text(scalar.text.clone())),
        Shape::Whole { min, max } => {
            let number = text.parse::<u64>().ok().filter(|number| (min..=max).contains(&number));
            match number {
                Some(number) if is(Class::Number) => Ok(Value::Whole(number)),
                Some(number) => Err(Some(format!("write it without quotes: {number}"))),
                None => {
                    let plain = text.replace(['_', ','], "").parse::<u64>().ok();
                    Err(write(plain.filter(|number| (min..=max).contains(&number)).map(|number| number.to_string())))
                }
            }
        }
        Shape::Number => match text.parse::<f64>() {
            Ok(number) if is(Class::Number) && number.is_finite() && number >= 0.0 => Ok(Value::Number(number)),
            _ => Err(None),
        },
        Shape::Flag => match text {
            "true" if is(Class::Flag) => Ok(Value::Flag(true)),
            "false" if is(Class::Flag) => Ok(Value::Flag(false)),
            _ => Err(write(match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "1" | "true" => Some("true".into()),
                "no" | "off" | "n" | "0" | "false" => Some("false".into()),
                _ => None,
            })),
        },
        Shape::Duration { min_ms } => {
            let duration = units::duration(text).map_err(write)?;
            if duration.as_millis() < u128::from(*min_ms) {
                return Err(None);
            }
            Ok(Value::Duration(duration))
        }
        Shape::Size { min } => {
            let size = units::size(text).map_err(write)?;
            if size < *min { Err(None) } else { Ok(Value::Whole(size)) }
        }
        Shape::Word(words) => match words.iter().find(|word| **word == text) {
            Some(word) => Ok(Value::Text((*word).to_owned())),
            None => Err(did_you_mean(text, words.iter().copied())),
        },
        Shape::Address => match crate::address::check(text) {
            Ok(()) => Ok(Value::Text(text.to_owned())),
            Err(guess) => Err(write(guess)),
        },
        Shape::Character => match scalar.text.as_bytes() {
            [one] if one.is_ascii() => Ok(Value::Character(*one)),
            _ if text == "\\t" => Err(Some("write a tab as \"\\t\", in double quotes".into())),
            _ => Err(None),
        },
        Shape::Format => Err(did_you_mean(text, FORMATS.names())),
        Shape::PerPartition { words, .. } => match words.iter().find(|word| **word == text) {
            Some(word) => Ok(Value::PerPartition(WordOrMap::Word((*word).to_owned()))),
            None => Err(did_you_mean(text, words.iter().copied())),
        },
        Shape::OneOrMany
        | Shape::Many
        | Shape::Group(_)
        | Shape::Named(..)
        | Shape::Pairs
        | Shape::Columns
        | Shape::Partitions
        | Shape::Steps(_)
        | Shape::Groups(_)
        | Shape::Given
        | Shape::Expect
        | Shape::Expressions
        | Shape::NamedWords(_) => Err(None),
        Shape::Condition if text.is_empty() || is(Class::Number) => Err(None),
        Shape::Condition => Ok(Value::Text(scalar.text.clone())),
    }
}

/// A better name, if this one is not allowed; empty if there is none.
fn better_name(name: &str, names: Names) -> Option<String> {
    let letter = |c: char| c.is_ascii_lowercase() || c == '_';
    let inner = |c: char| letter(c) || c.is_ascii_digit() || (c == '-' && names == Names::Dashed);
    if name.starts_with(letter) && name.chars().all(inner) && name.len() <= NAME_BYTES_MAX {
        return None;
    }
    let mut better: String =
        name.to_lowercase().chars().map(|c| if inner(c) { c } else { '_' }).take(NAME_BYTES_MAX - 1).collect();
    if !better.starts_with(letter) {
        better.insert(0, '_');
    }
    let only_lines = better.chars().all(|c| c == '_');
    Some(if only_lines { String::new() } else { better })
}

/// The longest name.
const NAME_BYTES_MAX: usize = 63;
