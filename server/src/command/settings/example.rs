//! A file with all settings, made from their definition.

use super::commands;
use super::definition::{Definition, Kind, value_name};
use clap::Arg;
use std::fmt::Write;

/// Columns of the text.
const WIDTH: usize = 100;

const HEAD: &str = "\
Settings of `tidings serve --config FILE`, as printed by `tidings config --example`. Each is a flag of \
`tidings serve` too, and a variable of the environment: `ping-interval-ms` is --ping-interval-ms and \
TIDINGS_PING_INTERVAL_MS. A flag beats a variable, and that beats this file.

What is set below is the default: take the # away and change it. A section may stand for the beginning of names: \
[postgres] with `table` in it is `postgres-table`.";

/// The file.
pub(in crate::command) fn example() -> String {
    let command = commands();
    let serve = command.find_subcommand("serve").map(Definition::of);
    let mut text = String::new();
    comment(&mut text, HEAD);
    let mut heading = None;
    for (name, argument) in serve.iter().flat_map(Definition::settings) {
        if argument.get_help_heading() != heading {
            heading = argument.get_help_heading();
            let _ = write!(text, "\n# ── {} ──\n", heading.unwrap_or("Others"));
        }
        text.push('\n');
        let help = argument.get_long_help().or(argument.get_help());
        comment(&mut text, &help.map_or_else(String::new, ToString::to_string));
        let _ = writeln!(text, "{}", line(name, argument));
    }
    text
}

/// A setting with its default, or with what may be set when it has none.
fn line(name: &str, argument: &Arg) -> String {
    let value = value_name(argument);
    match (Kind::of(argument), argument.get_default_values()) {
        (Kind::Switch, _) => format!("#{name} = false"),
        (Kind::One, [default, ..]) => format!("#{name} = {}", literal(&default.to_string_lossy())),
        (Kind::One, []) => {
            let allowed: Vec<_> =
                argument.get_possible_values().iter().map(|v| literal(v.get_name())).collect();
            let allowed = if allowed.is_empty() { value.to_owned() } else { allowed.join(" or ") };
            format!("# {name} = {allowed}")
        }
        (Kind::Many, defaults) => {
            let defaults: Vec<_> = defaults.iter().map(|value| literal(&value.to_string_lossy())).collect();
            format!("# {name} = [{value}, …]\n#{name} = [{}]", defaults.join(", "))
        }
        (Kind::Pairs, _) => {
            let (key, value) = value.split_once('=').unwrap_or((value, "VALUE"));
            format!("# {name} = {{ \"{key}\" = \"{value}\", … }}\n#{name} = {{}}")
        }
    }
}

/// A value as TOML has it.
fn literal(text: &str) -> String {
    if text.parse::<i64>().is_ok() { text.to_owned() } else { format!("{text:?}") }
}

/// Appends `text` as comments of whole words.
fn comment(text: &mut String, words: &str) {
    for paragraph in words.lines() {
        let mut column = 0;
        for word in paragraph.split_whitespace() {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > WIDTH {
                text.push('\n');
                column = 0;
            }
            text.push_str(if column == 0 { "# " } else { " " });
            column = if column == 0 { 2 } else { column + 1 } + length;
            text.push_str(word);
        }
        text.push_str(if column == 0 { "#\n" } else { "\n" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::settings::{Kind, definition::Definition, file};

    /// The file without the signs that make comments of settings.
    fn uncommented() -> String {
        let text = example();
        let lines = text.lines().filter_map(|line| line.strip_prefix('#'));
        let settings: Vec<_> =
            lines.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase())).collect();
        settings.join("\n")
    }

    #[test]
    fn what_it_sets_is_the_default() {
        let command = commands();
        let serve = Definition::of(command.find_subcommand("serve").expect("a command"));
        let mut mistakes = Vec::new();
        let settings = file::read("example", &uncommented(), &serve, &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        for (name, argument) in serve.settings() {
            let defaults: Vec<_> =
                argument.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
            let set = settings.iter().find(|setting| setting.name == name).map(|setting| &setting.texts);
            match (Kind::of(argument), set) {
                (Kind::One, None) => assert!(defaults.is_empty(), "{name}"),
                (_, set) => assert_eq!(set.expect(name), &defaults, "{name}"),
            }
        }
    }

    #[test]
    fn every_line_is_a_comment_and_none_is_long() {
        for line in example().lines() {
            assert!((line.is_empty() || line.starts_with('#')) && line.chars().count() <= 120, "{line}");
        }
    }
}
