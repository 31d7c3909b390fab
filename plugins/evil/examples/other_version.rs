//! Speaks a version of the contract that this host does not know.

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "generated: the canonical ABI is pointers and lengths")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package braid:plugin@0.0.9;

            interface transforms {
                describe: func() -> string;
                apply: func() -> string;
            }

            world transform {
                export transforms;
            }
        ",
        world: "transform",
    });

    struct Ancient;

    impl exports::braid::plugin::transforms::Guest for Ancient {
        fn describe() -> String {
            "rows".into()
        }

        fn apply() -> String {
            "rows".into()
        }
    }

    export!(Ancient);
}
