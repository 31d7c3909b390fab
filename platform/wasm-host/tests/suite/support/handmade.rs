//! Guests written by hand, below what any compiler makes: `plugins/evil/handmade`.

use std::path::PathBuf;

use braid_wasm_host::componentize;
use braid_wire::TRANSFORM;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::plugins;

/// Where the crime goes in the frame.
const HERE: &str = "(; crime ;)";

fn directory() -> PathBuf {
    plugins().join("evil/handmade")
}

fn read(name: &str) -> String {
    let path = directory().join(format!("{name}.wat"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// Every crime there is.
pub fn names() -> Vec<String> {
    let files = std::fs::read_dir(directory()).expect("the crimes are there");
    let names = files.map(|file| {
        let path = file.expect("a file").path();
        path.file_stem().expect("a name").to_string_lossy().into_owned()
    });
    let mut names: Vec<String> = names.filter(|name| name != "frame").collect();
    names.sort();
    names
}

/// The component of one.
pub fn handmade(crime: &str) -> Vec<u8> {
    component(&core(&read(crime)))
}

/// A core module that is honest but for this.
pub fn core(crime: &str) -> Vec<u8> {
    let frame = read("frame");
    let heads = definitions(crime);
    let mut text = String::new();
    let mut left_out = false;
    for line in frame.lines() {
        if line.starts_with('(') {
            left_out = head(line).is_some_and(|head| heads.contains(&head));
        }
        if line == HERE {
            text.push_str(crime);
        } else if !left_out || line.starts_with(";;") || line == ")" {
            text.push_str(line);
        }
        text.push('\n');
    }
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A core module as a component of the world `transform`.
pub fn component(core: &[u8]) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("transform.wit", TRANSFORM.wit).expect("the contract");
    let world = resolve.select_world(&[package], Some("transform")).expect("its world");
    let mut module = core.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("a module");
    componentize(&module).expect("a guest's core module")
}

/// What a text defines: `func $name`, at the beginning of a line.
fn definitions(text: &str) -> Vec<String> {
    text.lines().filter_map(head).collect()
}

fn head(line: &str) -> Option<String> {
    let mut words = line.strip_prefix('(')?.split([' ', ')']);
    let (kind, name) = (words.next()?, words.next()?);
    name.starts_with('$').then(|| format!("{kind} {name}"))
}
