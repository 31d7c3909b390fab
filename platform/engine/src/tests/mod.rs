//! The engine as its users see it: laws over random splits, output modes, errors, and reading.

mod disk;
mod errors;
mod keyed;
mod laws;
mod modes;
mod prefix;
mod prefixes;
mod reading;
mod sliding;
mod sql;
mod stateful;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use braid_kernel::EpochStart;
use datafusion::common::ScalarValue;

use crate::store::Store;
use crate::{Catalog, Engine, EngineJob, EventTime, Input, StaticInput};

/// One row of the test input `events`.
#[derive(Debug, Clone, Default)]
pub struct Event {
    pub name: Option<String>,
    pub n: Option<i64>,
    pub small: Option<i32>,
    pub x: Option<f64>,
    pub price: Option<i128>,
    pub at: Option<i64>,
    pub flag: Option<bool>,
    pub day: Option<i32>,
}

pub fn event_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("N", DataType::Int64, true),
        Field::new("small", DataType::Int32, true),
        Field::new("x", DataType::Float64, true),
        Field::new("price", DataType::Decimal128(10, 2), true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("day", DataType::Date32, true),
    ]))
}

pub fn batch_of(events: &[Event]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(events.iter().map(|e| e.name.clone()).collect::<StringArray>()),
        Arc::new(events.iter().map(|e| e.n).collect::<Int64Array>()),
        Arc::new(events.iter().map(|e| e.small).collect::<Int32Array>()),
        Arc::new(events.iter().map(|e| e.x).collect::<Float64Array>()),
        Arc::new(events.iter().map(|e| e.price).collect::<Decimal128Array>().with_precision_and_scale(10, 2).unwrap()),
        Arc::new(events.iter().map(|e| e.at).collect::<TimestampMillisecondArray>()),
        Arc::new(events.iter().map(|e| e.flag).collect::<BooleanArray>()),
        Arc::new(events.iter().map(|e| e.day).collect::<Date32Array>()),
    ];
    RecordBatch::try_new(event_schema(), columns).unwrap()
}

/// An event at a second, for windows.
pub fn at(name: &str, second: i64, n: i64) -> Event {
    Event { name: Some(name.into()), n: Some(n), at: Some(second * 1000), ..Event::default() }
}

pub fn group_rows() -> RecordBatch {
    let schema =
        Arc::new(Schema::new(vec![Field::new("name", DataType::Utf8, true), Field::new("team", DataType::Utf8, true)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "c"]));
    let teams: ArrayRef = Arc::new(StringArray::from(vec!["red", "blue", "red", "blue"]));
    RecordBatch::try_new(schema, vec![names, teams]).unwrap()
}

/// `events` (with a watermark on `at`), `other` (without), the static table `teams`, and views.
pub fn catalog(views: &[(&str, &str)]) -> Catalog {
    let watermark = Some(EventTime { column: "at".into(), delay_ms: 0 });
    Catalog {
        inputs: BTreeMap::from([
            ("events".into(), Input { schema: event_schema(), watermark, gate: None }),
            ("other".into(), Input { schema: event_schema(), watermark: None, gate: None }),
        ]),
        statics: BTreeMap::from([(
            "teams".into(),
            StaticInput { schema: group_rows().schema(), batches: vec![group_rows()] },
        )]),
        functions: Vec::new(),
        views: views.iter().map(|(name, sql)| ((*name).into(), (*sql).into())).collect(),
    }
}

pub async fn engine(views: &[(&str, &str)]) -> Engine {
    match Engine::compile(catalog(views)).await {
        Ok(engine) => engine,
        Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// An epoch that begins.
pub fn start(epoch: u64, late_before: Option<i64>) -> EpochStart {
    EpochStart { epoch, late_before, planned_at: 0 }
}

/// One epoch's delta of a view.
pub async fn epoch(job: &mut EngineJob, view: &str, batches: &[RecordBatch]) -> Vec<RecordBatch> {
    job.begin(start(0, None));
    for batch in batches {
        job.feed("events", batch).await.unwrap();
    }
    job.finish(None).await.unwrap().deltas.remove(view).unwrap_or_default()
}

/// What states of a view answer.
pub async fn answer(engine: &Engine, view: &str, parts: &[RecordBatch]) -> Vec<RecordBatch> {
    let compiled = &engine.compiled()[view];
    let Some(keyed) = &compiled.keyed else {
        return parts.to_vec();
    };
    let mut store = Store::new(&keyed.aggregation, false).unwrap();
    store.merge(&keyed.aggregation, parts).unwrap();
    let merged = store.all(&keyed.aggregation).unwrap();
    keyed.upper.run(&keyed.aggregation.answer(&merged).unwrap()).await.unwrap()
}

/// Rows as text, exact for floats.
pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| match ScalarValue::try_from_array(column, row).unwrap() {
                ScalarValue::Float64(Some(x)) => format!("{x:?}"),
                other => other.to_string(),
            });
            lines.push(cells.collect::<Vec<_>>().join(" | "));
        }
    }
    lines
}

pub fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = lines(batches);
    lines.sort();
    lines
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
