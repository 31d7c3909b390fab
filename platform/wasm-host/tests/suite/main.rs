//! Plugins through the host: the honest one, and the crimes.

mod anonymise;
mod bombs;
mod crimes;
mod evil;
mod functions;
mod grants;
mod kept;
mod keyed;
mod scripts;
mod sink;
mod smith;
mod support;
