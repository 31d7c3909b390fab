//! User code for tests: silences of five seconds end a name's session, which says how long it was and what it was of.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use braid_kernel::JobError;
use braid_kernel::keyed::{
    Changes, Entries, FailedRow, Keyed, KeyedCode, Kind, Memory, Outcome, Program, Turn, Variable, What,
};

const SILENCE: i64 = 5_000_000;

/// A row with this number makes the code fail.
pub const BAD: i64 = 4;

/// The most rows of a turn: cuts between a key's rows must not show.
const TURN_ROWS: usize = 3;

#[derive(Debug)]
pub struct Sessions {
    program: Program,
}

#[derive(Debug)]
struct Running(Program);

/// What is kept for one name.
#[derive(Debug, Default, Clone, PartialEq)]
struct Memo {
    last: Option<i64>,
    numbers: Vec<i64>,
    seen: BTreeMap<i64, i64>,
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

impl Sessions {
    pub fn new() -> Self {
        let variable = |name: &str, kind, columns: &[(&str, DataType)]| Variable {
            name: name.into(),
            kind,
            columns: schema(columns),
            ttl_ms: None,
        };
        let variables = vec![
            variable("last", Kind::Value, &[("value", micros())]),
            variable("numbers", Kind::List, &[("value", DataType::Int64)]),
            variable("seen", Kind::Map, &[("entry", DataType::Int64), ("value", DataType::Int64)]),
        ];
        let output = schema(&[("name", DataType::Utf8), ("numbers", DataType::Utf8), ("most", DataType::Int64)]);
        Self { program: Program { output, variables } }
    }
}

impl KeyedCode for Sessions {
    fn name(&self) -> &str {
        "sessions"
    }

    fn program(&self) -> &Program {
        &self.program
    }

    fn start(&self) -> Result<Box<dyn Keyed>, JobError> {
        Ok(Box::new(Running(self.program.clone())))
    }
}

impl Keyed for Running {
    fn run(&mut self, rows: usize, memory: &mut dyn Memory) -> Result<Vec<FailedRow>, JobError> {
        let (mut failed, mut start) = (vec![], 0);
        while start < rows {
            let end = rows.min(start + TURN_ROWS);
            let turn = memory.turn(start..end)?;
            let bad = |row: usize| turn.what == What::Input && numbers(&turn)[row] == Some(BAD);
            match (0..end - start).find(|row| bad(*row)) {
                // What is before a bad row is taken, then what is behind it.
                Some(0) => {
                    failed.push(FailedRow { row: start, reason: "bad".into() });
                    start += 1;
                }
                Some(row) => {
                    let turn = memory.turn(start..start + row)?;
                    memory.settle(self.outcome(&turn))?;
                    start += row;
                }
                None => {
                    memory.settle(self.outcome(&turn))?;
                    start = end;
                }
            }
        }
        Ok(failed)
    }
}

fn numbers(turn: &Turn) -> Vec<Option<i64>> {
    turn.rows.rows.column_by_name("n").expect("numbers").as_primitive::<Int64Type>().iter().collect()
}

fn longs(entries: &Entries, column: usize) -> Vec<i64> {
    entries.rows.column(column).as_primitive::<Int64Type>().values().to_vec()
}

impl Running {
    fn outcome(&self, turn: &Turn) -> Outcome {
        let names = turn.keys.column(0).as_string::<i32>();
        let mut memos = vec![Memo::default(); turn.keys.num_rows()];
        let lasts = turn.states[0].rows.column(0).as_primitive::<TimestampMicrosecondType>();
        for (key, last) in turn.states[0].keys.iter().zip(lasts.values()) {
            memos[*key as usize].last = Some(*last);
        }
        for (key, number) in turn.states[1].keys.iter().zip(longs(&turn.states[1], 0)) {
            memos[*key as usize].numbers.push(number);
        }
        let seen = longs(&turn.states[2], 0).into_iter().zip(longs(&turn.states[2], 1));
        for (key, (number, times)) in turn.states[2].keys.iter().zip(seen) {
            memos[*key as usize].seen.insert(number, times);
        }
        let before = memos.clone();
        let (mut out, mut timers) = (vec![], vec![]);
        let mut close = |key: u32, memo: &mut Memo| {
            if memo.last.is_some() {
                let numbers: Vec<String> = memo.numbers.iter().map(ToString::to_string).collect();
                out.push((names.value(key as usize).to_owned(), numbers.join(" "), memo.seen.values().max().copied()));
            }
            *memo = Memo::default();
        };
        let at = match turn.what {
            What::Input => turn.rows.rows.column_by_name("at").expect("time"),
            _ => turn.rows.rows.column(0),
        };
        let at = cast(at, &micros()).expect("times");
        let numbers = if turn.what == What::Input { numbers(turn) } else { vec![] };
        for (row, (key, at)) in turn.rows.keys.iter().zip(at.as_primitive::<TimestampMicrosecondType>()).enumerate() {
            let (memo, at) = (&mut memos[*key as usize], at.expect("a time"));
            if turn.what == What::Timers {
                assert!(turn.now.is_some_and(|now| at <= now), "a timer is over");
                close(*key, memo);
                continue;
            }
            if let Some(last) = memo.last {
                timers.push((*key, last + SILENCE, true));
                if at > last + SILENCE {
                    close(*key, memo);
                }
            }
            let last = memo.last.map_or(at, |last| last.max(at));
            memo.last = Some(last);
            memo.numbers.extend(numbers[row]);
            numbers[row].iter().for_each(|number| *memo.seen.entry(*number).or_default() += 1);
            timers.push((*key, last + SILENCE, false));
        }
        let changes = |columns: Vec<ArrayRef>, schema: &SchemaRef, keys: Vec<u32>, gone: Vec<bool>| Changes {
            entries: Entries { keys, rows: RecordBatch::try_new(schema.clone(), columns).expect("entries") },
            gone: Some(gone),
        };
        let changed = || (0..memos.len()).filter(|key| memos[*key] != before[*key]);
        let keys: Vec<u32> = changed().map(|key| key as u32).collect();
        let lasts = TimestampMicrosecondArray::from_iter(changed().map(|key| memos[key].last));
        let gone = (0..lasts.len()).map(|row| lasts.is_null(row)).collect();
        let variables = &self.0.variables;
        let last = changes(vec![Arc::new(lasts)], &variables[0].columns, keys, gone);
        // Lists are written anew, maps entry by entry.
        let mut list = (vec![], vec![], vec![]);
        let mut map = (vec![], vec![], vec![], vec![]);
        for key in changed() {
            let mut add = |number: Option<i64>| {
                list.0.push(key as u32);
                list.1.push(number);
                list.2.push(number.is_none());
            };
            add(None);
            memos[key].numbers.iter().for_each(|number| add(Some(*number)));
            for number in
                memos[key].seen.keys().chain(before[key].seen.keys().filter(|n| !memos[key].seen.contains_key(n)))
            {
                let times = memos[key].seen.get(number);
                map.0.push(key as u32);
                map.1.push(Some(*number));
                map.2.push(times.copied());
                map.3.push(times.is_none());
            }
        }
        let long = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let at = TimestampMicrosecondArray::from_iter_values(timers.iter().map(|(_, at, _)| *at));
        let timer_keys = timers.iter().map(|(key, ..)| *key).collect();
        let timer_gone = timers.iter().map(|(.., gone)| *gone).collect();
        let rows = RecordBatch::try_new(
            self.0.output.clone(),
            vec![
                Arc::new(StringArray::from_iter_values(out.iter().map(|row| &row.0))),
                Arc::new(StringArray::from_iter_values(out.iter().map(|row| &row.1))),
                long(out.iter().map(|row| row.2).collect()),
            ],
        );
        Outcome {
            rows: rows.expect("rows"),
            states: vec![
                last,
                changes(vec![long(list.1)], &variables[1].columns, list.0, list.2),
                changes(vec![long(map.1), long(map.2)], &variables[2].columns, map.0, map.3),
            ],
            timers: changes(vec![Arc::new(at)], &schema(&[("at", micros())]), timer_keys, timer_gone),
        }
    }
}

/// How many rows a name had in the last ten seconds by the clock, and five seconds after each the instant.
#[derive(Debug)]
pub struct Ticks(Program);

impl Ticks {
    pub fn new() -> Self {
        let columns = schema(&[("value", DataType::Int64)]);
        let count = Variable { name: "count".into(), kind: Kind::Value, columns, ttl_ms: Some(10_000) };
        let output = schema(&[("name", DataType::Utf8), ("n", DataType::Int64)]);
        Self(Program { output, variables: vec![count] })
    }
}

impl KeyedCode for Ticks {
    fn name(&self) -> &str {
        "ticks"
    }

    fn program(&self) -> &Program {
        &self.0
    }

    fn start(&self) -> Result<Box<dyn Keyed>, JobError> {
        Ok(Box::new(Self(self.0.clone())))
    }
}

impl Keyed for Ticks {
    fn run(&mut self, rows: usize, memory: &mut dyn Memory) -> Result<Vec<FailedRow>, JobError> {
        for row in 0..rows {
            let turn = memory.turn(row..row + 1)?;
            let now = turn.now.expect("a time");
            let more = turn.what == What::Input;
            let count = longs(&turn.states[0], 0).first().map_or(1, |count| count + 1);
            let n = if more { count } else { -now / 1_000_000 };
            let one = |more: bool| if more { vec![0] } else { vec![] };
            let long = |value: i64| Arc::new(Int64Array::from(if more { vec![value] } else { vec![] })) as ArrayRef;
            let at = TimestampMicrosecondArray::from(if more { vec![now + 5_000_000] } else { vec![] });
            let changes = |schema: &SchemaRef, column: ArrayRef| Changes {
                entries: Entries {
                    keys: one(more),
                    rows: RecordBatch::try_new(schema.clone(), vec![column]).expect("entries"),
                },
                gone: None,
            };
            let name = turn.keys.column(0).clone();
            let rows = vec![name, Arc::new(Int64Array::from(vec![n])) as ArrayRef];
            memory.settle(Outcome {
                rows: RecordBatch::try_new(self.0.output.clone(), rows).expect("a row"),
                states: vec![changes(&self.0.variables[0].columns, long(count))],
                timers: changes(&schema(&[("at", micros())]), Arc::new(at)),
            })?;
        }
        Ok(vec![])
    }
}
