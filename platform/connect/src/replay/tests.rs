//! Letters are replayed once, whoever asks how often, and read with whatever else is there.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use braid_spec::model::{Http, OnBadRecord};
use futures::TryStreamExt;

use super::*;
use crate::test_store::{Fault, MemoryStore};

fn letter(offset: i64, record: &str) -> Letter {
    Letter { epoch: 3, partition: "f".into(), offset, record: record.into(), header: None }
}

fn spec(format: Format) -> model::Source {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, true)]);
    model::Source {
        from: SourceKind::Http(Http { body_bytes_max: 1000 }),
        format,
        schema: schema.into(),
        watermark: None,
        on_bad_record: OnBadRecord::DeadLetter,
    }
}

fn context(store: &Arc<MemoryStore>) -> SourceContext {
    let journal: Arc<dyn Store> = store.clone();
    SourceContext { name: "in".into(), journal, projection: None, batch_rows: 2, epoch_rows: 3, ends: false }
}

async fn read(source: &mut dyn Source, plan: &SourcePlan) -> (Vec<(i64, i64)>, Vec<i64>) {
    let rows: Vec<Rows> = source.read(plan).await.unwrap().try_collect().await.unwrap();
    let numbers = rows.iter().flat_map(|rows| {
        let numbers = rows.batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        rows.offsets.values().to_vec().into_iter().zip(numbers)
    });
    (numbers.collect(), rows.iter().flat_map(|rows| rows.bad.iter().map(|bad| bad.offset)).collect())
}

#[tokio::test]
async fn a_letter_is_replayed_once() {
    let store = MemoryStore::default();
    let letters = vec![letter(0, "a"), letter(7, "b\n\u{0}")];
    assert_eq!(replay(&store, "in", letters.clone()).await.unwrap(), 2);
    assert_eq!(replay(&store, "in", letters.clone()).await.unwrap(), 0);
    store.faults.lock().unwrap().extend([Fault::ReplyLost, Fault::RequestLost]);
    let more = vec![letters[1].clone(), letter(8, "c")];
    assert_eq!(replay(&store, "in", more).await.unwrap(), 1);
    let (ids, end) = replayed(&store, "in").await.unwrap();
    assert_eq!((ids.len(), end), (3, 3));
    assert_eq!(object(&store, &name("in", 0)).await.unwrap(), letters);
    assert_eq!(replayed(&store, "i").await.unwrap(), (BTreeSet::new(), 0));
}

#[tokio::test]
async fn letters_are_read_beside_what_the_source_has_and_again_by_the_same_plan() {
    let store = Arc::new(MemoryStore::default());
    let mut opened = crate::source(&spec(Format::Json), context(&store)).unwrap();
    let ingest = opened.ingest.take().unwrap();
    ingest.append("{\"n\":1}\n".into()).await.unwrap();
    let letters = [(0, "{\"n\":\n10}"), (1, "bad"), (2, "{\"n\":12}"), (3, "{\"n\":13}")];
    replay(&*store, "in", letters.map(|(offset, text)| letter(offset, text)).to_vec()).await.unwrap();
    let mut state = SourceState::default();
    let mut seen = vec![];
    for more in [true, false] {
        let mut source = crate::source(&spec(Format::Json), context(&store)).unwrap().source;
        let plan = source.plan(&state, &Limit::default()).await.unwrap().unwrap();
        assert_eq!(plan.more, more);
        let once = read(&mut *source, &plan).await;
        assert_eq!(read(&mut *source, &plan).await, once);
        seen.push(once);
        state.advance(&plan);
        source.ack(&state).await.unwrap();
        opened.source = source;
    }
    assert_eq!(seen, [(vec![(0, 1), (0, 10), (2, 12)], vec![1]), (vec![(3, 13)], vec![])]);
    assert_eq!(opened.source.plan(&state, &Limit::default()).await.unwrap(), None);
}

#[tokio::test]
async fn a_csv_record_is_read_with_its_files_own_header() {
    let store = Arc::new(MemoryStore::default());
    let csv = Csv { header: false, delimiter: b',', quote: b'"', null_value: None };
    let headed = |offset, record: &str| Letter { header: Some("t,n".into()), ..letter(offset, record) };
    let letters = vec![headed(4, "\"a\nb\",1"), headed(5, "2,c"), letter(6, "3,d"), headed(7, "e,4")];
    replay(&*store, "in", letters).await.unwrap();
    let context = SourceContext { epoch_rows: 10, ..context(&store) };
    let mut source = crate::source(&spec(Format::Csv(csv)), context).unwrap().source;
    let plan = source.plan(&SourceState::default(), &Limit::default()).await.unwrap().unwrap();
    assert_eq!(read(&mut *source, &plan).await, (vec![(0, 1), (2, 3), (3, 4)], vec![1]));
}
