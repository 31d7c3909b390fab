//! How a command fails: an exit code that says whose turn it is, and a message that says what to do.

use std::fmt;

/// A command's failure.
#[derive(Debug)]
pub enum Failure {
    /// 2: the deployment has mistakes. Already rendered.
    Invalid(String),
    /// 3: something around us is missing or refuses.
    Environment(String),
    /// 1: it ran, and failed.
    Runtime(String),
}

impl Failure {
    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Runtime(_) => 1,
            Self::Invalid(_) => 2,
            Self::Environment(_) => 3,
        }
    }

    /// What happened.
    pub fn message(&self) -> &str {
        let (Self::Invalid(text) | Self::Environment(text) | Self::Runtime(text)) = self;
        text
    }

    /// Something that ran and failed.
    pub fn runtime(error: impl fmt::Display) -> Self {
        Self::Runtime(error.to_string())
    }

    /// Something around us that is missing or refuses.
    pub fn environment(error: impl fmt::Display) -> Self {
        Self::Environment(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) => f.write_str(text.trim_end()),
            Self::Environment(text) | Self::Runtime(text) => write!(f, "error: {text}"),
        }
    }
}
