//! wasm-bindgen's glue without what this client does not use.
//!
//! The glue is for any page and any way to load wasm. Ours is loaded in one way, frees nothing by hand, and hands short
//! texts to JavaScript. Each cut names what it expects, so that another version of wasm-bindgen is an error and no broken
//! client.

use anyhow::{Context, Result, ensure};

/// What takes the place of every way to load: the module is compiled by the entry.
const LOADING: &str = "let wasm;
export function initSync(module) {
    wasm = new WebAssembly.Instance(module, __wbg_get_imports()).exports;
    wasm.__wbindgen_start();
}
";

/// A view of all memory is kept for long texts, and a decoder counts its bytes for browsers that stop after two gigabytes.
/// Ours are a few short words, none with a byte order mark.
const DECODING: &str = "const decoder = new TextDecoder();
function getStringFromWasm0(ptr, len) {
    return decoder.decode(new Uint8Array(wasm.memory.buffer, ptr, len));
}
";

/// The same as wasm-bindgen's, around a function and not around a call.
const CATCHING: &str = "const handleError = (f) => (...args) => {
    try {
        return f(...args);
    } catch (e) {
        wasm.__wbindgen_exn_store(addToExternrefTable0(e));
    }
};
";

/// What has `FinalizationRegistry` has `WeakRef`, which the client needs.
const FALLBACK: &str = "(typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new";

/// Makes the glue smaller.
pub(crate) fn trim(glue: &str) -> Result<String> {
    let glue = replace_from(glue, "let wasmModule, wasmInstance, wasm;\n", None, LOADING)?;
    let glue = replace_from(&glue, "let cachedTextDecoder = ", Some("\nlet wasm;"), "")?;
    let glue = replace_from(&glue, "function getStringFromWasm0(", Some("\nfunction handleError"), DECODING)?;
    let glue = replace_from(&glue, "function handleError(f, args) {", Some("\nfunction "), CATCHING)?;
    let glue = replace(&glue, FALLBACK, "new")?;
    let glue = replace(&glue, "const import0 = {\n        __proto__: null,", "const import0 = {")?;
    let glue = without_methods(&glue, "free() {")?;
    let glue = without_methods(&glue, "__destroy_into_raw() {")?;
    // What throws traps: see `panics.rs`.
    let glue = replace_from(&glue, "        __wbg___wbindgen_throw_", Some("        __wbg_"), "")?;
    let glue = without_lines(&glue, "if (Symbol.dispose) ")?;
    // A closure is dropped with what owns it, and owners that nobody drops are finalized themselves.
    let glue = without_lines(&glue, "const CLOSURE_DTORS = ")?;
    let glue = without_lines(&glue, "CLOSURE_DTORS.")?;
    let glue = replace(&glue, ": function() { return handleError(function (", ": handleError(function(")?;
    let glue = replace(&glue, "}, arguments); },", "}),")?;
    Ok(glue.split_inclusive('\n').map(arrow).collect())
}

/// Puts `new` where the text from `start` up to `end` is, or up to the end of all.
fn replace_from(glue: &str, start: &str, end: Option<&str>, new: &str) -> Result<String> {
    let (before, rest) = glue.split_once(start).with_context(|| lacks(start))?;
    let after = match end {
        None => "",
        Some(end) => &rest[rest.find(end).with_context(|| lacks(end))?..],
    };
    Ok([before, new, after].concat())
}

fn replace(glue: &str, old: &str, new: &str) -> Result<String> {
    ensure!(glue.contains(old), lacks(old));
    Ok(glue.replace(old, new))
}

/// Takes a method out of every class.
fn without_methods(glue: &str, head: &str) -> Result<String> {
    let mut pieces = glue.split(head);
    let mut left = pieces.next().unwrap_or_default().trim_end_matches(' ').to_owned();
    ensure!(left.len() < glue.len(), lacks(head));
    for piece in pieces {
        let (_, after) = piece.split_once("\n    }\n").with_context(|| lacks(head))?;
        left.push_str(after.trim_end_matches(' '));
    }
    Ok(left)
}

fn without_lines(glue: &str, start: &str) -> Result<String> {
    let (gone, left): (Vec<&str>, Vec<&str>) =
        glue.split_inclusive('\n').partition(|line| line.trim_start().starts_with(start));
    ensure!(!gone.is_empty(), lacks(start));
    Ok(left.concat())
}

/// The beginning of an import as that of an arrow function.
fn arrow(line: &str) -> String {
    let function = [": function(", ": handleError(function("].into_iter().any(|start| line.contains(start));
    if !function || !line.ends_with(") {\n") {
        return line.to_owned();
    }
    line.replacen("function(", "(", 1).replacen(") {", ") => {", 1)
}

fn lacks(what: &str) -> String {
    format!("the glue of this version of wasm-bindgen lacks {what:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLUE: &str = "export class Client {
    __destroy_into_raw() {
        const ptr = this.__wbg_ptr;
        return ptr;
    }
    free() {
        const ptr = this.__destroy_into_raw();
        wasm.__wbg_client_free(ptr, 0);
    }
    on(event) {
        wasm.client_on(this.__wbg_ptr);
    }
}
if (Symbol.dispose) Client.prototype[Symbol.dispose] = Client.prototype.free;
function __wbg_get_imports() {
    const import0 = {
        __proto__: null,
        __wbg___wbindgen_throw_0: function(arg0, arg1) {
            throw new Error(getStringFromWasm0(arg0, arg1));
        },
        __wbg_now_1: function() {
            return Date.now();
        },
        __wbg_open_2: function() { return handleError(function (arg0, arg1) {
            return open(arg0, arg1);
        }, arguments); },
    };
}
const ClientFinalization = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(ptr => wasm.__wbg_client_free(ptr, 1));
const CLOSURE_DTORS = (typeof FinalizationRegistry === 'undefined')
    ? { register: () => {}, unregister: () => {} }
    : new FinalizationRegistry(state => wasm.__wbindgen_destroy_closure(state.a, state.b));
function getStringFromWasm0(ptr, len) {
    return decodeText(ptr, len);
}

function handleError(f, args) {
    f.apply(this, args);
}

function makeMutClosure(state) {
    CLOSURE_DTORS.register(state);
    return state;
}

let cachedTextDecoder = new TextDecoder('utf-8');
function decodeText(bytes) {
    return cachedTextDecoder.decode(bytes);
}

let wasmModule, wasmInstance, wasm;
function initSync(module) {}
export { initSync };
";

    #[test]
    fn what_is_not_used_goes_and_the_rest_stays() {
        let rest = "export class Client {
    on(event) {
        wasm.client_on(this.__wbg_ptr);
    }
}
function __wbg_get_imports() {
    const import0 = {
        __wbg_now_1: () => {
            return Date.now();
        },
        __wbg_open_2: handleError((arg0, arg1) => {
            return open(arg0, arg1);
        }),
    };
}
const ClientFinalization = new FinalizationRegistry(ptr => wasm.__wbg_client_free(ptr, 1));
";
        let trimmed = trim(GLUE).unwrap();
        assert_eq!(
            trimmed,
            [
                rest,
                DECODING,
                "\n",
                CATCHING,
                "\nfunction makeMutClosure(state) {\n    return state;\n}\n\n\n",
                LOADING
            ]
            .concat()
        );
    }

    #[test]
    fn another_glue_is_an_error_that_says_what_it_lacks() {
        for part in [
            "let wasmModule",
            "free() {",
            "if (Symbol.dispose)",
            "function handleError",
            "CLOSURE_DTORS",
            "function getString",
            "__wbg___wbindgen_throw_",
            "__proto__",
            "}, arguments",
        ] {
            let error = trim(&GLUE.replacen(part, "", 9)).unwrap_err().to_string();
            assert!(error.starts_with("the glue of this version of wasm-bindgen lacks"), "{part}: {error}");
        }
    }
}
