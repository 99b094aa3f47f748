//! Keys as settings give them: `NAME=SECRET`, by a flag or a line of a file.

use super::failure::Failure;
use std::{fs, path::Path};
use tidings_server::{ApiKey, ApiKeys, BroadcastError};

/// Where keys come from: what a flag says, and a file.
pub(super) struct Given<'a> {
    pub(super) flag: &'static str,
    pub(super) keys: &'a [String],
    pub(super) file_flag: &'static str,
    pub(super) file: Option<&'a Path>,
}

impl Given<'_> {
    /// The keys; `None` when there is none.
    pub(super) fn read(&self) -> Result<Option<ApiKeys>, Vec<Failure>> {
        let (mut keys, mut failures) = (Vec::new(), Vec::new());
        for (place, key) in self.lines().map_err(|failure| vec![failure])? {
            match key.parse::<ApiKey>() {
                Ok(key) => keys.push(key),
                Err(error) => failures.push(wrong(format!("{place}: {error}"))),
            }
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        let keys = if keys.is_empty() { None } else { Some(ApiKeys::new(keys)) };
        keys.transpose().map_err(|error| vec![error.into()])
    }

    /// Each key as it was given, and where.
    fn lines(&self) -> Result<Vec<(String, String)>, Failure> {
        let flag = |(number, key): (usize, &String)| (format!("{} number {number}", self.flag), key.clone());
        let mut given: Vec<_> = (1..).zip(self.keys).map(flag).collect();
        let Some(path) = self.file else { return Ok(given) };
        let place = format!("{} {}", self.file_flag, path.display());
        let text = fs::read_to_string(path).map_err(|source| Failure::File {
            flag: self.file_flag,
            path: path.to_owned(),
            source,
        })?;
        let before = given.len();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if !line.is_empty() && !line.starts_with('#') {
                given.push((format!("{place}, line {number}"), line.to_owned()));
            }
        }
        if given.len() == before {
            return Err(wrong(format!("{place} has no key: wanted is NAME=SECRET a line")));
        }
        Ok(given)
    }
}

fn wrong(detail: String) -> Failure {
    Failure::Gateway(BroadcastError::Config(detail))
}
