//! The laws of [`Store`] and [`Segments`]: every adapter runs them, and a breach panics with the law it broke.

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures::future::join_all;

use crate::error::StoreError;
use crate::manifest::Segment;
use crate::traits::{Segments, Store};

/// How many writers race for one name.
const RACERS: usize = 8;
/// How often they race.
const RACES: usize = 8;
/// More than fits in one page, one packet or one pipe.
const BIG_BYTES: usize = 9 * 1024 * 1024 + 1;
/// The last part of names that some store, path or URL could read as something else.
const ODD_NAMES: &[&str] = &[
    "a b",
    "50%25",
    "%2F",
    "%2e%2e",
    "part-0.parquet#12",
    "a?b=c&d+e",
    "..hidden",
    ".dot",
    "...",
    "trailing.",
    "~tilde",
    "[x]{y}",
    "it's \"quoted\"",
    "back\\slash",
    "ключ-鍵-🗝",
    "day=2024-01-01",
];

/// Asserts the laws of a store under the prefix `laws/`, where nothing else may stand. Leaves it empty.
pub async fn store_laws(store: &dyn Store) {
    put_and_get(store).await;
    create_takes_only_a_free_name(store).await;
    one_of_racing_creates_wins(store).await;
    list_is_exact_and_ascending(store).await;
    odd_names_are_only_names(store).await;
    big_and_empty_values(store).await;
    let left = list(store, "laws/").await;
    assert!(left.is_empty(), "the laws left {left:?} behind");
}

async fn put_and_get(store: &dyn Store) {
    let name = "laws/put/value";
    assert_absent(store, name).await;
    put(store, name, "first").await;
    assert_eq!(get(store, name).await, "first", "get returns what was put");
    put(store, name, "second").await;
    assert_eq!(get(store, name).await, "second", "put writes over");
    put(store, name, "2nd").await;
    assert_eq!(get(store, name).await, "2nd", "a shorter value replaces a longer one whole");
    delete(store, name).await;
    assert_absent(store, name).await;
    delete(store, name).await;
}

async fn create_takes_only_a_free_name(store: &dyn Store) {
    let name = "laws/create/00000000000000000001.json";
    create(store, name, "first").await.expect("a free name can be created");
    assert_exists(create(store, name, "second").await, name);
    assert_eq!(get(store, name).await, "first", "a refused create changes nothing");
    put(store, name, "put").await;
    assert_exists(create(store, name, "third").await, name);
    delete(store, name).await;
    create(store, name, "again").await.expect("a deleted name is free again");
    assert_eq!(get(store, name).await, "again");
    delete(store, name).await;

    put(store, "laws/create/put", "put").await;
    assert_exists(create(store, "laws/create/put", "late").await, "laws/create/put");
    delete(store, "laws/create/put").await;
}

async fn one_of_racing_creates_wins(store: &dyn Store) {
    for race in 0..RACES {
        let name = format!("laws/race/{race}");
        let values: Vec<String> = (0..RACERS).map(|racer| format!("racer {racer}")).collect();
        let outcomes = join_all(values.iter().map(|value| create(store, &name, value))).await;
        let winners: Vec<usize> = (0..RACERS).filter(|racer| outcomes[*racer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "exactly one of racing creates wins: {outcomes:?}");
        assert_eq!(get(store, &name).await, values[winners[0]], "the winner's value stands");
        for (racer, outcome) in outcomes.into_iter().enumerate() {
            if racer != winners[0] {
                assert_exists(outcome, &name);
            }
        }
        delete(store, &name).await;
    }
}

async fn list_is_exact_and_ascending(store: &dyn Store) {
    assert!(list(store, "laws/list/").await.is_empty(), "an absent prefix lists nothing");
    let mut inside = vec!["laws/list/b/2", "laws/list/b/10", "laws/list/a", "laws/list/b/c/d", "laws/list/b.c"];
    let outside = ["laws/list2/a", "laws/listing", "laws/lis/t"];
    for name in inside.iter().chain(&outside) {
        put(store, name, name).await;
    }
    inside.sort_unstable();
    assert_eq!(list(store, "laws/list/").await, inside, "list is the names below a prefix, ascending");
    assert_eq!(
        list(store, "laws/list/b/").await,
        ["laws/list/b/10", "laws/list/b/2", "laws/list/b/c/d"],
        "a prefix ends at a slash"
    );
    delete(store, "laws/list/b/10").await;
    assert_eq!(list(store, "laws/list/b/").await, ["laws/list/b/2", "laws/list/b/c/d"], "a deleted name is not listed");
    for name in inside.iter().chain(&outside) {
        delete(store, name).await;
    }
    assert!(list(store, "laws/list/").await.is_empty(), "nothing is listed where all is deleted");
}

async fn odd_names_are_only_names(store: &dyn Store) {
    let mut names: Vec<String> = ODD_NAMES.iter().map(|odd| format!("laws/odd/{odd}")).collect();
    names.push(format!("laws/odd/{}", "long".repeat(50)));
    names.push("laws/odd/a folder/x/y/z".to_owned());
    for name in &names {
        create(store, name, name).await.expect("an odd name can be created");
    }
    for name in &names {
        assert_eq!(get(store, name).await, name.as_bytes(), "each odd name keeps its own value");
    }
    names.sort_unstable();
    assert_eq!(list(store, "laws/odd/").await, names, "odd names are listed as they were given");
    for name in &names {
        delete(store, name).await;
        assert_absent(store, name).await;
    }
}

async fn big_and_empty_values(store: &dyn Store) {
    let big = Bytes::from_iter((0..BIG_BYTES).map(|index| (index ^ (index >> 8)) as u8));
    store.put("laws/values/big", big.clone()).await.expect("a big value can be put");
    assert!(get(store, "laws/values/big").await == big, "a big value comes back whole");
    put(store, "laws/values/empty", "").await;
    assert_eq!(get(store, "laws/values/empty").await, "", "an empty value is a value");
    assert_exists(create(store, "laws/values/empty", "x").await, "laws/values/empty");
    for name in list(store, "laws/values/").await {
        delete(store, &name).await;
    }
}

/// Asserts the laws of segments with batches of one schema, of which some have rows; writes under `laws/`.
pub async fn segments_laws(segments: &dyn Segments, batches: &[RecordBatch]) {
    let rows = total_rows(batches);
    let name = "laws/segment/00000000000000000000-0.parquet";
    let written = segments.write(name, batches).await.expect("batches can be written");
    assert_eq!(written.name, name);
    assert_eq!(written.rows, rows, "a segment counts its rows");
    let read = segments.read(&written).await.expect("a segment can be read");
    assert_same_rows(batches, &read);

    let again = segments.write(name, batches).await.expect("a segment can be written again");
    assert_eq!(again, written, "the same rows are the same bytes");

    let none: Vec<RecordBatch> = batches[..1].iter().map(|batch| batch.slice(0, 0)).collect();
    let empty = segments.write("laws/segment/empty", &none).await.expect("no rows can be written");
    assert_eq!(empty.rows, 0);
    let read = segments.read(&empty).await.expect("a segment without rows can be read");
    assert_eq!(total_rows(&read), 0);

    let absent = Segment { name: "laws/segment/absent".to_owned(), ..written.clone() };
    match segments.read(&absent).await {
        Err(StoreError::NotFound(found)) => assert_eq!(found, absent.name),
        other => panic!("reading an absent segment is NotFound, not {other:?}"),
    }
    for wrong in [
        Segment { crc: written.crc ^ 1, ..written.clone() },
        Segment { bytes: written.bytes + 1, ..written.clone() },
        Segment { rows: written.rows + 1, ..written.clone() },
    ] {
        match segments.read(&wrong).await {
            Err(StoreError::Corrupt { name: found, .. }) => assert_eq!(found, name),
            other => panic!("a segment that is not what was written is Corrupt, not {other:?}"),
        }
    }
}

/// Asserts that two lists of batches hold the same rows of the same schema, wherever batches begin and end.
pub fn assert_same_rows(expected: &[RecordBatch], found: &[RecordBatch]) {
    let schema = expected[0].schema();
    for batch in found {
        assert_eq!(batch.schema(), schema, "the schema comes back as it was");
    }
    assert_eq!(total_rows(found), total_rows(expected), "as many rows come back");
    let (mut expected, mut found) = (expected.to_vec(), found.to_vec());
    expected.retain(|batch| batch.num_rows() > 0);
    found.retain(|batch| batch.num_rows() > 0);
    let (mut left, mut right) = (0, 0);
    let (mut left_row, mut right_row) = (0, 0);
    while left < expected.len() {
        let (one, other) = (&expected[left], &found[right]);
        let rows = (one.num_rows() - left_row).min(other.num_rows() - right_row);
        assert_eq!(one.slice(left_row, rows), other.slice(right_row, rows), "the rows come back as they were");
        left_row += rows;
        right_row += rows;
        if left_row == one.num_rows() {
            (left, left_row) = (left + 1, 0);
        }
        if right_row == other.num_rows() {
            (right, right_row) = (right + 1, 0);
        }
    }
}

fn total_rows(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

async fn get(store: &dyn Store, name: &str) -> Bytes {
    store.get(name).await.expect("get of what was put")
}

async fn put(store: &dyn Store, name: &str, value: &str) {
    let bytes = Bytes::copy_from_slice(value.as_bytes());
    store.put(name, bytes).await.expect("put");
}

async fn create(store: &dyn Store, name: &str, value: &str) -> Result<(), StoreError> {
    store.create(name, Bytes::copy_from_slice(value.as_bytes())).await
}

async fn list(store: &dyn Store, prefix: &str) -> Vec<String> {
    store.list(prefix).await.expect("list")
}

async fn delete(store: &dyn Store, name: &str) {
    store.delete(name).await.expect("delete, also of what is not there");
}

async fn assert_absent(store: &dyn Store, name: &str) {
    match store.get(name).await {
        Err(StoreError::NotFound(found)) => {
            assert_eq!(found, name, "NotFound names what is missing")
        }
        other => panic!("{name} should be NotFound, not {other:?}"),
    }
}

fn assert_exists(outcome: Result<(), StoreError>, name: &str) {
    match outcome {
        Err(StoreError::Exists(found)) => assert_eq!(found, name, "Exists names what is taken"),
        other => panic!("create over {name} should be Exists, not {other:?}"),
    }
}
