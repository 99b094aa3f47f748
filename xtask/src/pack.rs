//! The npm package: entry, glue and wasm in one file, for `import` and for `require`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{
    ascii, setup,
    stamp::{Inputs, Stamp},
    step::{quiet, step},
    wasm,
    workspace::Workspace,
};

/// The files of the package's `dist/`.
const DIST: [&str; 4] = ["index.js", "index.cjs", "index.d.ts", "index.d.cts"];

/// What wasm-bindgen's glue names at length and nobody else uses.
const OWN_PROPERTIES: [&str; 4] = ["__wbg_ptr", "__destroy_into_raw", "__wrap", "_wbg_cb_unref"];

pub(crate) struct Package {
    pub(crate) tarball: PathBuf,
    sizes: Value,
}

impl Package {
    pub(crate) fn print_sizes(&self) {
        println!("{}", self.tarball.display());
        println!("{:<28}{:>9}{:>9}", "", "bytes", "gzip");
        for (key, name) in [
            ("wasm", "wasm"),
            ("glue", "entry, glue and decoder"),
            ("esm", "dist/index.js (all of it)"),
            ("cjs", "dist/index.cjs"),
        ] {
            let size = &self.sizes[key];
            let [raw, gzip] = ["raw", "gzip"].map(|kind| size[kind].as_u64().unwrap_or(0));
            println!("{name:<28}{raw:>9}{gzip:>9}");
        }
    }
}

/// Builds the package, or finds that nothing has changed since it was built.
pub(crate) fn run(workspace: &Workspace) -> Result<Package> {
    setup::node()?;
    let compiled = wasm::compile(workspace)?;

    let npm = workspace.npm();
    let sources = workspace.package();
    let tarball = npm.join(format!("tidings-{}.tgz", workspace.version));
    let size_file = npm.join("size.json");
    let mut inputs = Inputs::default()
        .text(&workspace.version)
        .path(&compiled)?
        .path(&sources)?
        .path(&workspace.root.join("xtask"))?;
    for license in licenses(workspace)? {
        inputs = inputs.path(&license)?;
    }
    let stamp = Stamp::new(npm.join("stamp"), &inputs);
    let made = DIST.iter().all(|file| sources.join("dist").join(file).is_file()) && tarball.is_file();
    if made && stamp.is_current() {
        let sizes = serde_json::from_slice(&fs::read(&size_file)?)?;
        return Ok(Package { tarball, sizes });
    }

    setup::npm_packages(&sources)?;
    let build = npm.join("build");
    renew(&build)?;
    let wasm = wasm::bind(workspace, &compiled, &build)?;
    let sizes = step("assembling the npm package", || {
        bundle(workspace, &build, &wasm)?;
        pack(workspace)?;
        let sizes = measure(&sources.join("dist"), &build, &wasm)?;
        fs::write(&size_file, format!("{sizes:#}\n"))?;
        Ok(sizes)
    })?;
    stamp.write()?;
    Ok(Package { tarball, sizes })
}

/// Gives the operator's page, which is in the server's sources, the client as it was built. Only `cargo xtask pack` does,
/// so that the tests find a copy that is out of date.
pub(crate) fn renew_page(workspace: &Workspace) -> Result<()> {
    let built = workspace.package().join("dist/index.js");
    let page = workspace.root.join("server/src/operator/page/tidings.js");
    if page.is_file() && fs::read(&page)? == fs::read(&built)? {
        return Ok(());
    }
    println!("the operator's page has another client: {}", page.display());
    copy(&built, &page)
}

/// Writes `pkg-npm/dist`.
fn bundle(workspace: &Workspace, build: &Path, wasm: &[u8]) -> Result<()> {
    let sources = workspace.package().join("src");
    for file in ["index.js", "decode.js"] {
        copy(&sources.join(file), &build.join(file))?;
    }
    let ascii::Encoded { text, singles } = ascii::encode(wasm);
    fs::write(
        build.join("wasm.js"),
        format!("export const singles = '{singles}'\nexport const text = '{text}'\n"),
    )?;

    let dist = workspace.package().join("dist");
    renew(&dist)?;
    esbuild(workspace, build, "esm", &dist.join("index.js"))?;
    esbuild(workspace, build, "cjs", &dist.join("index.cjs"))?;
    for types in ["index.d.ts", "index.d.cts"] {
        copy(&sources.join("index.d.ts"), &dist.join(types))?;
    }

    // The same without the bytes, to know what the code around them weighs.
    fs::write(build.join("wasm.js"), "export const singles = ''\nexport const text = ''\n")?;
    esbuild(workspace, build, "esm", &build.join("glue-only.js"))
}

fn esbuild(workspace: &Workspace, build: &Path, format: &str, out: &Path) -> Result<()> {
    quiet(
        workspace
            .command(setup::npm_program(&workspace.package(), "esbuild"))
            .arg(build.join("index.js"))
            .args(["--bundle", "--minify", "--target=es2022", "--log-level=warning", "--drop:console"])
            // The entry has better ones: see `index.js`.
            .arg("--define:Symbol.dispose=undefined")
            .arg(format!("--mangle-props=^({})$", OWN_PROPERTIES.join("|")))
            .arg(format!("--format={format}"))
            .arg(format!("--outfile={}", out.display())),
    )
}

/// Writes the tarball.
fn pack(workspace: &Workspace) -> Result<()> {
    let sources = workspace.package();
    let staging = workspace.npm().join("package");
    renew(&staging)?;
    fs::create_dir(staging.join("dist"))?;
    for file in DIST {
        copy(&sources.join("dist").join(file), &staging.join("dist").join(file))?;
    }
    copy(&sources.join("README.md"), &staging.join("README.md"))?;
    for license in licenses(workspace)? {
        copy(&license, &staging.join(license.file_name().unwrap_or_default()))?;
    }

    let manifest = fs::read_to_string(sources.join("package.json"))?;
    let placeholder = "\"version\": \"0.0.0\"";
    ensure!(
        manifest.contains(placeholder),
        "pkg-npm/package.json must say {placeholder}: the workspace's version takes its place"
    );
    let version = format!("\"version\": \"{}\"", workspace.version);
    fs::write(staging.join("package.json"), manifest.replacen(placeholder, &version, 1))?;
    quiet(
        setup::npm()
            .args(["pack", "--ignore-scripts", "--pack-destination"])
            .arg(workspace.npm())
            .current_dir(&staging),
    )
}

fn licenses(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&workspace.root)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("LICENSE") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn measure(dist: &Path, build: &Path, wasm: &[u8]) -> Result<Value> {
    Ok(json!({
        "wasm": size(wasm)?,
        "glue": size(&fs::read(build.join("glue-only.js"))?)?,
        "esm": size(&fs::read(dist.join("index.js"))?)?,
        "cjs": size(&fs::read(dist.join("index.cjs"))?)?,
    }))
}

fn size(bytes: &[u8]) -> Result<Value> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(json!({ "raw": bytes.len(), "gzip": encoder.finish()?.len() }))
}

fn renew(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}
