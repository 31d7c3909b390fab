//! The keys that say when a deployment runs, how fast, and how often again.

use crate::keys::Need::{Default, Optional};
use crate::keys::Shape::{Duration, Flag, Number, Size, Text, Whole};
use crate::keys::{KIND, Keys, SOME_TIME, WHOLE, key, keys};

pub(crate) static BACKPRESSURE: Keys = keys(
    "back-pressure",
    &[
        key("enabled", Flag, Default("false"), "Whether it is on."),
        key("initial_rate", WHOLE, Optional, "Rows a second of each source until there is an estimate."),
        key("min_rate", WHOLE, Default("100"), "Never less, in rows a second of each source."),
        key("proportional", Number, Default("1.0"), "The weight of the last rate's distance from what was processed."),
        key("integral", Number, Default("0.2"), "The weight of what came due while an epoch was late."),
        key("derived", Number, Default("0.0"), "The weight of the distance's change."),
    ],
);

pub(crate) static RESTART: Keys = keys(
    "restarts",
    &[
        key(
            "max_attempts",
            Whole { min: 0, max: 1_000_000 },
            Default("3"),
            "How often a failed query starts again before `braid up` gives up. Epochs committed in between begin the count anew.",
        ),
        key("backoff_min", SOME_TIME, Default("1s"), "The wait before the first restart. It doubles with each."),
        key("backoff_max", SOME_TIME, Default("1m"), "The longest wait."),
    ],
);

pub(crate) static STATE: Keys = keys(
    "the state",
    &[
        key(
            "memory",
            Size { min: 1 },
            Default("1GiB"),
            "Memory for what operators and sinks remember, of all together. What is beyond it goes to the local disk.",
        ),
        key(
            "directory",
            Text,
            Optional,
            "Where on the local disk. A directory for temporary files if it is not given; nothing in it outlives the process.",
        ),
    ],
);

pub(crate) static TRIGGER: Keys = Keys {
    what: "a trigger",
    keys: &[
        key(
            "processing_time",
            Duration { min_ms: 0 },
            Optional,
            "An epoch at each whole multiple of this interval; rows that wait, wait for it. `0s` is as fast as it goes.",
        ),
        key(
            "continuous",
            Duration { min_ms: 1 },
            Optional,
            "Rows flow to sinks as they come, and what came is committed so often. For views without an aggregate or a memory.",
        ),
        key(
            "once",
            Flag,
            Optional,
            "One epoch of everything that is there, whatever limits say; then a base, and the end.",
        ),
        key(
            "available_now",
            Flag,
            Optional,
            "What is there at the start, in as many epochs as the limits make of it; then a base, and the end.",
        ),
    ],
    choice: KIND,
    one_of: &["processing_time", "continuous", "once", "available_now"],
    dotted: false,
};

/// What to do with a key that one would look for in such a map, and that is elsewhere.
pub(crate) fn elsewhere(what: &str, key: &str) -> Option<&'static str> {
    match (what, key) {
        ("a sink", "trigger") => Some(
            "write `trigger` at the top: a deployment is one query whose epochs feed all sinks, so that they agree; \
             a sink that should be slower is a deployment of its own",
        ),
        ("a reduction by key and window", "inverse" | "inv_func" | "filter_func") => {
            Some("remove it: a slide costs what came and what went without an inverse, for every aggregate")
        }
        _ => None,
    }
}
