//! Where a plugin's code is, and what it may use up: where a deployment does not name a limit, it depends on what the code is.

use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Processor time of a script for one call: it is given few rows at once.
const SCRIPT_TIME: Duration = Duration::from_millis(500);
/// A script's source.
const SCRIPT_MODULE_BYTES: u64 = MIB;
/// A component with a script and its interpreter inside.
const SCRIPT_INSIDE_MODULE_BYTES: u64 = 64 * MIB;
/// An interpreter recurses where a program does.
const SCRIPT_STACK_BYTES: u64 = MIB;

const fn script_memory_bytes(language: Language) -> u64 {
    match language {
        Language::JavaScript | Language::TypeScript => 128 * MIB,
        Language::Python => 256 * MIB,
    }
}

/// Where a plugin's code is. Files are resolved against the deployment file's folder or the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginCode {
    /// A component.
    Component(PathBuf),
    /// A text that an interpreter reads.
    Script { file: PathBuf, language: Language },
}

/// A language that has an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `.js`
    JavaScript,
    /// `.ts`; JavaScript, once its types are gone.
    TypeScript,
    /// `.py`
    Python,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 3] = [Self::JavaScript, Self::TypeScript, Self::Python];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Python => "Python",
        }
    }

    /// What `plugins/build --interpreter` calls what runs it.
    pub const fn interpreter(self) -> &'static str {
        match self {
            Self::JavaScript | Self::TypeScript => "js",
            Self::Python => "python",
        }
    }

    /// How the names of its files end.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::JavaScript => "js",
            Self::TypeScript => "ts",
            Self::Python => "py",
        }
    }

    /// The language of a file.
    pub fn of(file: &Path) -> Option<Self> {
        let extension = file.extension()?.to_str()?;
        // It says of types only.
        let is_declaration = file.file_stem().is_some_and(|stem| Path::new(stem).extension() == Some("d".as_ref()));
        Self::ALL.into_iter().find(|language| language.extension() == extension && !is_declaration)
    }
}

/// What a plugin may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginLimits {
    /// Linear memory, in bytes.
    pub memory_bytes: u64,
    /// Time for one batch.
    pub time: Duration,
    /// Bytes it may return for one batch.
    pub output_bytes: u64,
    /// Stack, in bytes.
    pub stack_bytes: u64,
    /// Elements of a table.
    pub table_elements: u64,
    /// Bytes of its log in one batch.
    pub log_bytes: u64,
    /// The component file's size, in bytes.
    pub module_bytes: u64,
    /// Time for compiling it.
    pub compile_time: Duration,
    /// For its requests, where it may make some.
    pub http: HttpLimits,
}

/// What a plugin's requests may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Requests in one epoch.
    pub requests: u64,
    /// Time for one.
    pub time: Duration,
    /// Time that all of one epoch may wait.
    pub wait: Duration,
    /// Bytes of one request's body.
    pub request_bytes: u64,
    /// Bytes of one answer's body.
    pub response_bytes: u64,
}

/// The limits of a deployment. Those that it does not name are those of what the plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// With those of a component where it names none.
    pub(crate) written: PluginLimits,
    /// Which of these it names: memory, time, stack, module.
    pub(crate) named: [bool; 4],
}

impl Limits {
    /// For a component.
    pub const fn of_component(&self) -> PluginLimits {
        self.written
    }

    /// For a script.
    pub fn of_script(&self, language: Language) -> PluginLimits {
        let or = |named: bool, written: u64, of_script: u64| if named { written } else { of_script };
        let Self { written, named: [memory, time, stack, module] } = *self;
        PluginLimits {
            memory_bytes: or(memory, written.memory_bytes, script_memory_bytes(language)),
            time: if time { written.time } else { SCRIPT_TIME },
            stack_bytes: or(stack, written.stack_bytes, SCRIPT_STACK_BYTES),
            module_bytes: or(module, written.module_bytes, SCRIPT_MODULE_BYTES),
            ..written
        }
    }

    /// For a component with a script inside, which brings its interpreter.
    pub fn of_script_inside(&self, language: Language) -> PluginLimits {
        let [.., module] = self.named;
        let module_bytes = if module { self.written.module_bytes } else { SCRIPT_INSIDE_MODULE_BYTES };
        PluginLimits { module_bytes, ..self.of_script(language) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_not_named_are_those_of_the_code() {
        let http =
            HttpLimits { requests: 0, time: Duration::ZERO, wait: Duration::ZERO, request_bytes: 0, response_bytes: 0 };
        let written = PluginLimits {
            memory_bytes: 1,
            time: Duration::ZERO,
            output_bytes: 1,
            stack_bytes: 1,
            table_elements: 1,
            log_bytes: 1,
            module_bytes: 1,
            compile_time: Duration::ZERO,
            http,
        };
        let of = |named: [bool; 4]| Limits { written, named };
        assert_eq!(of([false; 4]).of_component(), written);
        let of_script = PluginLimits {
            memory_bytes: 256 * MIB,
            time: SCRIPT_TIME,
            stack_bytes: SCRIPT_STACK_BYTES,
            module_bytes: SCRIPT_MODULE_BYTES,
            ..written
        };
        assert_eq!(of([false; 4]).of_script(Language::Python), of_script);
        let inside = of([false; 4]).of_script_inside(Language::TypeScript);
        assert_eq!((inside.memory_bytes, inside.module_bytes), (128 * MIB, SCRIPT_INSIDE_MODULE_BYTES));
        assert_eq!(of([true; 4]).of_script(Language::Python), written);
        assert_eq!(of([true; 4]).of_script_inside(Language::Python), written);
    }

    #[test]
    fn a_language_is_how_a_file_ends() {
        let of = |file: &str| Language::of(Path::new(file));
        assert_eq!(of("a/b.ts"), Some(Language::TypeScript));
        assert_eq!(of("b.c.py"), Some(Language::Python));
        assert_eq!([of("braid.d.ts"), of("b.wasm"), of("js"), of(".js")], [None; 4]);
    }
}
