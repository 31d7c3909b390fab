//! A sum as good as the others, whose states mean something else.

braid_versions::sum!(-1, i64, |mine, other| mine + other, |total| -total);
