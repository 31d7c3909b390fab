//! The steps of a pipeline: Spark's operators of DStreams, in snake case.

use crate::keys::Need::{Default, Must, Optional};
use crate::keys::Shape::{Condition, Expressions, Group, OneOrMany, Pairs, Text, Word};
use crate::keys::{Key, Keys, SOME_TIME, TRANSFORM_WITH_STATE, WHOLE, key, keys};

/// A step. It is a map with one of these keys, or that word alone.
pub(crate) static STEP: Keys = Keys {
    what: "a step",
    keys: &[
        key("from", Text, Optional, "The source, stream or view whose rows flow. Stands first."),
        key(
            "map",
            Expressions,
            Optional,
            "Each row becomes one: a map from columns to SQL expressions, or `{plugin: name}` before anything else.",
        ),
        key(
            "flat_map",
            Expressions,
            Optional,
            "Each row becomes any number: one of the expressions is a generator such as `explode(…)`. Or `{plugin: name}`.",
        ),
        key("filter", Condition, Optional, "Only rows for which the SQL condition is true. Or `{plugin: name}`."),
        key("transform", Group(&TRANSFORM), Optional, "A whole micro-batch through a plugin, before anything else."),
        key(
            "map_with_state",
            Group(&TRANSFORM_WITH_STATE),
            Optional,
            "A plugin with a memory for each key, before any SQL.",
        ),
        key("update_state_by_key", Group(&TRANSFORM_WITH_STATE), Optional, "The same as `map_with_state`."),
        key("union", OneOrMany, Optional, "The rows of these sources, streams or views too, of the same columns."),
        key("join", Group(&JOIN), Optional, "Pairs of rows with equal keys, in the same window if there is one."),
        key(
            "cogroup",
            Group(&COGROUP),
            Optional,
            "Per key, and window if there is one, the values of both sides as arrays.",
        ),
        key("window", Group(&WINDOW), Optional, "What follows is counted, reduced or joined per window of event time."),
        key("count", Group(&COUNT), Optional, "How many rows there are."),
        key("count_by_value", Group(&COUNT), Optional, "How many rows there are of each value."),
        key("reduce", Expressions, Optional, "All rows become one: a map from columns to SQL aggregates."),
        key("reduce_by_key", Group(&REDUCE_BY_KEY), Optional, "The rows of each key become one."),
        key("count_by_window", Group(&COUNT_BY_WINDOW), Optional, "How many rows there are in each window."),
        key("count_by_value_and_window", Group(&COUNT_BY_WINDOW), Optional, "How many rows of each value per window."),
        key("reduce_by_window", Group(&REDUCE_BY_WINDOW), Optional, "The rows of each window become one."),
        key(
            "reduce_by_key_and_window",
            Group(&REDUCE_BY_KEY_AND_WINDOW),
            Optional,
            "The rows of each key become one per window. It costs as little as Spark's with an inverse, and needs none.",
        ),
        key("pprint", Group(&PPRINT), Optional, "An output: printed, a row a line, under a header an epoch."),
        key(
            "save_as_text_files",
            Group(&SAVE),
            Optional,
            "An output: a directory of text an epoch, written exactly once.",
        ),
        key("foreach_rdd", Group(&FOREACH_RDD), Optional, "An output: handed to a plugin, epoch by epoch."),
    ],
    one_of: &[
        "from",
        "map",
        "flat_map",
        "filter",
        "transform",
        "map_with_state",
        "update_state_by_key",
        "union",
        "join",
        "cogroup",
        "window",
        "count",
        "count_by_value",
        "reduce",
        "reduce_by_key",
        "count_by_window",
        "count_by_value_and_window",
        "reduce_by_window",
        "reduce_by_key_and_window",
        "pprint",
        "save_as_text_files",
        "foreach_rdd",
    ],
    choice: "operation",
    dotted: false,
};

/// Steps that are outputs: they stand last.
pub(crate) const OUTPUTS: &[&str] = &["pprint", "save_as_text_files", "foreach_rdd"];

const AS: Key = key("as", Text, Default("count"), "The column with the number.");
const KEY: Key = key("key", OneOrMany, Must, "The column, or columns, by which rows are one.");
const VALUE: Key = key("value", Expressions, Must, "A map from columns to SQL aggregates.");
const LENGTH: Key = key("window", SOME_TIME, Must, "How long a window is.");
const SLIDE: Key = key("slide", SOME_TIME, Optional, "From one window to the next; the window's length if not given.");
const TIME: Key = key("time", Text, Optional, "The column that is the event time; the watermark's if it is not given.");
const MODE: Key = key(
    "output_mode",
    Word(&["append", "update", "complete"]),
    Optional,
    "Which rows: those that are final, those that changed, or all. `append` if not given, `update` for a reduction without a window.",
);
const WITH: Key = key("with", Text, Must, "The other side: a source, stream or view; for a join a table too.");
const ON: Key = key("on", OneOrMany, Must, "The column, or columns, that are equal on both sides.");
const WITH_TIME: Key =
    key("with_time", Text, Optional, "The other side's event time, in a window; its watermark's if it is not given.");

static TRANSFORM: Keys = keys("a transformation", &[key("plugin", Text, Must, "The plugin.")]);

static JOIN: Keys = keys(
    "a join",
    &[
        WITH,
        ON,
        key("kind", Word(&["inner", "left", "right", "full"]), Default("inner"), "Whose rows stay without a partner."),
        WITH_TIME,
    ],
);

static COGROUP: Keys = keys(
    "a cogroup",
    &[
        WITH,
        ON,
        key("left", Expressions, Must, "One column, and the expression whose values here it collects."),
        key("right", Expressions, Must, "One column, and the expression whose values of the other side it collects."),
        WITH_TIME,
    ],
);

static WINDOW: Keys = keys("a window", &[key("length", SOME_TIME, Must, "How long a window is."), SLIDE, TIME]);

static COUNT: Keys = keys("a count", &[AS]);

static REDUCE_BY_KEY: Keys = keys("a reduction by key", &[KEY, VALUE]);

static COUNT_BY_WINDOW: Keys = keys("a count by window", &[LENGTH, SLIDE, TIME, AS]);

static REDUCE_BY_WINDOW: Keys = keys("a reduction by window", &[VALUE, LENGTH, SLIDE, TIME]);

static REDUCE_BY_KEY_AND_WINDOW: Keys = keys("a reduction by key and window", &[KEY, VALUE, LENGTH, SLIDE, TIME]);

static PPRINT: Keys = keys("a pprint", &[key("num", WHOLE, Default("10"), "At most so many rows an epoch."), MODE]);

static SAVE: Keys = keys(
    "text files",
    &[
        key("prefix", Text, Must, "What a directory's path begins with; `-` and the epoch's number follow."),
        key("suffix", Text, Optional, "What it ends with, after a dot."),
        MODE,
    ],
);

static FOREACH_RDD: Keys = keys(
    "a foreach_rdd",
    &[
        key("plugin", Text, Must, "The plugin."),
        key("options", Pairs, Optional, "For the plugin: text, numbers, true or false."),
        MODE,
    ],
);
