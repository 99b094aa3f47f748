// The operator's page has the client in its sources, so that the server builds without Node.js. It has to be this one.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { freshProject } from './project.mjs'

test("the operator's page has the client as it is built now", async (t) => {
  const root = await freshProject(t, { files: {} })
  const built = await readFile(join(root, 'node_modules/tidings/dist/index.js'), 'utf8')
  const copy = await readFile(fileURLToPath(new URL('../../server/src/operator/page/tidings.js', import.meta.url)), 'utf8')
  assert.ok(copy === built, 'server/src/operator/page/tidings.js is out of date: run "cargo xtask pack", and commit it')
})
