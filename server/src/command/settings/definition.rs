//! The settings that there are: the flags of a command, each described as a clap argument.

use super::mistake::{Mistake, Place};
use clap::{
    Arg, ArgAction, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::fmt::Write;

/// How alike an unknown name and a known one have to be, from 0 to 1, for the one to be taken for the other.
const ALIKE: f64 = 0.8;

/// Words in a setting's name, or in that of its value, by which the value is a secret. A file is none.
const SECRETS: [&str; 4] = ["secret", "password", "token", "credential"];

/// In place of what is secret.
const MASK: &str = "***";

/// What a setting's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// True or false.
    Switch,
    One,
    Many,
    /// Many of the form `KEY=VALUE`.
    Pairs,
}

impl Kind {
    pub(super) fn of(argument: &Arg) -> Self {
        match argument.get_action() {
            ArgAction::SetTrue => Self::Switch,
            ArgAction::Append if value_name(argument).contains('=') => Self::Pairs,
            ArgAction::Append => Self::Many,
            _ => Self::One,
        }
    }
}

/// The settings of one command.
pub(super) struct Definition {
    arguments: Vec<Arg>,
}

impl Definition {
    pub(super) fn of(command: &Command) -> Self {
        let arguments = command.get_arguments().filter(|a| a.get_long().is_some_and(|name| name != "help"));
        Self { arguments: arguments.cloned().collect() }
    }

    /// All settings; `config`, which says where they are, is none of them.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &Arg)> {
        self.arguments
            .iter()
            .filter_map(|argument| argument.get_long().map(|name| (name, argument)))
            .filter(|(name, _)| *name != "config")
    }

    pub(super) fn find(&self, name: &str) -> Option<&Arg> {
        self.settings().find(|(known, _)| *known == name).map(|(_, argument)| argument)
    }

    /// Whether `name` and a dash begin the names of some settings.
    pub(super) fn is_section(&self, name: &str) -> bool {
        self.settings().any(|(known, _)| known.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')))
    }
}

/// The one of `names` that is most like `name`, if any is like it.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    names
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|known| likeness(known) >= ALIKE)
        .map(str::to_owned)
}

/// The placeholder of a setting's value.
pub(super) fn value_name(argument: &Arg) -> &str {
    argument.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str())
}

/// Whether a setting's value must not be shown.
pub(in crate::command) fn is_secret(argument: &Arg) -> bool {
    let value = value_name(argument).to_ascii_lowercase();
    let name = argument.get_long().unwrap_or_default();
    let named = |text: &str| SECRETS.iter().any(|word| text.split(['-', '=', '_']).any(|part| part == *word));
    argument.get_action().takes_values() && (named(&value) || (named(name) && value != "file"))
}

/// A value as it may be shown: without secrets, and an URL without its user, password and query.
pub(in crate::command) fn shown(argument: &Arg, value: &str) -> String {
    if is_secret(argument) {
        return match value.split_once('=') {
            Some((name, _)) if value_name(argument).contains('=') => format!("{name}={MASK}"),
            _ => MASK.to_owned(),
        };
    }
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    // A password may have any of these signs in it by mistake.
    let (user, place) = rest
        .rsplit_once('@')
        .map_or((None, place), |(user, host)| (Some(user), host.split('?').next().unwrap_or(host)));
    let mut text = format!("{scheme}://");
    if user.is_some() {
        let _ = write!(text, "{MASK}@");
    }
    text.push_str(place);
    if query.is_some() {
        let _ = write!(text, "?{MASK}");
    }
    text
}

/// What is wrong with `value`, if anything.
pub(super) fn check(argument: &Arg, key: &str, value: &str, place: &Place) -> Result<(), Mistake> {
    let mut probe = Arg::new("value").long("value").action(ArgAction::Append);
    probe = probe.value_parser(argument.get_value_parser().clone());
    if let Some(delimiter) = argument.get_value_delimiter() {
        probe = probe.value_delimiter(delimiter);
    }
    let command = Command::new("probe").no_binary_name(true).arg(probe);
    let Err(error) = command.try_get_matches_from([format!("--value={value}")]) else { return Ok(()) };
    let shown = shown(argument, value);
    let value = if is_secret(argument) { "what it is".to_owned() } else { format!("{shown:?}") };
    let mut why = format!("{}; wanted is {}", reason(argument, &error), value_name(argument));
    if let Some(help) = argument.get_help() {
        let _ = write!(why, ": {help}");
    }
    Err(Mistake::Value { place: place.clone(), key: key.to_owned(), value, why })
}

/// Why clap refuses a value, without the value where it must not be shown.
pub(super) fn reason(argument: &Arg, error: &clap::Error) -> String {
    let plain = match error.kind() {
        ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(allowed)) if !allowed.is_empty() => {
                format!("allowed are {}", allowed.join(", "))
            }
            _ => "it is empty".to_owned(),
        },
        _ => std::error::Error::source(error).map_or_else(|| "it is invalid".to_owned(), ToString::to_string),
    };
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else { return plain };
    let parts = [Some(value.as_str()), value.split_once('=').map(|(_, secret)| secret)];
    let repeats = parts.into_iter().flatten().any(|part| !part.is_empty() && plain.contains(part));
    if repeats && shown(argument, value) != *value { "it is invalid".to_owned() } else { plain }
}
