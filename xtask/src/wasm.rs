//! From `client-wasm/` to glue code and optimized wasm.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    setup,
    step::{quiet, show, step},
    workspace::Workspace,
};

const CRATE: &str = "tidings-client-wasm";

/// Compiles the client and returns the compiler's wasm. Cargo knows when there is nothing to do.
pub(crate) fn compile(workspace: &Workspace) -> Result<PathBuf> {
    setup::wasm_target(workspace)?;
    step("building the client (wasm)", || {
        show(workspace.cargo().args([
            "build",
            "--package",
            CRATE,
            "--target",
            setup::WASM_TARGET,
            "--profile",
            "wasm-release",
        ]))
    })?;
    Ok(workspace
        .target
        .join(setup::WASM_TARGET)
        .join("wasm-release")
        .join(format!("{}.wasm", CRATE.replace('-', "_"))))
}

/// Writes `glue.js` into `out` and returns the wasm that it needs, made as small as it gets.
pub(crate) fn bind(workspace: &Workspace, compiled: &Path, out: &Path) -> Result<Vec<u8>> {
    step("generating the glue (wasm-bindgen)", || {
        Bindgen::new()
            .input_path(compiled)
            .out_name("glue")
            .web(true)?
            .typescript(false)
            .remove_name_section(true)
            .remove_producers_section(true)
            .omit_default_module_path(true)
            .generate(out)?;
        if out.join("snippets").exists() {
            bail!("the client uses JavaScript snippets, which the package does not carry");
        }
        Ok(())
    })?;
    step("optimizing the wasm (wasm-opt -Oz)", || {
        let optimized = out.join("optimized.wasm");
        quiet(
            workspace
                .command(setup::npm_program(&workspace.package(), "wasm-opt"))
                .args(["-Oz", "-o"])
                .args([&optimized, &out.join("glue_bg.wasm")]),
        )?;
        fs::read(&optimized).with_context(|| format!("reading {}", optimized.display()))
    })
}
