//! Makes a test of each folder in `cases/`, so that a case is named by the test runner and can be run alone.

use std::fmt::Write;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=cases");
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    let mut names: Vec<String> = std::fs::read_dir(Path::new(&root).join("cases"))
        .expect("the cases stand in e2e/cases")
        .map(|entry| entry.expect("a readable directory").file_name())
        .map(|name| name.into_string().expect("a case's name is plain text"))
        .collect();
    names.sort();
    let mut code = String::new();
    for name in names {
        let ident = name.to_lowercase().replace('-', "_");
        let expected = Path::new(&root).join("cases").join(&name).join("expected");
        let modes: &[&str] = if ["validate.txt", "plan.txt"].iter().any(|refused| expected.join(refused).exists()) {
            &["Refused"]
        } else {
            &["Kappa", "Lambda", "Swapped", "Once"]
        };
        writeln!(code, "mod {ident} {{").expect("a String takes all");
        for mode in modes {
            let test = mode.to_lowercase();
            writeln!(code, "    #[test] fn {test}() {{ super::check({name:?}, super::Mode::{mode}); }}")
                .expect("a String takes all");
        }
        code.push_str("}\n");
    }
    std::fs::write(Path::new(&out).join("cases.rs"), code).expect("OUT_DIR can be written");
}
