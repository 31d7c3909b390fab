//! User code in SQL, and the seam between who runs the code and who plans the SQL.

use std::fmt;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};

use crate::error::JobError;
use crate::keyed::FailedRow;

/// A function of values, by the name that SQL calls it by.
pub trait ScalarCode: fmt::Debug + Send + Sync {
    /// The type of its answer where its arguments are of these, or why they will not do.
    fn describe(&self, arguments: &[DataType]) -> Result<DataType, String>;
    /// An answer for each row, null for those on which it failed, which ascend.
    fn call(
        &self,
        arguments: &[ArrayRef],
        rows: usize,
        answer: &DataType,
    ) -> Result<(ArrayRef, Vec<FailedRow>), JobError>;
}

/// A commutative monoid of states, by the name that SQL calls it by.
pub trait AggregateCode: fmt::Debug + Send + Sync {
    /// What is kept and answered where arguments are of these types, or why they will not do.
    fn describe(&self, arguments: &[DataType]) -> Result<Summary, String>;
    /// The states after rows were added, row i to the state in row `groups[i]`; and the rows on which it failed, ascending,
    /// which are in none.
    fn accumulate(
        &self,
        states: &RecordBatch,
        groups: &[u32],
        arguments: &[ArrayRef],
    ) -> Result<(RecordBatch, Vec<FailedRow>), JobError>;
    /// The states after others were merged into them, row i into the state in row `groups[i]`.
    fn merge(&self, states: &RecordBatch, groups: &[u32], others: &RecordBatch) -> Result<RecordBatch, JobError>;
    /// An answer for each state, null for those on which it failed, which ascend.
    fn finish(
        &self,
        arguments: &[DataType],
        states: &RecordBatch,
        answer: &DataType,
    ) -> Result<(ArrayRef, Vec<FailedRow>), JobError>;
}

/// What an aggregate keeps and answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The type of its answers.
    pub answer: DataType,
    /// The columns of a state.
    pub state: SchemaRef,
    /// The state of no rows: one row.
    pub zero: RecordBatch,
}
