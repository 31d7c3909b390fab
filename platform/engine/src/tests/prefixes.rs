//! After every epoch a view answers what a batch over all rows so far answers: for generated queries, data and splits.
//!
//! `BRAID_PREFIX_CASES` (240) says how many cases, `BRAID_PREFIX_SEED` (1) which. A case that fails is made smaller, and
//! printed as a script that runs it through the binary.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use braid_kernel::Merge;
use datafusion::common::ScalarValue;

use super::prefix::data::{DELAYS_MS, Data, Row};
use super::prefix::oracle::{Cells, Exact, Value, lines};
use super::prefix::query::Query;
use super::prefix::{Case, Random, deployment, generate, oracle, shrink};
use super::{answer, block_on, group_rows, start};
use crate::catalog::{DropDuplicates, Gate};
use crate::{Catalog, Engine, EngineJob, EventTime, Input, StaticInput};

/// Queries that are compiled together.
const TOGETHER: usize = 8;
/// How much data they are asked of.
const DATA_EACH: usize = 4;
/// After so many failed cases it gives up.
const FAILURES_MAX: usize = 5;
/// Streams of events without duplicates, and the columns that make them.
const STREAMS: [(&str, &[&str], bool); 3] =
    [("once", &["id", "at"], false), ("within", &["id"], true), ("ever", &["name"], false)];

/// Why a query is no view, and rightly so: the generator does not see that a condition is always false.
const EMPTY: &str = "the view can never have a row";

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

fn batch(rows: &[&Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.id)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.name).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.n).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.at).collect::<TimestampMillisecondArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

async fn compiled(queries: &[&Query]) -> Result<Engine, String> {
    let input =
        |delay_ms| Input { schema: schema(), watermark: Some(EventTime { column: "at".into(), delay_ms }), gate: None };
    let mut inputs = BTreeMap::from([("events".into(), input(DELAYS_MS[0])), ("other".into(), input(DELAYS_MS[1]))]);
    for (name, columns, within_watermark) in STREAMS {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        let gate = Some(Gate::Unique(DropDuplicates { columns, within_watermark }));
        inputs.insert(name.into(), Input { gate, ..input(DELAYS_MS[0]) });
    }
    let teams = StaticInput { schema: group_rows().schema(), batches: vec![group_rows()] };
    let views = queries.iter().enumerate().map(|(number, query)| (format!("v{number}"), query.sql()));
    let catalog = Catalog {
        inputs,
        statics: BTreeMap::from([("teams".into(), teams)]),
        views: views.collect(),
        ..Catalog::default()
    };
    let text = |errors: Vec<_>| errors.iter().map(ToString::to_string).collect::<Vec<String>>().join("\n");
    Engine::compile(catalog).await.map_err(|errors: Vec<crate::CompileError>| text(errors))
}

/// What a deployment has stored: the deltas of each table.
type Stored = BTreeMap<String, Vec<RecordBatch>>;

fn restarted(engine: &Engine, stored: &mut Stored, fold: bool) -> EngineJob {
    let mut job = engine.job().unwrap();
    let states = engine.states();
    for (table, deltas) in stored.iter_mut() {
        let keyed = engine.compiled().get(table).is_some_and(|view| view.keyed.is_some());
        if fold && (keyed || states.contains_key(table)) {
            *deltas = engine.merge(table, deltas).unwrap();
        }
        if states.contains_key(table) {
            job.restore(table, deltas).unwrap();
        }
    }
    job
}

/// Runs the epochs; gives what each view answers after each.
async fn run(engine: &Engine, data: &Data) -> Result<Vec<Vec<Vec<String>>>, String> {
    let mut stored = Stored::new();
    let mut job = engine.job().unwrap();
    let mut watermark: Option<i64> = None;
    let mut answers = vec![];
    for (number, trouble) in data.troubles.iter().enumerate() {
        if trouble & 1 == 1 {
            job = restarted(engine, &mut stored, trouble & 4 == 4);
        }
        let ended = watermark.max(data.watermark(number));
        let fails = trouble & 2 == 2;
        for attempt in 0..=u8::from(fails) {
            job.begin(start(number as u64, watermark));
            for name in ["events", "other", "once", "within", "ever"] {
                let input = usize::from(name == "other");
                let rows: Vec<&Row> = data.epoch(number).iter().filter(|row| row.input == input).collect();
                for part in rows.chunks(7) {
                    job.feed(name, &batch(part)).await.map_err(|error| error.to_string())?;
                }
            }
            let result = job.finish(ended).await.map_err(|error| error.to_string())?;
            if result.late_rows.values().any(|rows| *rows > 0) {
                return Err(format!("rows were late after epoch {number}: {:?}", result.late_rows));
            }
            if attempt == u8::from(fails) {
                for (table, delta) in result.deltas {
                    stored.entry(table).or_default().extend(delta);
                }
            }
        }
        watermark = ended;
        let mut of_views = vec![];
        for view in 0..engine.views().len() {
            let view = format!("v{view}");
            let none = vec![];
            let parts = stored.get(&view).unwrap_or(&none);
            of_views.push(lines(answer(engine, &view, parts).await.iter().flat_map(cells).collect()));
        }
        answers.push(of_views);
    }
    Ok(answers)
}

fn cells(batch: &RecordBatch) -> Vec<Cells> {
    let cell = |column: &ArrayRef, row: usize| value(&ScalarValue::try_from_array(column, row).unwrap());
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| cell(column, row)).collect()).collect()
}

fn value(scalar: &ScalarValue) -> Value {
    let instant = |scalar: &ScalarValue| match scalar {
        ScalarValue::TimestampMillisecond(Some(ms), _) => *ms,
        ScalarValue::TimestampMicrosecond(Some(micros), _) => micros.div_euclid(1_000),
        other => panic!("{other:?} is no instant"),
    };
    match scalar {
        scalar if scalar.is_null() => Value::Null,
        ScalarValue::Int64(Some(number)) => Value::Int(*number),
        ScalarValue::Int32(Some(number)) => Value::Int((*number).into()),
        ScalarValue::Float64(Some(number)) => Value::Float(Exact(*number)),
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => Value::Text(text.clone()),
        ScalarValue::Struct(fields) => {
            let bound = |index: usize| instant(&ScalarValue::try_from_array(fields.column(index), 0).unwrap());
            Value::Window(bound(0), bound(1))
        }
        other => Value::Time(instant(other)),
    }
}

/// Where a view's answers differ from the oracle's.
fn difference(query: &Query, data: &Data, answers: &[Vec<String>]) -> Option<String> {
    let first = if query.waits_behind_a_join() { data.ends.len() - 1 } else { 0 };
    (first..data.ends.len()).find_map(|epoch| {
        let wanted = oracle::answer(query, data, epoch);
        let same = answers[epoch] == wanted;
        (!same).then(|| format!("after epoch {epoch}\n  found  {:?}\n  wanted {wanted:?}", answers[epoch]))
    })
}

/// Whether one case fails, and how.
async fn failure(case: &Case) -> Option<String> {
    let engine = match compiled(&[&case.query]).await {
        Ok(engine) => engine,
        Err(error) if error.contains(EMPTY) => return None,
        Err(error) => return Some(format!("it does not compile: {error}")),
    };
    let of_first =
        |answers: Vec<Vec<Vec<String>>>| answers.into_iter().map(|mut views| views.remove(0)).collect::<Vec<_>>();
    match run(&engine, &case.data).await {
        Ok(answers) => difference(&case.query, &case.data, &of_first(answers)),
        Err(error) => Some(error),
    }
}

fn report(case: Case) -> String {
    let kind = |failure: &Option<String>| failure.as_ref().map(|text| text.split(':').next().map(str::len));
    let before = kind(&block_on(failure(&case)));
    let small = shrink::shrink(case, |case| kind(&block_on(failure(case))) == before);
    let how = block_on(failure(&small)).unwrap_or_default();
    format!(
        "{}\n{how}\nepochs with troubles {:?}; the case:\n{}",
        small.query.sql(),
        small.data.troubles,
        deployment::script(&small)
    )
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

#[test]
fn every_prefix_is_answered_as_a_batch_of_it() {
    let (cases, seed) = (number("BRAID_PREFIX_CASES", 240), number("BRAID_PREFIX_SEED", 1));
    let mut failed: Vec<String> = vec![];
    let (mut checked, mut answers_checked, mut round) = (0, 0, 0);
    while checked < cases && failed.len() < FAILURES_MAX {
        round += 1;
        let mut random = Random(seed.wrapping_mul(1_000_003).wrapping_add(round));
        let mut queries: Vec<Query> = (0..TOGETHER).map(|_| generate::query(&mut random)).collect();
        let mut engine = block_on(compiled(&queries.iter().collect::<Vec<_>>()));
        if engine.as_ref().is_err_and(|error| error.contains(EMPTY)) {
            let can = |query: &Query| !block_on(compiled(&[query])).is_err_and(|error| error.contains(EMPTY));
            queries.retain(can);
            engine = block_on(compiled(&queries.iter().collect::<Vec<_>>()));
        }
        for _ in 0..DATA_EACH {
            let data = Data::any(&mut random);
            assert!(data.valid(), "the generator makes rows that are late: {data:?}");
            let found = match &engine {
                Ok(engine) => together(engine, &queries, &data),
                Err(error) => Err(error.clone()),
            };
            checked += queries.len() as u64;
            answers_checked += queries.len() * data.ends.len();
            failed.extend(found.unwrap_or_else(|error| apart(&error, &queries, &data)));
        }
        if round % 64 == 0 {
            eprintln!("{checked} cases of seed {seed}, {answers_checked} answers, {} failed", failed.len());
        }
    }
    eprintln!("{checked} cases of seed {seed}, {answers_checked} answers");
    assert!(failed.is_empty(), "{} of {checked} cases fail:\n\n{}", failed.len(), failed.join("\n\n"));
}

/// Runs all queries at once, in the data's epochs and in one; reports those whose answers are wrong.
fn together(engine: &Engine, queries: &[Query], data: &Data) -> Result<Vec<String>, String> {
    let whole = Data { ends: vec![data.rows.len()], troubles: vec![0], ..data.clone() };
    let (answers, at_once) =
        block_on(async { Ok::<_, String>((run(engine, data).await?, run(engine, &whole).await?)) })?;
    let mut wrong = vec![];
    for (view, query) in queries.iter().enumerate() {
        let of_view: Vec<Vec<String>> = answers.iter().map(|views| views[view].clone()).collect();
        if difference(query, data, &of_view).is_some() {
            wrong.push(report(Case { query: query.clone(), data: data.clone() }));
        } else if of_view.last() != Some(&at_once[0][view]) {
            wrong.push(format!("in one epoch it has another answer: {}\n{data:?}", query.sql()));
        }
    }
    Ok(wrong)
}

/// Which of the queries fail where they cannot be run together.
fn apart(error: &str, queries: &[Query], data: &Data) -> Vec<String> {
    let cases = queries.iter().map(|query| Case { query: query.clone(), data: data.clone() });
    let failing = cases.filter(|case| block_on(failure(case)).is_some());
    let reports: Vec<String> = failing.map(report).collect();
    match reports.is_empty() {
        true => {
            let all: Vec<String> = queries.iter().map(Query::sql).collect();
            vec![format!("they fail only together: {error}\n{}\n{data:?}", all.join("\n"))]
        }
        false => reports,
    }
}
