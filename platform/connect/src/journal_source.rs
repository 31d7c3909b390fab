//! The read side of sources that write a journal (socket and HTTP), and the HTTP source's way in.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use braid_kernel::{Ingest, Limit, Offsets, Rows, Source, SourceError, SourcePlan, SourceState};
use braid_spec::model::{self, Format};
use bytes::Bytes;
use futures::stream::BoxStream;
use memchr::memchr;
use tokio::runtime::Handle;

use crate::formats::Decoder;
use crate::formats::records::Stop;
use crate::journal::{Appender, Chunk, Journal, Lines};
use crate::pump::{Emit, pump};
use crate::socket::Pull;
use crate::{OpenSource, SourceContext};

/// The one partition of a journal.
const PARTITION: &str = "0";

/// Rows out of a journal.
pub(crate) struct JournalSource {
    journal: Arc<Journal>,
    spec: model::Source,
    context: SourceContext,
    /// What fills the journal, if it is for this source to start and watch.
    pull: Option<Pull>,
}

impl JournalSource {
    pub(crate) fn open(
        spec: &model::Source,
        context: SourceContext,
        journal: Arc<Journal>,
        pull: Option<Pull>,
    ) -> Result<Self, SourceError> {
        let source = Self { journal, spec: spec.clone(), context, pull };
        source.decoder()?;
        Ok(source)
    }

    fn decoder(&self) -> Result<Decoder, SourceError> {
        let SourceContext { projection, batch_rows, .. } = &self.context;
        Decoder::headless(&self.spec.format, &self.spec.schema, projection.as_deref(), *batch_rows)
    }
}

#[async_trait]
impl Source for JournalSource {
    async fn plan(&mut self, state: &SourceState, limit: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        if let Some(pull) = &mut self.pull {
            pull.watch()?;
        }
        let there = self.journal.range().await?;
        let start = state.offsets.get(PARTITION).copied().unwrap_or(there.start);
        if start < there.start || start > there.end {
            return Err(SourceError::DataLoss(format!(
                "the journal of `{}` holds {there:?}, and {start} is next",
                self.context.name
            )));
        }
        let rows = i64::try_from(limit.rows(self.context.epoch_rows)).unwrap_or(i64::MAX).max(1);
        let there_end = limit.end(PARTITION, start, there.end);
        let end = there_end.min(start.saturating_add(rows));
        Ok((end > start).then(|| SourcePlan {
            start: Offsets::from([(PARTITION.into(), start)]),
            end: Offsets::from([(PARTITION.into(), end)]),
            more: end < there_end,
            ..SourcePlan::default()
        }))
    }

    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        let (Some(start), Some(end)) = (plan.start.get(PARTITION), plan.end.get(PARTITION)) else {
            return Err(SourceError::Fatal(format!("the plan of `{}` has no partition 0", self.context.name)));
        };
        let range = *start..*end;
        let chunks = self.journal.chunks(&range).await?;
        let mut decoder = self.decoder()?;
        let journal = self.journal.clone();
        let runtime = Handle::current();
        Ok(pump(self.spec.on_bad_record, move |emit| {
            decoder.start(Arc::from(PARTITION), range.start);
            for first in chunks {
                let chunk = runtime.block_on(journal.read(first))?;
                decode(&chunk, first, &range, &mut decoder, emit)?;
            }
            match decoder.take()? {
                Some(rows) => emit(rows),
                None => Ok(()),
            }
        }))
    }

    async fn ack(&mut self, state: &SourceState) -> Result<(), SourceError> {
        match state.offsets.get(PARTITION) {
            Some(offset) => self.journal.cut(*offset).await,
            None => Ok(()),
        }
    }

    fn joins(&self) -> bool {
        true
    }
}

/// Decodes those records of a chunk that are in the range.
fn decode(chunk: &Chunk, first: i64, range: &Range<i64>, decoder: &mut Decoder, emit: Emit<'_>) -> Result<(), Stop> {
    let mut text = &chunk.text[..];
    let mut offset = first;
    while offset < range.start {
        text = lines(text, 1).1;
        offset += 1;
    }
    let end = range.end.min(first + i64::from(chunk.count));
    let mut cuts = chunk.cut.iter().map(|index| first + i64::from(*index)).filter(|cut| *cut >= range.start);
    let mut cut = cuts.next();
    while offset < end {
        let until = cut.map_or(end, |cut| cut.min(end));
        let (mut whole, rest) = lines(text, until - offset);
        while !whole.is_empty() {
            let used = decoder.each_line(whole);
            whole = &whole[used..];
            if decoder.full()
                && let Some(rows) = decoder.take()?
            {
                emit(rows)?;
            }
        }
        (text, offset) = (rest, until);
        if offset < end {
            let (head, rest) = lines(text, 1);
            decoder.too_long(head);
            (text, offset, cut) = (rest, offset + 1, cuts.next());
        }
    }
    Ok(())
}

/// Splits after so many lines.
fn lines(text: &[u8], count: i64) -> (&[u8], &[u8]) {
    let mut at = 0;
    for _ in 0..count {
        match memchr(b'\n', &text[at..]) {
            Some(newline) => at += newline + 1,
            None => return (text, &[]),
        }
    }
    text.split_at(at)
}

struct HttpIngest {
    appender: Appender,
    body_bytes_max: u64,
    keep_blank: bool,
}

#[async_trait]
impl Ingest for HttpIngest {
    async fn append(&self, body: Bytes) -> Result<Range<i64>, SourceError> {
        if body.len() as u64 > self.body_bytes_max {
            return Err(SourceError::TooLarge(format!(
                "a body of {} bytes is more than max_body, {}",
                body.len(),
                self.body_bytes_max
            )));
        }
        let mut lines = Lines::default();
        lines.push_all(&body, self.keep_blank);
        self.appender.append(lines).await
    }
}

/// Opens an HTTP source: what is posted is in the journal before the reply, and is read from there.
pub(crate) fn open_http(
    options: &model::Http,
    spec: &model::Source,
    context: SourceContext,
) -> Result<OpenSource, SourceError> {
    let journal = Arc::new(Journal::new(context.journal.clone(), &context.name));
    let source = JournalSource::open(spec, context, journal.clone(), None)?;
    let ingest = HttpIngest {
        appender: Appender::start(journal.clone()),
        body_bytes_max: options.body_bytes_max,
        keep_blank: spec.format == Format::Text,
    };
    Ok(OpenSource { source: Box::new(source), ingest: Some(Arc::new(ingest)), wake: Some(journal.wake.clone()) })
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use braid_spec::model::{Http, OnBadRecord, SourceKind};
    use futures::TryStreamExt;

    use super::*;
    use crate::formats::RECORD_BYTES_MAX;
    use crate::test_store::MemoryStore;

    fn http(store: &Arc<MemoryStore>, epoch_rows: u64) -> OpenSource {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        let options = Http { body_bytes_max: 64 * 1024 * 1024 };
        let spec = model::Source {
            from: SourceKind::Http(options),
            format: Format::Json,
            schema: schema.into(),
            watermark: None,
            on_bad_record: OnBadRecord::DeadLetter,
        };
        let context = SourceContext {
            name: "in".into(),
            journal: store.clone(),
            projection: None,
            batch_rows: 3,
            epoch_rows,
            ends: false,
        };
        crate::source(&spec, context).unwrap()
    }

    /// The values, their offsets, and the offsets of bad records.
    async fn read(source: &mut dyn Source, plan: &SourcePlan) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
        let rows: Vec<Rows> = source.read(plan).await.unwrap().try_collect().await.unwrap();
        assert!(rows.iter().all(|r| r.batch.num_rows() <= 3));
        (
            rows.iter().flat_map(|r| r.batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect(),
            rows.iter().flat_map(|r| r.offsets.values().to_vec()).collect(),
            rows.iter().flat_map(|r| r.bad.iter().map(|bad| bad.offset)).collect(),
        )
    }

    #[tokio::test]
    async fn posted_records_are_read_by_any_plan_and_survive_a_restart() {
        let store = Arc::new(MemoryStore::default());
        let mut opened = http(&store, 4);
        let ingest = opened.ingest.take().unwrap();
        assert_eq!(opened.source.plan(&SourceState::default(), &Limit::default()).await.unwrap(), None);
        assert_eq!(ingest.append("{\"n\":0}\n\n{\"n\":1}\r\nbad\n".into()).await.unwrap(), 0..3);
        assert_eq!(ingest.append("{\"n\":3}\n{\"n\":4}\n{\"n\":5}".into()).await.unwrap(), 3..6);
        let mut long = vec![b'x'; RECORD_BYTES_MAX + 1];
        long.extend(b"\n{\"n\":7}");
        assert_eq!(ingest.append(long.into()).await.unwrap(), 6..8);

        let mut state = SourceState::default();
        let mut seen = Vec::new();
        for (end, more) in [(4, true), (8, false)] {
            let mut source = http(&store, 4).source;
            let plan = source.plan(&state, &Limit::default()).await.unwrap().unwrap();
            assert_eq!((plan.end["0"], plan.more), (end, more));
            let once = read(&mut *source, &plan).await;
            assert_eq!(read(&mut *source, &plan).await, once);
            seen.push(once);
            state.advance(&plan);
        }
        assert_eq!(seen, [(vec![0, 1, 3], vec![0, 1, 3], vec![2]), (vec![4, 5, 7], vec![4, 5, 7], vec![6]),]);
        opened.source.ack(&state).await.unwrap();
        assert_eq!(store.objects.lock().unwrap().keys().collect::<Vec<_>>(), ["journal/in/00000000000000000006"]);
        assert!(matches!(
            opened.source.plan(&SourceState { offsets: [("0".into(), 9)].into(), ..state }, &Limit::default()).await,
            Err(SourceError::DataLoss(_))
        ));
    }

    #[tokio::test]
    async fn a_body_too_long_leaves_nothing() {
        let store = Arc::new(MemoryStore::default());
        let ingest = http(&store, 4).ingest.unwrap();
        let body = vec![b'\n'; 64 * 1024 * 1024 + 1];
        assert!(ingest.append(body.into()).await.unwrap_err().to_string().contains("max_body"));
        assert!(store.objects.lock().unwrap().is_empty());
    }
}
