//! What the crimes share: each is committed only on a marked record, so that a test can prove that the others pass.

use braid_guest::{Batch, Type};

/// A record is marked where one of its texts is this.
pub const MARK: &str = "evil";

/// Whether a batch holds a marked record.
pub fn marked(batch: &Batch) -> bool {
    let texts = batch.columns.iter().filter(|c| c.data_type == Type::Utf8);
    texts
        .filter_map(|column| batch.utf8(&column.name).ok())
        .any(|column| column.iter_bytes().any(|text| text == Some(MARK.as_bytes())))
}

/// A plugin that passes everything on, but commits a crime where a record is marked.
#[macro_export]
macro_rules! crime {
    ($batch:ident => $crime:expr) => {
        struct Criminal;

        impl braid_guest::Transform for Criminal {
            fn describe(input: braid_guest::Schema) -> Result<braid_guest::Schema, String> {
                Ok(input)
            }

            fn apply($batch: braid_guest::Batch) -> Result<braid_guest::Batch, String> {
                if $crate::marked(&$batch) { $crime } else { Ok($batch) }
            }
        }

        braid_guest::transform!(Criminal);
    };
}
