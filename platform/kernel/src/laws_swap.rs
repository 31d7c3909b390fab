//! The law of a swap: rows of epochs before it are as the old code made them, those from it on are the new code's, in every
//! layout, after every change of layout, and whatever fails on the way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use crate::laws::{Answers, FIRSTS, Process, SUMS, World, block_on, definitions, oracle, sums, taken};
use crate::ledger::load;
use crate::manifest::{BaseBy, Swap, Swapped};
use crate::memory::Fault;
use crate::traits::Clock;

#[derive(Debug, Clone)]
enum Event {
    Epoch { rows: usize },
    Base,
    Swap,
    Layout { recomputes: bool },
    Fault { step: u64, fault: Fault },
}

fn event() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![3 => Just(Fault::ReplyLost), 3 => Just(Fault::RequestLost), 2 => Just(Fault::Crash)];
    prop_oneof![
        6 => (1usize..5).prop_map(|rows| Event::Epoch { rows }),
        2 => Just(Event::Base),
        2 => Just(Event::Swap),
        1 => any::<bool>().prop_map(|recomputes| Event::Layout { recomputes }),
        2 => (1u64..8, fault).prop_map(|(step, fault)| Event::Fault { step, fault }),
    ]
}

/// What a swap to code that adds so much more is.
async fn swap(process: &Process, clock: &dyn Clock, more: i64) -> bool {
    let epoch = process.base.ledger.lock().await.manifest().next;
    let at_ms = clock.now_ms();
    let swapped = Swapped { epoch, plugin: "more".into(), from: "old".into(), to: more.to_string(), at_ms };
    let swap = Swap { swapped, definitions: definitions(more), described: BTreeMap::new(), log_index: None };
    process.base.swap(swap).await.is_ok()
}

/// From which row on so much is added.
type Parts = Vec<(usize, i64)>;

/// The rows as the code of their time made them.
fn made(rows: &[(String, i64)], parts: &Parts) -> Vec<(String, i64)> {
    let more = |row: usize| parts.iter().rev().find(|(from, _)| *from <= row).map_or(0, |(_, more)| *more);
    rows.iter().enumerate().map(|(row, (key, n))| (key.clone(), n + more(row))).collect()
}

/// Runs the events, then everything that is left: what the tables answer, and what they should.
async fn run(rows: &[(String, i64)], events: &[Event], mut by: BaseBy, layouts: bool) -> (Answers, Answers) {
    let mut world = World::default();
    let epoch = Arc::new(AtomicUsize::new(1));
    let (mut process, mut parts, mut swaps) = (world.start(by, rows, epoch.clone()).await, Parts::new(), 0);
    for event in events {
        let again = match event {
            Event::Epoch { rows } => {
                epoch.store(*rows, Ordering::Relaxed);
                process.speed.step().await.is_err()
            }
            Event::Base => process.base.write(by).await.is_err(),
            Event::Swap => {
                swap(&process, &*world.clock, world.more + 100).await;
                true
            }
            Event::Layout { recomputes } => {
                if layouts {
                    by = if *recomputes { BaseBy::Recompute } else { BaseBy::Fold };
                }
                true
            }
            Event::Fault { step, fault } => {
                world.store.fault_at(*step, *fault);
                false
            }
        };
        if again {
            world.store.restart();
        }
        let manifest = load(&*world.store).await.unwrap();
        if manifest.swaps.len() > swaps {
            swaps = manifest.swaps.len();
            world.more = manifest.swaps[swaps - 1].to.parse().unwrap();
            parts.push((taken(&manifest), world.more));
        }
        assert_eq!(manifest.definitions, definitions(world.more), "the old code or the new, and no mix");
        if again {
            process = world.start(by, rows, epoch.clone()).await;
        }
        let manifest = load(&*world.store).await.unwrap();
        let [total, _, firsts] = oracle(&made(&rows[..taken(&manifest)], &parts));
        assert_eq!(sums(&world.answer(&manifest, SUMS).await), total);
        assert_eq!(world.answer(&manifest, FIRSTS).await, firsts);
    }
    process = world.start(by, rows, epoch).await;
    (world.rest(&mut process, by).await, oracle(&made(rows, &parts)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_swap_holds_from_its_epoch_on(
        rows in prop::collection::vec(("[a-d]", -9i64..10), 0..60),
        events in prop::collection::vec(event(), 0..60),
    ) {
        for (by, layouts) in [(BaseBy::Fold, false), (BaseBy::Recompute, false), (BaseBy::Fold, true)] {
            let (found, expected) = block_on(run(&rows, &events, by, layouts));
            prop_assert_eq!(&found, &expected, "{:?}, other layouts: {}", by, layouts);
        }
    }
}
