//! A script inside of a component: its interpreter, and the script in a custom section that stands before everything else.
//! Such a file needs nothing of the machine that it is carried to.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use braid_spec::model::Language;

use crate::error::PluginError;
use crate::script::{Source, interpreter_bytes, source};

/// The section's name. Behind it are the script's name, with its length, and its text.
const SECTION: &[u8] = b"braid:script";
/// The number of a custom section.
const CUSTOM: u8 = 0;
/// What a component begins with.
const HEADER_BYTES: usize = 8;
/// In so many bytes there is the script's name, which is that of a file.
const HEAD_BYTES_MAX: usize = 300;
/// Numbers have seven bits a byte, the lowest first, and fit into 32 bits.
const NUMBER_BYTES_MAX: usize = 5;

/// A component with a script inside.
pub(crate) struct Inside<'a> {
    pub(crate) source: Source,
    pub(crate) language: Language,
    header: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Inside<'a> {
    /// What is inside of a component, if it is a script in a language that there is.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        let Head { name, language, text, end } = Head::of(bytes)?;
        let text = String::from_utf8(bytes.get(text..end)?.to_vec()).ok()?;
        let (header, rest) = (bytes.get(..HEADER_BYTES)?, bytes.get(end..)?);
        Some(Self { source: Source { name, text }, language, header, rest })
    }

    /// The component without it, as it was built.
    pub(crate) fn interpreter(&self) -> Vec<u8> {
        [self.header, self.rest].concat()
    }
}

/// How the section begins, and where its text does and ends.
struct Head {
    name: String,
    language: Language,
    text: usize,
    end: usize,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut at = HEADER_BYTES + 1;
        if bytes.get(HEADER_BYTES) != Some(&CUSTOM) {
            return None;
        }
        let section = number(bytes, &mut at)?;
        let end = at.checked_add(section)?;
        if named(bytes, &mut at)? != SECTION {
            return None;
        }
        let name = String::from_utf8(named(bytes, &mut at)?.to_vec()).ok()?;
        let language = Language::of(Path::new(&name))?;
        (at <= end).then_some(Self { name, language, text: at, end })
    }
}

/// The language of the script in a component's file, if there is one inside.
pub fn language_inside(file: &Path) -> Option<Language> {
    let mut head = Vec::new();
    File::open(file).ok()?.take(HEAD_BYTES_MAX as u64).read_to_end(&mut head).ok()?;
    Some(Head::of(&head)?.language)
}

/// A component of a script and the interpreter that this machine has for it. `home` is Braid's directory for WebAssembly.
pub fn component_of(
    plugin: &str,
    file: &Path,
    bytes: Vec<u8>,
    language: Language,
    home: &Path,
) -> Result<Vec<u8>, PluginError> {
    let interpreter = interpreter_bytes(plugin, language, home)?;
    let Source { name, text } = source(plugin, file, bytes)?;
    let part = |bytes: &[u8]| [number_of(bytes.len()), bytes.to_vec()].concat();
    let section = [part(SECTION), part(name.as_bytes()), text.into_bytes()].concat();
    let (header, rest) = interpreter.split_at(HEADER_BYTES.min(interpreter.len()));
    Ok([header, &[CUSTOM], &part(&section), rest].concat())
}

/// Bytes behind their length.
fn named<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = number(bytes, at)?;
    let found = bytes.get(*at..at.checked_add(length)?)?;
    *at += length;
    Some(found)
}

fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut number = 0_u64;
    for shift in 0..NUMBER_BYTES_MAX {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            return usize::try_from(u32::try_from(number).ok()?).ok();
        }
    }
    None
}

fn number_of(mut number: usize) -> Vec<u8> {
    let mut bytes = vec![];
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A component of nothing but its header.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn home_with_interpreter() -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a directory");
        let place = crate::script::interpreter(Language::Python, home.path());
        std::fs::create_dir_all(place.parent().expect("a directory")).expect("a fresh directory");
        std::fs::write(place, [EMPTY, b"rest"].concat()).expect("a fresh file");
        home
    }

    proptest! {
        #[test]
        fn what_is_put_inside_is_found_there(text in "\\PC{0,300}", stem in "[a-z]{1,200}") {
            let home = home_with_interpreter();
            let file = home.path().join(format!("{stem}.py"));
            let made = component_of("p", &file, text.clone().into_bytes(), Language::Python, home.path());
            let made = made.expect("an interpreter");
            let inside = Inside::of(&made).expect("a script");
            prop_assert_eq!((&inside.source.text, inside.language), (&text, Language::Python));
            prop_assert_eq!(inside.source.name.clone(), format!("{stem}.py"));
            prop_assert_eq!(inside.interpreter(), [EMPTY, b"rest"].concat());
            let place = home.path().join("made.wasm");
            std::fs::write(&place, &made).expect("a fresh file");
            prop_assert_eq!(language_inside(&place), Some(Language::Python));
        }

        #[test]
        fn what_is_none_is_nothing(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Inside::of(&bytes);
            let _ = Inside::of(&[EMPTY, b"\0\x0f\x0cbraid:script", &bytes].concat());
        }
    }
}
