//! From what rustc makes of a guest (a core module) to what the host loads (a component).

use std::fmt;

use wit_component::ComponentEncoder;

/// Why a core module could not become a component.
#[derive(Debug)]
pub struct ComponentizeError(String);

impl fmt::Display for ComponentizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ComponentizeError {}

/// Makes a component of a core module built for `wasm32-unknown-unknown` with `braid-guest`.
/// The same bytes give the same bytes.
pub fn componentize(core_module: &[u8]) -> Result<Vec<u8>, ComponentizeError> {
    let failed = |reason| ComponentizeError(format!("not a guest's core module: {reason:#}"));
    ComponentEncoder::default().validate(true).module(core_module).map_err(failed)?.encode().map_err(failed)
}
