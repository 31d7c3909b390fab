//! Layout files: the built-in ones, and the reading of any.

use std::path::{Path, PathBuf};

use crate::diagnostics::Diagnostic;
use crate::keys_layout::LAYOUT;
use crate::model::{BaseBy, Layout, LogKeep};
use crate::read::Reader;
use crate::source_map::SourceMap;
use crate::suggest::did_you_mean;
use crate::value::Fields;

/// The layouts that need no file.
const BUILT_IN: &[(&str, &str)] =
    &[("lambda", include_str!("../../../layouts/lambda.yaml")), ("kappa", include_str!("../../../layouts/kappa.yaml"))];

/// Why a layout's word leads to no layout.
pub(crate) struct NoLayout {
    pub message: String,
    pub expected: String,
    pub hint: Option<String>,
}

/// A layout's text and where it is from.
#[derive(Debug)]
pub(crate) struct Found {
    name: String,
    file: String,
    text: String,
}

/// Finds the layout that a word means: a built-in one, or the file at that path.
pub(crate) fn find(word: &str, folder: &Path) -> Result<Found, NoLayout> {
    let expected = "`lambda`, `kappa`, or the path of a layout file such as `./my-layout.yaml`".to_owned();
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == word) {
        return Ok(Found {
            name: (*name).to_owned(),
            file: format!("layouts/{name}.yaml (built in)"),
            text: (*text).to_owned(),
        });
    }
    let known = || BUILT_IN.iter().map(|(name, _)| *name);
    let is_path = word.contains('/') || word.ends_with(".yaml") || word.ends_with(".yml");
    if !is_path {
        return Err(NoLayout {
            message: format!("there is no layout {}", crate::read::shown(word, None)),
            expected,
            hint: did_you_mean(word, known()),
        });
    }
    let path: PathBuf = folder.join(word);
    match crate::read_file(&path) {
        Ok(text) => Ok(Found {
            name: path.file_stem().map_or_else(|| word.to_owned(), |stem| stem.to_string_lossy().into_owned()),
            file: path.display().to_string(),
            text,
        }),
        Err(reason) => Err(NoLayout {
            message: format!("the layout file {} cannot be read: {reason}", crate::read::shown(word, None)),
            expected,
            hint: None,
        }),
    }
}

/// Reads a layout.
pub(crate) fn read(found: &Found, env: &dyn Fn(&str) -> Option<String>, mistakes: &mut Vec<Diagnostic>) -> Layout {
    let mut map = SourceMap::new(&found.file, &found.text);
    let before = mistakes.len();
    let fields = match crate::tree(&found.text, env, &mut map, mistakes) {
        Some(node) => Reader { map: &mut map, mistakes }.file(&node, &LAYOUT),
        None => Fields::default(),
    };
    let epoch = fields.fields("speed").and_then(|speed| speed.fields("epoch")).cloned().unwrap_or_default();
    let part = |name: &str| fields.fields(name).cloned().unwrap_or_default();
    let (log, base) = (part("log"), part("base"));
    let layout = Layout {
        name: found.name.clone(),
        epoch_every: epoch.duration("every"),
        epoch_rows: epoch.whole("rows"),
        log: match log.text("keep").as_str() {
            "forever" => LogKeep::Forever,
            _ => LogKeep::UntilFolded,
        },
        base: match base.text("by").as_str() {
            "recompute" => BaseBy::Recompute,
            _ => BaseBy::Fold,
        },
        base_every: base.duration("every"),
    };
    if mistakes.len() == before && layout.base == BaseBy::Recompute && layout.log == LogKeep::UntilFolded {
        let mistake = map.at_value("base.by", "the base cannot be recomputed from rows that are not kept");
        mistakes.push(mistake.hint(Some("keep the log `forever`, or let the base be made by `fold`")));
    }
    layout
}

/// The layouts that need no file.
pub fn built_in() -> Vec<Layout> {
    let names = BUILT_IN.iter().filter_map(|(name, _)| find(name, Path::new("")).ok());
    names.map(|found| read(&found, &|_| None, &mut Vec::new())).collect()
}
