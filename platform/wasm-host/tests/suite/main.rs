//! Plugins through the host: the honest one, and the crimes.

mod anonymise;
mod evil;
mod functions;
mod kept;
mod keyed;
mod sink;
mod support;
