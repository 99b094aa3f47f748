//! Panics without a message.
//!
//! The client's wasm has no way to show why it panicked: a trap is all that JavaScript sees. So what leads to the trap,
//! with its messages and places in the source, is download for nothing. wasm-bindgen throws where it is used as it cannot
//! be from Rust that is safe; that is a trap as well.

use anyhow::{Result, ensure};
use walrus::{FunctionBuilder, FunctionId, FunctionKind, Module};

/// The functions of the standard library and of wasm-bindgen that panic. They trap at once instead.
const PANICS: [&str; 4] =
    ["::raw_vec::handle_error", "::alloc::handle_alloc_error", "::panicking::panic_fmt", "::throw_str"];

/// How the name of a file of the standard library begins and ends, where a panic says in which it happened.
const FILE: [&[u8]; 2] = [b"/rustc/", b".rs"];

/// What they would have said.
const MESSAGES: [&[u8]; 6] = [
    b"capacity overflow",
    b"null pointer passed to rust",
    b"attempted to take ownership of Rust value while it was borrowed",
    b"recursive use of an object detected which would lead to unsafe aliasing in rust",
    b"closure invoked recursively or after being dropped",
    b"called `Result::unwrap_throw()` on an `Err` value",
];

/// Makes a trap of each function that panics, in wasm that still has names.
pub(crate) fn silence(module: &mut Module) -> Result<()> {
    for name in PANICS {
        let found: Vec<FunctionId> = module
            .funcs
            .iter()
            .filter(|function| function.name.as_deref().is_some_and(|full| path(full).ends_with(name)))
            .map(walrus::Function::id)
            .collect();
        ensure!(
            !found.is_empty(),
            "no function of the wasm is named {name}, which panics: see xtask/src/panics.rs"
        );
        for id in found {
            trap(module, id);
        }
    }
    let data: Vec<_> = module.data.iter().map(|data| data.id()).collect();
    for id in data {
        forget(&mut module.data.get_mut(id).value);
    }
    Ok(())
}

/// A function's name without the hash that may follow.
fn path(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 => path,
        _ => name,
    }
}

fn trap(module: &mut Module, id: FunctionId) {
    let kind = module.types.get(module.funcs.get(id).ty());
    let (params, results) = (kind.params().to_vec(), kind.results().to_vec());
    let args = params.iter().map(|kind| module.locals.add(*kind)).collect();
    let mut builder = FunctionBuilder::new(&mut module.types, &params, &results);
    builder.func_body().unreachable();
    module.funcs.get_mut(id).kind = FunctionKind::Local(builder.local_func(args));
}

/// Fills with zeros, which take no room, what nobody says any more.
fn forget(data: &mut [u8]) {
    let [folder, suffix] = FILE;
    while let Some(start) = find(data, folder)
        && let Some(length) = find(&data[start..], suffix)
    {
        data[start..start + length + suffix.len()].fill(0);
    }
    for message in MESSAGES {
        if let Some(start) = find(data, message) {
            data[start..start + message.len()].fill(0);
        }
    }
}

fn find(data: &[u8], text: &[u8]) -> Option<usize> {
    data.windows(text.len()).position(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_traps() {
        let mut module = Module::default();
        let names = [
            "alloc[1f]::raw_vec::handle_error",
            "alloc[1f]::alloc::handle_alloc_error",
            "core[2e]::panicking::panic_fmt",
            "wasm_bindgen::throw_str::h2021ffd64f46f7db",
        ];
        for name in names {
            let inner =
                FunctionBuilder::new(&mut module.types, &[], &[]).finish(Vec::new(), &mut module.funcs);
            let argument = module.locals.add(walrus::ValType::I32);
            let mut builder = FunctionBuilder::new(&mut module.types, &[walrus::ValType::I32], &[]);
            builder.name(name.to_owned()).func_body().call(inner);
            let panics = builder.finish(vec![argument], &mut module.funcs);
            module.exports.add(name, panics);
        }
        silence(&mut module).unwrap();
        walrus::passes::gc::run(&mut module);
        assert_eq!(module.funcs.iter().count(), names.len(), "what they called is gone");
        for function in module.funcs.iter() {
            let FunctionKind::Local(local) = &function.kind else { panic!("{function:?}") };
            let body = &local.block(local.entry_block()).instrs;
            assert!(matches!(body[..], [(walrus::ir::Instr::Unreachable(_), _)]), "{body:?}");
        }
    }

    #[test]
    fn a_panic_that_has_another_name_is_an_error() {
        let error = silence(&mut Module::default()).unwrap_err().to_string();
        assert!(error.contains("raw_vec::handle_error"), "{error}");
    }

    #[test]
    fn messages_go_and_the_rest_stays() {
        let mut data = *b"a/rustc/9f/library/x.rsb/rustc/9f/y.rs.rscapacity overflowd /rustc/";
        forget(&mut data);
        let left: Vec<u8> = data.into_iter().filter(|&byte| byte != 0).collect();
        assert_eq!(left, b"ab.rsd /rustc/");
    }
}
