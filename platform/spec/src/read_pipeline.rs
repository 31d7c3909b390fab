//! The shapes that only pipelines have: steps, and SQL expressions under the names of columns.

use std::collections::BTreeMap;

use crate::keys::{Keys, Need, Shape};
use crate::node::{Class, Entry, Kind, Node, Place};
use crate::read::{Reader, found, shown};
use crate::source_map::join;
use crate::suggest::did_you_mean;
use crate::value::{Fields, Value};

/// The most steps of a pipeline: each is one more level of the query.
const STEPS_MAX: usize = 64;

/// Steps that need no options.
pub(crate) fn bare(keys: &'static Keys) -> impl Iterator<Item = &'static str> {
    let free = |shape: &Shape| match shape {
        Shape::Group(inner) => !inner.keys.iter().any(|key| matches!(key.need, Need::Must)),
        _ => false,
    };
    keys.keys.iter().filter(move |key| free(&key.shape)).map(|key| key.name)
}

impl Reader<'_> {
    /// Steps. One that is wrong is left in without its value, so that the others keep their numbers.
    pub(crate) fn steps(&mut self, list: &[Node], path: &str, keys: &'static Keys) -> Value {
        if list.len() > STEPS_MAX {
            let message = format!("the pipeline has {} steps; at most {STEPS_MAX} are read", list.len());
            self.mistakes.push(self.map.at_key(path, message).hint(Some("put some of them into a view of their own")));
            return Value::Bad;
        }
        let steps = list.iter().enumerate().map(|(number, node)| self.step(node, format!("{path}[{number}]"), keys));
        Value::Steps(steps.collect())
    }

    fn step(&mut self, node: &Node, path: String, keys: &'static Keys) -> Fields {
        match &node.kind {
            Kind::Map(entries)
                if entries.len() > 1 && entries.iter().all(|one| keys.names().any(|key| key == one.key)) =>
            {
                let names: Vec<String> = entries.iter().map(|entry| format!("`{}`", entry.key)).collect();
                let message = format!("a step is one operation, and here are {}", names.join(" and "));
                let mistake = self.map.at(entries[1].place, &path, message);
                self.mistakes.push(mistake.hint(Some("write each behind its own `-`; options stand in `{ }`")));
                Fields { path, ..Fields::default() }
            }
            Kind::Map(entries) => match entries.as_slice() {
                [Entry { key, place, .. }] if !keys.names().any(|name| name == key) => {
                    self.no_step(*place, &path, format!("there is no step {}", shown(key, None)), Some(key), keys)
                }
                _ => self.fields(entries, &path, node.place, keys),
            },
            Kind::Scalar(scalar) if bare(keys).any(|word| word == scalar.text) => {
                let nothing = Node { kind: Kind::Nothing, ..node.clone() };
                let entry = Entry { key: scalar.text.clone(), place: node.place, node: nothing };
                self.fields(&[entry], &path, node.place, keys)
            }
            Kind::Broken => Fields { path, ..Fields::default() },
            Kind::Scalar(scalar) if keys.names().any(|name| name == scalar.text) => {
                let mistake = self.map.at(node.place, &path, format!("the step `{}` needs to say more", scalar.text));
                self.mistakes.push(mistake.hint(Some(format!("write `{}: …`", scalar.text))));
                Fields { path, ..Fields::default() }
            }
            Kind::Scalar(scalar) => {
                let message = format!("there is no step {}", shown(&scalar.text, scalar.environment.as_ref()));
                let secret = scalar.environment.as_ref().is_some_and(|environment| environment.secret);
                self.no_step(node.place, &path, message, Some(&scalar.text).filter(|_| !secret), keys)
            }
            _ => self.no_step(node.place, &path, format!("a step is {}", found(node)), None, keys),
        }
    }

    fn no_step(
        &mut self,
        place: Place,
        path: &str,
        message: String,
        word: Option<&String>,
        keys: &'static Keys,
    ) -> Fields {
        let hint = word.and_then(|word| did_you_mean(word, keys.names()));
        let mistake = self.map.at(place, path, message).expected(crate::read::one_of(keys.names())).hint(hint);
        self.mistakes.push(mistake);
        Fields { path: path.to_owned(), ..Fields::default() }
    }

    /// SQL expressions in their order. A number needs no quotes.
    pub(crate) fn expressions(&mut self, entries: &[Entry], path: &str) -> Value {
        let mut all = Vec::new();
        let mut seen = BTreeMap::new();
        let mut bad = false;
        for Entry { key, place, node } in entries {
            let path = join(path, key);
            if self.repeated(&mut seen, key, *place, &path) {
                bad = true;
                continue;
            }
            match &node.kind {
                Kind::Scalar(scalar) if !scalar.text.trim().is_empty() && !key.trim().is_empty() => {
                    all.push((key.clone(), scalar.text.clone()));
                }
                Kind::Broken => bad = true,
                _ => {
                    bad = true;
                    let message = format!("the column {} is {}", shown(key, None), found(node));
                    let mistake = self.map.at(*place, &path, message);
                    self.mistakes.push(mistake.expected("an SQL expression, such as `lower(word)`"));
                }
            }
        }
        if bad { Value::Bad } else { Value::NamedWords(all) }
    }

    /// `{plugin: name}`.
    pub(crate) fn condition(&mut self, entries: &[Entry], path: &str) -> Value {
        match entries {
            [Entry { key, node: Node { kind: Kind::Scalar(scalar), .. }, .. }]
                if key == "plugin" && scalar.class == Class::Text && !scalar.text.is_empty() =>
            {
                Value::NamedWords(vec![(key.clone(), scalar.text.clone())])
            }
            _ => {
                let mistake = self.map.at_key(path, "the condition is a map");
                self.mistakes.push(mistake.expected("an SQL condition such as `n > 0`, or `{plugin: name}`"));
                Value::Bad
            }
        }
    }
}
