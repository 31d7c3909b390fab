//! The law of continuous processing: whatever is lost, restarted or swapped, the answers are those of micro-batches; a sink at
//! least once has each row in its order, and one that writes in transactions each once.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use proptest::prelude::*;
use tokio::sync::watch;

use crate::error::SinkError;
use crate::laws::{Answers, FIRSTS, Process, ROWS, SUMS, World, batch, block_on, oracle, sums, taken, unbatch};
use crate::ledger::load;
use crate::manifest::BaseBy;
use crate::memory::{Fault, MemorySource};
use crate::speed::Step;
use crate::traits::{Clock, EpochOutput, Sink, SinkReport};

type Row = (String, i64);

/// What sinks have written, and what outlives their processes.
#[derive(Default)]
struct Written {
    at_least_once: Vec<Row>,
    once: Vec<Row>,
    /// The last epoch whose transaction was committed.
    done: Option<u64>,
    /// The call with this number, counted down, fails once it has done its work; or before.
    fails: Option<(u64, bool)>,
}

impl Written {
    /// Whether this call fails: before its work, or behind it.
    fn fails(&mut self) -> Option<bool> {
        match &mut self.fails {
            Some((0, before)) => {
                let before = *before;
                self.fails = None;
                Some(before)
            }
            Some((calls, _)) => {
                *calls -= 1;
                None
            }
            None => None,
        }
    }
}

/// A sink of the rows; with a transaction, if it has one.
struct Out {
    written: Arc<StdMutex<Written>>,
    transaction: Option<Vec<Row>>,
}

fn rows_of(tables: &BTreeMap<String, Vec<RecordBatch>>) -> Vec<Row> {
    tables.get(ROWS).map_or(vec![], |batches| unbatch(batches))
}

impl Out {
    fn call(&mut self, work: impl FnOnce(&mut Written, &mut Option<Vec<Row>>)) -> Result<(), SinkError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let fails = written.fails();
        if fails != Some(true) {
            work(&mut written, &mut self.transaction);
        }
        match fails {
            Some(_) => Err(SinkError::Retry("it is away".into())),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Sink for Out {
    async fn write(&mut self, epoch: u64, output: &EpochOutput<'_>) -> Result<SinkReport, SinkError> {
        let rows = rows_of(output.deltas);
        let count = rows.len() as u64;
        self.call(|written, transaction| match transaction {
            None if output.flowed => {}
            None => written.at_least_once.extend(rows),
            Some(flowed) => {
                let flowed = std::mem::take(flowed);
                if written.done.is_none_or(|done| done < epoch) {
                    written.once.extend(if output.flowed { flowed } else { rows });
                    written.done = Some(epoch);
                }
            }
        })?;
        Ok(SinkReport { rows: count })
    }

    async fn flow(&mut self, _: u64, part: u64, rows: &BTreeMap<String, Vec<RecordBatch>>) -> Result<(), SinkError> {
        let rows = rows_of(rows);
        self.call(|written, transaction| match transaction {
            None => written.at_least_once.extend(rows),
            Some(flowed) => {
                if part == 0 {
                    flowed.clear();
                }
                flowed.extend(rows);
            }
        })
    }
}

/// What happens to a deployment, in order.
#[derive(Debug, Clone)]
enum Event {
    Epoch { rows: u64 },
    Base,
    Restart { lambda: bool },
    Fault { step: u64, fault: Fault },
    Sink { call: u64, before: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![3 => Just(Fault::ReplyLost), 3 => Just(Fault::RequestLost), 2 => Just(Fault::Crash)];
    prop_oneof![
        8 => (1u64..9).prop_map(|rows| Event::Epoch { rows }),
        2 => Just(Event::Base),
        1 => any::<bool>().prop_map(|lambda| Event::Restart { lambda }),
        3 => (1u64..8, fault).prop_map(|(step, fault)| Event::Fault { step, fault }),
        2 => (0u64..6, any::<bool>()).prop_map(|(call, before)| Event::Sink { call, before }),
    ]
}

async fn start(
    world: &mut World,
    by: BaseBy,
    rows: &[Row],
    slice: Option<usize>,
    written: &Arc<StdMutex<Written>>,
) -> Process {
    let mut process = world.start(by, rows, Arc::new(AtomicUsize::new(2))).await;
    if let Some(slice) = slice {
        let source = MemorySource::new(batch(rows), || 2).following(slice);
        process.speed.sources.insert("in".into(), Box::new(source));
    }
    for (name, transaction) in [("at_least_once", None), ("once", Some(vec![]))] {
        process.speed.sinks.insert(name.into(), Box::new(Out { written: written.clone(), transaction }));
    }
    process
}

/// Runs the events in continuous processing, then the rest in micro-batches; the tables' answers, and what sinks have.
async fn run(rows: &[Row], events: &[Event], slice: Option<usize>, swap: bool) -> (Answers, Written) {
    let (mut world, mut by) = (World::default(), BaseBy::Fold);
    let written = Arc::new(StdMutex::new(Written::default()));
    let (_stop, mut stopping) = watch::channel(false);
    let mut process = start(&mut world, by, rows, slice, &written).await;
    for event in events {
        let gone = match event {
            Event::Epoch { rows } => match process.speed.flow(Duration::from_millis(40), *rows, &mut stopping).await {
                Ok(_) => false,
                Err(error) => !error.passes(),
            },
            Event::Base => process.base.write(by).await.is_err(),
            Event::Restart { lambda } => {
                if swap {
                    by = if *lambda { BaseBy::Recompute } else { BaseBy::Fold };
                }
                true
            }
            Event::Fault { step, fault } => {
                world.store.fault_at(*step, *fault);
                false
            }
            Event::Sink { call, before } => {
                written.lock().unwrap().fails = Some((*call, *before));
                false
            }
        };
        if gone {
            process = start(&mut world, by, rows, slice, &written).await;
        }
        let manifest = load(&*world.store).await.unwrap();
        let [total, _, firsts] = oracle(&rows[..taken(&manifest)]);
        assert_eq!(sums(&world.answer(&manifest, SUMS).await), total);
        assert_eq!(world.answer(&manifest, FIRSTS).await, firsts);
    }
    written.lock().unwrap().fails = None;
    process = start(&mut world, by, rows, slice, &written).await;
    let answers = world.rest(&mut process, by).await;
    drop(process);
    let written = std::mem::take(&mut *written.lock().unwrap());
    (answers, written)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rows_that_flow_come_to_the_same(
        keys in prop::collection::vec("[a-d]", 0..60),
        events in prop::collection::vec(event(), 0..60),
        slice in prop::option::of(1usize..5),
        swap in any::<bool>(),
    ) {
        let rows: Vec<Row> = keys.into_iter().zip(0..).collect();
        let (answers, written) = block_on(run(&rows, &events, slice, swap));
        prop_assert_eq!(&answers, &oracle(&rows));
        prop_assert_eq!(&written.once, &rows);
        // A row comes behind the one before it, or again; none is left out.
        let mut next = 0;
        for (key, n) in &written.at_least_once {
            prop_assert!(*n <= next, "row {} came before row {}", n, next);
            prop_assert_eq!(key, &rows[*n as usize].0);
            next = next.max(n + 1);
        }
        prop_assert_eq!(next, rows.len() as i64);
    }
}

#[test]
fn rows_are_in_sinks_before_anything_is_durable() {
    block_on(async {
        let rows: Vec<Row> = ["a", "b", "c"].map(str::to_owned).into_iter().zip(0..).collect();
        let (mut world, written) = (World::default(), Arc::new(StdMutex::new(Written::default())));
        let mut process = start(&mut world, BaseBy::Fold, &rows, Some(1), &written).await;
        let before = load(&*world.store).await.unwrap();
        // The plan of the epoch is the first step that is durable.
        world.store.fault_at(1, Fault::Crash);
        let (_stop, mut stopping) = watch::channel(false);
        process.speed.flow(Duration::from_secs(1), 100, &mut stopping).await.unwrap_err();
        assert_eq!(written.lock().unwrap().at_least_once, rows);
        world.store.restart();
        assert_eq!(load(&*world.store).await.unwrap(), before);
    });
}

/// A clock that stands still.
struct Still;

#[async_trait]
impl Clock for Still {
    fn now_ms(&self) -> i64 {
        0
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}

#[test]
fn an_epoch_ends_when_it_is_to_stop() {
    block_on(async {
        let rows: Vec<Row> = vec![("a".into(), 0)];
        let (mut world, written) = (World::default(), Arc::new(StdMutex::new(Written::default())));
        let mut process = start(&mut world, BaseBy::Fold, &rows, Some(1), &written).await;
        let (stop, mut stopping) = watch::channel(false);
        let hours = Duration::from_secs(3600);
        process.speed.clock = Arc::new(Still);
        let stopped = async {
            while written.lock().unwrap().at_least_once.is_empty() {
                tokio::task::yield_now().await;
            }
            stop.send_replace(true);
        };
        let (step, ()) = futures::join!(process.speed.flow(hours, 100, &mut stopping), stopped);
        assert_eq!(step.unwrap(), Step::Ran { more: true });
        assert_eq!(load(&*world.store).await.unwrap().next, 1);
    });
}
