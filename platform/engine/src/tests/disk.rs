//! States on disk are those in memory.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef};
use proptest::prelude::*;

use crate::memory::StateMemory;
use crate::state::{Kept, Key, State};
use crate::state_merge;

/// Memory in which no row has a place, and where the rows go.
pub fn nowhere() -> (Arc<StateMemory>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (StateMemory::new(256, folder.path().to_owned()), folder)
}

fn state() -> State {
    let field = |name: &str, of: DataType| -> FieldRef { Arc::new(Field::new(name, of, true)) };
    let keys = [field("name", DataType::Utf8), field("number", DataType::Int64)];
    State::new(&keys, &[field("value", DataType::Int64)]).unwrap()
}

fn columns(name: &str, numbers: impl IntoIterator<Item = i64>) -> Vec<ArrayRef> {
    let numbers = Int64Array::from_iter_values(numbers);
    vec![Arc::new(StringArray::from(vec![name; numbers.len()])), Arc::new(numbers)]
}

#[derive(Debug, Clone)]
enum Step {
    Put { name: u8, numbers: std::ops::Range<i64>, value: i64, at: Option<i64>, marked: bool },
    Remove { name: u8, number: i64 },
    Expire(i64),
    NextEpoch,
    EpochAgain,
    Restart { parts: bool },
}

const NAMES: [&str; 4] = ["a", "b", "", "a longer name than fits into a block of thirty-two bytes"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = (-40i64..40, 1i64..60).prop_map(|(from, more)| from..from + more);
    let put = (0u8..4, range, any::<i64>(), prop::option::of(-5i64..20), any::<bool>());
    let step = prop_oneof![
        6 => put.prop_map(|(name, numbers, value, at, marked)| Step::Put { name, numbers, value, at, marked }),
        3 => (0u8..4, -40i64..40).prop_map(|(name, number)| Step::Remove { name, number }),
        1 => (-6i64..20).prop_map(Step::Expire),
        1 => Just(Step::NextEpoch),
        1 => Just(Step::EpochAgain),
        1 => any::<bool>().prop_map(|parts| Step::Restart { parts }),
    ];
    prop::collection::vec(step, 1..40)
}

/// What is seen of a state.
type Seen = (usize, Vec<(Key, Kept)>, Vec<Vec<(Key, Kept)>>, Vec<(i64, Vec<Key>)>, Option<i64>, Option<RecordBatch>);

fn seen(state: &State) -> Seen {
    let prefixes = NAMES.iter().map(|name| {
        let prefix = state.keys(&columns(name, [0])[..1], 1).unwrap().remove(0);
        let mut rows = state.prefix(&prefix).collect::<Result<Vec<_>, _>>().unwrap();
        rows.extend(state.prefix(&prefix).next_back().transpose().unwrap());
        rows
    });
    let keys = state.keys(&columns("a", [-7, 9]), 2).unwrap();
    let ranges = [state.range(&keys[0], &keys[1]), state.range(&keys[1], &keys[0])];
    let ranges = ranges.map(|range| range.collect::<Result<Vec<_>, _>>().unwrap());
    let all = state.iter().collect::<Result<Vec<_>, _>>().unwrap();
    for (key, kept) in &all {
        assert_eq!(state.get(key).unwrap().as_deref(), Some(kept));
    }
    let times = state.by_time(3..=11).collect::<Result<Vec<_>, _>>().unwrap();
    let found = prefixes.chain(ranges).collect();
    (state.len(), all, found, times, state.first_time().unwrap(), state.delta().unwrap())
}

/// What a restart finds: all rows, in parts of few.
fn parts(state: &State) -> Vec<RecordBatch> {
    let (mut parts, mut after) = (vec![], None::<Key>);
    while let Some((part, last)) = state.part(after.as_deref(), 7).unwrap() {
        parts.push(part);
        after = Some(last);
    }
    parts
}

fn run(steps: &[Step], memory: &Arc<StateMemory>) -> Vec<Seen> {
    let fresh = || {
        let mut state = state();
        state.within(memory);
        state
    };
    let (mut state, mut epoch) = (fresh(), 0);
    let mut committed: Vec<RecordBatch> = vec![];
    let mut all = vec![];
    state.begin(epoch).unwrap();
    for step in steps {
        match step {
            Step::Put { name, numbers, value, at, marked } => {
                let count = numbers.clone().count();
                let keys = state.keys(&columns(NAMES[*name as usize], numbers.clone()), count).unwrap();
                let value: ArrayRef = Arc::new(Int64Array::from(vec![*value; count]));
                let values = state.values(&[value], count).unwrap();
                for (key, value) in keys.iter().zip(values) {
                    let kept = Kept { value, at: *at, marked: *marked };
                    match state.get(key).unwrap().is_none() {
                        true => state.add(key, kept).unwrap(),
                        false => state.put(key, kept).unwrap(),
                    }
                }
            }
            Step::Remove { name, number } => {
                let key = state.keys(&columns(NAMES[*name as usize], [*number]), 1).unwrap().remove(0);
                state.remove(&key).unwrap();
            }
            Step::Expire(instant) => drop(state.expire(*instant).unwrap()),
            Step::NextEpoch => {
                committed.extend(state.delta().unwrap());
                epoch += 1;
                state.begin(epoch).unwrap();
            }
            Step::EpochAgain => state.begin(epoch).unwrap(),
            Step::Restart { parts: in_parts } => {
                if *in_parts {
                    state.begin(epoch).unwrap();
                    committed = parts(&state);
                }
                state = fresh();
                state.restore(&committed).unwrap();
                state.begin(epoch).unwrap();
            }
        }
        all.push(seen(&state));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_state_on_disk_is_one_in_memory(steps in steps()) {
        let (memory, _folder) = nowhere();
        let (on_disk, in_memory) = (run(&steps, &memory), run(&steps, &StateMemory::unbounded()));
        for (step, (on_disk, in_memory)) in on_disk.iter().zip(&in_memory).enumerate() {
            prop_assert_eq!(on_disk, in_memory, "after step {}: {:?}", step, &steps[step]);
        }
        let left = memory.usage();
        prop_assert_eq!((left.rows, left.disk_bytes), (0, 0));
    }
}

/// The deltas of epochs.
fn deltas(steps: &[Step]) -> Vec<RecordBatch> {
    let (mut state, mut deltas) = (state(), vec![]);
    for (epoch, step) in steps.iter().enumerate() {
        state.begin(epoch as u64).unwrap();
        match step {
            Step::Put { name, numbers, value, at, marked } => {
                let count = numbers.clone().count();
                let value: ArrayRef = Arc::new(Int64Array::from(vec![*value; count]));
                let values = state.values(&[value], count).unwrap();
                let keys = state.keys(&columns(NAMES[*name as usize], numbers.clone()), count).unwrap();
                for (key, value) in keys.iter().zip(values) {
                    state.put(key, Kept { value, at: *at, marked: *marked }).unwrap();
                }
            }
            _ => drop(state.expire(epoch as i64).unwrap()),
        }
        deltas.extend(state.delta().unwrap());
    }
    deltas
}

/// Merges as a base does that reads a few rows of each part at a time.
fn by_fronts(parts: &[RecordBatch], rows: usize) -> Vec<RecordBatch> {
    let (mut at, mut merged) = (vec![0; parts.len()], vec![]);
    loop {
        let open: Vec<usize> = (0..parts.len()).filter(|part| at[*part] < parts[*part].num_rows()).collect();
        if open.is_empty() {
            return merged;
        }
        let piece = |part: usize| parts[part].slice(at[part], rows.min(parts[part].num_rows() - at[part]));
        let goes_on: Vec<bool> = open.iter().map(|part| at[*part] + rows < parts[*part].num_rows()).collect();
        let pieces: Vec<RecordBatch> = open.iter().map(|part| piece(*part)).collect();
        let front = state_merge::front(&pieces, &goes_on, true).unwrap();
        merged.extend(front.merged);
        for ((part, piece), rest) in open.iter().zip(&pieces).zip(front.rest) {
            at[*part] += piece.num_rows() - rest.num_rows();
        }
    }
}

proptest! {
    #[test]
    fn a_merge_by_fronts_is_the_merge(steps in steps(), rows in 1usize..30, cut in 0usize..40) {
        let deltas = deltas(&steps);
        let Some(first) = deltas.first() else { return Ok(()) };
        let together = |parts: &[RecordBatch]| concat_batches(&first.schema(), parts).unwrap();
        let merged = together(&Vec::from_iter(state_merge::merge(&deltas).unwrap()));
        prop_assert_eq!(&together(&by_fronts(&deltas, rows)), &merged);
        // Changes that were sorted among themselves first say what was removed.
        let (old, new) = deltas.split_at(cut.min(deltas.len()));
        let new = state_merge::front(new, &vec![false; new.len()], false).unwrap().merged;
        prop_assert_eq!(&together(&by_fronts(&[old, &new].concat(), rows)), &merged);
    }
}

fn filled(memory: &Arc<StateMemory>, rows: i64) -> State {
    let mut state = state();
    state.within(memory);
    let keys = state.keys(&columns("a", 0..rows), rows as usize).unwrap();
    for key in &keys {
        state.put(key, Kept { value: Box::default(), at: Some(7), marked: false }).unwrap();
    }
    state.settle();
    state
}

#[test]
fn the_largest_states_move_when_all_together_are_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let memory = StateMemory::new(1 << 20, folder.path().to_owned());
    let small = filled(&memory, 100);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let large = filled(&memory, 20_000);
    let usage = memory.usage();
    assert_eq!(usage.rows, 20_100);
    assert!(usage.disk_bytes > 100_000, "{usage:?}");
    assert!((20_000..1 << 20).contains(&usage.memory_bytes), "{usage:?}");
    assert_eq!((small.len(), large.len()), (100, 20_000));
    drop((small, large));
    assert_eq!(memory.usage().rows, 0);
    drop(memory);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_disk_that_is_gone_is_said_and_a_new_state_begins_anew() {
    let (memory, folder) = nowhere();
    let mut state = filled(&memory, 100);
    std::fs::remove_dir_all(folder.path()).unwrap();
    let keys = state.keys(&columns("b", 0..10_000), 10_000).unwrap();
    let kept = || Kept { value: Box::default(), at: None, marked: false };
    let error = keys.iter().map(|key| state.put(key, kept())).find_map(Result::err).unwrap().to_string();
    for part in ["state.memory", "state.directory", &folder.path().display().to_string()] {
        assert!(error.contains(part), "{error}");
    }
    // What was done by half is not gone on with.
    assert!(state.put(&keys[0], kept()).is_err());
    assert_eq!(filled(&memory, 100).len(), 100);
}

#[test]
fn what_a_killed_process_left_is_swept_up_and_what_is_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let memory = StateMemory::new(256, folder.path().to_owned());
    let state = filled(&memory, 100);
    let left = folder.path().join("braid-state-left");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("lock"), "").unwrap();
    StateMemory::new(256, folder.path().to_owned()).sweep();
    assert!(!left.exists());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(state.iter().filter(Result::is_ok).count(), 100);
}
