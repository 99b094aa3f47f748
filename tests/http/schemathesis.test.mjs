// The HTTP API tried by what it says of itself: valid requests, invalid ones, and sequences of them, made from
// openapi.json. Each answer is checked against it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { guard, temporaryFolder } from '../e2e/children.mjs'
import { startServer } from '../e2e/server.mjs'

const SECRET = '0123456789abcdef0123456789abcdef'

/** It ends long before, by what schemathesis.toml allows it. */
const PATIENCE = 240_000

test('the API is as its document says', { timeout: PATIENCE + 10_000 }, async (t) => {
  const program = process.env.SCHEMATHESIS
  if (!program) throw new Error('SCHEMATHESIS is not set: run these tests by "cargo xtask test http"')
  const server = await startServer(t, ['--api-key', `test=${SECRET}`, '--history', 'quick*=0'])
  const settings = new URL('schemathesis.toml', import.meta.url).pathname
  const parameters = ['--config-file', settings, '--no-color', 'run', `${server.origin}/api/openapi.json`]
  const child = guard(spawn(program, [...parameters, '--header', `Authorization: Bearer ${SECRET}`], {
    // It leaves files behind.
    cwd: temporaryFolder('schemathesis'),
    env: { ...process.env, NO_PROXY: '*' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE,
  }))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const [code, signal] = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (...ended) => resolve(ended))
  })
  assert.equal(code, 0, `schemathesis ended with ${code ?? signal}:\n${output}`)
  t.diagnostic(output.slice(output.indexOf('SUMMARY')).replaceAll(/^=+|=+$/gm, ''))
  const alive = await fetch(`${server.origin}/livez`)
  assert.equal(alive.status, 200)
})
