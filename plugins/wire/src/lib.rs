//! The contract across the sandbox: its WIT, its version, and the layout of a column. Used on both sides, imports nothing of ours.

#[cfg(feature = "componentize")]
mod component;
mod types;

#[cfg(feature = "componentize")]
pub use component::{ComponentizeError, componentize};
pub use types::{Layout, Type, bitmap_bytes, bitmap_get, bitmap_set};

/// The contract's text.
pub const WIT: &str = include_str!("../wit/transform.wit");

/// The package's name, without its version.
pub const PACKAGE: &str = "braid:plugin";

/// The contract's version: that of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The one interface a transform exports.
pub const INTERFACE: &str = "transforms";

/// Every version there was, and the digest (FNV-1a, 64 bits) of its text. Rows are added, never changed.
pub const VERSIONS: &[(&str, u64)] = &[("0.1.0", 0x424c_b750_5df0_2887)];

#[cfg(test)]
mod tests {
    use super::*;

    fn fnv1a(text: &str) -> u64 {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    #[test]
    fn the_text_does_not_change_without_its_version() {
        let (version, digest) = VERSIONS.last().expect("there is a version");
        assert_eq!(*version, VERSION, "add version {VERSION} and its digest {:#018x} to VERSIONS", fnv1a(WIT));
        assert_eq!(
            *digest,
            fnv1a(WIT),
            "transform.wit has changed ({:#018x}): give it a new version here, in Cargo.toml and in the text",
            fnv1a(WIT)
        );
    }

    #[test]
    fn the_text_says_the_version() {
        assert!(WIT.contains(&format!("package {PACKAGE}@{VERSION};")));
        assert!(WIT.contains(&format!("interface {INTERFACE} {{")));
    }

    #[test]
    fn the_world_imports_nothing() {
        let (_, world) = WIT.split_once("world transform").expect("there is a world");
        assert!(!world.contains("import") && !world.contains("include"));
    }
}
