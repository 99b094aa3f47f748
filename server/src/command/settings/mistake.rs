//! What can be wrong with a setting, and where.

use std::{fmt, io, path::PathBuf, sync::Arc};

/// Where a setting that is no flag was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::command) enum Place {
    /// Line and column count from 1.
    File { path: Arc<str>, line: usize, column: usize },
    /// A variable of the environment.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Why a setting is refused. Says nothing of a secret's value.
#[derive(Debug, thiserror::Error)]
pub(in crate::command) enum Mistake {
    #[error("cannot read --config {}: {source}", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{place}: {message}")]
    Syntax { place: Place, message: String },
    #[error("{place}: no setting {key:?}{}", meant(.nearest.as_deref()))]
    UnknownKey { place: Place, key: String, nearest: Option<String> },
    #[error("{name}: no setting of this name{}", meant(.nearest.as_deref()))]
    UnknownVariable { name: String, nearest: Option<String> },
    #[error("{name}: its value is no text")]
    NoText { name: String },
    #[error("{place}: {key} is set twice, here and at {first}")]
    Twice { place: Place, key: String, first: Place },
    #[error("{place}: {key} is {found}; wanted is {wanted}")]
    Shape { place: Place, key: String, found: &'static str, wanted: String },
    #[error("{place}: {key} cannot be {value}: {why}")]
    Value { place: Place, key: String, value: String, why: String },
}

fn meant(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; is {name} meant?"))
}
