// What a page downloads for the client.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'

import { tarball } from '../e2e/environment.mjs'

const run = promisify(execFile)

/** The outside limit for dist/index.js, gzipped, in bytes. */
const LIMIT = 19_200

test(`dist/index.js is at most ${LIMIT.toLocaleString('en')} bytes when gzipped`, async () => {
  const words = ['-xzOf', tarball(), 'package/dist/index.js']
  const { stdout } = await run('tar', words, { encoding: 'buffer', maxBuffer: 64 * 1024 * 1024 })
  assert.ok(stdout.length > 0, 'the tarball has no dist/index.js')
  const size = gzipSync(stdout, { level: 9 }).length
  assert.ok(
    size <= LIMIT,
    `dist/index.js is ${size} bytes when gzipped, ${size - LIMIT} over the limit of ${LIMIT}. ` +
      'target/npm/size.json tells whether the wasm or the JavaScript around it grew; look there for new formatting ' +
      '(format!, Debug), a HashMap, a panic with a message, or a new dependency, and make it smaller. ' +
      'Raise the limit only as a decision of its own, with the reason in the changelog.',
  )
})
