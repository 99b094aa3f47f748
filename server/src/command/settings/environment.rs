//! Settings from variables of the environment: `TIDINGS_` and a flag's name in capitals.

use super::{
    Setting,
    definition::{Definition, Kind, nearest},
    mistake::{Mistake, Place},
};
use std::ffi::OsString;

const PREFIX: &str = "TIDINGS_";

/// The variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.replace('-', "_").to_ascii_uppercase())
}

/// What the environment sets of `definition`. A variable of `other` commands' settings is known, and nothing more.
pub(super) fn read(
    environment: &[(OsString, OsString)],
    definition: &Definition,
    others: &[Definition],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (variable, value) in environment {
        let Some(variable) = variable.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let Some(value) = value.to_str() else {
            mistakes.push(Mistake::NoText { name: variable.to_owned() });
            continue;
        };
        let name = variable[PREFIX.len()..].replace('_', "-").to_ascii_lowercase();
        let place = Place::Variable(variable.to_owned());
        if let Some(argument) = definition.find(&name) {
            let texts = match Kind::of(argument) {
                Kind::Switch => match value {
                    "true" | "1" => vec![true.to_string()],
                    "false" | "0" => vec![],
                    _ => {
                        let (found, wanted) = ("something else", "true or false".to_owned());
                        mistakes.push(Mistake::Shape { place, key: name, found, wanted });
                        continue;
                    }
                },
                Kind::One => vec![value.to_owned()],
                Kind::Many | Kind::Pairs => value.split_ascii_whitespace().map(str::to_owned).collect(),
            };
            settings.push(Setting { name, texts, place });
        } else if name != "config"
            && !is_of_a_service(variable, value)
            && others.iter().all(|o| o.find(&name).is_none())
        {
            let nearest = nearest(&name, definition.settings().map(|(known, _)| known));
            let nearest = nearest.map(|name| self::variable(&name));
            mistakes.push(Mistake::UnknownVariable { name: variable.to_owned(), nearest });
        }
    }
    settings
}

/// Whether Kubernetes has set it, for a service that is called `tidings` or begins so.
fn is_of_a_service(variable: &str, value: &str) -> bool {
    variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || ["_TCP", "_UDP", "_SCTP"]
            .iter()
            .any(|protocol| variable.contains(&format!("{protocol}_")) || variable.ends_with(protocol))
            && variable.contains("_PORT_")
        || variable.ends_with("_PORT") && value.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::settings::tests::definition;

    fn read_one(name: &str, value: &str) -> (Vec<Setting>, Vec<String>) {
        let mut mistakes = Vec::new();
        let settings = read(&[(name.into(), value.into())], &definition(), &[], &mut mistakes);
        (settings, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_by_the_kind_of_the_setting() {
        for (name, value, texts) in [
            ("TIDINGS_BIND", "0.0.0.0:1", &["0.0.0.0:1"][..]),
            ("TIDINGS_ALLOW_ORIGIN", " https://a  https://b ", &["https://a", "https://b"]),
            ("TIDINGS_HISTORY", "a=1,2 *=0", &["a=1,2", "*=0"]),
            ("TIDINGS_READ_ONLY", "1", &["true"]),
            ("TIDINGS_READ_ONLY", "false", &[]),
        ] {
            let (settings, mistakes) = read_one(name, value);
            assert!(mistakes.is_empty(), "{mistakes:?}");
            assert_eq!(settings[0].texts, texts, "{name}");
        }
        let (_, mistakes) = read_one("TIDINGS_READ_ONLY", "perhaps");
        assert_eq!(mistakes, ["TIDINGS_READ_ONLY: read-only is something else; wanted is true or false"]);
    }

    #[test]
    fn an_unknown_one_is_refused_and_the_nearest_named() {
        let mistakes = |name: &str| read_one(name, "x").1;
        assert_eq!(
            mistakes("TIDINGS_BINT"),
            ["TIDINGS_BINT: no setting of this name; is TIDINGS_BIND meant?"]
        );
        assert_eq!(mistakes("TIDINGS_XYZ"), ["TIDINGS_XYZ: no setting of this name"]);
        assert_eq!(read_one("OTHER_BINT", "x"), (vec![], vec![]));
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_is_left_alone() {
        for (name, value) in [
            ("TIDINGS_SERVICE_HOST", "10.0.0.1"),
            ("TIDINGS_SERVICE_PORT", "8080"),
            ("TIDINGS_SERVICE_PORT_HTTP", "8080"),
            ("TIDINGS_PORT", "tcp://10.0.0.1:8080"),
            ("TIDINGS_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("TIDINGS_GATEWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ] {
            assert_eq!(read_one(name, value), (vec![], vec![]), "{name}");
        }
        assert_eq!(read_one("TIDINGS_PORT", "8080").1.len(), 1);
    }
}
