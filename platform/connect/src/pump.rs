//! Decoding on a blocking thread, a few batches ahead of whoever consumes them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use braid_kernel::{Rows, SourceError};
use braid_spec::model::OnBadRecord;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;

use crate::formats::records::Stop;

/// How many batches are decoded ahead.
const BATCHES_AHEAD_MAX: usize = 4;

/// What the work gives its batches to.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(Rows) -> Result<(), Stop>;

/// Runs the work on a blocking thread; its batches are the stream. The stream ends well only when the work did.
pub(crate) fn pump(
    on_bad_record: OnBadRecord,
    work: impl FnOnce(Emit<'_>) -> Result<(), Stop> + Send + 'static,
) -> BoxStream<'static, Result<Rows, SourceError>> {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD_MAX);
    tokio::task::spawn_blocking(move || {
        let mut emit = |rows: Rows| {
            let rows = accept(rows, on_bad_record)?;
            sender.blocking_send(Some(Ok(rows))).map_err(|_| Stop::Gone)
        };
        let last = match catch_unwind(AssertUnwindSafe(|| work(&mut emit))) {
            Ok(Ok(())) => None,
            Ok(Err(Stop::Error(error))) => Some(Err(error)),
            Ok(Err(Stop::Gone)) => return,
            Err(panic) => Some(Err(SourceError::Fatal(format!("bug: a decoder panicked: {}", panic_text(&*panic))))),
        };
        // Nobody may be listening any more.
        let _ = sender.blocking_send(last);
    });
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Some(Ok(rows))) => Some((Ok(rows), Some(receiver))),
            Some(Some(Err(error))) => Some((Err(error), None)),
            Some(None) => None,
            None => Some((Err(SourceError::Retry("the reader was stopped".into())), None)),
        }
    })
    .boxed()
}

/// Lets rows pass, unless one of their records is bad and that is an error.
pub(crate) fn accept(rows: Rows, on_bad_record: OnBadRecord) -> Result<Rows, SourceError> {
    match (rows.bad.first(), on_bad_record) {
        (Some(bad), OnBadRecord::Fail) => Err(SourceError::BadRecord {
            partition: bad.partition.to_string(),
            offset: bad.offset,
            reason: bad.reason.clone(),
        }),
        _ => Ok(rows),
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_an_end() {
        let stream = pump(OnBadRecord::Drop, |_| panic!("on purpose"));
        let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(error.to_string().contains("on purpose"), "{error}");
    }
}
