//! What cannot be done in continuous processing, and what a sink does there.

use std::collections::BTreeMap;
use std::time::Duration;

use braid_engine::ViewInfo;
use braid_kernel::TableKind;
use braid_spec::model::{Delivery, Deployment, Sink, SinkKind, SourceKind, Trigger};
use braid_spec::{Diagnostics, SourceMap};

/// A transaction is not open for longer: brokers end those that are open for a quarter of an hour.
const TRANSACTION_MAX: Duration = Duration::from_secs(10 * 60);

/// Notes everything that does not go together with `trigger: {continuous: …}`.
pub fn check(deployment: &Deployment, views: &BTreeMap<String, ViewInfo>, map: &SourceMap, mistakes: &mut Diagnostics) {
    let Trigger::Continuous(every) = deployment.trigger else { return };
    let mut wrong = |path: String, message: String, hint: &str| {
        mistakes.list.push(map.diagnostic(&path, None, message, Some(hint.to_owned())));
    };
    let slower = "use the default trigger, or `processing_time`; or let a deployment of its own do it";
    for stream in &deployment.streams {
        let (key, what) = match (&stream.drop_duplicates, &stream.transform_with_state) {
            (Some(_), _) => ("drop_duplicates", "dropping duplicates remembers what came"),
            (None, Some(_)) => ("transform_with_state", "a plugin with state remembers what came"),
            (None, None) => continue,
        };
        let message = format!("{what}, and continuous processing is for what takes each row by itself");
        wrong(format!("streams.{}.{key}", stream.name), message, slower);
    }
    for (name, view) in views.iter().filter(|(_, view)| !view.states.is_empty()) {
        let message = format!(
            "view `{name}` remembers what came (`{}`), and continuous processing is for what takes each row by itself: \
             selection, projection, union, join with a table",
            view.states.join("`, `")
        );
        wrong(format!("views.{name}"), message, slower);
    }
    for (name, sink) in &deployment.sinks {
        if views.get(&sink.from).is_some_and(|view| view.kind == TableKind::Keyed) {
            let message = format!(
                "view `{}` is an aggregate, and in continuous processing sinks get rows as they come, before there is \
                 anything to aggregate",
                sink.from
            );
            let hint = "remove the sink: the view is served, and changes with each epoch; or use the default trigger";
            wrong(format!("sinks.{name}.from"), message, hint);
        }
        if is_transactional(sink) && every > TRANSACTION_MAX {
            let message = format!(
                "a transaction would be open for {every:?}, and is for {TRANSACTION_MAX:?} at most: readers of committed \
                 records see its rows when it ends"
            );
            wrong(format!("sinks.{name}.delivery"), message, "shorten `trigger.continuous`, or choose at_least_once");
        }
    }
    for (name, source) in &deployment.sources {
        let SourceKind::Kafka(kafka) = &source.from else { continue };
        let limits = [
            ("max_offsets_per_trigger", kafka.max_offsets_per_trigger),
            ("min_offsets_per_trigger", kafka.min_offsets_per_trigger),
        ];
        for (key, _) in limits.into_iter().filter(|(_, given)| given.is_some()) {
            let message = "rows do not wait for a trigger in continuous processing, so it limits nothing".to_owned();
            wrong(
                format!("sources.{name}.kafka.{key}"),
                message,
                "remove it; sinks that are slow slow the source down",
            );
        }
    }
    if deployment.backpressure.is_some() {
        let message = "back-pressure limits what an epoch takes, and in continuous processing rows are taken as fast as \
                       sinks take them";
        wrong("backpressure".into(), message.to_owned(), "remove it, or use the default trigger");
    }
}

fn is_transactional(sink: &Sink) -> bool {
    matches!(sink.to, SinkKind::Kafka { .. }) && sink.delivery == Delivery::ExactlyOnce
}

/// When a sink's rows are there, for `braid plan`; nothing where they are there at each epoch anyway.
pub fn when(deployment: &Deployment, sink: &Sink) -> String {
    let Trigger::Continuous(every) = deployment.trigger else { return String::new() };
    match (&sink.to, sink.delivery) {
        (_, Delivery::AtMostOnce) => {
            format!("; once, or not at all after a crash, behind each commit (every {every:?})")
        }
        (SinkKind::Kafka { .. }, Delivery::ExactlyOnce) => {
            format!("; as they come, and seen once by readers of committed records at each commit (every {every:?})")
        }
        (SinkKind::Kafka { .. }, Delivery::AtLeastOnce) => "; as they come, again after a crash".to_owned(),
        (SinkKind::Memory, _) => "; as they come".to_owned(),
        _ => format!("; at each commit (every {every:?})"),
    }
}
