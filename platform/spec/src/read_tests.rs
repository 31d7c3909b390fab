//! The shapes that only tests have: records and rows whose columns are somebody else's.

use std::collections::BTreeMap;

use crate::keys::{Keys, SOME_TIME, Shape};
use crate::keys_tests::WAIT;
use crate::model::{Expectation, Expected, Given, Step, Told};
use crate::node::{Class, Entry, Kind, Node};
use crate::read::{Reader, found, scalar_value, shown};
use crate::source_map::join;
use crate::value::{Fields, Value};

impl Reader<'_> {
    /// A list of maps with these keys.
    pub(crate) fn groups(&mut self, list: &[Node], path: &str, keys: &'static Keys) -> Value {
        let groups = list.iter().enumerate().filter_map(|(number, node)| {
            let path = format!("{path}[{number}]");
            match &node.kind {
                Kind::Map(entries) => Some(self.fields(entries, &path, node.place, keys)),
                Kind::Broken => None,
                _ => {
                    self.wrong(node, &path, &Shape::Group(keys), None);
                    None
                }
            }
        });
        Value::Steps(groups.collect::<Vec<Fields>>())
    }

    /// One step, or a list of them.
    pub(crate) fn given(&mut self, node: &Node, path: &str) -> Value {
        let before = self.mistakes.len();
        let steps = match &node.kind {
            Kind::Map(entries) => vec![self.given_step(entries, path)],
            Kind::List(list) => {
                let mut steps = Vec::new();
                for (number, node) in list.iter().enumerate() {
                    let path = format!("{path}[{number}]");
                    match &node.kind {
                        Kind::Map(entries) => steps.push(self.given_step(entries, &path)),
                        _ => drop(self.wrong(node, &path, &Shape::Given, None)),
                    }
                }
                steps
            }
            _ => Vec::new(),
        };
        if self.mistakes.len() > before { Value::Bad } else { Value::Given(steps) }
    }

    fn given_step(&mut self, entries: &[Entry], path: &str) -> Step {
        let mut step = Step { wait: std::time::Duration::ZERO, given: Vec::new() };
        let mut seen = BTreeMap::new();
        for Entry { key, place, node } in entries {
            let path = join(path, key);
            if self.repeated(&mut seen, key, *place, &path) {
                continue;
            }
            match &node.kind {
                // A source may have this name too: it has a list.
                Kind::Scalar(scalar) if key == WAIT => match scalar_value(scalar, &SOME_TIME) {
                    Ok(Value::Duration(wait)) => step.wait = wait,
                    Ok(_) => {}
                    Err(guess) => drop(self.wrong(node, &path, &SOME_TIME, guess)),
                },
                Kind::List(list) => {
                    let records = list.iter().enumerate();
                    let records = records.filter_map(|(at, node)| self.record(node, &format!("{path}[{at}]"), true));
                    step.given.push(Given { to: key.clone(), records: records.collect(), path: path.clone() });
                }
                Kind::Broken => {}
                _ => {
                    let mistake = self.map.at_key(&path, format!("{} is given {}", shown(key, None), found(node)));
                    self.mistakes.push(mistake.expected("a list of records"));
                }
            }
        }
        step
    }

    /// What must come.
    pub(crate) fn expectations(&mut self, entries: &[Entry], path: &str) -> Value {
        let before = self.mistakes.len();
        let mut all = Vec::new();
        let mut seen = BTreeMap::new();
        for Entry { key, place, node } in entries {
            let path = join(path, key);
            if self.repeated(&mut seen, key, *place, &path) {
                continue;
            }
            let rows = match &node.kind {
                Kind::List(list) => {
                    let rows = list.iter().enumerate();
                    let rows = rows.filter_map(|(at, node)| self.record(node, &format!("{path}[{at}]"), false));
                    Some(Expected::Rows(rows.collect()))
                }
                Kind::Scalar(scalar) => scalar.text.parse().ok().map(Expected::Count),
                _ => None,
            };
            match rows {
                Some(rows) => all.push(Expectation { of: key.clone(), path, rows }),
                None if matches!(node.kind, Kind::Broken) => {}
                None => {
                    let mistake =
                        self.map.at_value(&path, format!("of {} is expected {}", shown(key, None), found(node)));
                    self.mistakes.push(mistake.expected("a list of rows, or how many there are"));
                }
            }
        }
        if self.mistakes.len() > before { Value::Bad } else { Value::Expect(all) }
    }

    /// A row; or, where that is allowed, a record as text.
    fn record(&mut self, node: &Node, path: &str, text: bool) -> Option<Told> {
        let fits = match &node.kind {
            Kind::Map(_) | Kind::Broken => true,
            Kind::Scalar(scalar) => text && scalar.class == Class::Text,
            _ => false,
        };
        if !fits {
            let what = if text { "a record" } else { "a row" };
            let mistake = self.map.at_value(path, format!("{what} is {}", found(node)));
            let expected = match text {
                true => "a map from columns to values, or text: the record's bytes in the source's format",
                false => "a map from columns to values",
            };
            let hint = matches!(node.kind, Kind::Scalar(_)).then_some("put it in quotes if it is meant as text");
            self.mistakes.push(mistake.expected(expected).hint(hint.filter(|_| text)));
            return None;
        }
        self.told(node, path)
    }

    /// A value whose type is known elsewhere.
    fn told(&mut self, node: &Node, path: &str) -> Option<Told> {
        Some(match &node.kind {
            Kind::Broken => return None,
            Kind::Nothing => Told::Null,
            Kind::Scalar(scalar) => match scalar.class {
                Class::Text => Told::Text(scalar.text.clone()),
                Class::Number => Told::Number(scalar.text.clone()),
                Class::Flag => Told::Flag(scalar.text == "true"),
            },
            Kind::List(list) => {
                let items = list.iter().enumerate();
                Told::List(items.map(|(at, item)| self.told(item, &format!("{path}[{at}]"))).collect::<Option<_>>()?)
            }
            Kind::Map(entries) => {
                let mut seen = BTreeMap::new();
                let mut cells = Vec::new();
                for Entry { key, place, node } in entries {
                    let path = join(path, key);
                    if self.repeated(&mut seen, key, *place, &path) {
                        return None;
                    }
                    cells.push((key.clone(), self.told(node, &path)?));
                }
                Told::Map(cells)
            }
        })
    }
}
