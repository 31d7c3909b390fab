//! A test whose values fit their columns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use braid_connect::{Given, GivenRecord};
use braid_engine::Engine;
use braid_kernel::notices::{DEAD_LETTERS, LATE_ROWS, dead_letters_schema, late_rows_schema};
use braid_spec::model::{Deployment, Expected, Test, Told};
use braid_spec::{Diagnostics, SourceMap};

use super::typed::{self, Misfit};

/// Columns of Braid's own tables that say where epochs end, which no test may depend on.
const OF_EPOCHS: [&str; 2] = ["epoch", "watermark_ms"];

/// See the module.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub file: String,
    /// Where the file has it.
    pub line: usize,
    /// What each source has; one that is not given anything has nothing.
    pub sources: BTreeMap<String, Given>,
    /// Rows of tables, in place of their files where they are given.
    pub tables: BTreeMap<String, Vec<RecordBatch>>,
    /// All records of all sources, as they come.
    pub records: Vec<Record>,
    pub steps: Vec<Step>,
    pub expect: Vec<Expect>,
}

/// Whose a record is, and the line that it stands in.
#[derive(Debug, Clone)]
pub struct Record {
    pub source: String,
    pub line: usize,
}

/// Records that may come together.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// So much time passes before.
    pub wait: Duration,
    /// The number of records that have come when it is over.
    pub end: usize,
}

/// What must be found in the end.
#[derive(Debug, Clone)]
pub struct Expect {
    pub of: String,
    pub what: What,
    pub line: usize,
    /// The columns that are compared.
    pub columns: Vec<String>,
    pub rows: Wanted,
}

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A view, or a table that Braid keeps itself.
    Table,
    Sink,
}

/// How many rows, or which: sorted.
#[derive(Debug, Clone)]
pub enum Wanted {
    Count(usize),
    Rows(Vec<Vec<String>>),
}

/// A deployment's tests, and notes of what is wrong in them.
pub fn cases(deployment: &Deployment, engine: &Engine, map: &SourceMap, mistakes: &mut Diagnostics) -> Vec<Case> {
    deployment.tests.iter().map(|test| Reading { deployment, engine, map, mistakes }.case(test)).collect()
}

struct Reading<'a> {
    deployment: &'a Deployment,
    engine: &'a Engine,
    map: &'a SourceMap,
    mistakes: &'a mut Diagnostics,
}

impl Reading<'_> {
    fn wrong(&mut self, misfits: Vec<Misfit>) {
        for Misfit { path, message, hint } in misfits {
            self.mistakes.list.push(self.map.diagnostic(&path, None, message, hint));
        }
    }

    fn line(&self, path: &str) -> usize {
        self.map.diagnostic(path, None, "", None).line
    }

    fn case(&mut self, test: &Test) -> Case {
        let (mut records, mut steps) = (vec![], vec![]);
        let mut given: BTreeMap<&str, Vec<(String, &Told)>> = BTreeMap::new();
        for step in &test.steps {
            for part in &step.given {
                let paths = (0..).map(|at| format!("{}[{at}]", part.path));
                let told: Vec<(String, &Told)> = paths.zip(&part.records).collect();
                if self.deployment.sources.contains_key(&part.to) {
                    let lines = told.iter().map(|(path, _)| self.line(path));
                    records.extend(lines.map(|line| Record { source: part.to.clone(), line }));
                }
                given.entry(&part.to).or_default().extend(told);
            }
            steps.push(Step { wait: step.wait, end: records.len() });
        }
        let empty = vec![];
        let sources = self.deployment.sources.keys();
        let sources = sources.filter_map(|name| {
            let read = self.source(name, given.get(name.as_str()).unwrap_or(&empty))?;
            Some((name.clone(), read))
        });
        let sources = sources.collect();
        let mut tables = BTreeMap::new();
        for (name, table) in &self.deployment.tables {
            let Some(rows) = given.get(name.as_str()) else { continue };
            match typed::batch(&table.schema, &self.maps(rows)) {
                Ok(batch) => drop(tables.insert(name.clone(), vec![batch])),
                Err(misfits) => self.wrong(misfits),
            }
        }
        let at = self.map.diagnostic(&test.path, None, "", None);
        let expect = test.expect.iter().filter_map(|one| self.expect(&one.of, &one.path, &one.rows)).collect();
        Case { name: test.name.clone(), file: at.file, line: at.line, sources, tables, records, steps, expect }
    }

    /// Rows of a table, of which none can be text.
    fn maps<'a>(&mut self, rows: &[(String, &'a Told)]) -> Vec<(String, &'a Told)> {
        let (maps, texts): (Vec<_>, Vec<_>) = rows.iter().cloned().partition(|(_, told)| matches!(told, Told::Map(_)));
        let hint = || Some("write a map from columns to values".to_owned());
        let wrong = |(path, _)| Misfit { path, message: "a table has rows, and no records".into(), hint: hint() };
        self.wrong(texts.into_iter().map(wrong).collect());
        maps
    }

    fn source(&mut self, name: &str, told: &[(String, &Told)]) -> Option<Given> {
        let spec = &self.deployment.sources[name];
        let mut records = vec![];
        let mut misfits = vec![];
        for (path, told) in told {
            match told {
                Told::Text(text) => records.push(GivenRecord::Bytes(text.clone().into_bytes())),
                row => match typed::batch(&spec.schema, &[(path.clone(), row)]) {
                    Ok(batch) => records.push(GivenRecord::Row(batch)),
                    Err(found) => misfits.extend(found),
                },
            }
        }
        if !misfits.is_empty() {
            self.wrong(misfits);
            return None;
        }
        Given::read(spec, records)
            .map_err(|(at, message)| {
                let hint = Some("write it as a map from columns to values".to_owned());
                self.wrong(vec![Misfit { path: told[at].0.clone(), message, hint }]);
            })
            .ok()
    }

    fn expect(&mut self, of: &str, path: &str, rows: &Expected) -> Option<Expect> {
        let (what, schema) = self.columns_of(of)?;
        let line = self.line(path);
        let rows = match rows {
            Expected::Count(count) => {
                let rows = Wanted::Count(usize::try_from(*count).unwrap_or(usize::MAX));
                return Some(Expect { of: of.into(), what, line, columns: names(&schema), rows });
            }
            Expected::Rows(rows) => rows,
        };
        let paths = (0..).map(|at| format!("{path}[{at}]"));
        let told: Vec<(String, &Told)> = paths.zip(rows).collect();
        let named: BTreeSet<&str> = rows.iter().flat_map(cells).map(|(name, _)| name.as_str()).collect();
        if self.is_ledger(of) {
            let wrong = told.iter().flat_map(|(path, row)| cells(row).map(move |(name, _)| (path, name)));
            let wrong = wrong.filter(|(_, name)| OF_EPOCHS.contains(&name.as_str())).map(|(path, name)| Misfit {
                path: format!("{path}.{name}"),
                message: format!("`{name}` depends on how records are cut into epochs"),
                hint: Some("leave it out".into()),
            });
            let wrong: Vec<Misfit> = wrong.collect();
            if !wrong.is_empty() {
                self.wrong(wrong);
                return None;
            }
        }
        match typed::batch(&schema, &told) {
            Err(misfits) => {
                self.wrong(misfits);
                None
            }
            Ok(batch) => {
                let columns: Vec<String> = match named.is_empty() {
                    true => names(&schema),
                    false => names(&schema).into_iter().filter(|name| named.contains(name.as_str())).collect(),
                };
                let mut rows = typed::shown(&[batch], &columns);
                rows.sort();
                Some(Expect { of: of.into(), what, line, columns, rows: Wanted::Rows(rows) })
            }
        }
    }

    fn is_ledger(&self, name: &str) -> bool {
        !self.engine.views().contains_key(name) && [DEAD_LETTERS, LATE_ROWS].contains(&name)
    }

    /// Where to look for a name; a view goes before a sink.
    fn columns_of(&self, name: &str) -> Option<(What, SchemaRef)> {
        let view = |name: &str| self.engine.views().get(name).map(|view| view.schema.clone());
        match name {
            DEAD_LETTERS => Some((What::Table, dead_letters_schema())),
            LATE_ROWS => Some((What::Table, late_rows_schema())),
            _ => match (view(name), self.deployment.sinks.get(name)) {
                (Some(schema), _) => Some((What::Table, schema)),
                (None, Some(sink)) => Some((What::Sink, view(&sink.from)?)),
                (None, None) => None,
            },
        }
    }
}

fn cells(row: &Told) -> impl Iterator<Item = &(String, Told)> {
    match row {
        Told::Map(cells) => cells.as_slice(),
        _ => &[],
    }
    .iter()
}

fn names(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}
