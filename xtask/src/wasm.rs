//! From `client-wasm/` to glue code and optimized wasm.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use walrus::ModuleConfig;
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    glue,
    names::Names,
    panics, setup,
    step::{output, read, show, step},
    table,
    workspace::Workspace,
};

const CRATE: &str = "tidings-client-wasm";

/// What makes the wasm smallest after gzip, as measured. Nothing is kept in the first kilobyte of memory, which is the
/// far end of a stack of one megabyte.
const SMALLER: [&str; 7] = [
    "--low-memory-unused",
    "--one-caller-inline-max-function-size=600",
    "-Oz",
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
];

/// Compiles the client and returns the compiler's wasm. Cargo knows when there is nothing to do.
pub(crate) fn compile(workspace: &Workspace) -> Result<PathBuf> {
    setup::wasm_target(workspace)?;
    step("building the client (wasm)", || {
        show(
            workspace
                .cargo()
                .args(["build", "--package", CRATE, "--target", setup::WASM_TARGET])
                .args(["--profile", "wasm-release"])
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", env::current_exe()?)
                .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace).join("\u{1f}")),
        )
    })?;
    Ok(workspace
        .target
        .join(setup::WASM_TARGET)
        .join("wasm-release")
        .join(format!("{}.wasm", CRATE.replace('-', "_"))))
}

/// Flags of the compiler.
fn flags(workspace: &Workspace) -> Vec<String> {
    let mut flags = shorter_paths(workspace);
    flags.push(format!("-Clink-arg=--table-base={}", table::BASE));
    flags
}

/// Flags that keep this machine's paths out of the messages of panics.
fn shorter_paths(workspace: &Workspace) -> Vec<String> {
    let cargo = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
        .map(|home| home.join("registry/src"));
    let sysroot = read(workspace.command("rustc").arg("--print=sysroot"))
        .map(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust"));
    [cargo, sysroot, Some(workspace.root.clone())]
        .into_iter()
        .flatten()
        .map(|prefix| format!("--remap-path-prefix={}=", prefix.display()))
        .collect()
}

/// Writes `glue.js` into `out` and returns the wasm that it needs, made as small as it gets.
pub(crate) fn bind(workspace: &Workspace, compiled: &Path, out: &Path) -> Result<Vec<u8>> {
    step("generating the glue (wasm-bindgen)", || {
        Bindgen::new()
            .input_path(compiled)
            .out_name("glue")
            .web(true)?
            .typescript(false)
            .remove_producers_section(true)
            .omit_default_module_path(true)
            .generate(out)?;
        lighten(&out.join("glue_bg.wasm"))
    })?;
    step("optimizing the wasm (wasm-opt -Oz)", || {
        let optimized = out.join("optimized.wasm");
        let names = output(
            workspace
                .command(setup::npm_program(&workspace.package(), "wasm-opt"))
                .args(SMALLER)
                .args(["--strip-debug", "--strip-target-features"])
                .args(["--minify-imports-and-exports-and-modules", "-o"])
                .args([&optimized, &out.join("glue_bg.wasm")]),
        )?;
        let glue = out.join("glue.js");
        let trimmed = glue::trim(&fs::read_to_string(&glue)?)?;
        fs::write(&glue, Names::read(&names)?.shorten(&trimmed)?)?;
        fs::read(&optimized).with_context(|| format!("reading {}", optimized.display()))
    })
}

/// Takes out of the wasm what nobody reaches, and what nobody sees.
fn lighten(path: &Path) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut config = ModuleConfig::new();
    let mut module = config.generate_producers_section(false).generate_name_section(false).parse(&bytes)?;
    panics::silence(&mut module)?;
    table::prune(&mut module)?;
    fs::write(path, module.emit_wasm()).with_context(|| format!("writing {}", path.display()))
}
