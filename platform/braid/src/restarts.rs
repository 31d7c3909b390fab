//! What may change between two starts on one store, and what happens then: the rules of `docs/restarts.md`.
//!
//! The manifest remembers a deployment as paths and values ([`describe`]). At the next start, and in `braid plan`, the
//! two are compared path by path, and each difference has a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use braid_kernel::manifest::Swapped;
use braid_kernel::{Manifest, TableKind, ledger};
use braid_spec::model::{Deployment, Grants, SinkKind, SourceKind, Start};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::failure::Failure;
use crate::layers::{definitions, open_store};
use crate::prepare::Prepared;
use crate::report;

/// How long `braid plan` waits for the store.
const STORE_WAIT: Duration = Duration::from_secs(10);
/// A value longer than this is remembered by its digest.
const VALUE_BYTES_MAX: usize = 120;

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds from the next epoch on.
    Taken,
    /// It does nothing on a store that has a past.
    Ignored,
    /// The deployment does not start.
    Refused,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Taken => "taken",
            Verdict::Ignored => "ignored",
            Verdict::Refused => "refused",
        })
    }
}

/// A rule: which paths (`*` is any name), how they change, and what happens.
pub struct Rule(pub &'static str, pub How, pub Verdict, pub &'static str);

/// How a path changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Added,
    Removed,
    Changed,
    /// Any of these.
    Any,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            How::Added => "added",
            How::Removed => "removed",
            How::Changed => "changed",
            How::Any => "any",
        })
    }
}

use How::{Added, Any, Changed, Removed};
use Verdict::{Ignored, Refused, Taken};

/// All rules; the first that fits a path counts.
pub const RULES: &[Rule] = &[
    Rule("name", Changed, Refused, "the store is another deployment's; sinks know their epochs by its name"),
    Rule(
        "layout",
        Changed,
        Taken,
        "the raw log begins over a base of all that was before, or ends; answers stay the same",
    ),
    Rule("layout.*", Any, Taken, "holds from the start on"),
    Rule(
        "trigger",
        Changed,
        Taken,
        "holds from the start on; an epoch that was planned before is run first, as it was planned",
    ),
    Rule("watermark_policy", Changed, Taken, "the watermark follows it, and never goes back"),
    Rule("backpressure", Changed, Taken, "holds from the start on"),
    Rule("restart", Changed, Taken, "holds from the start on"),
    Rule("serving", Changed, Taken, "holds from the start on"),
    Rule("state", Changed, Taken, "holds from the start on; what is on the local disk is made anew at every start"),
    Rule("sources.*", Added, Taken, "read from where its options say"),
    Rule("sources.*", Removed, Taken, "not read any more; its position is kept, should it come back"),
    Rule(
        "sources.*.planned",
        Removed,
        Refused,
        "an epoch that was planned before reads it: run the deployment once as it was",
    ),
    Rule("sources.*.kind", Changed, Refused, "its positions mean nothing in another kind of source"),
    Rule("sources.*.schema", Changed, Refused, "rows that were kept have the columns of before"),
    Rule("sources.*.event_time", Any, Refused, "windows that closed by the other column cannot open again"),
    Rule("sources.*.delay", Changed, Taken, "the watermark follows it, and never goes back"),
    Rule("sources.*.idle_timeout", Any, Taken, "holds from the start on"),
    Rule("sources.*.format", Changed, Taken, "records that are read from now on are read so"),
    Rule("sources.*.on_bad_record", Changed, Taken, "holds for records that are read from now on"),
    Rule("sources.*.limits", Changed, Taken, "holds from the next plan on"),
    Rule("sources.*.starting_offsets", Changed, Ignored, "a restart goes on where it was"),
    Rule(
        "sources.*.topics",
        Changed,
        Taken,
        "a topic that is new is read from its beginning; one that is gone no further, its positions are kept",
    ),
    Rule(
        "sources.*.brokers",
        Changed,
        Taken,
        "offsets are taken to mean the same there; where they are not, data was lost",
    ),
    Rule("sources.*.client", Changed, Taken, "holds from the start on"),
    Rule("sources.*.fail_on_data_loss", Changed, Taken, "holds from the start on"),
    Rule("sources.*.path", Changed, Taken, "files there that were not read before are read"),
    Rule("sources.*.clean_source", Changed, Taken, "holds for files that are read from now on"),
    Rule("sources.*.address", Changed, Taken, "the journal goes on with what comes from there"),
    Rule("sources.*.generator", Changed, Refused, "the rows that were made would have been others"),
    Rule("tables.*", Added, Taken, "no view that was there can have read it"),
    Rule("tables.*", Removed, Taken, "no view that stays can have read it"),
    Rule("tables.*.schema", Changed, Refused, "views that join it were made with the columns of before"),
    Rule(
        "tables.*.from",
        Changed,
        Taken,
        "rows of epochs from now on are joined with what is there; Lambda recomputes the past with it",
    ),
    Rule("tables.*.refresh", Any, Taken, "holds from the start on"),
    Rule("plugins.*.limits", Changed, Taken, "holds for batches from now on"),
    Rule(
        "plugins.*.grants",
        Any,
        Taken,
        "holds from the start on; a value of `env` is part of the plugin, as its bytes are",
    ),
    Rule("plugins.*.on_error", Changed, Taken, "holds for records from now on"),
    Rule("streams.*.from", Any, Refused, "views that read it were made of the other rows"),
    Rule(
        "streams.*.apply",
        Any,
        Refused,
        "views that read it were made by the other plugins, or other bytes or `env` of them",
    ),
    Rule("streams.*.drop_duplicates", Any, Refused, "views that read it were made of the other rows"),
    Rule(
        "streams.*.transform_with_state",
        Any,
        Refused,
        "views that read it were made by the other plugin, or other bytes or `env` of it",
    ),
    Rule("views.*", Added, Refused, "the store has no past for it; name another `store:` to compute it from the start"),
    Rule("views.*", Removed, Taken, "its rows leave the store; should it come back, it is new"),
    Rule(
        "views.*",
        Changed,
        Refused,
        "what is stored was made by the other text, or other bytes of a plugin; name another `store:` to compute it from the start",
    ),
    Rule(
        "sinks.*",
        Added,
        Taken,
        "gets what epochs from now on change; in complete mode everything at the first change",
    ),
    Rule("sinks.*", Removed, Taken, "is not written any more"),
    Rule("sinks.*.from", Changed, Taken, "gets what epochs from now on change in that view"),
    Rule(
        "sinks.*.output_mode",
        Changed,
        Taken,
        "holds from the next epoch on; windows that ended before are not written again",
    ),
    Rule("sinks.*.delivery", Changed, Taken, "holds from the next epoch on"),
    Rule("sinks.*.to", Changed, Taken, "epochs from now on are written there"),
];

/// One difference.
pub struct Change {
    pub path: String,
    pub how: How,
    pub before: Option<String>,
    pub after: Option<String>,
    pub verdict: Verdict,
    pub effect: &'static str,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = match (&self.before, &self.after) {
            (Some(before), Some(after)) if !hidden(before) && !hidden(after) => format!(" ({before} → {after})"),
            _ => String::new(),
        };
        write!(f, "{:<8} {} {}{values}: {}", self.verdict, self.path, self.how, self.effect)
    }
}

impl Change {
    pub fn json(&self) -> Value {
        json!({"path": self.path, "how": self.how.to_string(), "verdict": self.verdict.to_string(), "effect": self.effect})
    }
}

/// A digest is nothing to show.
fn hidden(value: &str) -> bool {
    value.starts_with('#') || value.is_empty()
}

fn digest(text: &str) -> String {
    format!("#{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple())
}

/// A deployment as paths and values. Nothing secret is in it: what may be is a digest.
pub fn describe(prepared: &Prepared) -> BTreeMap<String, String> {
    let deployment = &prepared.deployment;
    let mut all = BTreeMap::new();
    let mut put = |path: String, value: String| {
        let value = if value.len() > VALUE_BYTES_MAX { digest(&value) } else { value };
        all.insert(path, value);
    };
    let layout = &deployment.layout;
    put("name".into(), deployment.name.clone());
    put("layout".into(), layout.name.clone());
    put("layout.epoch".into(), format!("{:?}, {} rows", layout.epoch_every, layout.epoch_rows));
    put("layout.log".into(), format!("{:?}", layout.log));
    put("layout.base".into(), format!("{:?} every {:?}", layout.base, layout.base_every));
    put("trigger".into(), deployment.trigger.to_string());
    put("watermark_policy".into(), format!("{:?}", deployment.watermark_policy));
    put("backpressure".into(), deployment.backpressure.map_or("off".into(), |given| digest(&format!("{given:?}"))));
    put("restart".into(), format!("{:?}", deployment.restart));
    put("state".into(), format!("{:?}", deployment.state));
    put("serving".into(), deployment.serving.http.clone().unwrap_or_else(|| "none".into()));
    for (name, source) in &deployment.sources {
        put(format!("sources.{name}"), String::new());
        for (key, value) in source_values(source) {
            put(format!("sources.{name}.{key}"), value);
        }
    }
    for (name, table) in &deployment.tables {
        put(format!("tables.{name}"), String::new());
        put(format!("tables.{name}.schema"), format!("{:?}", table.schema));
        put(format!("tables.{name}.from"), format!("{:?} {}", table.format, table.path));
        if let Some(refresh) = table.refresh {
            put(format!("tables.{name}.refresh"), format!("{refresh:?}"));
        }
    }
    for (name, plugin) in &deployment.plugins {
        put(format!("plugins.{name}.limits"), digest(&format!("{:?}", plugin.limits)));
        put(format!("plugins.{name}.on_error"), format!("{:?}", plugin.on_error));
        let grants = granted(&plugin.grants);
        if !grants.is_empty() {
            put(format!("plugins.{name}.grants"), grants);
        }
    }
    let read = streams_read(prepared);
    for stream in deployment.streams.iter().filter(|stream| read.contains(&stream.name)) {
        put(format!("streams.{}.from", stream.name), stream.from.join(", "));
        let applied = stream.apply.iter().filter_map(|name| prepared.plugins.get(name));
        let bytes: Vec<&str> = applied.map(|plugin| plugin.digest()).collect();
        put(format!("streams.{}.apply", stream.name), digest(&format!("{:?} {bytes:?}", stream.apply)));
        if let Some(unique) = &stream.drop_duplicates {
            put(format!("streams.{}.drop_duplicates", stream.name), format!("{unique:?}"));
        }
        if let Some(keyed) = &stream.transform_with_state {
            let bytes = prepared.plugins.get(&keyed.plugin).map(|plugin| plugin.digest());
            put(format!("streams.{}.transform_with_state", stream.name), digest(&format!("{keyed:?} {bytes:?}")));
        }
    }
    for (name, definition) in definitions(prepared) {
        put(format!("views.{name}"), format!("#{definition}"));
    }
    for (name, sink) in &deployment.sinks {
        put(format!("sinks.{name}"), String::new());
        put(format!("sinks.{name}.from"), sink.from.clone());
        put(format!("sinks.{name}.output_mode"), format!("{:?}", sink.output_mode));
        put(format!("sinks.{name}.delivery"), format!("{:?}", sink.delivery));
        let bytes = match &sink.to {
            SinkKind::Plugin { plugin, .. } => prepared.plugins.get(plugin).map_or("", |plugin| plugin.digest()),
            _ => "",
        };
        put(format!("sinks.{name}.to"), digest(&format!("{:?}{bytes}", sink.to)));
    }
    all
}

/// What a plugin may have, in words. The values of `env` are not here: they are part of the plugin's digest.
fn granted(grants: &Grants) -> String {
    let mut words = grants.http.clone();
    let flags = [
        (grants.private_addresses && !grants.http.is_empty(), "private addresses too"),
        (grants.log, "log"),
        (!grants.env.is_empty(), "env"),
        (grants.clock, "clock"),
        (grants.random, "random"),
    ];
    words.extend(flags.into_iter().filter(|(given, _)| *given).map(|(_, word)| word.to_owned()));
    words.join(", ")
}

fn source_values(source: &braid_spec::model::Source) -> Vec<(&'static str, String)> {
    let mut values = vec![
        ("schema", format!("{:?}", source.schema)),
        ("format", format!("{:?}", source.format)),
        ("on_bad_record", format!("{:?}", source.on_bad_record)),
    ];
    if let Some(watermark) = &source.watermark {
        values.push(("event_time", watermark.event_time.clone()));
        values.push(("delay", format!("{:?}", watermark.delay)));
        values.extend(watermark.idle_timeout.map(|idle| ("idle_timeout", format!("{idle:?}"))));
    }
    values.extend(match &source.from {
        SourceKind::Files(files) => vec![
            ("kind", "files".to_owned()),
            ("path", files.path.clone()),
            ("clean_source", format!("{:?}", files.clean_source)),
            (
                "limits",
                format!(
                    "{:?} files, {:?} bytes, latest first: {}, at most {:?} old",
                    files.max_files_per_trigger, files.max_bytes_per_trigger, files.latest_first, files.max_file_age
                ),
            ),
        ],
        SourceKind::Kafka(kafka) => vec![
            ("kind", "kafka".to_owned()),
            ("brokers", kafka.brokers.clone()),
            ("topics", kafka.topics.to_string()),
            ("starting_offsets", starting(&kafka.start)),
            (
                "limits",
                format!(
                    "{:?} to {:?} records, {:?} at most, end {:?}",
                    kafka.min_offsets_per_trigger, kafka.max_offsets_per_trigger, kafka.max_trigger_delay, kafka.end
                ),
            ),
            ("fail_on_data_loss", kafka.fail_on_data_loss.to_string()),
            ("client", digest(&format!("{:?}", kafka.client.keys()))),
        ],
        SourceKind::Socket(socket) => {
            vec![("kind", "socket".to_owned()), ("address", format!("{}:{}", socket.host, socket.port))]
        }
        SourceKind::Http(http) => {
            vec![("kind", "http".to_owned()), ("limits", format!("{} bytes a body", http.body_bytes_max))]
        }
        SourceKind::RateMicroBatch(rate) => {
            vec![("kind", "rate_micro_batch".to_owned()), ("generator", digest(&format!("{rate:?}")))]
        }
        SourceKind::Rate(rate) => vec![
            ("kind", "rate".to_owned()),
            (
                "generator",
                format!(
                    "{} rows a second after {:?}, {} partitions",
                    rate.rows_per_second, rate.ramp_up_time, rate.num_partitions
                ),
            ),
            ("limits", rate.rows_max.map_or("no end".to_owned(), |rows| format!("{rows} rows"))),
        ],
    });
    values
}

fn starting(start: &Start) -> String {
    match start {
        Start::Earliest => "earliest".into(),
        Start::Latest => "latest".into(),
        given => format!("{given:?}"),
    }
}

/// The streams that views read, and those that these read.
fn streams_read(prepared: &Prepared) -> BTreeSet<String> {
    let views = prepared.engine.views().values();
    let mut read: BTreeSet<String> = views.flat_map(|view| view.inputs.keys().cloned()).collect();
    // Each stream comes after what it reads.
    for stream in prepared.deployment.streams.iter().rev() {
        if read.contains(&stream.name) {
            read.extend(stream.from.iter().cloned());
        }
    }
    read
}

/// What has changed since the store was written, if it was. A store of an earlier version remembers views only.
pub fn changes(prepared: &Prepared, manifest: &Manifest) -> Vec<Change> {
    if manifest.next == 0 && manifest.planned.is_none() {
        return vec![];
    }
    let after = describe(prepared);
    let before = match manifest.described.is_empty() {
        false => manifest.described.clone(),
        true => {
            let views = manifest
                .definitions
                .iter()
                .filter(|(name, _)| matches!(manifest.kinds.get(*name), Some(TableKind::Keyed | TableKind::Append)));
            views.map(|(view, digest)| (format!("views.{view}"), format!("#{digest}"))).collect()
        }
    };
    let known = |path: &str| !manifest.described.is_empty() || path.starts_with("views.");
    let planned = manifest.planned.iter().flat_map(|plan| plan.sources.keys());
    let gone = planned.filter(|name| !prepared.deployment.sources.contains_key(*name));
    let mut found: Vec<Change> =
        gone.filter_map(|name| change(format!("sources.{name}.planned"), Some(String::new()), None)).collect();
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).filter(|path| known(path)).collect();
    for path in paths {
        let (old, new) = (before.get(path), after.get(path));
        // What a part consists of comes and goes with it.
        let whole: Vec<&str> = path.splitn(3, '.').take(2).collect();
        let whole = whole.join(".");
        let inner = whole != **path && (before.contains_key(&whole) != after.contains_key(&whole));
        if old != new && !inner {
            found.extend(change(path.clone(), old.cloned(), new.cloned()));
        }
    }
    found
}

fn change(path: String, before: Option<String>, after: Option<String>) -> Option<Change> {
    let how = match (&before, &after) {
        (None, _) => Added,
        (_, None) => Removed,
        _ => Changed,
    };
    let Rule(_, _, verdict, effect) =
        RULES.iter().find(|rule| fits(rule.0, &path) && (rule.1 == Any || rule.1 == how))?;
    Some(Change { path, how, before, after, verdict: *verdict, effect })
}

fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), path.split('.').collect());
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(want, have)| *want == "*" || *want == have)
}

/// Refuses a start on a store that the deployment does not fit; says what has no effect.
pub fn check(prepared: &Prepared, manifest: &Manifest) -> Result<(), Failure> {
    let changes = changes(prepared, manifest);
    for change in changes.iter().filter(|change| change.verdict == Ignored) {
        tracing::warn!("{change}");
    }
    let refused: Vec<String> =
        changes.iter().filter(|change| change.verdict == Refused).map(|change| format!("\n  {change}")).collect();
    match refused.is_empty() {
        true => Ok(()),
        false => Err(Failure::Environment(format!(
            "since the store {} was written, this was changed that cannot be:{}\nrestore it, or name another `store:`; \
             docs/restarts.md lists what may change",
            prepared.deployment.store,
            refused.concat()
        ))),
    }
}

/// What `braid plan` knows of the store.
pub enum Seen {
    /// It cannot be read, for this reason.
    Not(String),
    /// Nothing was written.
    Empty,
    /// So many epochs were written, this has changed since, and these plugins were swapped meanwhile.
    Written { epochs: u64, changes: Vec<Change>, swaps: Vec<Swapped> },
}

/// Looks at the store, and makes nothing in it.
pub async fn seen(prepared: &Prepared) -> Seen {
    let Deployment { store, .. } = &prepared.deployment;
    let nowhere = store.strip_prefix("file://").is_some_and(|path| !std::path::Path::new(path).exists());
    if nowhere || store.starts_with("memory:") {
        return Seen::Empty;
    }
    let store = match open_store(prepared) {
        Ok((store, _)) => store,
        Err(failure) => return Seen::Not(failure.message().to_owned()),
    };
    match tokio::time::timeout(STORE_WAIT, ledger::load(&*store)).await {
        Err(_) => Seen::Not(format!("no answer within {STORE_WAIT:?}")),
        Ok(Err(error)) => Seen::Not(error.to_string()),
        Ok(Ok(manifest)) if manifest.sequence == 0 => Seen::Empty,
        Ok(Ok(manifest)) => {
            let changes = changes(prepared, &manifest);
            Seen::Written { epochs: manifest.next, changes, swaps: manifest.swaps }
        }
    }
}

impl Seen {
    /// Whether a start would be refused.
    pub fn refused(&self) -> bool {
        matches!(self, Seen::Written { changes, .. } if changes.iter().any(|change| change.verdict == Refused))
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Seen::Not(reason) => format!("\nthe store cannot be read, so what has changed is not known: {reason}\n"),
            Seen::Empty => "\nthe store is empty: this is a first start\n".into(),
            Seen::Written { epochs, changes, swaps } => {
                let lines: String = changes.iter().map(|change| format!("  {change}\n")).collect();
                let what = if changes.is_empty() { "nothing has changed" } else { "changed" };
                format!("\n{what} since the store was written ({epochs} epochs)\n{lines}{}", of_two_makers(swaps))
            }
        }
    }

    /// The plugins that were swapped.
    pub fn swaps(&self) -> &[Swapped] {
        match self {
            Seen::Not(_) | Seen::Empty => &[],
            Seen::Written { swaps, .. } => swaps,
        }
    }

    /// For programs: null where the store cannot be read.
    pub fn json(&self) -> Value {
        match self {
            Seen::Not(_) => Value::Null,
            Seen::Empty => json!([]),
            Seen::Written { changes, .. } => changes.iter().map(Change::json).collect(),
        }
    }
}

/// Who made what is stored, where it was not the code that runs now.
fn of_two_makers(swaps: &[Swapped]) -> String {
    if swaps.is_empty() {
        return String::new();
    }
    let lines: String = swaps.iter().map(|swap| format!("  {}", report::swapped(swap))).collect();
    format!(
        "\nswapped while it ran: what epochs before came to is the old code's work, in every layout; states of an aggregate \
         that it kept are merged and answered by the new one\n{lines}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_table_is_the_rules() {
        let docs = include_str!("../../../docs/restarts.md");
        let rows: Vec<&str> = docs.lines().filter(|line| line.starts_with("| `")).collect();
        let rules: Vec<String> = RULES
            .iter()
            .map(|Rule(path, how, verdict, effect)| format!("| `{path}` | {how} | {verdict} | {effect} |"))
            .collect();
        assert_eq!(rows, rules);
    }

    #[test]
    fn a_path_has_the_first_rule_that_fits() {
        let verdict = |path: &str, before: Option<&str>, after: Option<&str>| {
            change(path.into(), before.map(str::to_owned), after.map(str::to_owned)).map(|change| change.verdict)
        };
        assert_eq!(verdict("views.a", None, Some("x")), Some(Refused));
        assert_eq!(verdict("views.a", Some("x"), None), Some(Taken));
        assert_eq!(verdict("sources.a.kind", Some("x"), Some("y")), Some(Refused));
        assert_eq!(verdict("sources.a.nothing", Some("x"), Some("y")), None);
    }
}
