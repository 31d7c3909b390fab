//! A deployment's YAML, read into types with every mistake reported at once. The only room that knows YAML.

pub mod model;
