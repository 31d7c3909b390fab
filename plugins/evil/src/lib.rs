//! What the crimes share: each is committed only on a marked record, so that a test can prove that the others pass.

use std::hint::black_box;

use braid_guest::{Batch, Type};

const BITE_BYTES: usize = 1 << 20;

/// A record is marked where one of its texts is this.
pub const MARK: &str = "evil";

/// Whether a batch holds a marked record.
pub fn marked(batch: &Batch) -> bool {
    let texts = batch.columns.iter().filter(|c| c.data_type == Type::Utf8);
    texts
        .filter_map(|column| batch.utf8(&column.name).ok())
        .any(|column| column.iter_bytes().any(|text| text == Some(MARK.as_bytes())))
}

/// Commits the crime of this name; those of other names are none.
pub fn commit(crime: &str) -> Result<(), String> {
    match crime {
        "panic" => panic!("no row of this kind"),
        "loop" => while black_box(true) {},
        "recursion" => return Err(descend(1).to_string()),
        "memory" => {
            let mut bites: Vec<Vec<u8>> = Vec::new();
            while black_box(true) {
                bites.push(black_box(vec![1; BITE_BYTES]));
            }
        }
        "error" => return Err("not this row".into()),
        _ => {}
    }
    Ok(())
}

fn descend(depth: u64) -> u64 {
    if depth == black_box(u64::MAX) {
        return depth;
    }
    descend(depth + 1).wrapping_mul(31) ^ depth
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
