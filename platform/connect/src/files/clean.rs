//! What becomes of files once the epochs that read them are committed (`clean_source`).

use std::collections::BTreeSet;

use braid_kernel::SourceError;
use braid_spec::model::CleanSource;

use crate::place::{Found, Place};

/// Takes files away. A file that cannot be is warned of once, and stays until a restart tries it again.
pub(super) struct Cleaner {
    source: String,
    place: Place,
    mode: Mode,
    stuck: BTreeSet<String>,
}

enum Mode {
    Off,
    Archive(Place),
    Delete,
}

impl Cleaner {
    pub(super) fn new(source: &str, place: &Place, clean: &CleanSource) -> Result<Self, SourceError> {
        let mode = match clean {
            CleanSource::Off => Mode::Off,
            CleanSource::Delete => Mode::Delete,
            CleanSource::Archive(folder) => {
                let archive = Place::parse(folder)?;
                if !place.same_store(&archive) {
                    let reason = format!("source_archive_dir {folder} is in another store than the files");
                    return Err(SourceError::Fatal(reason));
                }
                Mode::Archive(archive)
            }
        };
        Ok(Self { source: source.to_owned(), place: place.clone(), mode, stuck: BTreeSet::new() })
    }

    /// Takes away files that committed epochs have read. Those that an earlier process took away are no error.
    pub(super) async fn clean(&mut self, files: impl IntoIterator<Item = Found>) {
        let archive = match &self.mode {
            Mode::Off => return,
            Mode::Delete => None,
            Mode::Archive(archive) => Some(archive),
        };
        for file in files {
            if self.stuck.contains(&file.path) {
                continue;
            }
            if let Err(reason) = self.place.take_away(&file, archive).await {
                tracing::warn!("source `{}` has read {} and cannot take it away: {reason}", self.source, file.path);
                self.stuck.insert(file.path);
            }
        }
    }
}
