//! Where settings come from: a flag beats a variable of the environment, that beats the file of `--config`, and that the
//! default. Each setting is described once, as a clap argument; what comes from elsewhere is given to clap as if it were
//! a flag, so that a new flag is a key and a variable by itself.

mod definition;
mod environment;
mod example;
mod file;
mod mistake;

pub(super) use self::{example::example, mistake::Mistake};

use self::{
    definition::{Definition, Kind, check, reason, shown},
    mistake::Place,
};
use super::Cli;
use clap::{
    ArgMatches, CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};
use std::{collections::BTreeMap, ffi::OsString, fmt, fs, path::PathBuf};

/// A setting that is made by something else than a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    name: String,
    /// The values, as flags have them; none for a switch that is off, and for an empty list.
    texts: Vec<String>,
    place: Place,
}

/// What a command was started with.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// What was refused of the file and the environment. The command has been read without it.
    pub(super) mistakes: Vec<Mistake>,
    /// All settings of the command, in the order of its help.
    pub(super) effective: Vec<Effective>,
}

/// A setting as it counts.
#[derive(Debug)]
pub(super) struct Effective {
    pub(super) name: String,
    /// Without secrets.
    pub(super) values: Vec<String>,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    Place(Place),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Place(place) => place.fmt(f),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// All commands. What a flag does is said in one sentence by -h, and whole by --help.
fn commands() -> clap::Command {
    Cli::command().mut_subcommands(|command| {
        command.mut_args(|argument| {
            let Some(help) = argument.get_help().map(ToString::to_string) else { return argument };
            let whole = argument.get_long_help().map_or_else(|| help.clone(), ToString::to_string);
            argument.help(first_sentence(&help).to_owned()).long_help(whole)
        })
    })
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..end])
}

/// Reads the command that `arguments` say, with what the file and the `environment` set of it.
pub(super) fn read(
    arguments: &[OsString],
    environment: &[(OsString, OsString)],
) -> Result<(Cli, Settings), clap::Error> {
    let command = commands();
    // What is wrong with the flags is found when all that belongs to them is there.
    let given = command.clone().ignore_errors(true).try_get_matches_from(arguments)?;
    let mut settings = Settings::default();
    let mut arguments = arguments.to_vec();
    let mut made = BTreeMap::new();
    if let Some((name, given)) = given.subcommand() {
        made = gather(&command, name, given, environment, &mut settings.mistakes);
        let flags = made.values().flat_map(|(kind, setting)| flags(*kind, setting));
        // The command's name comes first: nothing but help and version may stand before it.
        arguments.splice(2..2, flags);
    }
    let discreet = |error| discreet(&command, given.subcommand_name(), error);
    let matches = command.clone().try_get_matches_from(arguments).map_err(discreet)?;
    if let Some((name, matches)) = matches.subcommand() {
        settings.effective = effective(&command, name, matches, &made);
    }
    Ok((Cli::from_arg_matches(&matches)?, settings))
}

/// What file and environment set of a command that reads them, without what flags set.
fn gather(
    command: &clap::Command,
    name: &str,
    given: &ArgMatches,
    environment: &[(OsString, OsString)],
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, (Kind, Setting)> {
    let reads = |command: &&clap::Command| command.get_arguments().any(|a| a.get_id() == "config");
    let Some(own) = command.find_subcommand(name).filter(reads) else { return BTreeMap::new() };
    let own = Definition::of(own);
    let others: Vec<_> = command.get_subcommands().filter(reads).map(Definition::of).collect();
    let file_name = given.try_get_one::<PathBuf>("config").ok().flatten().cloned().or_else(|| {
        let name = environment::variable("config");
        environment.iter().find(|(variable, _)| *variable == *name).map(|(_, path)| path.into())
    });
    let mut all = Vec::new();
    if let Some(path) = file_name {
        let served = command.find_subcommand("serve").map(Definition::of);
        match (fs::read_to_string(&path), served) {
            (Ok(text), Some(served)) => {
                all = file::read(&path.to_string_lossy(), &text, &served, mistakes);
                all.retain(|setting| accept(&served, setting, mistakes));
            }
            (Err(source), _) => mistakes.push(Mistake::Unreadable { path, source }),
            (_, None) => {}
        }
    }
    let mut variables = environment::read(environment, &own, &others, mistakes);
    variables.retain(|setting| accept(&own, setting, mistakes));
    all.append(&mut variables);
    let from_flag = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    all.into_iter()
        .filter_map(|setting| {
            let argument = own.find(&setting.name).filter(|a| !from_flag(a.get_id().as_str()))?;
            Some((setting.name.clone(), (Kind::of(argument), setting)))
        })
        .collect()
}

/// Whether all values of a setting are such as they may be.
fn accept(definition: &Definition, setting: &Setting, mistakes: &mut Vec<Mistake>) -> bool {
    let Some(argument) = definition.find(&setting.name) else { return false };
    if Kind::of(argument) == Kind::Switch {
        return true;
    }
    let before = mistakes.len();
    let wrong = |text: &String| check(argument, &setting.name, text, &setting.place).err();
    mistakes.extend(setting.texts.iter().filter_map(wrong));
    mistakes.len() == before
}

fn flags(kind: Kind, setting: &Setting) -> impl Iterator<Item = OsString> {
    let name = &setting.name;
    setting.texts.iter().map(move |text| match kind {
        Kind::Switch => format!("--{name}").into(),
        _ => format!("--{name}={text}").into(),
    })
}

fn effective(
    command: &clap::Command,
    name: &str,
    matches: &ArgMatches,
    made: &BTreeMap<String, (Kind, Setting)>,
) -> Vec<Effective> {
    let Some(definition) = command.find_subcommand(name).map(Definition::of) else { return Vec::new() };
    let effective = |(name, argument): (&str, &clap::Arg)| {
        let id = argument.get_id().as_str();
        let texts = matches.get_raw(id).into_iter().flatten();
        let origin = match made.get(name) {
            Some((_, setting)) => Origin::Place(setting.place.clone()),
            None if matches.value_source(id) == Some(ValueSource::CommandLine) => Origin::Flag,
            None => Origin::Default,
        };
        let values = texts.map(|text| shown(argument, &text.to_string_lossy())).collect();
        Effective { name: name.to_owned(), values, origin }
    };
    definition.settings().map(effective).collect()
}

/// The same error, without the value where it is a secret.
fn discreet(command: &clap::Command, name: Option<&str>, error: clap::Error) -> clap::Error {
    let flag = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::InvalidValue | ErrorKind::ValueValidation, Some(ContextValue::String(flag))) => flag,
        _ => return error,
    };
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value,
        _ => return error,
    };
    let long = flag.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default();
    let definition = name.and_then(|name| command.find_subcommand(name)).map(Definition::of);
    let Some(argument) = definition.as_ref().and_then(|definition| definition.find(long)) else {
        return error;
    };
    if shown(argument, value) == *value {
        return error;
    }
    let message = format!("invalid value for '{flag}': {}", reason(argument, &error));
    command.clone().error(ErrorKind::ValueValidation, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction, Command};

    /// Settings of every kind.
    pub(super) fn definition() -> Definition {
        let pair = |text: &str| text.split_once('=').map(|_| ()).ok_or_else(|| format!("{text:?} has no ="));
        let setting = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
        Definition::of(&Command::new("serve").args([
            setting("config", "FILE"),
            setting("bind", "ADDR:PORT").help("Where to listen"),
            setting("ping-interval-ms", "MS").value_parser(clap::value_parser!(u64).range(..=10)),
            setting("allow-origin", "ORIGIN").action(ArgAction::Append),
            setting("history", "PATTERN=EVENTS[,SECONDS]").action(ArgAction::Append),
            setting("sign-key", "NAME=SECRET").action(ArgAction::Append).value_parser(pair),
            setting("sign-secret", "TEXT").value_parser(["long"]),
            setting("backplane", "URL"),
            setting("token-file", "FILE"),
            Arg::new("read-only").long("read-only").action(ArgAction::SetTrue),
        ]))
    }

    fn refusal(name: &str, value: &str) -> Option<String> {
        let definition = definition();
        let argument = definition.find(name).expect("a setting");
        let place = Place::Variable("HERE".to_owned());
        check(argument, name, value, &place).err().map(|mistake| mistake.to_string())
    }

    #[test]
    fn a_refused_value_is_told_with_what_is_wanted() {
        assert_eq!(refusal("ping-interval-ms", "10"), None);
        let text = refusal("ping-interval-ms", "11").expect("a refusal");
        assert_eq!(text, "HERE: ping-interval-ms cannot be \"11\": 11 is not in 0..=10; wanted is MS");
        assert!(refusal("ping-interval-ms", "soon").expect("a refusal").contains("\"soon\": invalid digit"));
        assert!(refusal("ping-interval-ms", "").is_some());
    }

    #[test]
    fn a_refused_secret_is_not_told() {
        for (name, value) in [("sign-key", "hunter2"), ("sign-secret", "hunter2"), ("sign-secret", "")] {
            let text = refusal(name, value).expect("a refusal");
            assert!(text.starts_with(&format!("HERE: {name} cannot be what it is: ")), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn what_is_shown_has_no_secret() {
        let definition = definition();
        for (name, value, expected) in [
            ("bind", "0.0.0.0:1", "0.0.0.0:1"),
            ("sign-key", "shop=hunter2", "shop=***"),
            ("sign-key", "hunter2", "***"),
            ("sign-secret", "hunter2", "***"),
            ("token-file", "/etc/hunter2", "/etc/hunter2"),
            ("backplane", "memory", "memory"),
            ("backplane", "redis://host:1/0", "redis://host:1/0"),
            ("backplane", "redis://me:hunter2@host/0", "redis://***@host/0"),
            ("backplane", "redis://me:hun@ter?2@host/0", "redis://***@host/0?***"),
            ("backplane", "postgres://host/app?password=hunter2", "postgres://host/app?***"),
            ("backplane", "postgres://me:hunter2@host/app?password=hunter2", "postgres://***@host/app?***"),
        ] {
            assert_eq!(shown(definition.find(name).expect("a setting"), value), expected);
        }
    }

    fn words(words: &[&str]) -> Vec<OsString> {
        ["tidings"].iter().chain(words).map(Into::into).collect()
    }

    fn origins(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<(String, Vec<String>, Origin)> {
        let environment: Vec<_> = environment.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let (_, settings) = read(&words(arguments), &environment).expect("a command");
        assert!(settings.mistakes.is_empty(), "{:?}", settings.mistakes);
        settings.effective.into_iter().map(|e| (e.name, e.values, e.origin)).collect()
    }

    #[test]
    fn a_flag_beats_a_variable_and_both_beat_the_default() {
        let variable = |name: &str| Origin::Place(Place::Variable(name.to_owned()));
        let environment = [("TIDINGS_PATH", "/env"), ("TIDINGS_ALLOW_ORIGIN", "https://a https://b")];
        let found = origins(&["serve", "--allow-origin", "https://c"], &environment);
        for (name, values, origin) in [
            ("path", &["/env"][..], variable("TIDINGS_PATH")),
            ("allow-origin", &["https://c"], Origin::Flag),
            ("bind", &["127.0.0.1:8080"], Origin::Default),
            ("workers", &[], Origin::Default),
        ] {
            let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
            assert!(found.contains(&(name.to_owned(), values, origin)), "{name}: {found:?}");
        }
    }

    #[test]
    fn every_setting_has_a_variable_and_a_key_of_its_own() {
        let command = commands();
        let serve = Definition::of(command.find_subcommand("serve").expect("a command"));
        for (name, argument) in serve.settings() {
            assert!(argument.get_help().is_some(), "--{name} says nothing");
            assert!(argument.get_help_heading().is_some(), "--{name} has no heading");
            assert!(!serve.is_section(name) || Kind::of(argument) != Kind::Pairs, "[{name}] is two things");
        }
        commands().debug_assert();
    }
}
