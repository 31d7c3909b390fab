//! A canary: another plugin that is given copies of what a plugin at work is given. What it answers is compared and thrown
//! away, what it fails on is counted, and nothing else comes of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::json::LineDelimitedWriter;
use arrow::row::{RowConverter, Rows, SortField};
use braid_kernel::keyed::FailedRow;

use crate::plugin::Plugin;

/// So much of a record, as JSON, is shown.
pub const RECORD_BYTES_MAX: usize = 1024;

/// Another plugin beside a plugin at work; see [`Plugin::try_beside`].
#[derive(Debug)]
pub struct Canary {
    plugin: Plugin,
    rows_max: u64,
    seen: Mutex<Seen>,
}

/// What a canary has come to so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Rows that it was given, on which the plugin at work did not fail.
    pub rows: u64,
    /// Rows on which it failed, and the plugin at work did not.
    pub failed: u64,
    /// The first of them.
    pub failure: Option<Found>,
    /// Rows that it answers otherwise.
    pub differing: u64,
    /// The first of them, where one can be told.
    pub difference: Option<Found>,
}

/// A row and what is the matter with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What.
    pub reason: String,
    /// The row as JSON.
    pub record: String,
}

impl Canary {
    pub(crate) fn new(plugin: Plugin, rows_max: u64) -> Self {
        Self { plugin, rows_max, seen: Mutex::default() }
    }

    /// The plugin that is tried.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// What has come of it so far.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Whether it has been given as many rows as it should.
    pub fn is_over(&self) -> bool {
        self.lock().rows >= self.rows_max
    }

    /// Notes on which of these rows it failed where the other did not: `old` and `new` ascend. Says whether there are any.
    pub(crate) fn note_failed(&self, rows: &RecordBatch, old: &[FailedRow], new: &[FailedRow]) -> bool {
        let only_new: Vec<&FailedRow> =
            new.iter().filter(|failed| old.binary_search_by_key(&failed.row, |other| other.row).is_err()).collect();
        let mut seen = self.lock();
        seen.rows += (rows.num_rows() - old.len()) as u64;
        seen.failed += only_new.len() as u64;
        if let Some(first) = only_new.first() {
            seen.failure.get_or_insert_with(|| Found { reason: first.reason.clone(), record: record(rows, first.row) });
        }
        !only_new.is_empty()
    }

    /// Notes that it could not be asked about these rows at all.
    pub(crate) fn broke(&self, rows: &RecordBatch, reason: String) {
        let mut seen = self.lock();
        seen.rows += rows.num_rows() as u64;
        seen.failed += rows.num_rows() as u64;
        seen.failure.get_or_insert_with(|| Found { reason, record: record(rows, 0) });
    }

    /// Notes that so many rows were answered otherwise, for the first of which this is shown.
    pub(crate) fn note_differing(&self, many: u64, first: impl FnOnce() -> Found) {
        if many > 0 {
            let mut seen = self.lock();
            seen.differing += many;
            seen.difference.get_or_insert_with(first);
        }
    }

    /// Compares answers to rows, each with its row; those on which one of them failed aside.
    pub(crate) fn compare_answers(&self, rows: &RecordBatch, old: &[ArrayRef], new: &[ArrayRef], failed: &[FailedRow]) {
        if old == new {
            return;
        }
        let (Some(before), Some(after)) = (sortable(old), sortable(new)) else {
            let found = || Found { reason: "its answers are others".into(), record: record(rows, 0) };
            return self.note_differing(rows.num_rows() as u64, found);
        };
        let fair = |row: &usize| failed.binary_search_by_key(row, |failed| failed.row).is_err();
        let many = before.num_rows().min(after.num_rows());
        let differing: Vec<usize> = (0..many).filter(fair).filter(|row| before.row(*row) != after.row(*row)).collect();
        self.note_differing(differing.len() as u64, || {
            let row = differing[0];
            let shown = |columns: &[ArrayRef]| {
                let named = columns.iter().enumerate().map(|(number, column)| (number.to_string(), column.clone()));
                RecordBatch::try_from_iter_with_nullable(named.map(|(name, column)| (name, column, true)))
                    .map_or_else(|error| error.to_string(), |batch| record(&batch, row))
            };
            Found { reason: format!("{} became {}", shown(old), shown(new)), record: record(rows, row) }
        });
    }

    /// Compares rows that came out, in whatever order.
    pub(crate) fn compare_outputs(&self, old: &RecordBatch, new: &RecordBatch) {
        if old.columns() == new.columns() {
            return;
        }
        let (Some(before), Some(after)) = (sortable(old.columns()), sortable(new.columns())) else {
            let found = || Found { reason: "its rows are others".into(), record: record(old, 0) };
            return self.note_differing(old.num_rows().max(new.num_rows()) as u64, found);
        };
        let sorted = |rows: &Rows| {
            let mut numbers: Vec<usize> = (0..rows.num_rows()).collect();
            numbers.sort_unstable_by(|one, other| rows.row(*one).cmp(&rows.row(*other)));
            numbers
        };
        let (one, other) = (sorted(&before), sorted(&after));
        let (mut gone, mut come, mut at, mut next) = (vec![], vec![], 0, 0);
        while at < one.len() || next < other.len() {
            let order = match (one.get(at), other.get(next)) {
                (Some(a), Some(b)) => before.row(*a).cmp(&after.row(*b)),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, _) => std::cmp::Ordering::Greater,
            };
            if order.is_le() {
                gone.extend(order.is_lt().then(|| one[at]));
                at += 1;
            }
            if order.is_ge() {
                come.extend(order.is_gt().then(|| other[next]));
                next += 1;
            }
        }
        self.note_differing(gone.len().max(come.len()) as u64, || {
            let shown = |of: &RecordBatch, rows: &[usize]| {
                rows.iter().min().map_or_else(|| "no row".to_owned(), |row| record(of, *row))
            };
            Found { reason: format!("it gives out {}", shown(new, &come)), record: shown(old, &gone) }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something with a canary of its own, made when there is one and gone when there is none.
pub(crate) struct Beside<T>(Option<(Arc<Canary>, T)>);

impl<T> Default for Beside<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Beside<T> {
    /// What runs beside a plugin now. A canary that cannot begin is told so itself.
    pub(crate) fn of(
        &mut self,
        plugin: &Plugin,
        make: impl FnOnce(&Canary) -> Result<T, String>,
    ) -> Option<(Arc<Canary>, &mut T)> {
        let Some(canary) = plugin.canary() else {
            self.0 = None;
            return None;
        };
        if self.0.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, &canary)) {
            match make(&canary) {
                Ok(made) => self.0 = Some((canary, made)),
                Err(reason) => {
                    let mut seen = canary.lock();
                    seen.failed += 1;
                    seen.failure.get_or_insert(Found { reason, record: String::new() });
                    return None;
                }
            }
        }
        self.0.as_mut().map(|(canary, made)| (canary.clone(), made))
    }
}

/// Rows that can be compared, of whatever types; none where they cannot.
fn sortable(columns: &[ArrayRef]) -> Option<Rows> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    RowConverter::new(fields).and_then(|converter| converter.convert_columns(columns)).ok()
}

/// A row as JSON, for people.
pub(crate) fn record(rows: &RecordBatch, row: usize) -> String {
    if row >= rows.num_rows() {
        return String::new();
    }
    let mut writer = LineDelimitedWriter::new(vec![]);
    if let Err(error) = writer.write(&rows.slice(row, 1)).and_then(|()| writer.finish()) {
        return error.to_string();
    }
    let text = String::from_utf8_lossy(&writer.into_inner()).trim_end().to_owned();
    match text.len() > RECORD_BYTES_MAX {
        true => format!("{}…", &text[..text.floor_char_boundary(RECORD_BYTES_MAX)]),
        false => text,
    }
}
