//! What was tried of plugins and held, remembered beside their compiled code: a name for each, made of all that it depends on.

use std::io;
use std::path::Path;

use crate::cache::Cache;
use crate::compile::digest;

/// The most bytes that are remembered: of more, what was not asked for longest goes.
pub const CHECKED_BYTES_MAX: u64 = 1024 * 1024;

/// A directory of such names.
pub struct Checked(Cache);

impl Checked {
    /// The directory, which only Braid writes to; an error where others can.
    pub fn open(directory: &Path) -> Result<Self, String> {
        Cache::open(directory).map(Self)
    }

    /// Whether this was noted: it says what was tried, of what.
    pub fn has(&self, what: &str) -> bool {
        self.0.read(&digest(what.as_bytes())).is_some_and(|known| known == what.as_bytes())
    }

    /// Notes it.
    pub fn note(&self, what: &str) -> io::Result<()> {
        self.0.write(&digest(what.as_bytes()), what.as_bytes(), CHECKED_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_and_nothing_else() {
        let home = tempfile::tempdir().expect("a directory");
        let checked = Checked::open(&home.path().join("checked")).expect("a fresh directory");
        checked.note("a plugin of (Int64)").expect("it is noted");
        assert!(checked.has("a plugin of (Int64)") && !checked.has("a plugin of (Utf8)"));
        let again = Checked::open(&home.path().join("checked")).expect("the same");
        assert!(again.has("a plugin of (Int64)"));
        std::fs::write(home.path().join("checked").join(digest(b"a plugin of (Int64)")), "").expect("cut");
        assert!(!again.has("a plugin of (Int64)"));
    }
}
