//! See the crate.

use braid_guest::{Batch, Field, FixedBuilder, Schema, Transform, Type, VarBuilder};

struct JsonFields;

impl Transform for JsonFields {
    fn describe(input: Schema) -> Result<Schema, String> {
        input.require("value", Type::Utf8)?;
        let field = |name: &str, data_type| Field { name: name.into(), data_type };
        Ok(Schema { fields: vec![field("user", Type::Utf8), field("page", Type::Utf8), field("ms", Type::Int64)] })
    }

    fn apply(batch: Batch) -> Result<Batch, String> {
        let rows = batch.rows;
        let (mut users, mut pages) = (VarBuilder::with_capacity(rows, 0), VarBuilder::with_capacity(rows, 0));
        let mut times = FixedBuilder::with_capacity(rows);
        for text in batch.utf8("value")?.iter() {
            let fields = text.and_then(braid_speed::json_fields).unwrap_or_default();
            users.push(fields.user);
            pages.push(fields.page);
            times.push(fields.ms);
        }
        let columns =
            vec![users.finish("user", Type::Utf8), pages.finish("page", Type::Utf8), times.finish("ms", Type::Int64)];
        Ok(Batch { rows, columns })
    }
}

braid_guest::transform!(JsonFields);
