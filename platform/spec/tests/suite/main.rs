//! What the parser says of whole files.

mod deployments;
mod hostile;
mod schema;
