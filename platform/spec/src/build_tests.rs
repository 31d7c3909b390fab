//! Tests made of what is written, with the checks that need only names.

use std::collections::BTreeSet;

use crate::build::Builder;
use crate::check::NAMES_SHOWN_MAX;
use crate::keys_tests::WAIT;
use crate::model::Test;
use crate::suggest::did_you_mean;
use crate::value::Fields;

impl Builder<'_> {
    /// The tests. `given` are the names of sources and tables, `tables` those that can be given once only, `expected` the
    /// names of what has rows in the end.
    pub(crate) fn tests(
        &mut self,
        root: &Fields,
        given: &BTreeSet<&str>,
        tables: &BTreeSet<&str>,
        expected: &BTreeSet<&str>,
    ) -> Vec<Test> {
        // What is wrong may have had the name.
        let whole = |sections: [&str; 2]| !sections.iter().any(|section| root.is_bad(section));
        let (sources_known, views_known) = (whole(["sources", "tables"]), whole(["views", "sinks"]));
        let mut tests: Vec<Test> = Vec::new();
        for fields in root.steps("tests").unwrap_or_default() {
            let name = fields.text("name");
            if !name.is_empty() && tests.iter().any(|test| test.name == name) {
                let hint = Some("give each its own: `braid test` runs tests by their names".to_owned());
                self.wrong(&fields.path_of("name"), "this is the name of a test already", None, hint);
            }
            let (steps, expect) = (fields.given("given"), fields.expectations("expect"));
            let mut filled: BTreeSet<&str> = BTreeSet::new();
            for one in steps.iter().flat_map(|step| &step.given) {
                if sources_known && !given.contains(one.to.as_str()) {
                    let mut mistake = self.map.at_key(&one.path, format!("there is no source or table `{}`", one.to));
                    mistake = mistake.expected(listed("a source or a table", given));
                    let wait = (one.to == WAIT).then(|| "write `wait: 10m`, a duration".to_owned());
                    self.mistakes.push(mistake.hint(wait.or_else(|| did_you_mean(&one.to, given.iter().copied()))));
                } else if tables.contains(one.to.as_str()) && !filled.insert(&one.to) {
                    let message = format!("the table `{}` is given in another step already", one.to);
                    let hint = "a table stands still: write all its rows in one step";
                    self.mistakes.push(self.map.at_key(&one.path, message).hint(Some(hint)));
                }
            }
            for one in &expect {
                if views_known && !expected.contains(one.of.as_str()) {
                    let mistake = self.map.at_key(&one.path, format!("there is no view or sink `{}`", one.of));
                    let expectable = "a view, a sink, `dead_letters` or `late_rows`";
                    let mistake = mistake.expected(listed(expectable, expected));
                    self.mistakes.push(mistake.hint(did_you_mean(&one.of, expected.iter().copied())));
                }
            }
            tests.push(Test { name, path: fields.path.clone(), steps, expect });
        }
        tests
    }
}

fn listed(what: &str, names: &BTreeSet<&str>) -> String {
    let more = if names.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
    let names: Vec<String> = names.iter().take(NAMES_SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    format!("{what}: {}{more}", names.join(", "))
}
