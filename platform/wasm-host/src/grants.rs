//! What a component imports, what the deployment grants, and that the two agree.

use braid_spec::model::Grants;
use braid_wire::{CLOCK, ENV, HTTP, LOG, RANDOM};
use wasmtime::component::{ComponentType, Lower};

use crate::error::PluginError;
use crate::guest::World;

/// Something that can be granted. An interpreter of scripts is told so.
#[derive(ComponentType, Lower, Debug, Clone, Copy, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum Grant {
    #[component(name = "http")]
    Http,
    #[component(name = "log")]
    Log,
    #[component(name = "env")]
    Env,
    #[component(name = "clock")]
    Clock,
    #[component(name = "random")]
    Random,
}

impl Grant {
    pub(crate) const ALL: [Self; 5] = [Self::Http, Self::Log, Self::Env, Self::Clock, Self::Random];

    pub(crate) fn import(self) -> &'static str {
        match self {
            Self::Http => HTTP,
            Self::Log => LOG,
            Self::Env => ENV,
            Self::Clock => CLOCK,
            Self::Random => RANDOM,
        }
    }

    /// Its key in the deployment.
    fn key(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Log => "log",
            Self::Env => "env",
            Self::Clock => "clock",
            Self::Random => "random",
        }
    }

    /// What is to be written there.
    pub(crate) fn yaml(self) -> &'static str {
        match self {
            Self::Http => "http: [\"https://api.example.com\"]",
            Self::Log => "log: true",
            Self::Env => "env: {NAME: value}",
            Self::Clock => "clock: true",
            Self::Random => "random: true",
        }
    }

    /// Why only a sink may have it: what else there is for others.
    fn instead(self) -> Option<&'static str> {
        match self {
            Self::Clock => Some("give it a column of event time, or `current_timestamp()` in SQL behind it"),
            Self::Random => Some("have it make a hash of the row"),
            _ => None,
        }
    }

    /// Whether there is such a thing for a plugin of this world: others of it have another error.
    pub(crate) fn is_for(self, world: World) -> bool {
        self != Self::Http || world == World::Sink
    }

    pub(crate) fn is_granted(self, grants: &Grants) -> bool {
        match self {
            Self::Http => !grants.http.is_empty(),
            Self::Log => grants.log,
            Self::Env => !grants.env.is_empty(),
            Self::Clock => grants.clock,
            Self::Random => grants.random,
        }
    }
}

/// What a component of a world gets of what it imports: all of it, or there is an error.
pub(crate) fn granted(
    plugin: &str,
    imports: &[&str],
    world: Option<World>,
    grants: &Grants,
) -> Result<Vec<Grant>, PluginError> {
    let plugin = || plugin.to_owned();
    let wanted = imports.iter().map(|import| {
        let grant = Grant::ALL.into_iter().find(|grant| grant.import() == *import);
        let possible = grant.filter(|grant| world.is_none_or(|world| grant.is_for(world)));
        possible.ok_or_else(|| PluginError::Import { plugin: plugin(), import: (*import).into() })
    });
    let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
    // What it is, is another error.
    let Some(world) = world else { return Ok(wanted) };
    for grant in &wanted {
        let (import, given) = (grant.import(), grant.is_granted(grants));
        match (grant, grant.instead()) {
            (_, Some(instead)) if world != World::Sink => {
                return Err(PluginError::History { plugin: plugin(), import, instead });
            }
            _ if given => {}
            (Grant::Http, _) => return Err(PluginError::Grant { plugin: plugin() }),
            _ => return Err(PluginError::NotGranted { plugin: plugin(), import, yaml: grant.yaml() }),
        }
    }
    let needless = Grant::ALL.into_iter().find(|grant| grant.is_granted(grants) && !wanted.contains(grant));
    match needless {
        None => Ok(wanted),
        Some(Grant::Http) => Err(PluginError::NeedlessGrant { plugin: plugin() }),
        Some(grant) => Err(PluginError::NeedlessGrantOf { plugin: plugin(), key: grant.key(), import: grant.import() }),
    }
}
