//! Short names between the glue and the wasm.
//!
//! wasm-bindgen names each import and export at length, with a hash, once in the wasm and once in the
//! glue. wasm-opt shortens the names in the wasm and prints which became which; this does the same to the glue.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The module from which the wasm imports, as wasm-bindgen names it.
const MODULE: &str = "./glue_bg.js";

/// What wasm-opt names the one module that is left.
const SHORT_MODULE: &str = "a";

pub(crate) struct Names {
    imports: HashMap<String, String>,
    /// From functions of the client's own JavaScript that the wasm imports without glue.
    direct: Vec<[String; 3]>,
    exports: HashMap<String, String>,
}

impl Names {
    /// Reads what `wasm-opt --minify-imports-and-exports-and-modules` printed.
    pub(crate) fn read(printed: &str) -> Result<Self> {
        let map: Value = serde_json::from_str(printed).context("reading the names that wasm-opt printed")?;
        let mut names = Self { imports: HashMap::new(), direct: Vec::new(), exports: HashMap::new() };
        for [module, long, short] in entries(&map, "imports") {
            if module == MODULE {
                names.imports.insert(long, short);
            } else {
                names.direct.push([module, long, short]);
            }
        }
        for [long, short] in entries(&map, "exports") {
            names.exports.insert(long, short);
        }
        Ok(names)
    }

    /// The glue for the wasm with the short names: `wasm.long` becomes `wasm.short`, and `long:` in the table of
    /// imports `short:`. What is imported from other modules joins that table.
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
        let mut table = format!("...{}", object(&short, MODULE)?);
        for [module, long, name] in &self.direct {
            table.push_str(&format!(", {name}: {}.{long}", object(&short, module)?));
        }
        let listed = |line: &&str| !line.trim_start().starts_with("\"./");
        let rest: String = short.split_inclusive('\n').filter(listed).collect();
        let modules = "return {\n        __proto__: null,";
        ensure!(rest.matches(modules).count() == 1, "the glue has another table of modules");
        Ok(rest.replace(modules, &format!("return {{ \"{SHORT_MODULE}\": {{ {table} }},")))
    }
}

/// The object that the glue's table of modules has for `module`, or the first of several that are the same.
fn object<'a>(glue: &'a str, module: &str) -> Result<&'a str> {
    let (_, rest) = glue
        .split_once(&format!("\"{module}\": "))
        .with_context(|| format!("the glue's table of modules lacks {module}"))?;
    Ok(rest.split(',').next().unwrap_or_default())
}

fn entries<const N: usize>(map: &Value, kind: &str) -> Vec<[String; N]>
where
    [String; N]: serde::de::DeserializeOwned,
{
    serde_json::from_value(map[kind].clone()).unwrap_or_default()
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = r#"{
        "imports": [
            ["./glue_bg.js", "__wbg_call_40b0", "a"], ["./glue_bg.js", "__wbg_call_40b08", "b"],
            ["./snippets/own.js", "clear", "e"]
        ],
        "exports": [["memory", "c"], ["client_on", "d"]]
    }"#;

    #[test]
    fn whole_names_are_shortened_where_they_belong() {
        let glue = r#"
            wasm.client_on(wasm.client_onward, memory, wasm.memory)
            { __wbg_call_40b0: function() {}, __wbg_call_40b08: function() {} }
    return {
        __proto__: null,
        "./glue_bg.js": import0,
        "./snippets/own.js": import1,
    };"#;
        let short = r#"
            wasm.d(wasm.client_onward, memory, wasm.c)
            { a: function() {}, b: function() {} }
    return { "a": { ...import0, e: import1.clear },
    };"#;
        assert_eq!(Names::read(PRINTED).unwrap().shorten(glue).unwrap(), short);
    }

    #[test]
    fn an_import_that_the_glue_lacks_is_an_error() {
        let error = Names::read(PRINTED).unwrap().shorten("__wbg_call_40b0: 1").err();
        assert_eq!(error.unwrap().to_string(), "the glue has 1 of 2 imports of the wasm");
    }
}
