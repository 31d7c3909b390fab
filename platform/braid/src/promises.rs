//! What plugins promise by being ones, tried before they run: a few generated cases of each law, for the columns and
//! arguments that the deployment gives them. What held is remembered by digest, so that the next start tries nothing.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use braid_laws::{Adding, Calling, Generator, Remembering, Settings, Subject, Verdict};
use braid_spec::Diagnostics;
use braid_spec::model::{OnBrokenLaw, PluginCode, Stream, TransformWithState};
use braid_wasm_host::{Checked, FunctionPlugin, Plugin, thread_time, type_name};
use tracing::subscriber::{NoSubscriber, with_default};

use crate::cli::Output;
use crate::failure::Failure;
use crate::prepare::{Prepared, render, wasm_home};

/// Cases of each law: what people get wrong shows in the first few dozen; `braid plugin check` tries more.
const CASES: usize = 96;
/// The most rows of a list in one case.
const ROWS_MAX: usize = 8;
/// The same cases at each start.
const SEED: u64 = 1;
/// How much processor time the laws of one plugin may take in one place. Then the rest is not tried, which is said.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Where a plugin stands in streams, and the columns that it is given there.
pub struct Place<'a> {
    pub stream: &'a Stream,
    pub input: SchemaRef,
    /// Where it has a memory for each key.
    pub keyed: Option<&'a TransformWithState>,
}

/// All places of a plugin in streams.
pub fn places<'a>(prepared: &'a Prepared, name: &str) -> Vec<Place<'a>> {
    let mut places = vec![];
    for stream in &prepared.deployment.streams {
        let Some(first) = stream.from.first().and_then(|from| prepared.inputs.get(from)) else { continue };
        let keyed = stream.transform_with_state.as_ref().filter(|keyed| keyed.plugin == name);
        if keyed.is_none() && !stream.apply.iter().any(|applied| applied == name) {
            continue;
        }
        let mut input = first.schema.clone();
        for applied in &stream.apply {
            if applied == name {
                places.push(Place { stream, input: input.clone(), keyed: None });
            }
            match prepared.plugins.get(applied).map(|plugin| plugin.describe(&input)) {
                Some(Ok(output)) => input = output,
                _ => break,
            }
        }
        places.extend(keyed.map(|keyed| Place { stream, input, keyed: Some(keyed) }));
    }
    places
}

/// What a plugin is given in one place.
struct Use {
    input: SchemaRef,
    keys: Vec<String>,
    initial: Option<SchemaRef>,
}

impl Use {
    /// Every different one.
    fn all(prepared: &Prepared, plugin: &Plugin) -> Vec<Self> {
        let tables = &prepared.deployment.tables;
        let of_place = |place: Place<'_>| Self {
            input: place.input,
            keys: place.keyed.map_or_else(Vec::new, |keyed| keyed.key.clone()),
            initial: place.keyed.and_then(|keyed| Some(tables.get(keyed.initial_state.as_ref()?)?.schema.clone())),
        };
        let streams = places(prepared, plugin.name()).into_iter().map(of_place);
        let mut all: Vec<Self> = streams.chain(plugin.called_with().into_iter().map(Self::of_call)).collect();
        all.retain(|used| !used.input.fields().is_empty());
        all.dedup_by_key(|used| used.name());
        all
    }

    /// Arguments are columns named by their numbers.
    fn of_call(arguments: Vec<DataType>) -> Self {
        let fields = arguments.into_iter().enumerate();
        let fields = fields.map(|(number, data_type)| Field::new(number.to_string(), data_type, true));
        Self { input: Arc::new(Schema::new(fields.collect::<Vec<_>>())), keys: vec![], initial: None }
    }

    /// All that decides what is tried, beside the plugin.
    fn name(&self) -> String {
        let Self { input, keys, initial } = self;
        let fields = |schema: &SchemaRef| format!("{:?}", schema.fields());
        format!("{} by {keys:?} over {:?}", fields(input), initial.as_ref().map(fields))
    }

    /// The plugin, ready for it; none where it has no laws.
    fn subject(&self, plugin: &Plugin) -> Result<Option<Subject>, String> {
        let twin = plugin.twin();
        Ok(Some(match (twin.function(), plugin.world()) {
            (Some(FunctionPlugin::Scalar(code)), _) => Subject::Scalar(Calling::new(twin, code, &self.input)?),
            (Some(FunctionPlugin::Aggregate(code)), _) => Subject::Aggregate(Adding::new(twin, code, &self.input)?),
            (None, "stateful") => {
                let code = twin.keyed(&self.input, &self.keys, self.initial.as_ref());
                let code = code.map_err(|error| error.to_string())?;
                Subject::Keyed(Remembering::new(code, &self.input, &self.keys)?)
            }
            (None, "transform") => {
                Subject::Transform(Box::new(twin.applier(&self.input).map_err(|error| error.to_string())?))
            }
            (None, _) => return Ok(None),
        }))
    }

    /// As the options of `braid plugin check`.
    fn options(&self, plugin: &Plugin) -> String {
        let named = |field: &Arc<Field>| {
            let data_type = type_name(field.data_type()).unwrap_or_else(|| field.data_type().to_string());
            match plugin.function() {
                Some(_) => data_type,
                None => format!("{}: {data_type}", field.name()),
            }
        };
        let types = self.input.fields().iter().map(named).collect::<Vec<_>>().join(", ");
        let keys: String = self.keys.iter().map(|key| format!(" --key {key}")).collect();
        let option = if plugin.function().is_some() { "--arguments" } else { "--input" };
        format!("{option} '{types}'{keys}")
    }
}

/// Tries what the plugins of a deployment promise, or one of them; an error where one does not keep it.
pub async fn kept(prepared: &Prepared, only: Option<&str>, output: Output) -> Result<(), Failure> {
    let mut mistakes = Diagnostics::default();
    for (name, plugin) in prepared.plugins.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let declared = &prepared.deployment.plugins[name];
        if declared.laws == OnBrokenLaw::Skip {
            continue;
        }
        for used in Use::all(prepared, plugin) {
            let options = used.options(plugin);
            let plugin = plugin.clone();
            let broken = tokio::task::spawn_blocking(move || broken(&plugin, &used)).await;
            let Some(law) = broken.map_err(Failure::runtime)?.map_err(Failure::runtime)? else { continue };
            if declared.laws == OnBrokenLaw::Warn {
                tracing::warn!(plugin = name, "{law}");
                continue;
            }
            let (file, key) = match &declared.code {
                PluginCode::Component(file) => (file, "component"),
                PluginCode::Script { file, .. } => (file, "script"),
            };
            let here = std::env::current_dir().unwrap_or_default();
            let file = file.strip_prefix(here).unwrap_or(file).display();
            let hint = format!(
                "`braid plugin check {file} {options}` tries more; with `laws: warn` it runs all the same, and what it answers \
                 depends on how its rows were cut and grouped"
            );
            let path = format!("plugins.{name}.{key}");
            mistakes.list.push(prepared.map.diagnostic(&path, None, law, Some(hint)));
            // One of its places is enough to see why.
            break;
        }
    }
    match mistakes.list.is_empty() {
        true => Ok(()),
        false => Err(render(&mistakes, output)),
    }
}

/// Whether SQL keeps states of it.
pub fn has_states(plugin: &Plugin) -> bool {
    matches!(plugin.function(), Some(FunctionPlugin::Aggregate(_))) && !plugin.called_with().is_empty()
}

/// Says that states which one aggregate made are answered by another as before; an error where they are not.
pub async fn continued(old: &Plugin, new: &Plugin) -> Result<Option<String>, String> {
    if !has_states(new) {
        return Ok(None);
    }
    let (old, new) = (old.clone(), new.clone());
    let tried = tokio::task::spawn_blocking(move || {
        let mut rows = 0;
        for used in new.called_with().into_iter().filter(|types| !types.is_empty()).map(Use::of_call) {
            let adding = |plugin: &Plugin| match used.subject(plugin)? {
                Some(Subject::Aggregate(adding)) => Ok::<_, String>(Some(adding)),
                _ => Ok(None),
            };
            let (Some(before), Some(after)) = (adding(&old)?, adding(&new)?) else { continue };
            let generator = Generator::new(&used.input);
            let tried = with_default(NoSubscriber::default(), || {
                braid_laws::continues(&before, &after, &generator, settings())
            })?;
            if let Some(counter) = tried.counter {
                return Err(format!(
                    "states that `{}` has kept would have other answers, and so would epochs of before; with `--states any` \
                     (`\"states\": \"any\"`) it is taken all the same\n{}",
                    new.name(),
                    counter.text().trim_end()
                ));
            }
            rows += tried.through;
        }
        Ok(Some(match rows {
            0 => "merged and answered by the new one: no generated row went through to try it".to_owned(),
            rows => format!("merged and answered by the new one, as the old one does for {rows} generated rows"),
        }))
    });
    tried.await.map_err(|error| error.to_string())?
}

/// From now on.
fn settings() -> Settings {
    Settings { cases: CASES, seed: SEED, rows_max: ROWS_MAX, until: Some(thread_time() + TIME_MAX) }
}

/// The law that a plugin breaks, with the smallest counter-example; none also where it was found to keep them before.
fn broken(plugin: &Plugin, used: &Use) -> Result<Option<String>, String> {
    let name = plugin.name();
    let checked = wasm_home().map(|home| Checked::open(&home.join("checked")));
    let checked = checked.and_then(|opened| {
        opened.inspect_err(|reason| tracing::warn!(reason, "what was tried of plugins is not remembered")).ok()
    });
    // Another version may know other laws.
    let version = env!("CARGO_PKG_VERSION");
    let tried = format!("{} {} {version} {CASES} cases of {ROWS_MAX}, {SEED}", plugin.digest(), used.name());
    if checked.as_ref().is_some_and(|checked| checked.has(&tried)) {
        return Ok(None);
    }
    let began = thread_time();
    let verdicts = with_default(NoSubscriber::default(), || {
        // What it logs of rows that nobody sent says nothing to anybody.
        let Some(mut subject) = used.subject(plugin)? else { return Ok(vec![]) };
        let mut generator = Generator::new(&used.input);
        if let Subject::Keyed(keyed) = &subject {
            generator = generator.keys(keyed.keys().to_vec());
        }
        braid_laws::promised(&mut subject, &generator, settings(), false)
    })
    .map_err(|reason: String| format!("plugin `{name}`: {reason}"))?;
    tracing::info!(plugin = name, laws = verdicts.len(), took = ?(thread_time() - began), "laws were tried");
    if let Some((law, counter)) = verdicts.iter().find_map(|verdict| Some((&verdict.law, verdict.counter.as_ref()?))) {
        return Ok(Some(format!("plugin `{name}` breaks a law of its world: {law}\n{}", counter.text().trim_end())));
    }
    let untried = |verdict: &&Verdict| verdict.through == 0 || verdict.cases < CASES;
    match verdicts.iter().find(untried) {
        Some(Verdict { law, through: 0, .. }) => {
            tracing::warn!(
                plugin = name,
                law,
                "no generated row went through: `braid plugin check` takes those of fixtures"
            );
        }
        Some(Verdict { law, cases, .. }) => {
            tracing::warn!(plugin = name, law, cases, "there was no time for more cases than that");
        }
        None => {
            let noted = checked.map_or(Ok(()), |checked| checked.note(&tried));
            if let Err(reason) = noted {
                tracing::warn!(%reason, "what was tried of plugins is not remembered");
            }
        }
    }
    Ok(None)
}
