//! The layout law: Kappa, Lambda and a one-pass oracle agree, whatever the epochs, restarts, lost replies and swaps.
//!
//! The job here is the smallest with both kinds of table; the oracle is a loop over the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use async_trait::async_trait;
use proptest::prelude::*;
use tokio::sync::Mutex;

use crate::base::BaseWriter;
use crate::error::JobError;
use crate::fold::FoldLimits;
use crate::ledger::{Ledger, load};
use crate::manifest::{BaseBy, Manifest, Open, TableKind};
use crate::memory::{Fault, MemoryClock, MemorySegments, MemorySource, MemoryStore};
use crate::rows::Rows;
use crate::serve::{Board, Snapshot};
use crate::speed::{Settings, Speed, Step};
use crate::traits::{Contribution, EpochStart, Front, Job, Merge, Segments, Store, Tables};

pub(super) const SUMS: &str = "sums";
pub(super) const ROWS: &str = "rows";
/// The rows whose key was not seen before, and the keys that were.
pub(super) const FIRSTS: &str = "firsts";
const SEEN: &str = "seen";

pub(super) fn batch(rows: &[(String, i64)]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("key", DataType::Utf8, false), Field::new("n", DataType::Int64, false)]);
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        ],
    )
    .unwrap()
}

pub(super) fn unbatch(batches: &[RecordBatch]) -> Vec<(String, i64)> {
    let mut rows = vec![];
    for batch in batches {
        let (keys, values) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        rows.extend(keys.iter().zip(values).map(|(key, n)| (key.unwrap().to_string(), n.unwrap())));
    }
    rows
}

pub(super) fn sums(rows: &[(String, i64)]) -> Vec<(String, i64)> {
    let mut sums = BTreeMap::new();
    for (key, n) in rows {
        *sums.entry(key.clone()).or_default() += n;
    }
    sums.into_iter().collect()
}

#[derive(Default)]
struct Sums {
    /// What it adds to each number.
    more: i64,
    rows: Vec<(String, i64)>,
    seen: BTreeSet<String>,
    /// How many of the rows have flowed.
    flowed: usize,
    /// The epoch under way, and what it saw first.
    epoch: Option<u64>,
    added: Vec<String>,
}

#[async_trait]
impl Job for Sums {
    fn begin(&mut self, EpochStart { epoch, .. }: EpochStart) {
        self.rows.clear();
        self.flowed = 0;
        for key in std::mem::take(&mut self.added) {
            if self.epoch == Some(epoch) {
                self.seen.remove(&key);
            }
        }
        self.epoch = Some(epoch);
    }

    async fn feed(&mut self, _: &str, rows: Rows) -> Result<(), JobError> {
        self.rows.extend(unbatch(&[rows.batch]).into_iter().map(|(key, n)| (key, n + self.more)));
        Ok(())
    }

    async fn flow(&mut self) -> Result<BTreeMap<String, Vec<RecordBatch>>, JobError> {
        let new = &self.rows[std::mem::replace(&mut self.flowed, self.rows.len())..];
        Ok(BTreeMap::from([(ROWS.to_string(), vec![batch(new)])]))
    }

    fn event_time_max(&self) -> BTreeMap<String, i64> {
        BTreeMap::new()
    }

    async fn finish(&mut self, _: Option<i64>) -> Result<Contribution, JobError> {
        let rows = std::mem::take(&mut self.rows);
        let mut firsts = vec![];
        for row in &rows {
            if self.seen.insert(row.0.clone()) {
                self.added.push(row.0.clone());
                firsts.push(row.clone());
            }
        }
        let seen: Vec<_> = firsts.iter().map(|row| (row.0.clone(), 1)).collect();
        let deltas = [(SUMS, sums(&rows)), (ROWS, rows), (FIRSTS, firsts), (SEEN, seen)];
        let deltas = deltas.map(|(table, rows)| (table.to_string(), vec![batch(&rows)]));
        Ok(Contribution { deltas: deltas.into(), ..Contribution::default() })
    }

    fn restore(&mut self, _: &str, rows: &[RecordBatch]) -> Result<(), JobError> {
        self.seen.extend(unbatch(rows).into_iter().map(|(key, _)| key));
        Ok(())
    }

    fn remembered(
        &mut self,
        _: &str,
        after: Option<&[u8]>,
        rows_max: usize,
    ) -> Result<Option<(RecordBatch, Vec<u8>)>, JobError> {
        let behind = self.seen.iter().filter(|key| after.is_none_or(|after| key.as_bytes() > after));
        let rows: Vec<_> = behind.take(rows_max).map(|key| (key.clone(), 1)).collect();
        Ok(rows.last().map(|(last, _)| (batch(&rows), last.clone().into_bytes())))
    }

    fn tables(&self) -> Tables {
        Tables::new()
    }

    fn see(&mut self, _: &str, _: Vec<RecordBatch>) -> Result<(), JobError> {
        Ok(())
    }

    fn wakes_at(&self) -> Option<i64> {
        None
    }
}

struct MergeSums;

impl Merge for MergeSums {
    fn merge(&self, _: &str, parts: &[RecordBatch]) -> Result<Vec<RecordBatch>, JobError> {
        Ok(vec![batch(&sums(&unbatch(parts)))])
    }

    fn split(&self, _: &str, rows: &RecordBatch, parts: usize) -> Result<Vec<RecordBatch>, JobError> {
        let mut split = vec![vec![]; parts];
        for row in unbatch(std::slice::from_ref(rows)) {
            split[row.0.bytes().map(usize::from).sum::<usize>() % parts].push(row);
        }
        Ok(split.iter().map(|rows| batch(rows)).collect())
    }

    fn front(&self, _: &str, parts: &[RecordBatch], goes_on: &[bool], _: bool) -> Result<Front, JobError> {
        let parts: Vec<_> = parts.iter().map(|part| unbatch(std::slice::from_ref(part))).collect();
        let open = parts.iter().zip(goes_on).filter(|(_, goes_on)| **goes_on);
        let bound = open.filter_map(|(part, _)| part.iter().map(|(key, _)| key).max()).min().cloned();
        let (mut merged, mut rest) = (BTreeMap::new(), vec![]);
        for part in parts {
            let (now, later): (Vec<_>, Vec<_>) =
                part.into_iter().partition(|(key, _)| bound.as_ref().is_none_or(|bound| key <= bound));
            merged.extend(now);
            rest.push(batch(&later));
        }
        Ok(Front { merged: vec![batch(&merged.into_iter().collect::<Vec<_>>())], rest })
    }
}

/// A world that outlives its processes.
#[derive(Default)]
pub(super) struct World {
    pub(super) store: Arc<MemoryStore>,
    segments: Arc<MemorySegments>,
    pub(super) clock: Arc<MemoryClock>,
    processes: u64,
    /// What jobs add to each number.
    pub(super) more: i64,
}

/// What happens to a deployment, in order.
#[derive(Debug, Clone)]
enum Event {
    Epoch { rows: usize },
    Base,
    Restart { by: bool },
    Fault { step: u64, fault: Fault },
}

fn event() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![3 => Just(Fault::ReplyLost), 3 => Just(Fault::RequestLost), 2 => Just(Fault::Crash)];
    prop_oneof![
        8 => (1usize..6).prop_map(|rows| Event::Epoch { rows }),
        2 => Just(Event::Base),
        1 => any::<bool>().prop_map(|by| Event::Restart { by }),
        3 => (1u64..8, fault).prop_map(|(step, fault)| Event::Fault { step, fault }),
    ]
}

/// What the tables of a job are made of that adds so much.
pub(super) fn definitions(more: i64) -> BTreeMap<String, String> {
    [SUMS, ROWS, FIRSTS, SEEN].map(|table| (table.into(), more.to_string())).into()
}

pub(super) struct Process {
    pub(super) speed: Speed,
    pub(super) base: BaseWriter,
}

impl World {
    pub(super) async fn start(
        &mut self,
        by: BaseBy,
        rows: &[(String, i64)],
        epoch: Arc<std::sync::atomic::AtomicUsize>,
    ) -> Process {
        self.store.restart();
        self.processes += 1;
        let open = Open {
            deployment: "law".into(),
            layout: format!("{by:?}"),
            definitions: definitions(self.more),
            described: BTreeMap::new(),
            kinds: BTreeMap::from([
                (SUMS.into(), TableKind::Keyed),
                (ROWS.into(), TableKind::Append),
                (FIRSTS.into(), TableKind::Append),
                (SEEN.into(), TableKind::State),
            ]),
        };
        let writer = format!("process-{:08}", self.processes);
        let ledger = Ledger::open(self.store.clone(), self.clock.clone(), writer, open).await.unwrap();
        let board = Board::new(Snapshot { manifest: ledger.manifest(), ..Snapshot::default() });
        let ledger = Arc::new(Mutex::new(ledger));
        let base = BaseWriter {
            ledger: ledger.clone(),
            segments: self.segments.clone(),
            merge: Arc::new(MergeSums),
            job: {
                let more = self.more;
                Box::new(move || Ok(Box::new(Sums { more, ..Sums::default() })))
            },
            board: board.clone(),
            clock: self.clock.clone(),
            on_progress: None,
            limits: FoldLimits { run_bytes: 600, run_segment_bytes: 200, segment_bytes: 300, rows: 2, keyed_rows: 3 },
        };
        base.enter(by == BaseBy::Recompute).await.unwrap();
        let source = MemorySource::new(batch(rows), move || epoch.load(std::sync::atomic::Ordering::Relaxed));
        let speed = Speed {
            ledger,
            sources: BTreeMap::from([("in".into(), Box::new(source) as _)]),
            job: Box::new(Sums { more: self.more, ..Sums::default() }),
            segments: self.segments.clone(),
            sinks: BTreeMap::new(),
            board,
            clock: self.clock.clone(),
            settings: Settings::default(),
            memory: Default::default(),
        };
        Process { speed, base }
    }

    pub(super) async fn answer(&self, manifest: &Manifest, table: &str) -> Vec<(String, i64)> {
        let mut parts = vec![];
        let base = manifest.tables[table].base.iter();
        for segment in base.chain(manifest.deltas(table).unwrap().iter().flat_map(|delta| &delta.segments)) {
            parts.extend(self.segments.read(segment).await.unwrap());
        }
        unbatch(&parts)
    }
}

/// What every table answers.
pub(super) type Answers = [Vec<(String, i64)>; 3];

pub(super) fn oracle(rows: &[(String, i64)]) -> Answers {
    let mut seen = BTreeSet::new();
    let firsts = rows.iter().filter(|row| seen.insert(&row.0)).cloned().collect();
    [sums(rows), rows.to_vec(), firsts]
}

/// Runs the events, then everything that is left, and returns the tables' answers.
async fn run(rows: &[(String, i64)], events: &[Event], first: BaseBy, swap: bool) -> Answers {
    let mut world = World::default();
    let mut by = first;
    let epoch = Arc::new(std::sync::atomic::AtomicUsize::new(1));
    let mut process = world.start(by, rows, epoch.clone()).await;
    for event in events {
        let failed = match event {
            Event::Epoch { rows } => {
                epoch.store(*rows, std::sync::atomic::Ordering::Relaxed);
                process.speed.step().await.is_err()
            }
            Event::Base => process.base.write(by).await.is_err(),
            Event::Restart { by: lambda } => {
                if swap {
                    by = if *lambda { BaseBy::Recompute } else { BaseBy::Fold };
                }
                true
            }
            Event::Fault { step, fault } => {
                world.store.fault_at(*step, *fault);
                false
            }
        };
        if failed {
            process = world.start(by, rows, epoch.clone()).await;
        }
        // What readers see is never ahead of, behind, or beside a prefix of the rows.
        let manifest = load(&*world.store).await.unwrap();
        let [total, _, firsts] = oracle(&rows[..taken(&manifest)]);
        assert_eq!(sums(&world.answer(&manifest, SUMS).await), total);
        assert_eq!(world.answer(&manifest, FIRSTS).await, firsts);
    }
    process = world.start(by, rows, epoch).await;
    world.rest(&mut process, by).await
}

impl World {
    /// Runs everything that is left, and returns the tables' answers.
    pub(super) async fn rest(&self, process: &mut Process, by: BaseBy) -> Answers {
        while process.speed.step().await.unwrap() != Step::Idle {}
        process.base.write(by).await.unwrap();
        let manifest = load(&*self.store).await.unwrap();
        assert_eq!(manifest, *process.speed.ledger.lock().await.manifest());
        // A base that was merged by parts of the keys has them one after the other.
        let mut sums = self.answer(&manifest, SUMS).await;
        sums.sort();
        [sums, self.answer(&manifest, ROWS).await, self.answer(&manifest, FIRSTS).await]
    }
}

/// How many rows a manifest has.
pub(super) fn taken(manifest: &Manifest) -> usize {
    manifest.sources.get("in").and_then(|state| state.offsets.get("0")).copied().unwrap_or(0) as usize
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn layouts_agree_with_the_oracle(
        rows in prop::collection::vec(("[a-d]", -9i64..10), 0..60),
        events in prop::collection::vec(event(), 0..60),
    ) {
        let oracle = oracle(&rows);
        prop_assert_eq!(&block_on(run(&rows, &events, BaseBy::Fold, false)), &oracle, "kappa");
        prop_assert_eq!(&block_on(run(&rows, &events, BaseBy::Recompute, false)), &oracle, "lambda");
        prop_assert_eq!(&block_on(run(&rows, &events, BaseBy::Fold, true)), &oracle, "swapped");
    }
}

#[test]
fn the_memory_adapters_keep_the_laws() {
    block_on(crate::laws_store::store_laws(&MemoryStore::default()));
    block_on(crate::laws_store::segments_laws(
        &MemorySegments::default(),
        &[batch(&[("a".to_string(), 1), ("b".to_string(), 2)])],
    ));
}

#[test]
fn a_second_writer_fences_the_first() {
    block_on(async {
        let mut world = World::default();
        let rows = [("a".to_string(), 1), ("b".to_string(), 2)];
        let epoch = Arc::new(std::sync::atomic::AtomicUsize::new(1));
        let mut first = world.start(BaseBy::Fold, &rows, epoch.clone()).await;
        first.speed.step().await.unwrap();
        let mut second = world.start(BaseBy::Fold, &rows, epoch).await;
        let error = first.speed.step().await.unwrap_err().to_string();
        assert!(error.contains("another process has taken over"), "{error}");
        assert_eq!(second.speed.step().await.unwrap(), Step::Ran { more: false });
    });
}

#[test]
fn a_hole_is_an_error() {
    block_on(async {
        let mut world = World::default();
        let rows = [("a".to_string(), 1), ("b".to_string(), 2)];
        let epoch = Arc::new(std::sync::atomic::AtomicUsize::new(1));
        let mut process = world.start(BaseBy::Fold, &rows, epoch).await;
        while process.speed.step().await.unwrap() != Step::Idle {}
        let mut manifest = load(&*world.store).await.unwrap();
        manifest.tables.get_mut(SUMS).unwrap().deltas.remove(0);
        assert_eq!(manifest.deltas(SUMS).unwrap_err().epoch, 0);
    });
}

#[test]
fn a_flipped_bit_in_the_manifest_is_named() {
    block_on(async {
        let mut world = World::default();
        let epoch = Arc::new(std::sync::atomic::AtomicUsize::new(1));
        world.start(BaseBy::Fold, &[], epoch).await;
        let name = world.store.list("manifest/edit/").await.unwrap().pop().unwrap();
        let mut bytes = world.store.get(&name).await.unwrap().to_vec();
        bytes[20] ^= 4;
        world.store.put(&name, bytes.into()).await.unwrap();
        let error = load(&*world.store).await.unwrap_err().to_string();
        assert!(error.contains(&name) && error.contains("damaged"), "{error}");
    });
}

#[test]
fn a_step_given_up_is_found_to_have_happened() {
    block_on(async {
        let mut world = World::default();
        let rows = [("a".to_string(), 1), ("b".to_string(), 2)];
        let epoch = Arc::new(std::sync::atomic::AtomicUsize::new(1));
        let mut process = world.start(BaseBy::Fold, &rows, epoch.clone()).await;
        world.store.fault_at(1, Fault::ReplyLost);
        // The second try finds the edit; so lose the look at it too, by never letting a try end.
        for step in 2..=crate::ledger::TRIES_MAX as u64 {
            world.store.fault_at(step, Fault::RequestLost);
        }
        let error = process.speed.step().await.unwrap_err();
        assert!(error.passes(), "{error}");
        epoch.store(2, std::sync::atomic::Ordering::Relaxed);
        let error = process.speed.step().await.unwrap_err();
        assert!(error.passes() && error.to_string().contains("turned out to have happened"), "{error}");
        while process.speed.step().await.unwrap() != Step::Idle {}
        let manifest = load(&*world.store).await.unwrap();
        assert_eq!(manifest.next, 2, "the first plan of one row was kept");
        assert_eq!(world.answer(&manifest, ROWS).await, rows);
    });
}
