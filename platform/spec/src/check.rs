//! Names that refer to each other: who shares SQL's namespace, who reads whom, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::SchemaRef;

use crate::build::Builder;
use crate::diagnostics::Diagnostic;
use crate::model::{DropDuplicates, Source, Stream, TimeMode, TransformWithState};
use crate::suggest::did_you_mean;
use crate::value::Fields;

/// Tables that Braid keeps itself.
pub(crate) const RESERVED: &[&str] = &["dead_letters", "late_rows"];

/// A message lists at most so many names.
pub(crate) const NAMES_SHOWN_MAX: usize = 12;

/// The maps whose names are tables in SQL, and what an entry is called.
const NAMESPACE: &[(&str, &str)] =
    &[("sources", "source"), ("tables", "table"), ("streams", "stream"), ("views", "view")];

impl Builder<'_> {
    /// Notes names that are taken: SQL knows sources, tables, streams, views and memory sinks by one name each.
    pub(crate) fn names(&mut self, root: &Fields) {
        let mut taken: BTreeMap<&String, &str> = BTreeMap::new();
        let mut found: Vec<Diagnostic> = Vec::new();
        let memory = |section: &str, entry: &Fields| section == "sinks" && !entry.has("memory");
        for (section, what) in NAMESPACE.iter().chain(&[("sinks", "memory sink")]) {
            for (name, entry) in root.named(section).filter(|(_, entry)| !memory(section, entry)) {
                let mistake = if RESERVED.contains(&name.as_str()) {
                    Some("is the name of a table that Braid keeps itself".to_owned())
                } else {
                    taken.insert(name, what).map(|other| format!("is the name of a {other} already"))
                };
                if let Some(mistake) = mistake {
                    let hint = "give it another name: in SQL, all of these are tables";
                    found.push(self.map.at_key(&entry.path, format!("`{name}` {mistake}")).hint(Some(hint)));
                }
            }
        }
        self.mistakes.extend(found);
    }

    /// Notes sinks of what is no view, and by what is no plugin.
    pub(crate) fn sinks(&mut self, root: &Fields) {
        let (views, plugins) = (Known::of(root, &["views"]), Known::of(root, &["plugins"]));
        for (_, sink) in root.named("sinks") {
            if let Some(from) = sink.text_maybe("from") {
                self.refer(root, &views, "view", &from, &sink.path_of("from"));
            }
            if let Some(plugin) = sink.text_maybe("plugin") {
                self.refer(root, &plugins, "plugin", &plugin, &sink.path_of("plugin"));
            }
        }
    }

    /// The streams, each after what it reads.
    pub(crate) fn streams(&mut self, root: &Fields, sources: &BTreeMap<String, Source>) -> Vec<Stream> {
        let readable = Known::of(root, &["sources", "streams"]);
        let plugins = Known::of(root, &["plugins"]);
        let mut waiting: BTreeMap<&String, Stream> = BTreeMap::new();
        for (name, fields) in root.named("streams") {
            let (from, apply) = (fields.list("from"), fields.list("apply"));
            for (key, list, known, what) in
                [("from", &from, &readable, "source or stream"), ("apply", &apply, &plugins, "plugin")]
            {
                let path = fields.path_of(key);
                for (number, item) in list.iter().enumerate() {
                    let item_path = format!("{path}[{number}]");
                    // One name may stand without brackets.
                    let place = if self.map.has(&item_path) { &item_path } else { &path };
                    self.refer(root, known, what, item, place);
                }
            }
            self.no_repeats(&from, &fields.path_of("from"), "the name");
            // Its defaults are filled in where it is not written, too.
            let written = self.map.has(&fields.path_of("drop_duplicates"));
            let drop_duplicates = fields.fields("drop_duplicates").filter(|_| written).map(|unique| DropDuplicates {
                columns: unique.list("columns"),
                within_watermark: unique.flag("within_watermark"),
            });
            let keyed = fields.fields("transform_with_state");
            let transform_with_state = keyed.map(|keyed| self.transform_with_state(root, keyed));
            if drop_duplicates.is_some() && transform_with_state.is_some() {
                let message = "a stream either drops duplicates or has `transform_with_state`";
                let hint = "make two views of two streams, or drop them in the plugin";
                let path = fields.path_of("transform_with_state");
                self.mistakes.push(self.map.at_key(&path, message.to_owned()).hint(Some(hint)));
            }
            let name_of = name.clone();
            waiting.insert(name, Stream { name: name_of, from, apply, drop_duplicates, transform_with_state });
        }
        let ordered = self.order(waiting);
        for stream in &ordered {
            let remembers = |from: &String| ordered.iter().find(|other| other.name == *from)?.remembers();
            if let Some((from, key)) = stream.from.iter().find_map(|from| Some((from, remembers(from)?))) {
                let path = format!("streams.{}.from", stream.name);
                let message = format!("`{from}` has `{key}`, and only views can read such a stream");
                let hint = format!("put `{key}` into `{}`", stream.name);
                self.mistakes.push(self.map.at_value(&path, message).hint(Some(hint)));
            }
        }
        self.unions(&ordered, sources);
        ordered
    }

    /// A plugin with state, in a stream or as a step.
    pub(crate) fn transform_with_state(&mut self, root: &Fields, keyed: &Fields) -> TransformWithState {
        let (plugin, initial_state) = (keyed.text("plugin"), keyed.text_maybe("initial_state"));
        if !keyed.is_bad("plugin") {
            self.refer(root, &Known::of(root, &["plugins"]), "plugin", &plugin, &keyed.path_of("plugin"));
        }
        if let Some(table) = &initial_state {
            self.refer(root, &Known::of(root, &["tables"]), "table", table, &keyed.path_of("initial_state"));
        }
        let key = keyed.list("key");
        self.no_repeats(&key, &keyed.path_of("key"), "the column");
        TransformWithState {
            plugin,
            key,
            time_mode: match keyed.text("time_mode").as_str() {
                "event_time" => TimeMode::EventTime,
                "processing_time" => TimeMode::ProcessingTime,
                _ => TimeMode::None,
            },
            initial_state,
            event_time: keyed.text_maybe("event_time"),
        }
    }

    /// Notes a name that means nothing, or something of another kind.
    pub(crate) fn refer(&mut self, root: &Fields, known: &Known<'_>, what: &str, name: &str, path: &str) {
        if known.0.contains(name) || known.1 {
            return;
        }
        let other = NAMESPACE
            .iter()
            .chain(&[("plugins", "plugin"), ("sinks", "sink")])
            .find(|(section, _)| root.named(section).any(|(other, _)| other == name));
        let message = match other {
            Some((_, other)) => format!("`{name}` is a {other}; here stands a {what}"),
            None => format!("there is no {what} of this name"),
        };
        let expected = known.shown(what);
        let hint = did_you_mean(name, known.0.iter().copied());
        self.mistakes.push(self.map.at_value(path, message).expected(expected).hint(hint));
    }

    /// Takes a stream once all that it reads are taken. What remains reads in circles, or reads such a circle.
    fn order(&mut self, mut waiting: BTreeMap<&String, Stream>) -> Vec<Stream> {
        let mut ordered = Vec::with_capacity(waiting.len());
        loop {
            let ready: Vec<&String> = waiting
                .iter()
                .filter(|(_, stream)| !stream.from.iter().any(|from| waiting.contains_key(from)))
                .map(|(name, _)| *name)
                .collect();
            if ready.is_empty() {
                break;
            }
            ordered.extend(ready.into_iter().filter_map(|name| waiting.remove(name)));
        }
        let mut named: BTreeSet<&str> = BTreeSet::new();
        for start in waiting.keys() {
            let Some(cycle) = cycle_from(&waiting, start) else { continue };
            if cycle.iter().any(|name| named.contains(name)) {
                continue;
            }
            let shown: Vec<String> = cycle.iter().chain(cycle.first()).map(|name| format!("`{name}`")).collect();
            let message = format!("streams read each other in a circle: {}", shown.join(" reads "));
            let path = format!("streams.{}.from", cycle[0]);
            let hint = "let one of them read a source instead";
            self.mistakes.push(self.map.at_key(&path, message).hint(Some(hint)));
            named.extend(cycle);
        }
        ordered
    }

    /// Notes unions of different columns, as far as they are known: a plugin may change them.
    fn unions(&mut self, streams: &[Stream], sources: &BTreeMap<String, Source>) {
        let mut known: BTreeMap<&str, SchemaRef> =
            sources.iter().map(|(name, source)| (name.as_str(), source.schema.clone())).collect();
        for stream in streams {
            let of = |name: &String| known.get(name.as_str()).filter(|schema| !schema.fields().is_empty());
            let Some(first) = stream.from.first().and_then(of).cloned() else { continue };
            for (number, name) in stream.from.iter().enumerate().skip(1) {
                let Some(other) = of(name) else { continue };
                if let Some(difference) = difference(&first, other) {
                    let path = format!("streams.{}.from[{number}]", stream.name);
                    let message = format!("`{name}` and `{}` have different columns: {difference}", stream.from[0]);
                    let hint = "a stream of several sources is their union; make the columns equal, in the same order";
                    self.mistakes.push(self.map.at_value(&path, message).hint(Some(hint)));
                }
            }
            if stream.apply.is_empty() && stream.transform_with_state.is_none() {
                known.insert(&stream.name, first);
            }
        }
    }
}

/// The names in some of the maps, and whether one of those maps was wrong, so that there may be more.
pub(crate) struct Known<'a>(BTreeSet<&'a str>, bool);

impl<'a> Known<'a> {
    fn shown(&self, what: &str) -> String {
        let mut names: Vec<String> = self.0.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
        if self.0.len() > NAMES_SHOWN_MAX {
            names.push("…".to_owned());
        }
        match names.is_empty() {
            true => format!("a {what}; there is none"),
            false => format!("a {what}: {}", names.join(", ")),
        }
    }

    pub(crate) fn of(root: &'a Fields, sections: &[&str]) -> Self {
        let names = sections.iter().flat_map(|section| root.named(section));
        let wrong = sections.iter().any(|section| root.is_bad(section));
        Known(names.map(|(name, _)| name.as_str()).collect(), wrong)
    }
}

/// A circle that can be reached from a stream, beginning with its least name.
fn cycle_from<'a>(waiting: &'a BTreeMap<&String, Stream>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut walked: Vec<&str> = vec![start];
    loop {
        let last = waiting.get(&(*walked.last()?).to_owned())?;
        // Whoever waits, waits for someone who waits.
        let next = last.from.iter().map(String::as_str).find(|from| waiting.contains_key(&(*from).to_owned()))?;
        if let Some(at) = walked.iter().position(|name| *name == next) {
            let mut cycle = walked.split_off(at);
            let least = cycle.iter().enumerate().min_by_key(|(_, name)| **name)?.0;
            cycle.rotate_left(least);
            return Some(cycle);
        }
        walked.push(next);
    }
}

fn difference(a: &SchemaRef, b: &SchemaRef) -> Option<String> {
    let columns = |schema: &SchemaRef| -> Vec<String> {
        schema.fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect()
    };
    let (a, b) = (columns(a), columns(b));
    if a == b {
        return None;
    }
    let at = a.iter().zip(&b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    let show = |columns: &[String]| columns.get(at).map_or("no column".to_owned(), |column| format!("`{column}`"));
    Some(format!("{} against {}", show(&b), show(&a)))
}
