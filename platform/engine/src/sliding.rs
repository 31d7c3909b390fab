//! From panes to sliding windows. What is stored of a sliding window is its panes, each once, however many windows they
//! are parts of; windows are made when they are asked for, or given out.
//!
//! All windows at once are made by doubling: states of 1, 2, 4, … panes are merged to any number of them, so a window
//! of n panes costs log n. One after the other, as they end, they cost two merges each, whatever their length: the
//! front keeps what is from each of its panes to its end, and the back what came since (two stacks make a queue). This
//! needs no inverse of the aggregate, so it holds for all of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::Result;

use crate::groups::Aggregation;
use crate::window::Spans;

/// A batch whose windows start elsewhere.
fn starting(states: &RecordBatch, key: usize, start: impl Fn(i64) -> i64) -> Result<RecordBatch> {
    let starts = states.column(key).as_primitive::<TimestampMicrosecondType>();
    let moved: TimestampMicrosecondArray = starts.unary(start);
    let mut columns: Vec<ArrayRef> = states.columns().to_vec();
    columns[key] = Arc::new(moved);
    Ok(RecordBatch::try_new(states.schema(), columns)?)
}

/// The states of all windows in which there are panes.
pub fn windows(aggregation: &Aggregation, panes: &RecordBatch, key: usize, spans: Spans) -> Result<RecordBatch> {
    let pane = spans.pane();
    let count = spans.duration / pane;
    let mut block = panes.clone();
    let mut whole = RecordBatch::new_empty(panes.schema());
    let (mut length, mut done) = (1, 0);
    loop {
        if count & length != 0 {
            // What is done begins so many panes earlier.
            let back = done * pane;
            whole = aggregation.merge([&whole, &starting(&block, key, |start| start.saturating_sub(back))?])?;
            done += length;
        }
        if done == count {
            break;
        }
        let back = length * pane;
        block = aggregation.merge([&block, &starting(&block, key, |start| start.saturating_sub(back))?])?;
        length *= 2;
    }
    let starts = whole.column(key).as_primitive::<TimestampMicrosecondType>();
    let real: BooleanArray =
        starts.iter().map(|start| Some(start.is_some_and(|start| spans.starts_at(start)))).collect();
    Ok(filter_record_batch(&whole, &real)?)
}

/// Where panes are looked up by their time.
pub trait Panes {
    /// The start of the first pane at or after an instant.
    fn first(&self, from: i64) -> Result<Option<i64>>;
    /// The states of the panes that start in a range, by start.
    fn between(&self, from: i64, to: i64) -> Result<Vec<(i64, RecordBatch)>>;
}

/// The windows that end, one after the other.
#[derive(Debug, Default)]
pub struct Sliding {
    /// Per pane of the front, latest first: its start, and the states from there to the front's end.
    front: Vec<(i64, RecordBatch)>,
    /// The states from the front's end to the back's.
    back: Option<RecordBatch>,
    /// Where front and back end, once there are any.
    ends: Option<(i64, i64)>,
    /// The earliest window that can still be made of them.
    next: Option<i64>,
}

impl Sliding {
    /// Says that a pane was changed.
    pub fn touch(&mut self, pane: i64) {
        if self.ends.is_some_and(|(_, end)| pane < end) {
            *self = Self::default();
        }
    }

    /// The states of the windows that end after `from`, if it is given, and at or before `to`.
    pub fn ended(
        &mut self,
        aggregation: &Aggregation,
        (key, spans): (usize, Spans),
        panes: &impl Panes,
        from: Option<i64>,
        to: i64,
    ) -> Result<Vec<RecordBatch>> {
        let mut ended = Vec::new();
        let mut earliest = match from {
            Some(from) => from.saturating_sub(spans.duration).saturating_add(1),
            None => i64::MIN,
        };
        while let Some(pane) = panes.first(earliest)? {
            // Of the windows that hold the pane, the first one that is not made yet.
            let Some(start) = spans.windows_of(pane).find(|start| *start >= earliest) else {
                earliest = pane.saturating_add(spans.pane());
                continue;
            };
            if start.saturating_add(spans.duration) > to {
                break;
            }
            ended.extend(self.window(aggregation, (key, spans), panes, start)?);
            earliest = start.saturating_add(1);
        }
        Ok(ended)
    }

    /// The states of the window that starts here.
    fn window(
        &mut self,
        aggregation: &Aggregation,
        (key, spans): (usize, Spans),
        panes: &impl Panes,
        start: i64,
    ) -> Result<Option<RecordBatch>> {
        if self.next.is_some_and(|next| start < next) {
            *self = Self::default();
        }
        self.next = Some(start);
        let end = start.saturating_add(spans.duration);
        while self.front.last().is_some_and(|(pane, _)| *pane < start) {
            self.front.pop();
        }
        match self.ends {
            Some((front_end, back_end)) if start <= front_end => {
                for (_, states) in panes.between(back_end, end)? {
                    let states = starting(&states, key, |_| 0)?;
                    self.back = Some(match self.back.take() {
                        Some(back) => aggregation.merge([&back, &states])?,
                        None => states,
                    });
                }
                self.ends = Some((front_end, end));
            }
            _ => {
                self.front.clear();
                let mut all: Option<RecordBatch> = None;
                for (pane, states) in panes.between(start, end)?.into_iter().rev() {
                    let states = starting(&states, key, |_| 0)?;
                    let suffix = match all {
                        Some(all) => aggregation.merge([&states, &all])?,
                        None => states,
                    };
                    self.front.push((pane, suffix.clone()));
                    all = Some(suffix);
                }
                (self.ends, self.back) = (Some((end, end)), None);
            }
        }
        let states = match (self.front.last(), &self.back) {
            (Some((_, front)), Some(back)) => aggregation.merge([front, back])?,
            (Some((_, one)), None) | (None, Some(one)) => one.clone(),
            (None, None) => return Ok(None),
        };
        Ok(Some(starting(&states, key, |_| start)?))
    }
}
