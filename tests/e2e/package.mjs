// The npm package as published, unpacked where a project would have it.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { temporaryFolder } from './children.mjs'
import { tarball } from './environment.mjs'

let project

/** A folder with `node_modules/tidings` and an HTML page that imports it; one per test process. */
export function unpacked() {
  if (project) return project
  project = temporaryFolder('e2e')
  const folder = join(project, 'node_modules/tidings')
  mkdirSync(folder, { recursive: true })
  execFileSync('tar', ['-xzf', tarball(), '-C', folder, '--strip-components=1'])
  writeFileSync(join(project, 'index.html'), html(entryPath()))
  writeFileSync(join(project, 'import.mjs'), "export * from 'tidings'\n")
  return project
}

/** The path of the package's entry on a server that serves `unpacked()`. */
export function entryPath() {
  unpacked()
  const manifest = JSON.parse(readFileSync(join(project, 'node_modules/tidings/package.json'), 'utf8'))
  return join('/node_modules/tidings', manifest.exports['.'].import.default)
}

/** The package, imported in this process. */
export async function importPackage() {
  return import(pathToFileURL(join(unpacked(), 'import.mjs')).href)
}

function html(entry) {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Tidings</title>
<link rel="icon" href="data:,">
<script type="importmap">{ "imports": { "tidings": "${entry}" } }</script>
</html>
`
}
