//! Values that are written in the deployment: `grants: {env: {REGION: eu}}`.

/// The value of that name, if there is one. Values are part of what answers are made of: where one changes, so does the
/// plugin.
#[cfg(target_arch = "wasm32")]
pub fn env(name: &str) -> Option<String> {
    crate::worlds::host::env::get(name)
}

/// Where there is no host, that of the process.
#[cfg(not(target_arch = "wasm32"))]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
