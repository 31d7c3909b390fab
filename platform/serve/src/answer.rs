//! Views' answers as of one commit, computed once however many ask.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use braid_engine::{ReadError, Reader, ViewInfo};
use braid_kernel::manifest::{Manifest, Segment};
use braid_kernel::notices::{DEAD_LETTERS, LATE_ROWS, dead_letters_schema, late_rows_schema};
use braid_kernel::serve::Snapshot;
use braid_kernel::{StoreError, TableKind};
use tokio::sync::OnceCell;

use crate::problem::{Code, Problem};
use crate::{Limits, ServeState};

/// A view's whole answer as of one commit.
#[derive(Debug)]
pub struct Answer {
    /// The rows, in one batch.
    pub rows: RecordBatch,
    /// How they accumulate.
    pub kind: TableKind,
    /// Columns that are a row's key, of a keyed view; none where it has one row for all.
    pub keys: Vec<usize>,
    by_key: OnceLock<Option<ByKey>>,
    whole: OnceLock<Result<Rows, Problem>>,
}

/// Row numbers by key, as bytes that are equal where the keys are.
pub type ByKey = HashMap<Box<[u8]>, usize>;

/// What is answered about: a view, or a ledger (dead letters, late rows), which has no definition.
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a str,
    /// The view's definition.
    pub info: Option<&'a ViewInfo>,
    /// How its rows accumulate.
    pub kind: TableKind,
}

impl Answer {
    /// An answer of these rows; `keys` are the columns that are a row's key.
    pub fn new(rows: RecordBatch, kind: TableKind, keys: Vec<usize>) -> Self {
        Self { rows, kind, keys, by_key: OnceLock::new(), whole: OnceLock::new() }
    }

    /// Row numbers by key; `None` where its keys do not tell rows apart: rows are appended, or the view's text leaves
    /// out some column that it groups by.
    pub fn by_key(&self) -> Option<&ByKey> {
        let unique = || {
            let rows = self.rows.num_rows();
            if self.kind != TableKind::Keyed {
                return None;
            }
            if self.keys.is_empty() {
                return (rows <= 1).then(|| (0..rows).map(|row| (Box::default(), row)).collect());
            }
            let keys: Vec<ArrayRef> = self.keys.iter().map(|key| self.rows.column(*key).clone()).collect();
            let keys = comparable(&keys).ok()?;
            let by_key: ByKey = keys.iter().enumerate().map(|(row, key)| (key.data().into(), row)).collect();
            (by_key.len() == rows).then_some(by_key)
        };
        self.by_key.get_or_init(unique).as_ref()
    }

    /// All columns of each row, as bytes that are equal where the rows are.
    pub fn whole(&self) -> Result<&Rows, Problem> {
        self.whole.get_or_init(|| comparable(self.rows.columns())).as_ref().map_err(Problem::clone)
    }
}

/// Columns as bytes per row that compare as the values do.
fn comparable(columns: &[ArrayRef]) -> Result<Rows, Problem> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    RowConverter::new(fields)
        .and_then(|converter| converter.convert_columns(columns))
        .map_err(|error| Problem::new(Code::Unsupported, error.to_string()))
}

/// The newest answer of each view that was asked for.
pub struct Answers {
    reader: Arc<Reader>,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
}

struct Slot {
    /// The segments that the answer is made of. Their names say it all: a segment never changes.
    of: Content,
    answer: OnceCell<Arc<Answer>>,
}

/// A table's segments and its definition: equal content, equal answer.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    definition: Option<String>,
    segments: Vec<Segment>,
    /// With static tables beside it, only the same commit is the same answer.
    sequence: Option<u64>,
    /// Rows that are in memory only would have no segment to tell them apart by.
    hot: Vec<(u64, usize)>,
}

impl Content {
    fn new(snapshot: &Snapshot, subject: &Subject<'_>) -> Self {
        let name = subject.name;
        let manifest = &snapshot.manifest;
        let table = manifest.tables.get(name);
        let deltas = table.iter().flat_map(|table| &table.deltas);
        Self {
            definition: manifest.definitions.get(name).cloned(),
            segments: table
                .iter()
                .flat_map(|table| &table.base)
                .chain(deltas.flat_map(|delta| &delta.segments))
                .cloned()
                .collect(),
            sequence: subject.info.is_some_and(|info| !info.statics.is_empty()).then_some(manifest.sequence),
            hot: snapshot
                .hot
                .get(name)
                .into_iter()
                .flatten()
                .map(|(epoch, batches)| (*epoch, batches.iter().map(|b| b.num_rows()).sum()))
                .filter(|(epoch, rows)| *rows > 0 && *epoch >= manifest.horizon())
                .collect(),
        }
    }
}

impl Answers {
    /// Asks through `reader`.
    pub fn new(reader: Arc<Reader>) -> Self {
        Self { reader, slots: Mutex::default() }
    }

    /// The whole answer as of `snapshot`. Two who ask at once share one computation.
    pub async fn whole(&self, snapshot: &Snapshot, subject: &Subject<'_>) -> Result<Arc<Answer>, Problem> {
        proven(&snapshot.manifest, subject.name)?;
        let slot = self.slot(snapshot, subject);
        let answer = slot.answer.get_or_try_init(|| self.compute(snapshot, subject)).await?.clone();
        if answer.rows.get_array_memory_size() > Limits::CACHED_ANSWER_BYTES_MAX {
            self.forget(subject.name, &slot);
        }
        Ok(answer)
    }

    fn slot(&self, snapshot: &Snapshot, subject: &Subject<'_>) -> Arc<Slot> {
        let of = Content::new(snapshot, subject);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get(subject.name) {
            Some(slot) if slot.of == of => slot.clone(),
            _ => {
                let answer = OnceCell::new();
                let slot = Arc::new(Slot { of, answer });
                slots.insert(subject.name.to_owned(), slot.clone());
                slot
            }
        }
    }

    fn forget(&self, name: &str, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.get(name).is_some_and(|held| Arc::ptr_eq(held, slot)) {
            slots.remove(name);
        }
    }

    async fn compute(&self, snapshot: &Snapshot, subject: &Subject<'_>) -> Result<Arc<Answer>, Problem> {
        let batches = self.reader.rows(snapshot, subject.name).await?;
        let schema = match (subject.info, batches.first()) {
            (_, Some(batch)) => batch.schema(),
            (Some(info), None) => info.schema.clone(),
            (None, None) => ledger_schema(subject.name),
        };
        let rows = concat_batches(&schema, &batches).map_err(Problem::internal)?;
        let keys = match subject.info {
            Some(info) if info.kind == TableKind::Keyed => {
                info.keys.iter().filter_map(|key| schema.index_of(key).ok()).collect()
            }
            _ => vec![],
        };
        Ok(Arc::new(Answer::new(rows, subject.kind, keys)))
    }
}

/// The columns of a ledger without rows.
pub fn ledger_schema(name: &str) -> SchemaRef {
    match name {
        DEAD_LETTERS => dead_letters_schema(),
        LATE_ROWS => late_rows_schema(),
        _ => Arc::new(Schema::empty()),
    }
}

/// Refuses where an epoch's delta is missing, before anything is read or counted.
pub fn proven(manifest: &Manifest, table: &str) -> Result<(), Problem> {
    if !manifest.tables.contains_key(table) {
        let detail = format!("`{table}` is not in the manifest yet");
        return Err(Problem::new(Code::NotReady, detail));
    }
    match manifest.deltas(table) {
        Ok(_) => Ok(()),
        Err(hole) => Err(Problem::new(Code::Hole, hole.to_string())),
    }
}

/// What a name stands for.
pub fn subject<'a>(state: &'a ServeState, manifest: &Manifest, name: &'a str) -> Result<Subject<'a>, Problem> {
    if let Some(info) = state.engine.views().get(name) {
        return Ok(Subject { name, info: Some(info), kind: info.kind });
    }
    if manifest.kinds.get(name) == Some(&TableKind::Ledger) {
        return Ok(Subject { name, info: None, kind: TableKind::Ledger });
    }
    let known: Vec<&str> = state.engine.views().keys().map(String::as_str).collect();
    Err(Problem::new(Code::UnknownView, format!("there is no view `{name}`; there are: {}", known.join(", "))))
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::UnknownView { .. } => Code::UnknownView,
            ReadError::Hole { .. } => Code::Hole,
            ReadError::Key(_) => Code::BadKey,
            ReadError::Sql(_) => Code::BadSql,
            ReadError::Store(StoreError::Corrupt { .. }) => Code::Damaged,
            ReadError::Store(StoreError::Unknown { .. }) => Code::StoreUnavailable,
            ReadError::Store(_) | ReadError::Job(_) => Code::Internal,
        };
        if code.parts().0 == 500 {
            tracing::error!(%error, "an answer could not be read");
        }
        Problem::new(code, error.to_string())
    }
}
