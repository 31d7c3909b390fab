//! The keys of a layout file.

use crate::keys::Need::{Default, Must, Optional};
use crate::keys::Shape::{Group, Word};
use crate::keys::{Keys, SOME_TIME, WHOLE, key, keys};

/// The layout file.
pub(crate) static LAYOUT: Keys = keys(
    "a layout",
    &[
        key("speed", Group(&SPEED), Optional, "The speed layer."),
        key("log", Group(&LOG), Must, "The raw rows."),
        key("base", Group(&BASE), Must, "The base that the deltas are added to."),
    ],
);

static SPEED: Keys = keys("the speed layer", &[key("epoch", Group(&EPOCH), Optional, "When an epoch ends.")]);

static EPOCH: Keys = keys(
    "an epoch",
    &[
        key("every", SOME_TIME, Default("1s"), "After this time …"),
        key("rows", WHOLE, Default("65536"), "… or this many rows, whichever comes first."),
    ],
);

static LOG: Keys = keys(
    "the log",
    &[key(
        "keep",
        Word(&["forever", "until_folded"]),
        Must,
        "Whether the raw rows are the master dataset, or are cut once the base covers them.",
    )],
);

static BASE: Keys = keys(
    "the base",
    &[
        key("by", Word(&["recompute", "fold"]), Must, "Computed anew from the log, or merged from the deltas."),
        key("every", SOME_TIME, Default("10m"), "How often."),
    ],
);
