//! What each step of a pipeline is in SQL.

use crate::check::Known;
use crate::model::Role;
use crate::pipeline::{Answers, Pipeline, Window};
use crate::source_map::join;
use crate::text_of_steps::Text;
use crate::value::Fields;

impl Pipeline<'_, '_> {
    /// `map`, `flat_map`, `reduce`.
    pub(crate) fn columns(&mut self, columns: &[(String, String)], path: &str) {
        let role = match self.operation {
            "reduce" => return self.reduce(&[], columns, path),
            "flat_map" => Role::Values,
            _ => Role::Value,
        };
        let mut text = Text::default();
        text.say("SELECT ");
        self.items(&mut text, columns, path, role);
        let defined = |name: &str| columns.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
        match self.needed_time() {
            Some(time) if !defined(&time) => {
                text.say(", ").name(&time);
            }
            Some(_) => {}
            None => self.time = None,
        }
        text.say(" FROM ").name(&self.rows);
        self.push(text);
    }

    /// `expression AS column`, with commas.
    fn items(&mut self, text: &mut Text, columns: &[(String, String)], path: &str, role: Role) {
        for (number, (column, sql)) in columns.iter().enumerate() {
            let path = join(path, column);
            text.say(if number == 0 { "" } else { ", " });
            self.expression(text, sql, &path, role);
            text.say(" AS ").name(column);
        }
    }

    pub(crate) fn filter(&mut self, condition: &str, path: &str) {
        let mut text = Text::default();
        text.say("SELECT * FROM ").name(&self.rows).say(" WHERE ");
        self.expression(&mut text, condition, path, Role::Value);
        self.push(text);
    }

    pub(crate) fn union(&mut self, names: &[String], path: &str, answers: &Answers) {
        let mut text = Text::default();
        text.say("SELECT * FROM ").name(&self.rows);
        for (number, name) in names.iter().enumerate() {
            let path = self.item_path(path, number);
            let known = Known::of(self.root, &["sources", "streams", "views"]);
            self.builder.refer(self.root, &known, "source, stream or view", name, &path);
            text.say(" UNION ALL SELECT * FROM ").name_from(name, &path);
            if let (Some(here), Some(there)) = (&self.time, self.time_of(name, answers))
                && *here != there
                && self.needed_time().is_some()
            {
                let message = format!("the event time of these rows is `{here}`, and that of `{name}` is `{there}`");
                self.wrong(&path, message, "make a `map` of one of them that calls it by the same name");
            }
        }
        self.push(text);
    }

    /// The path of a list's item; one name may stand without brackets.
    fn item_path(&self, path: &str, number: usize) -> String {
        let item = format!("{path}[{number}]");
        if self.builder.map.has(&item) { item } else { path.to_owned() }
    }

    /// Steps with options.
    pub(crate) fn group(&mut self, fields: &Fields, answers: &Answers) {
        match self.operation {
            "window" => self.open_window(fields, "length"),
            "join" => self.join(fields, answers),
            "cogroup" => self.cogroup(fields, answers),
            "count" => self.count(fields),
            "count_by_value" => self.count_by_value(fields),
            "reduce_by_key" => self.reduce_by_key(fields),
            name => {
                self.open_window(fields, "window");
                if self.window.is_none() {
                    return;
                }
                match name {
                    "count_by_window" => self.count(fields),
                    "count_by_value_and_window" => self.count_by_value(fields),
                    "reduce_by_window" => self.reduce(&[], &fields.named_words("value"), &fields.path_of("value")),
                    _ => self.reduce_by_key(fields),
                }
            }
        }
    }

    fn open_window(&mut self, fields: &Fields, length: &str) {
        if fields.is_bad(length) || fields.is_bad("slide") {
            return;
        }
        let path = fields.path.clone();
        if self.window.is_some() {
            let hint = "put what is counted, reduced or joined in the first window between them";
            return self.wrong(&path, "this window stands in another one", hint);
        }
        let Some(time) = fields.text_maybe("time").or_else(|| self.time.clone()) else {
            let hint = "declare a `watermark` on the source, or name the column with `time`";
            return self.wrong(&path, "a window needs the event time of the rows, and it is not known here", hint);
        };
        let window =
            Window { length: fields.duration(length), slide: fields.duration_maybe("slide"), time, path: path.clone() };
        if window.slide.is_some_and(|slide| slide > window.length) {
            let message = format!("`slide` is longer than `{length}`: rows between two windows would be in none");
            self.wrong(&fields.path_of("slide"), message, "make it at most as long");
        }
        self.window = Some(window);
    }

    fn count(&mut self, fields: &Fields) {
        let mut items = Text::default();
        items.say("count(*) AS ").name_from(&fields.text("as"), &fields.path_of("as"));
        self.reduction(&[], items);
    }

    fn count_by_value(&mut self, fields: &Fields) {
        let mut text = Text::default();
        text.say("SELECT ");
        match &self.window {
            Some(window) => {
                let call = window.call(&window.time);
                text.take(call, &window.path).say(" AS window, * EXCEPT (").name(&window.time).say("), ");
            }
            None => {
                text.say("*, ");
            }
        }
        text.say("count(*) AS ").name_from(&fields.text("as"), &fields.path_of("as"));
        text.say(" FROM ").name(&self.rows).say(" GROUP BY ALL");
        self.reduced(text);
    }

    fn reduce_by_key(&mut self, fields: &Fields) {
        let keys = fields.list("key");
        let paths: Vec<String> = (0..keys.len()).map(|number| self.item_path(&fields.path_of("key"), number)).collect();
        let keys: Vec<(String, String)> = keys.into_iter().zip(paths).collect();
        self.reduce(&keys, &fields.named_words("value"), &fields.path_of("value"));
    }

    fn reduce(&mut self, keys: &[(String, String)], value: &[(String, String)], path: &str) {
        let mut items = Text::default();
        self.items(&mut items, value, path, Role::Aggregate);
        self.reduction(keys, items);
    }

    /// Rows become one per key and window.
    fn reduction(&mut self, keys: &[(String, String)], items: Text) {
        let mut text = Text::default();
        text.say("SELECT ");
        let call = self.window.as_ref().map(|window| (window.call(&window.time), window.path.clone()));
        if let Some((call, path)) = &call {
            text.take(call.clone(), path).say(" AS window, ");
        }
        for (key, path) in keys {
            text.name_from(key, path).say(", ");
        }
        let path = self.path();
        text.take(items, &path).say(" FROM ").name(&self.rows);
        let mut before = " GROUP BY ";
        if let Some((call, path)) = call {
            text.say(before).take(call, &path);
            before = ", ";
        }
        for (key, path) in keys {
            text.say(before).name_from(key, path);
            before = ", ";
        }
        self.reduced(text);
    }

    /// Ends a step that made one row of many.
    fn reduced(&mut self, text: Text) {
        let windowed = self.window.take().is_some();
        self.time = windowed.then(|| "window".to_owned());
        self.changes = !windowed;
        self.push(text);
    }

    /// The other side of a join or cogroup: its name, and its event time where there is a window.
    fn other(
        &mut self,
        fields: &Fields,
        answers: &Answers,
        sections: &[&str],
        what: &str,
    ) -> Option<(String, Option<String>)> {
        let with = fields.text_maybe("with")?;
        let known = Known::of(self.root, sections);
        self.builder.refer(self.root, &known, what, &with, &fields.path_of("with"));
        let time = fields.text_maybe("with_time").or_else(|| self.time_of(&with, answers));
        if self.window.is_some() && time.is_none() && !self.is_table(&with) {
            let message = format!("the event time of `{with}` is not known here, and there is a window");
            self.wrong(&fields.path_of("with"), message, "name its column with `with_time`");
        }
        Some((with, time))
    }

    fn is_table(&self, name: &str) -> bool {
        self.root.named("tables").any(|(table, _)| table == name)
    }

    fn join(&mut self, fields: &Fields, answers: &Answers) {
        let sections = ["sources", "streams", "views", "tables"];
        let Some((with, with_time)) = self.other(fields, answers, &sections, "source, stream, view or table") else {
            return;
        };
        let on = fields.list("on");
        let kind = fields.text("kind");
        // A table has the same rows in every window, and leaves it open.
        let window = if self.is_table(&with) { None } else { self.window.take() };
        if let Some(window) = window.as_ref().filter(|window| window.slides()) {
            let hint = "leave `slide` out; or reduce both sides per window first, in views, and join those";
            self.wrong(&window.path, "a join takes windows that do not overlap: a row would be in several", hint);
        }
        let mut equal: Vec<String> = Vec::new();
        if window.is_some() {
            equal.push("window".to_owned());
        }
        equal.extend(on.iter().cloned());
        let mut text = Text::default();
        text.say("SELECT ");
        let on_path = fields.path_of("on");
        for (number, name) in equal.iter().enumerate() {
            let path = match number.checked_sub(usize::from(window.is_some())) {
                Some(number) => self.item_path(&on_path, number),
                None => fields.path.clone(),
            };
            let side = |text: &mut Text, side: &str| {
                text.say(side).name_from(name, &path);
            };
            match kind.as_str() {
                "full" => {
                    text.say("coalesce(");
                    side(&mut text, "l.");
                    text.say(", ");
                    side(&mut text, "r.");
                    text.say(")");
                }
                "right" => side(&mut text, "r."),
                _ => side(&mut text, "l."),
            }
            text.say(" AS ").name(name).say(", ");
        }
        let not_again = |times: Option<&String>| -> Vec<String> {
            let more = times.filter(|time| window.is_none() && !equal.contains(time));
            equal.iter().chain(more).cloned().collect()
        };
        text.say("l.* EXCEPT (")
            .names(&equal)
            .say("), r.* EXCEPT (")
            .names(&not_again(with_time.as_ref()))
            .say(") FROM ");
        let with_path = fields.path_of("with");
        match &window {
            Some(window) => {
                windowed(&mut text, window, &window.time, &self.rows, &fields.path);
                text.say(" AS l ").say(sql_kind(&kind));
                windowed(&mut text, window, with_time.as_deref().unwrap_or_default(), &with, &with_path);
            }
            None => {
                text.name(&self.rows).say(" AS l ").say(sql_kind(&kind)).name_from(&with, &with_path);
            }
        }
        text.say(" AS r ON ");
        for (number, name) in equal.iter().enumerate() {
            text.say(if number == 0 { "l." } else { " AND l." }).name(name).say(" = r.").name(name);
        }
        if window.is_some() {
            self.time = Some("window".to_owned());
        }
        self.push(text);
    }

    /// Both sides as one stream of rows, each with a value of one side, and then an aggregate of each side's.
    fn cogroup(&mut self, fields: &Fields, answers: &Answers) {
        let sections = ["sources", "streams", "views"];
        let Some((with, with_time)) = self.other(fields, answers, &sections, "source, stream or view") else { return };
        let (left, right) = (fields.named_words("left"), fields.named_words("right"));
        for (key, columns) in [("left", &left), ("right", &right)] {
            if columns.len() > 1 {
                let hint = "make one of them: `{pair: \"struct(a, b)\"}`";
                self.wrong(&fields.path_of(key), "a side of a cogroup is one column", hint);
            }
        }
        let ([(left, left_sql)], [(right, right_sql)]) = (left.as_slice(), right.as_slice()) else { return };
        let on = fields.list("on");
        let window = self.window.clone();
        let here = self.rows.clone();
        let mut text = Text::default();
        text.say("SELECT ");
        if let Some(window) = &window {
            text.take(window.call(&window.time), &window.path).say(" AS window, ");
        }
        text.names(&on).say(", collect_list(").name(left).say(") AS ").name(left);
        text.say(", collect_list(").name(right).say(") AS ").name(right).say(" FROM (");
        let (left_path, right_path) = (fields.path_of("left"), fields.path_of("right"));
        let sides = [
            (&here, window.as_ref().map(|window| window.time.clone()), Some((left_sql, join(&left_path, left))), None),
            (&with, with_time.filter(|_| window.is_some()), None, Some((right_sql, join(&right_path, right)))),
        ];
        for (number, (rows, time, left_value, right_value)) in sides.into_iter().enumerate() {
            text.say(if number == 0 { "SELECT " } else { " UNION ALL SELECT " });
            if let (Some(time), Some(window)) = (time, &window) {
                text.name(&time).say(" AS ").name(&window.time).say(", ");
            }
            for (number, name) in on.iter().enumerate() {
                let path = self.item_path(&fields.path_of("on"), number);
                text.name_from(name, &path).say(", ");
            }
            for (number, (name, value)) in [(left, left_value), (right, right_value)].into_iter().enumerate() {
                text.say(if number == 0 { "" } else { ", " });
                match value {
                    Some((sql, path)) => self.expression(&mut text, sql, &path, Role::Value),
                    None => {
                        text.say("NULL");
                    }
                }
                text.say(" AS ").name(name);
            }
            text.say(" FROM ").name(rows);
        }
        text.say(") GROUP BY ");
        if let Some(window) = &window {
            text.take(window.call(&window.time), &window.path).say(", ");
        }
        text.names(&on);
        self.reduced(text);
    }
}

fn sql_kind(kind: &str) -> &'static str {
    match kind {
        "left" => "LEFT JOIN ",
        "right" => "RIGHT JOIN ",
        "full" => "FULL JOIN ",
        _ => "JOIN ",
    }
}

/// The rows of one side of a join, with the window that they are in instead of their event time.
fn windowed(text: &mut Text, window: &Window, time: &str, rows: &str, path: &str) {
    text.say("(SELECT * EXCEPT (").name(time).say("), ").take(window.call(time), &window.path);
    text.say(" AS window FROM ").name_from(rows, path).say(")");
}
