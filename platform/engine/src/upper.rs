//! The upper part of a view: projection, HAVING, ORDER BY and LIMIT over merged states' answers.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, internal_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};

use crate::leaf::{Feeds, conform, leaves, pieces};

/// A plan collects metrics at each run: after so many it is replaced by a clean copy.
pub const PLAN_RUNS_MAX: u32 = 1024;

/// A planned upper part. Runs at any number of places at once.
#[derive(Debug)]
pub struct Upper {
    plan: Mutex<(Arc<dyn ExecutionPlan>, u32)>,
    leaf: u64,
    leaf_schema: SchemaRef,
    session: SessionState,
    /// The answer's columns.
    pub schema: SchemaRef,
    /// Whether it orders or limits, and so needs all rows at once.
    pub ordered: bool,
}

impl Upper {
    /// Plans it.
    pub async fn plan(session: &SessionState, upper: &LogicalPlan, schema: SchemaRef, ordered: bool) -> Result<Self> {
        let plan = session.query_planner().create_physical_plan(upper, session).await?;
        let leaves = leaves(&plan);
        let [(leaf, _, leaf_schema)] = &leaves[..] else {
            return internal_err!("the upper plan has {} leaves", leaves.len());
        };
        Ok(Self {
            leaf: *leaf,
            leaf_schema: leaf_schema.clone(),
            plan: Mutex::new((plan, 0)),
            session: session.clone(),
            schema,
            ordered,
        })
    }

    /// The plan, for people.
    pub fn explain(&self) -> String {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        displayable(plan.0.as_ref()).indent(false).to_string()
    }

    fn fresh(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.1 += 1;
        // A TopK keeps its threshold in the plan, so an ordered plan is never run twice.
        if self.ordered || plan.1 == PLAN_RUNS_MAX {
            *plan = (reset_plan_states(plan.0.clone())?, 0);
        }
        Ok(plan.0.clone())
    }

    /// The final rows for answers of keys.
    pub async fn run(&self, answers: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let feeds = Feeds::default();
        let sender = feeds.open(self.leaf);
        let context = feeds.context(self.session.config(), self.session.runtime_env());
        let wanted = self.leaf_schema.fields().iter();
        // The leaf may have been narrowed to the columns that are used: `c<index>`.
        let columns = wanted
            .map(|field| field.name().strip_prefix('c').and_then(|index| index.parse::<usize>().ok()))
            .collect::<Option<Vec<_>>>();
        let Some(columns) = columns else {
            return internal_err!("the upper plan's leaf has foreign columns");
        };
        let answers = conform(answers.project(&columns)?, &self.leaf_schema)?;
        let feed = async move {
            for piece in pieces(&answers) {
                // A plan with a LIMIT may have seen enough.
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
        };
        let (_, rows) = futures::join!(feed, collect(self.fresh()?, context));
        rows?.into_iter().filter(|batch| batch.num_rows() > 0).map(|batch| conform(batch, &self.schema)).collect()
    }
}
