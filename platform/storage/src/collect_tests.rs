//! What a collection removes, and what it must never touch.

use std::collections::BTreeMap;
use std::sync::Arc;

use braid_kernel::ledger::encode;
use braid_kernel::manifest::{Base, BaseBy, Delta, LogEpoch, Table};
use bytes::Bytes;

use super::*;
use crate::open;

fn segment(name: &str) -> Segment {
    Segment { name: name.to_owned(), rows: 1, bytes: 1, crc: 1 }
}

fn delta(epoch: u64) -> String {
    format!("tables/t/delta/{epoch:020}-w.parquet")
}

fn base(generation: u64) -> String {
    format!("tables/t/base/{generation:010}-w-0.parquet")
}

fn log(epoch: u64) -> String {
    format!("log/index/{epoch:020}-w-0.parquet")
}

/// Epochs 0 to 5 are in base 2, 6 and 7 in deltas, 8 comes next.
fn manifest() -> Manifest {
    let deltas = [6, 7].map(|epoch| Delta { epoch, segments: vec![segment(&delta(epoch))] });
    let table = Table { base: vec![segment(&base(2)), segment(&delta(5))], deltas: deltas.into() };
    Manifest {
        next: 8,
        base: Some(Base { generation: 2, by: BaseBy::Fold, horizon: 6, at_ms: 0 }),
        tables: BTreeMap::from([("t".to_owned(), table)]),
        ..Manifest::default()
    }
}

async fn store(names: &[String]) -> Arc<dyn Store> {
    let store = open("memory://").expect("opens");
    for name in names {
        store.put(name, Bytes::from_static(b"x")).await.expect("put");
    }
    store
}

#[tokio::test]
async fn removes_what_the_manifest_has_passed_and_does_not_name() {
    let kept = [delta(5), delta(6), delta(7), delta(8), delta(9), base(2), base(3), log(8)];
    let orphan = "tables/t/base/0000000002-other-0.parquet".to_owned();
    let mut gone = vec![
        delta(3),
        delta(4),
        base(1),
        orphan,
        "tables/dropped/delta/00000000000000000001-w.parquet".to_owned(),
        log(7),
        format!("tables/t/delta/{:020}-other.parquet", 7),
    ];
    let strange = [
        "tables/readme.txt",
        "tables/t/delta/x.parquet",
        "tables/t/base/-1.parquet",
        "log/a/b/00000000000000000001-w.parquet",
    ]
    .map(str::to_owned);
    let apart =
        ["manifest/edit/00000000000000000001.json", "tablesx/t/delta/00000000000000000001-w.parquet", "journal/s/1"]
            .map(str::to_owned);
    let all = [&kept[..], &gone, &strange, &apart].concat();
    let store = store(&all).await;

    let report = collect(&*store, &manifest(), &[]).await.expect("collects");

    gone.sort();
    let mut removed = report.removed.clone();
    removed.sort();
    assert_eq!(removed, gone);
    assert_eq!(report.named, 4);
    assert_eq!(report.spared, 4);
    assert_eq!(report.strange.len(), strange.len());
    let mut left = [&kept[..], &strange, &apart].concat();
    left.sort();
    assert_eq!(store.list("").await.expect("lists"), left);
    let again = collect(&*store, &manifest(), &[]).await.expect("collects");
    assert!(again.removed.is_empty());
}

#[tokio::test]
async fn what_a_reader_still_holds_stays() {
    let old = Manifest {
        next: 6,
        tables: BTreeMap::from([(
            "t".to_owned(),
            Table {
                base: vec![segment(&base(1))],
                deltas: vec![Delta { epoch: 4, segments: vec![segment(&delta(4))] }],
            },
        )]),
        ..Manifest::default()
    };
    let store = store(&[base(1), delta(3), delta(4)]).await;
    let report = collect(&*store, &manifest(), &[&old]).await.expect("collects");
    assert_eq!(report.removed, [delta(3)]);
    let report = collect(&*store, &manifest(), &[]).await.expect("collects");
    assert_eq!(report.removed, [base(1), delta(4)]);
}

#[tokio::test]
async fn an_empty_manifest_removes_nothing() {
    let store = store(&[base(1), delta(0), log(0)]).await;
    let report = collect(&*store, &Manifest::default(), &[]).await.expect("collects");
    assert_eq!(report, GcReport { spared: 3, ..GcReport::default() });
}

/// A log of one epoch an index, from `from` to the manifest's next.
async fn with_log(store: &dyn Store, manifest: &mut Manifest, from: u64, horizon: u64) {
    let entry = |epoch| LogEpoch {
        epoch,
        segments: BTreeMap::from([("index".to_owned(), vec![segment(&log(epoch))])]),
        watermarks: (None, None),
        planned_at_ms: 0,
    };
    let mut previous = None;
    for epoch in from..horizon {
        let bytes = encode(&LogIndex { previous, epochs: vec![entry(epoch)] }).expect("encodes");
        let name = format!("log/index/{:020}-w.json", epoch + 1);
        store.put(&name, bytes).await.expect("put");
        previous = Some(segment(&name));
    }
    for epoch in from..manifest.next {
        store.put(&log(epoch), Bytes::new()).await.expect("put");
    }
    manifest.log.from = Some(from);
    manifest.log.index = previous;
    manifest.log.tail = (horizon..manifest.next).map(entry).collect();
}

#[tokio::test]
async fn the_log_stays_and_its_orphans_go() {
    let orphans = [
        format!("log/index/{:020}-other-0.parquet", 2),
        format!("log/index/{:020}-other.json", 3),
        format!("log/index/{:020}-other-0.parquet", 7),
    ];
    let running = [format!("log/index/{:020}-w-0.parquet", 8), format!("log/index/{:020}-w.json", 7)];
    let store = store(&[&orphans[..], &running].concat()).await;
    let mut manifest = manifest();
    with_log(&*store, &mut manifest, 0, 6).await;
    let report = collect(&*store, &manifest, &[]).await.expect("collects");
    let mut removed = report.removed.clone();
    removed.sort();
    let mut gone = orphans.to_vec();
    gone.sort();
    assert_eq!(removed, gone);
    assert_eq!(report.spared, running.len());
    assert_eq!(report.named, 8 + 6);
}

#[tokio::test]
async fn an_older_log_in_the_archive_stays() {
    let store = store(&[log(0), log(1)]).await;
    let mut manifest = manifest();
    with_log(&*store, &mut manifest, 3, 6).await;
    manifest.log.archive = vec![segment("log/index/00000000000000000002-w.json")];
    let report = collect(&*store, &manifest, &[]).await.expect("collects");
    assert!(report.removed.is_empty(), "{report:?}");
}

#[tokio::test]
async fn only_so_many_indexes_are_read() {
    let store = store(&[]).await;
    let mut manifest = Manifest {
        next: 100,
        base: Some(Base { generation: 1, by: BaseBy::Recompute, horizon: 100, at_ms: 0 }),
        ..Manifest::default()
    };
    with_log(&*store, &mut manifest, 0, 100).await;
    let old = format!("log/s/{:020}-other-0.parquet", 100 - LOG_INDEXES_MAX - 1);
    let new = format!("log/s/{:020}-other-0.parquet", 100 - LOG_INDEXES_MAX);
    for name in [&old, &new] {
        store.put(name, Bytes::new()).await.expect("put");
    }
    let report = collect(&*store, &manifest, &[]).await.expect("collects");
    assert_eq!(report.removed, [new]);
}

#[tokio::test]
async fn a_damaged_index_removes_nothing() {
    let store = store(&[delta(1)]).await;
    let mut manifest = manifest();
    with_log(&*store, &mut manifest, 0, 6).await;
    let index = manifest.log.index.clone().expect("an index");
    store.put(&index.name, Bytes::from_static(b"{}")).await.expect("put");
    assert!(matches!(collect(&*store, &manifest, &[]).await, Err(StoreError::Corrupt { .. })));
    store.get(&delta(1)).await.expect("still there");
}
