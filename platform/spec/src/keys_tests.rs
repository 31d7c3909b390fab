//! The keys of tests.

use crate::keys::Need::Must;
use crate::keys::Shape::{Expect, Given, Text};
use crate::keys::{Keys, key, keys};

/// How a step of a test says that time passes before it.
pub(crate) const WAIT: &str = "wait";

pub(crate) static TEST: Keys = keys(
    "a test",
    &[
        key("name", Text, Must, "What it shows."),
        key(
            "given",
            Given,
            Must,
            "The records of sources, in order: each a map from columns to values, or text in the source's format. Rows of \
             tables in place of their files. A list of such maps is steps, one after the other: no epoch has records of two, \
             and `wait: 10m` says that time passes before one.",
        ),
        key(
            "expect",
            Expect,
            Must,
            "What must come of it, however the records are cut into epochs and whatever crashes: the rows of views, of \
             `dead_letters` and `late_rows`, and what sinks were given, in any order; or how many there are. Columns that no \
             row names are not compared.",
        ),
    ],
);
