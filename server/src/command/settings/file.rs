//! Settings from a file in TOML. Its keys are the names of flags, with dashes or underscores; `[tls]` with `cert` in it is
//! `tls-cert`.

use super::{
    Setting,
    definition::{Definition, Kind, nearest, value_name},
    mistake::{Mistake, Place},
};
use std::{ops::Range, sync::Arc};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

/// What the file with the text `text` sets, in the order in which it does.
pub(super) fn read(
    path: &str,
    text: &str,
    definition: &Definition,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Setting> {
    let mut reader = Reader { path: path.into(), text, definition, settings: Vec::new(), mistakes };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        Err(error) => {
            let place = reader.place(&error.span().unwrap_or_default());
            let message = error.message().to_owned();
            reader.mistakes.push(Mistake::Syntax { place, message });
        }
    }
    reader.settings
}

struct Reader<'a> {
    path: Arc<str>,
    text: &'a str,
    definition: &'a Definition,
    settings: Vec<Setting>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = 1 + before.matches('\n').count();
        Place::File { path: self.path.clone(), line, column: 1 + before[line_start..].chars().count() }
    }

    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in in_order(table) {
            let name = key.get_ref().replace('_', "-");
            let name = if section.is_empty() { name } else { format!("{section}-{name}") };
            let place = self.place(&key.span());
            let definition = self.definition;
            match (definition.find(&name), value.get_ref()) {
                (Some(argument), _) => {
                    let first = self.settings.iter().find(|setting| setting.name == name);
                    if let Some(first) = first.map(|setting| setting.place.clone()) {
                        self.mistakes.push(Mistake::Twice { place, key: name, first });
                        continue;
                    }
                    match texts(Kind::of(argument), value.get_ref()) {
                        Ok(texts) => self.settings.push(Setting { name, texts, place }),
                        Err(found) => {
                            let place = self.place(&value.span());
                            let wanted = wanted(Kind::of(argument), value_name(argument));
                            self.mistakes.push(Mistake::Shape { place, key: name, found, wanted });
                        }
                    }
                }
                (None, DeValue::Table(inner)) if definition.is_section(&name) => self.table(&name, inner),
                (None, _) => {
                    let nearest = nearest(&name, definition.settings().map(|(known, _)| known));
                    self.mistakes.push(Mistake::UnknownKey { place, key: name, nearest });
                }
            }
        }
    }
}

type Entry<'t, 'i> = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>);

fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// The values as flags have them; an error says what was found instead.
fn texts(kind: Kind, value: &DeValue<'_>) -> Result<Vec<String>, &'static str> {
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(on)) => Ok(on.then(|| true.to_string()).into_iter().collect()),
        (Kind::One, value) => Ok(vec![scalar(value)?]),
        (Kind::Many | Kind::Pairs, DeValue::Array(values)) => {
            values.iter().map(|value| scalar(value.get_ref())).collect()
        }
        (Kind::Many, value) => Ok(vec![scalar(value)?]),
        (Kind::Pairs, DeValue::Table(table)) => in_order(table)
            .into_iter()
            .map(|(key, value)| Ok(format!("{}={}", key.get_ref(), joined(value.get_ref())?)))
            .collect(),
        (Kind::Pairs, DeValue::String(text)) => Ok(vec![text.clone().into_owned()]),
        (Kind::Switch | Kind::Pairs, other) => Err(found(other)),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map(|number| number.to_string())
            .map_err(|_| "a number that is too large"),
        DeValue::Float(float) => Ok(float.as_str().to_owned()),
        other => Err(found(other)),
    }
}

/// A list is written with commas in a flag.
fn joined(value: &DeValue<'_>) -> Result<String, &'static str> {
    let DeValue::Array(values) = value else { return scalar(value) };
    let texts: Result<Vec<_>, _> = values.iter().map(|value| scalar(value.get_ref())).collect();
    Ok(texts?.join(","))
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn wanted(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Switch => "true or false".to_owned(),
        Kind::One => format!("one {value}"),
        Kind::Many => format!("{value} or a list of them"),
        Kind::Pairs => {
            let (key, value) = value.split_once('=').unwrap_or((value, "VALUE"));
            format!("a table of {key} = {value}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::settings::tests::definition;

    fn read_text(text: &str) -> (Vec<Setting>, Vec<String>) {
        let mut mistakes = Vec::new();
        let settings = read("t.toml", text, &definition(), &mut mistakes);
        (settings, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn keys_are_the_names_of_flags() {
        for (text, name, texts) in [
            ("bind = '0.0.0.0:1'", "bind", &["0.0.0.0:1"][..]),
            ("ping_interval_ms = 1_000", "ping-interval-ms", &["1000"]),
            ("ping-interval-ms = 0x10", "ping-interval-ms", &["16"]),
            ("[ping]\ninterval-ms = 5", "ping-interval-ms", &["5"]),
            ("ping.interval_ms = '5'", "ping-interval-ms", &["5"]),
            ("allow-origin = 'https://a'", "allow-origin", &["https://a"]),
            ("allow-origin = ['https://b', 'https://a']", "allow-origin", &["https://b", "https://a"]),
            ("allow-origin = []", "allow-origin", &[]),
            ("read-only = true", "read-only", &["true"]),
            ("read-only = false", "read-only", &[]),
            ("history = 'a=1'", "history", &["a=1"]),
            ("history = ['a=1', '*=0']", "history", &["a=1", "*=0"]),
            (
                "[history]\n'z.*' = [1000, 3600]\n'a.*' = 0\n'*' = '5,6'",
                "history",
                &["z.*=1000,3600", "a.*=0", "*=5,6"],
            ),
        ] {
            let (settings, mistakes) = read_text(text);
            assert!(mistakes.is_empty(), "{text}: {mistakes:?}");
            assert_eq!(
                (settings[0].name.as_str(), &*settings[0].texts),
                (name, &texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>()[..])
            );
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, mistake) in [
            ("\n  bint = 1", "t.toml:2:3: no setting \"bint\"; is bind meant?"),
            ("x = 1", "t.toml:1:1: no setting \"x\""),
            ("config = 'x'", "t.toml:1:1: no setting \"config\""),
            ("[ping]\ninterval = 1", "t.toml:2:1: no setting \"ping-interval\"; is ping-interval-ms meant?"),
            ("bind = ['a']", "t.toml:1:8: bind is a list; wanted is one ADDR:PORT"),
            ("# ü\nbind = true", "t.toml:2:8: bind is true or false; wanted is one ADDR:PORT"),
            ("read-only = 'yes'", "t.toml:1:13: read-only is a text; wanted is true or false"),
            (
                "allow-origin = { a = 1 }",
                "t.toml:1:16: allow-origin is a table; wanted is ORIGIN or a list of them",
            ),
            (
                "history = 5",
                "t.toml:1:11: history is a number; wanted is a table of PATTERN = EVENTS[,SECONDS]",
            ),
            (
                "ping-interval-ms = 99999999999999999999",
                "t.toml:1:20: ping-interval-ms is a number that is too large; wanted is one MS",
            ),
            (
                "ping-interval-ms = 1\nping_interval_ms = 2",
                "t.toml:2:1: ping-interval-ms is set twice, here and at t.toml:1:1",
            ),
        ] {
            assert_eq!(read_text(text).1, [mistake], "{text}");
        }
    }

    #[test]
    fn text_that_is_no_toml_is_told_with_its_place_and_not_repeated() {
        for text in ["bind = 'x'\nsecret =", "bind = 'x'\nsecret = hunter2", "bind = 'x'\nsecret = 'hunter2"]
        {
            let (_, mistakes) = read_text(text);
            assert_eq!(mistakes.len(), 1);
            assert!(mistakes[0].starts_with("t.toml:2:") && !mistakes[0].contains("hunter2"), "{mistakes:?}");
        }
    }

    #[test]
    fn all_mistakes_are_told() {
        assert_eq!(read_text("a = 1\nbind = []\nread-only = 1").1.len(), 3);
    }
}
