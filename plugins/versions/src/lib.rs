//! Versions of plugins: what one may be replaced by while it runs, and what not. Each says in its rows which it is.

use braid_guest::{Batch, Column, Schema, Type};

/// A version that is picky fails on a record that has this text.
pub const BAD: &str = "bad";

/// The input's columns and one more, of whole numbers.
pub fn with_column(mut input: Schema, name: &str) -> Schema {
    input.fields.push(braid_guest::Field { name: name.into(), data_type: Type::Int64 });
    input
}

/// The batch with its version in that column.
pub fn tagged(mut batch: Batch, name: &str, version: i64) -> Batch {
    let rows = batch.rows;
    batch.set(Column::fixed(name, Type::Int64, (0..rows).map(|_| Some(version))));
    batch
}

/// Whether a record is one that the picky cannot take.
pub fn is_bad(batch: &Batch) -> bool {
    let texts = batch.columns.iter().filter(|column| column.data_type == Type::Utf8);
    let texts = texts.filter_map(|column| batch.utf8(&column.name).ok());
    texts.into_iter().any(|column| column.iter_bytes().any(|text| text == Some(BAD.as_bytes())))
}

/// A stream with its version in a column.
#[macro_export]
macro_rules! tag {
    ($name:literal, $version:literal, $check:expr) => {
        struct Tag;

        impl braid_guest::Transform for Tag {
            fn describe(input: braid_guest::Schema) -> Result<braid_guest::Schema, String> {
                Ok($crate::with_column(input, $name))
            }

            fn apply(batch: braid_guest::Batch) -> Result<braid_guest::Batch, String> {
                let check: fn(&braid_guest::Batch) = $check;
                check(&batch);
                Ok($crate::tagged(batch, $name, $version))
            }
        }

        braid_guest::transform!(Tag);
    };
}

/// A sum that counts each number so often; or with another merge, and another answer of what is kept.
#[macro_export]
macro_rules! sum {
    ($times:literal, $number:ty) => {
        $crate::sum!($times, $number, |mine, other| mine + other, |total| total);
    };
    ($times:literal, $number:ty, $merge:expr, $finish:expr) => {
        #[derive(Default)]
        struct Sum {
            total: $number,
        }

        impl braid_guest::Aggregate for Sum {
            type Arguments<'a> = (i64,);
            type Answer = i64;

            fn accumulate(&mut self, (n,): (i64,)) -> Result<(), String> {
                self.total += (n * $times) as $number;
                Ok(())
            }

            fn merge(&mut self, other: Self) -> Result<(), String> {
                let merge: fn($number, $number) -> $number = $merge;
                self.total = merge(self.total, other.total);
                Ok(())
            }

            fn finish(self) -> i64 {
                let finish: fn($number) -> $number = $finish;
                finish(self.total) as i64
            }
        }

        braid_guest::aggregate!(Sum { total: $number });
    };
}

/// A count of each key's rows, with its version; it keeps the count under this name.
#[macro_export]
macro_rules! count {
    ($kept:literal, $version:literal, $check:expr) => {
        use braid_guest::{Context, Program, Row, Schema, Stateful, Type, ValueState};

        const COUNT: ValueState<i64> = ValueState::new($kept);

        struct Count;

        impl Stateful for Count {
            fn describe(_: &Schema, _: &[String], _: Option<&Schema>) -> Result<Program, String> {
                let columns = [("key", Type::Utf8), ("count", Type::Int64), ("version", Type::Int64)];
                Ok(Program::new(columns).keep(&COUNT))
            }

            fn on_row(_: Row<'_>, context: &mut Context<'_>) -> Result<(), String> {
                let key = context.key().only()?;
                let check: fn(&str) = $check;
                check(&format!("{key:?}"));
                let count = COUNT.get(context)?.unwrap_or(0) + 1;
                COUNT.set(context, count)?;
                context.emit(&[key, count.into(), $version.into()])
            }
        }

        braid_guest::stateful!(Count);
    };
}
