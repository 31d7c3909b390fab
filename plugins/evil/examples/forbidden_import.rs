//! Wants the time, which nobody granted.

#[cfg(target_arch = "wasm32")]
mod bindings {
    use braid_guest::worlds::transform::exports::braid::plugin::transforms::{Batch, Guest, Schema};

    wit_bindgen::generate!({
        inline: "
            package evil:watch;

            interface clock {
                now: func() -> u64;
            }

            world thief {
                import clock;
            }
        ",
        world: "thief",
    });

    struct Thief;

    type Honest = braid_guest::worlds::transform::Component<super::Nobody>;

    impl Guest for Thief {
        fn describe(input: Schema) -> Result<Schema, String> {
            Honest::describe(input)
        }

        fn apply(input: Batch) -> Result<Batch, String> {
            match evil::watch::clock::now() {
                0 => Err("no time".into()),
                _ => Honest::apply(input),
            }
        }
    }

    braid_guest::worlds::transform::export_transform!(Thief with_types_in braid_guest::worlds::transform);
}

#[cfg(target_arch = "wasm32")]
struct Nobody;

#[cfg(target_arch = "wasm32")]
impl braid_guest::Transform for Nobody {
    fn describe(input: braid_guest::Schema) -> Result<braid_guest::Schema, String> {
        Ok(input)
    }

    fn apply(batch: braid_guest::Batch) -> Result<braid_guest::Batch, String> {
        Ok(batch)
    }
}
