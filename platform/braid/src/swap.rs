//! A plugin of a running deployment is replaced by another: what is done beforehand, while the old one works, and for how
//! long the new one can still be sent back. The replacement itself is a start like any other ([`crate::up`]).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Fields, SchemaRef};
use braid_engine::Gate;
use braid_kernel::keyed::Program;
use braid_kernel::serve::Board;
use braid_serve::{Exception, Expect, States, SwapAsked, SwapWanted};
use braid_spec::model::{self, Language, PluginCode, SinkKind};
use braid_wasm_host::{Found, Plugin, Seen, Tally};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::cli::Output;
use crate::layers::{opening, trigger};
use crate::prepare::{Prepared, load_plugin};
use crate::promises::{self, Place, places};

/// How often a canary is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A failing plugin is sent back where it fails so many standard deviations above what the one before would have.
const DEVIATIONS: f64 = 3.0;

/// Who waits for a swap.
pub type Answer = oneshot::Sender<Result<Value, String>>;

/// A plugin that passed everything that can be asked beforehand.
pub struct Tried {
    pub plugin: String,
    pub next: Arc<Prepared>,
    pub probation_epochs: u64,
    /// What came of the canary, and is answered.
    pub canary: Value,
    /// The same of states that are kept, where there are any.
    pub states: Option<String>,
}

/// Compiles a plugin beside the one at work, checks it, and tries it on copies of rows. Nothing has changed until then.
pub async fn aside(prepared: Arc<Prepared>, board: Board, asked: SwapAsked) -> (Answer, Result<Tried, String>) {
    let SwapAsked { plugin, wanted, answer } = asked;
    let tried = tried(&prepared, &board, &plugin, &wanted).await;
    (answer, tried)
}

async fn tried(prepared: &Prepared, board: &Board, name: &str, wanted: &SwapWanted) -> Result<Tried, String> {
    let Some(old) = prepared.plugins.get(name) else {
        return Err(format!("there is no plugin `{name}`"));
    };
    if old.is_sink() && wanted.expect == Expect::Same {
        return Err(format!(
            "`{name}` takes rows away, and is not asked twice: whether another does the same cannot be tried"
        ));
    }
    if trigger(&prepared.deployment).ends() {
        return Err("the query ends by its trigger: start it with the new component".into());
    }
    let code = code(&wanted.component);
    let new = load(prepared, name, &code).await?;
    if new.digest() == old.digest() {
        return Err(format!("`{name}` is this code already ({})", old.digest()));
    }
    let mut reasons = old.unlike(&new);
    if reasons.is_empty() {
        reasons.extend(unlike_in_streams(prepared, old, &new));
    }
    if !reasons.is_empty() {
        return Err(reasons.join("; "));
    }
    let with = async || {
        let next = prepared.with(new.clone(), code.clone()).await;
        next.map(Arc::new).map_err(|failure| failure.message().trim_end().to_owned())
    };
    let mut next = with().await?;
    same_tables(prepared, &next)?;
    promises::kept(&next, Some(name), Output::Table)
        .await
        .map_err(|failure| failure.message().trim_end().to_owned())?;
    same_promises(prepared, &next)?;
    let states = match wanted.states {
        States::Same => promises::continued(old, &new).await?,
        States::Any => promises::has_states(&new).then(|| "as the new one reads them".to_owned()),
    };
    let canary = match old.is_sink() {
        true => Value::Null,
        false => canary_json(&canary(old, &new, board, wanted).await?),
    };
    if !prepared.deployment.tables.is_empty() {
        // They may have changed meanwhile.
        next = with().await?;
    }
    Ok(Tried { plugin: name.into(), next, probation_epochs: wanted.probation_epochs, canary, states })
}

async fn load(prepared: &Prepared, name: &str, code: &PluginCode) -> Result<Plugin, String> {
    let (name, declared) = (name.to_owned(), &prepared.deployment.plugins[name]);
    let declared = model::Plugin { code: code.clone(), ..declared.clone() };
    let loaded = tokio::task::spawn_blocking(move || load_plugin(&name, &declared));
    loaded.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// What a file is.
fn code(file: &Path) -> PluginCode {
    match Language::of(file) {
        Some(language) => PluginCode::Script { file: file.to_owned(), language },
        None => PluginCode::Component(file.to_owned()),
    }
}

/// Where the new one would give out or keep something else in a stream.
fn unlike_in_streams(prepared: &Prepared, old: &Plugin, new: &Plugin) -> Vec<String> {
    let mut reasons = vec![];
    for Place { stream, input, keyed } in places(prepared, old.name()) {
        let Some(keyed) = keyed else {
            match (old.describe(&input), new.describe(&input)) {
                (Ok(output), Ok(said)) if said.fields() == output.fields() => {}
                (Ok(output), Ok(said)) => reasons.push(format!(
                    "in stream `{}` it gives out {}, and the new one {}",
                    stream.name,
                    columns(output.fields()),
                    columns(said.fields())
                )),
                (Err(error), _) | (_, Err(error)) => reasons.push(error.to_string()),
            }
            continue;
        };
        let initial = keyed.initial_state.as_ref().and_then(|table| prepared.deployment.tables.get(table));
        let initial = initial.map(|table| &table.schema);
        let gate = prepared.inputs.get(&stream.name).and_then(|input| input.gate.as_ref());
        let Some(Gate::Keyed(gate)) = gate else { continue };
        match new.keyed(&input, &keyed.key, initial) {
            Ok(said) => {
                let (before, after) = (gate.code.program(), braid_kernel::keyed::KeyedCode::program(&said));
                if before != after {
                    reasons.push(format!(
                        "in stream `{}` it {}, and the new one {}",
                        stream.name,
                        program(before),
                        program(after)
                    ));
                }
            }
            Err(error) => reasons.push(error.to_string()),
        }
    }
    reasons
}

fn columns(fields: &Fields) -> String {
    let one = |field: &Arc<Field>| format!("{}: {}", field.name(), field.data_type());
    format!("({})", fields.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn program(program: &Program) -> String {
    let kept = program.variables.iter().map(|variable| {
        let ttl = variable.ttl_ms.map_or_else(String::new, |ttl| format!(" for {ttl} ms"));
        format!("`{}` ({:?} of {}{ttl})", variable.name, variable.kind, columns(variable.columns.fields()))
    });
    let kept: Vec<String> = kept.collect();
    format!("gives out {} and keeps {}", columns(program.output.fields()), kept.join(", "))
}

/// All that is stored must mean the same.
fn same_tables(before: &Prepared, after: &Prepared) -> Result<(), String> {
    let (old, new) = (opening(before), opening(after));
    let changed: BTreeSet<&String> = old
        .kinds
        .iter()
        .chain(&new.kinds)
        .filter(|(name, _)| old.kinds.get(*name) != new.kinds.get(*name))
        .map(|(name, _)| name)
        .collect();
    if let Some(name) = changed.first() {
        return Err(format!("table `{name}` would be another"));
    }
    let schema = |of: &Prepared, view: &str| -> Option<SchemaRef> { Some(of.engine.views().get(view)?.schema.clone()) };
    for view in before.engine.views().keys() {
        let (one, other) = (schema(before, view), schema(after, view));
        if let (Some(one), Some(other)) = (one, other)
            && one.fields() != other.fields()
        {
            let (one, other) = (columns(one.fields()), columns(other.fields()));
            return Err(format!("view `{view}` is {one}, and with the new one {other}"));
        }
    }
    Ok(())
}

/// What sinks deliver must be as before.
fn same_promises(before: &Prepared, after: &Prepared) -> Result<(), String> {
    for (name, sink) in &before.deployment.sinks {
        if sink.delivery != after.deployment.sinks[name].delivery {
            return Err(format!(
                "sink `{name}` delivers exactly once, and the new one does not promise that an epoch that comes again has \
                 the effect of one"
            ));
        }
    }
    Ok(())
}

/// Nothing runs beside the plugin any more when this is dropped.
struct Alone<'a>(&'a Plugin);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.alone();
    }
}

/// Gives both the same rows, until there were enough of them or the time is over.
async fn canary(old: &Plugin, new: &Plugin, board: &Board, wanted: &SwapWanted) -> Result<Seen, String> {
    if wanted.canary_rows == 0 {
        return Ok(Seen::default());
    }
    let canary = old.try_beside(new.clone(), wanted.canary_rows);
    let _alone = Alone(old);
    let over = tokio::time::sleep(wanted.canary_time());
    tokio::pin!(over);
    let mut commits = board.subscribe();
    let mut late = false;
    loop {
        let seen = canary.seen();
        if seen.failed > 0 {
            return Err(format!(
                "as a canary it failed on {} of {} rows on which the one at work did not{}",
                seen.failed,
                seen.rows,
                first(seen.failure.as_ref())
            ));
        }
        if wanted.expect == Expect::Same && seen.differing > 0 {
            return Err(format!(
                "as a canary it answered {} of {} rows otherwise{}",
                seen.differing,
                seen.rows,
                first(seen.difference.as_ref())
            ));
        }
        if canary.is_over() || late {
            return Ok(seen);
        }
        tokio::select! {
            () = &mut over => late = true,
            _ = commits.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn first(found: Option<&Found>) -> String {
    match found {
        Some(Found { reason, record }) if record.is_empty() => format!("; the first: {reason}"),
        Some(Found { reason, record }) => format!("; the first: {reason}: {record}"),
        None => String::new(),
    }
}

fn canary_json(seen: &Seen) -> Value {
    let difference = seen.difference.as_ref().map(|found| json!({"reason": found.reason, "record": found.record}));
    json!({
        "rows": seen.rows,
        "failed": seen.failed,
        "differing": seen.differing,
        "differingShare": seen.differing as f64 / seen.rows.max(1) as f64,
        "difference": difference,
    })
}

/// The time in which a new plugin can still be sent back.
pub struct Probation {
    pub plugin: String,
    /// The deployment with the plugin of before.
    pub before: Arc<Prepared>,
    new: Plugin,
    /// What each had been asked when the new one began.
    new_then: Tally,
    old: Tally,
    /// The epoch at which it is over.
    until: u64,
}

impl Probation {
    /// From now on, for so many epochs.
    pub fn new(tried: &Tried, before: Arc<Prepared>, next_epoch: u64) -> Option<Self> {
        let (old, new) = (before.plugins.get(&tried.plugin)?.tally(), tried.next.plugins.get(&tried.plugin)?.clone());
        let until = next_epoch.saturating_add(tried.probation_epochs);
        (tried.probation_epochs > 0).then(|| Self {
            plugin: tried.plugin.clone(),
            before,
            new_then: new.tally(),
            new,
            old,
            until,
        })
    }

    /// Why the plugin has to go, if it does: it fails more often than the one before, beyond chance.
    pub fn verdict(&self) -> Option<String> {
        let now = self.new.tally().since(self.new_then);
        let expected = self.old.share() * now.rows as f64;
        let of = if self.new.is_sink() { "epochs" } else { "rows" };
        (now.failed as f64 > expected + DEVIATIONS * expected.sqrt()).then(|| {
            format!(
                "it failed on {} of {} {of}, the one before on {} of {}",
                now.failed, now.rows, self.old.failed, self.old.rows
            )
        })
    }

    /// The same of a query that failed: it is the plugin's doing.
    pub fn verdict_of(&self, exception: &Exception) -> Option<String> {
        let own = exception.part.as_ref().is_some_and(|(kind, name)| match kind.as_str() {
            "plugin" => *name == self.plugin,
            "sink" => {
                let to = self.before.deployment.sinks.get(name).map(|sink| &sink.to);
                matches!(to, Some(SinkKind::Plugin { plugin, .. }) if *plugin == self.plugin)
            }
            _ => false,
        });
        if own { self.verdict() } else { None }
    }

    /// Whether it has passed.
    pub fn is_over(&self, next_epoch: u64) -> bool {
        next_epoch >= self.until
    }
}
