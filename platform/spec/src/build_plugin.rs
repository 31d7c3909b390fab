//! A plugin's code, and what it may use up.

use std::path::PathBuf;

use crate::build::Builder;
use crate::model::{HttpLimits, Language, Limits, PluginCode, PluginLimits};
use crate::value::Fields;

impl Builder<'_> {
    pub(crate) fn plugin_code(&mut self, fields: &Fields) -> PluginCode {
        if let Some(script) = fields.text_maybe("script") {
            let hint = "write the script; what is in one is in `plugins/guest-js` and `plugins/guest-python`";
            let file = self.plugin_file(fields, "script", &script, hint);
            let language = Language::of(&file).unwrap_or_else(|| {
                let endings =
                    Language::ALL.map(|language| format!("`.{}` ({})", language.extension(), language.name()));
                let [others @ .., last] = &endings;
                let expected = Some(format!("a file whose name ends in {} or {last}", others.join(", ")));
                let message = "this is no script in a language that can be run";
                self.wrong(&fields.path_of("script"), message, expected, None);
                Language::JavaScript
            });
            return PluginCode::Script { file, language };
        }
        let hint = "build the plugin first: `plugins/build` for those of this repository; for your own, \
                    `cargo build --release --target wasm32-unknown-unknown`, then `braid plugin componentize`";
        let component = fields.text("component");
        PluginCode::Component(self.plugin_file(fields, "component", &component, hint))
    }

    fn plugin_file(&mut self, fields: &Fields, key: &str, written: &str, hint: &str) -> PathBuf {
        let beside = self.folder.join(written);
        let resolved = if beside.is_file() { beside } else { self.working.join(written) };
        if self.check_files && fields.text_maybe(key).is_some() && !resolved.is_file() {
            let message = "there is no such file, neither beside the deployment file nor in the working directory";
            self.wrong(&fields.path_of(key), message, None, Some(hint.to_owned()));
        }
        resolved
    }

    pub(crate) fn plugin_limits(&self, path: &str, limits: &Fields) -> Limits {
        let written = PluginLimits {
            memory_bytes: limits.whole("memory"),
            time: limits.duration("time"),
            output_bytes: limits.whole("output"),
            stack_bytes: limits.whole("stack"),
            table_elements: limits.whole("table"),
            log_bytes: limits.whole("log"),
            module_bytes: limits.whole("module"),
            compile_time: limits.duration("compile_time"),
            http: HttpLimits {
                requests: limits.whole("http_requests"),
                time: limits.duration("http_time"),
                wait: limits.duration("http_wait"),
                request_bytes: limits.whole("http_request"),
                response_bytes: limits.whole("http_response"),
            },
        };
        let named = ["memory", "time", "stack", "module"];
        Limits { written, named: named.map(|key| self.map.has(&crate::source_map::join(path, key))) }
    }
}
