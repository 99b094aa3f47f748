//! Short names between the glue and the wasm.
//!
//! wasm-bindgen names each import and export at length, with a hash, once in the wasm and once in the
//! glue. wasm-opt shortens the names in the wasm and prints which became which; this does the same to the glue.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The module from which the wasm imports, as wasm-bindgen names it.
const MODULE: &str = "./glue_bg.js";

pub(crate) struct Names {
    imports: HashMap<String, String>,
    exports: HashMap<String, String>,
    module: String,
}

impl Names {
    /// Reads what `wasm-opt --minify-imports-and-exports-and-modules` printed.
    pub(crate) fn read(printed: &str) -> Result<Self> {
        let map: Value = serde_json::from_str(printed).context("reading the names that wasm-opt printed")?;
        let mut names = Self { imports: HashMap::new(), exports: HashMap::new(), module: "a".to_owned() };
        for import in entries(&map, "imports") {
            ensure!(import[0] == MODULE, "the client imports from {}", import[0]);
            names.imports.insert(import[1].clone(), import[2].clone());
        }
        for export in entries(&map, "exports") {
            names.exports.insert(export[0].clone(), export[1].clone());
        }
        Ok(names)
    }

    /// The glue for the wasm with the short names: `wasm.long` becomes `wasm.short`, and `long:` in the table of
    /// imports `short:`.
    pub(crate) fn shorten(&self, glue: &str) -> Result<String> {
        let mut short = String::with_capacity(glue.len());
        let mut imports = 0;
        let mut rest = glue;
        while let Some(start) = rest.find(is_word) {
            let (between, tail) = rest.split_at(start);
            short.push_str(between);
            let (word, tail) = tail.split_at(tail.find(|c| !is_word(c)).unwrap_or(tail.len()));
            let name = if short.ends_with("wasm.") {
                self.exports.get(word)
            } else if tail.starts_with(':') {
                self.imports.get(word).inspect(|_| imports += 1)
            } else {
                None
            };
            short.push_str(name.map_or(word, String::as_str));
            rest = tail;
        }
        short.push_str(rest);
        ensure!(
            imports == self.imports.len(),
            "the glue has {imports} of {} imports of the wasm",
            self.imports.len()
        );
        let module = format!("\"{MODULE}\":");
        ensure!(short.matches(&module).count() == 1, "the glue names {module} more or less than once");
        Ok(short.replace(&module, &format!("\"{}\":", self.module)))
    }
}

fn entries(map: &Value, kind: &str) -> Vec<Vec<String>> {
    serde_json::from_value(map[kind].clone()).unwrap_or_default()
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = r#"{
        "imports": [["./glue_bg.js", "__wbg_call_40b0", "a"], ["./glue_bg.js", "__wbg_call_40b08", "b"]],
        "exports": [["memory", "c"], ["client_on", "d"]]
    }"#;

    #[test]
    fn whole_names_are_shortened_where_they_belong() {
        let glue = r#"
            wasm.client_on(wasm.client_onward, memory, wasm.memory)
            { __wbg_call_40b0: function() {}, __wbg_call_40b08: function() {} }
            { __proto__: null, "./glue_bg.js": import0 }"#;
        let short = r#"
            wasm.d(wasm.client_onward, memory, wasm.c)
            { a: function() {}, b: function() {} }
            { __proto__: null, "a": import0 }"#;
        assert_eq!(Names::read(PRINTED).unwrap().shorten(glue).unwrap(), short);
    }

    #[test]
    fn an_import_that_the_glue_lacks_is_an_error() {
        let error = Names::read(PRINTED).unwrap().shorten("__wbg_call_40b0: 1").err();
        assert_eq!(error.unwrap().to_string(), "the glue has 1 of 2 imports of the wasm");
    }
}
