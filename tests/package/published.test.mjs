// What is in the tarball, and whether its manifest keeps its promises.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { publint } from 'publint'
import { formatMessage } from 'publint/utils'

import { tarball } from '../e2e/environment.mjs'
import { freshProject } from './project.mjs'

const run = promisify(execFile)
const attw = join(
  dirname(fileURLToPath(import.meta.resolve('@arethetypeswrong/cli/package.json'))),
  'dist/index.js',
)

test('publint finds nothing', async () => {
  const bytes = await readFile(tarball())
  const archive = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
  const { messages, pkg } = await publint({ pack: { tarball: archive }, strict: true })
  assert.deepEqual(messages.map((message) => formatMessage(message, pkg)), [])
})

test('arethetypeswrong finds nothing', async () => {
  await run(process.execPath, [attw, tarball()], { cwd: dirname(tarball()) })
})

test('the package holds four files of code and types, and no dependency', async (t) => {
  const { stdout } = await run('tar', ['tzf', tarball()])
  const files = stdout.trim().split('\n').filter((name) => name.includes('/dist/')).sort()
  assert.deepEqual(files, [
    'package/dist/index.cjs',
    'package/dist/index.d.cts',
    'package/dist/index.d.ts',
    'package/dist/index.js',
  ])
  const root = await freshProject(t, { files: {} })
  const manifest = JSON.parse(await readFile(join(root, 'node_modules/tidings/package.json'), 'utf8'))
  assert.equal(manifest.dependencies, undefined)
  assert.equal(manifest.main, './dist/index.cjs')
  assert.equal(manifest.exports['.'].import.default, './dist/index.js')
  assert.match(manifest.version, /^\d+\.\d+\.\d+/)
  assert.notEqual(manifest.version, '0.0.0')
})
