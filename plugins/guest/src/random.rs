//! Random bytes, for a sink. The deployment grants them: `grants: {random: true}`.

/// So many bytes.
#[cfg(target_arch = "wasm32")]
pub fn bytes(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let part = (length - bytes.len()).min(braid_wire::RANDOM_BYTES_MAX);
        bytes.extend(crate::worlds::host::random::bytes(part as u32));
    }
    bytes
}

/// Where there is no host, of what maps are seeded with: nothing to keep a secret with.
#[cfg(not(target_arch = "wasm32"))]
pub fn bytes(length: usize) -> Vec<u8> {
    use std::hash::{BuildHasher, RandomState};
    let parts = std::iter::repeat_with(|| RandomState::new().hash_one(length).to_le_bytes());
    parts.flatten().take(length).collect()
}
