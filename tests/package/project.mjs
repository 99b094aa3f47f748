// A fresh project outside the checkout, with the packed package installed as a user would.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

import { tarball } from '../e2e/environment.mjs'
import { PATIENCE } from '../e2e/wait.mjs'

const run = promisify(execFile)

/** Makes a project of these files with `tidings` and the named packages in it; it goes when the test ends. */
export async function freshProject(t, { files, packages = [], manifest = {} }) {
  const root = await mkdtemp(join(tmpdir(), 'tidings-package-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  await addFiles(root, {
    'package.json': JSON.stringify({ name: 'fresh', private: true, type: 'module', ...manifest }),
    ...files,
  })
  await npm(root, 'install', '--prefer-offline', '--no-audit', '--no-fund', tarball(), ...packages)
  return root
}

export async function addFiles(root, files) {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), text)
  }
}

async function npm(cwd, ...words) {
  await run('npm', words, { cwd, shell: process.platform === 'win32' })
}

/** Runs Node.js in the project; rejects with what it printed when it fails. */
export async function node(root, ...words) {
  try {
    const { stdout } = await run(process.execPath, words, { cwd: root, timeout: PATIENCE })
    return stdout.trim()
  } catch (error) {
    // Node.js quotes the line that threw, which in a minified file is all of it.
    throw new Error(error.stderr.replace(/^.{500,}$/gm, '(a long line)'))
  }
}
