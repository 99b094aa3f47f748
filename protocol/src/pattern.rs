//! Channel patterns: an exact name, or a prefix with one trailing `*`.

use std::{collections::HashMap, fmt, str::FromStr};

/// An exact channel name, or a prefix with one trailing `*`. `*` alone matches every channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// This channel only.
    Exact(String),
    /// Every channel that starts with this.
    Prefix(String),
}

/// Text that is no [`Pattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    text: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid channel pattern {:?}: allowed is a channel name of up to 200 bytes without white space, \
             or such a prefix and one trailing *",
            self.text
        )
    }
}

impl std::error::Error for PatternError {}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (name, pattern): (_, fn(String) -> Self) = match text.strip_suffix('*') {
            Some(prefix) => (prefix, Self::Prefix),
            None => (text, Self::Exact),
        };
        let valid = crate::is_valid_channel(text) && !name.contains('*');
        if valid { Ok(pattern(name.to_owned())) } else { Err(PatternError { text: text.to_owned() }) }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl Pattern {
    /// Whether `channel` is one of those the pattern means.
    pub fn matches(&self, channel: &str) -> bool {
        match self {
            Self::Exact(name) => name == channel,
            Self::Prefix(prefix) => channel.starts_with(prefix.as_str()),
        }
    }
}

/// One value per pattern. Exact beats prefix and a longer prefix beats a shorter one, whatever the order of
/// insertion.
#[derive(Clone, Debug)]
pub struct Rules<V> {
    exact: HashMap<String, V>,
    /// Longest first.
    prefixes: Vec<(String, V)>,
}

impl<V> Default for Rules<V> {
    fn default() -> Self {
        Self { exact: HashMap::new(), prefixes: Vec::new() }
    }
}

impl<V> Rules<V> {
    /// Sets the value for `pattern`, in place of an earlier one for the same pattern.
    pub fn insert(&mut self, pattern: Pattern, value: V) {
        match pattern {
            Pattern::Exact(name) => {
                self.exact.insert(name, value);
            }
            Pattern::Prefix(prefix) => match self.prefixes.iter().position(|(p, _)| *p == prefix) {
                Some(i) => self.prefixes[i].1 = value,
                None => {
                    let at = self.prefixes.partition_point(|(p, _)| p.len() >= prefix.len());
                    self.prefixes.insert(at, (prefix, value));
                }
            },
        }
    }

    /// The value of the pattern that fits `channel` best.
    pub fn get(&self, channel: &str) -> Option<&V> {
        self.exact
            .get(channel)
            .or_else(|| self.prefixes.iter().find(|(p, _)| channel.starts_with(p.as_str())).map(|(_, v)| v))
    }

    /// Every value.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.exact.values().chain(self.prefixes.iter().map(|(_, value)| value))
    }
}

/// What holds where no rule matches: `private-` and `presence-` channels are denied, all others allowed.
pub fn allowed_by_default(channel: &str) -> bool {
    !channel.starts_with("private-") && !channel.starts_with("presence-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(patterns: &[&str]) -> Rules<String> {
        let mut rules = Rules::default();
        for p in patterns {
            rules.insert(p.parse().expect("a pattern"), (*p).to_owned());
        }
        rules
    }

    #[test]
    fn exact_beats_prefix_and_longer_beats_shorter_in_any_order() {
        let mut patterns = ["*", "a.*", "a.b*", "a.b", "a.b.*"];
        for _ in 0..patterns.len() {
            patterns.rotate_left(1);
            let rules = rules(&patterns);
            for (channel, best) in
                [("a.b", "a.b"), ("a.bc", "a.b*"), ("a.b.c", "a.b.*"), ("a.x", "a.*"), ("z", "*"), ("a", "*")]
            {
                assert_eq!(rules.get(channel).map(String::as_str), Some(best), "{channel} of {patterns:?}");
            }
        }
        assert_eq!(rules(&["a.*"]).get("b"), None);
    }

    #[test]
    fn the_same_pattern_again_replaces() {
        let mut rules = Rules::default();
        for (pattern, value) in [("a*", 1), ("a*", 2), ("a", 3), ("a", 4)] {
            rules.insert(pattern.parse().expect("a pattern"), value);
        }
        assert_eq!((rules.get("ab"), rules.get("a")), (Some(&2), Some(&4)));
    }

    #[test]
    fn bad_patterns_are_refused_with_their_text() {
        for bad in ["", "a*b", "**", "a b", "*a"] {
            let error = bad.parse::<Pattern>().expect_err(bad);
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn defaults() {
        for (channel, allowed) in [
            ("private-a", false),
            ("presence-a", false),
            ("a", true),
            ("privatea", true),
            ("x.private-a", true),
        ] {
            assert_eq!(allowed_by_default(channel), allowed, "{channel}");
        }
    }

    proptest! {
        #[test]
        fn the_best_rule_is_the_most_specific_that_matches(
            patterns in prop::collection::vec("[ab]{0,3}\\*?", 1..8),
            channel in "[ab]{1,4}",
        ) {
            let patterns: Vec<Pattern> = patterns.iter().filter_map(|p| p.parse().ok()).collect();
            let mut rules = Rules::default();
            for p in &patterns {
                rules.insert(p.clone(), p.to_string());
            }
            let weight = |p: &Pattern| match p {
                Pattern::Exact(_) => usize::MAX,
                Pattern::Prefix(prefix) => prefix.len(),
            };
            let best = patterns.iter().filter(|p| p.matches(&channel)).max_by_key(|p| weight(p));
            prop_assert_eq!(rules.get(&channel).cloned(), best.map(ToString::to_string));
        }
    }
}
