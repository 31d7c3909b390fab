//! The contracts across the sandbox: their WIT, their versions, and the layout of a column. Used on both sides, imports nothing of ours.

#[cfg(feature = "componentize")]
mod component;
mod types;

use std::fmt;

#[cfg(feature = "componentize")]
pub use component::{ComponentizeError, componentize};
pub use types::{Layout, Type, bitmap_bytes, bitmap_get, bitmap_set};

/// A contract: what a plugin exports.
#[derive(Debug, Clone, Copy)]
pub struct Contract {
    /// Its text.
    pub wit: &'static str,
    /// The package's name, without its version.
    pub package: &'static str,
    /// The one interface that a plugin of its world exports.
    pub interface: &'static str,
    /// Every version there was, and the digest (FNV-1a, 64 bits) of its text. Rows are added, never changed.
    pub versions: &'static [(&'static str, u64)],
}

/// Rows in, rows out.
pub const TRANSFORM: Contract = Contract {
    wit: include_str!("../wit/transform.wit"),
    package: "braid:plugin",
    interface: "transforms",
    versions: &[("0.1.0", 0x424c_b750_5df0_2887)],
};

/// A function in SQL.
pub const SCALAR: Contract = Contract {
    wit: include_str!("../wit/scalar/scalar.wit"),
    package: "braid:scalar",
    interface: "scalars",
    versions: &[("0.1.0", 0xdf1f_2ced_130b_a463)],
};

/// An aggregate in SQL.
pub const AGGREGATE: Contract = Contract {
    wit: include_str!("../wit/aggregate/aggregate.wit"),
    package: "braid:aggregate",
    interface: "aggregates",
    versions: &[("0.1.0", 0xa6e1_f23c_2fe2_cb80)],
};

/// Rows in, rows out, with a memory for each key.
pub const KEYED: Contract = Contract {
    wit: include_str!("../wit/keyed/keyed.wit"),
    package: "braid:keyed",
    interface: "keyed",
    versions: &[("0.1.0", 0x1869_2f84_13c3_4c53)],
};

/// Rows that are taken away, epoch by epoch.
pub const SINK: Contract = Contract {
    wit: include_str!("../wit/sink/sink.wit"),
    package: "braid:sink",
    interface: "sinks",
    versions: &[("0.1.0", 0x78d9_64ff_c1ea_1a89)],
};

/// What a plugin may import, where the deployment grants it. Nothing exports it; the interface named is the first of four.
pub const HOST: Contract = Contract {
    wit: include_str!("../wit/host/host.wit"),
    package: "braid:host",
    interface: "log",
    versions: &[("0.1.0", 0xba38_c139_06ad_f4cb)],
};

/// An interpreter of scripts, which is given one and is then a plugin of any of the other contracts.
pub const SCRIPT: Contract = Contract {
    wit: include_str!("../wit/script/script.wit"),
    package: "braid:script",
    interface: "scripts",
    versions: &[("0.1.0", 0x8449_baa7_c5b5_02db), ("0.2.0", 0xbac8_b8d2_81e2_6e7c)],
};

/// Every contract of a plugin.
pub const ALL: [Contract; 5] = [TRANSFORM, SCALAR, AGGREGATE, KEYED, SINK];

/// Requests: of a [`SINK`], where the deployment grants it.
pub const HTTP: &str = "braid:sink/http@0.1.0";
/// Lines for the log, of the [`HOST`] as those below.
pub const LOG: &str = "braid:host/log@0.1.0";
/// Values that are written in the deployment.
pub const ENV: &str = "braid:host/env@0.1.0";
/// The time: of a [`SINK`].
pub const CLOCK: &str = "braid:host/clock@0.1.0";
/// Random bytes: of a [`SINK`].
pub const RANDOM: &str = "braid:host/random@0.1.0";
/// The most random bytes of one call.
pub const RANDOM_BYTES_MAX: usize = 4096;

/// A global of this name holds the address of what a plugin says when it panics: a length of four bytes, and as much text.
pub const PANIC: &str = "braid_panic";
/// The longest text there.
pub const PANIC_BYTES_MAX: usize = 512;

impl Contract {
    /// The newest version.
    pub const fn version(&self) -> &'static str {
        self.versions[self.versions.len() - 1].0
    }
}

impl fmt::Display for Contract {
    /// What a plugin's export is called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.package, self.interface, self.version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fnv1a(text: &str) -> u64 {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    #[test]
    fn a_text_does_not_change_without_its_version() {
        for contract in ALL.into_iter().chain([HOST, SCRIPT]) {
            let (version, digest) = contract.versions.last().expect("there is a version");
            let now = fnv1a(contract.wit);
            assert_eq!(
                *digest, now,
                "{contract} {version} has changed ({now:#018x}): give it a new version here and in the text"
            );
        }
    }

    #[test]
    fn a_text_says_its_version() {
        for contract in ALL.into_iter().chain([HOST, SCRIPT]) {
            assert!(contract.wit.contains(&format!("package {}@{};", contract.package, contract.version())));
            assert!(contract.wit.contains(&format!("interface {} {{", contract.interface)));
        }
    }

    #[test]
    fn the_worlds_import_nothing_of_their_own_but_a_sink_requests() {
        let (_, world) = SINK.wit.split_once("\nworld ").expect("there is a world");
        assert_eq!(world.matches("import").count(), 1);
        assert!(world.contains("import http;") && SINK.wit.contains("interface http {"));
        assert_eq!(HTTP, format!("{}/http@{}", SINK.package, SINK.version()));
        for (name, interface) in [(LOG, "log"), (ENV, "env"), (CLOCK, "clock"), (RANDOM, "random")] {
            assert_eq!(name, format!("{}/{interface}@{}", HOST.package, HOST.version()));
            assert!(HOST.wit.contains(&format!("    import {interface};")));
        }
        assert!(HOST.wit.contains(&format!("at most {RANDOM_BYTES_MAX}")));
        for contract in [TRANSFORM, SCALAR, AGGREGATE, KEYED] {
            let (_, world) = contract.wit.split_once("\nworld ").expect("there is a world");
            assert!(!world.contains("import") && !world.contains("include"));
        }
    }
}
