//! Stamps: a file that says for which inputs a result was made, so that work is skipped when nothing
//! has changed.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// A hash over the contents of files and folders, in a fixed order.
#[derive(Default)]
pub(crate) struct Inputs(DefaultHasher);

impl Inputs {
    pub(crate) fn text(mut self, text: &str) -> Self {
        text.hash(&mut self.0);
        self
    }

    /// Adds a file, or a folder with all that is in it but `node_modules`, `dist` and hidden files. What does not
    /// exist counts as empty.
    pub(crate) fn path(mut self, path: &Path) -> Result<Self> {
        for file in files(path)? {
            file.strip_prefix(path).unwrap_or(&file).hash(&mut self.0);
            fs::read(&file).with_context(|| format!("reading {}", file.display()))?.hash(&mut self.0);
        }
        Ok(self)
    }

    fn finish(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.retain(|entry| {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && name != "node_modules" && name != "dist"
    });
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        found.extend(files(&entry)?);
    }
    Ok(found)
}

pub(crate) struct Stamp {
    file: PathBuf,
    wanted: String,
}

impl Stamp {
    pub(crate) fn new(file: PathBuf, inputs: &Inputs) -> Self {
        Self { file, wanted: inputs.finish() }
    }

    /// Whether the result was made from these inputs.
    pub(crate) fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|found| found == self.wanted)
    }

    pub(crate) fn write(&self) -> Result<()> {
        fs::write(&self.file, &self.wanted).with_context(|| format!("writing {}", self.file.display()))
    }
}
