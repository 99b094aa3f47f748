// What docs/http-api.md shows is taken out of it and run.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { guard, temporaryFolder } from '../e2e/children.mjs'
import { startServer } from '../e2e/server.mjs'

const SECRET = '0123456789abcdef0123456789abcdef'
const ADDRESS = 'http://127.0.0.1:8080'

const text = readFileSync(new URL('../../docs/http-api.md', import.meta.url), 'utf8')

/** The code of the document: its language and its text. */
const blocks = [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, code]) => ({ language, code }))

/** The one block of a language. */
function only(language) {
  const found = blocks.filter((block) => block.language === language)
  assert.equal(found.length, 1, `the document has one block of ${language}`)
  return found[0].code
}

const withKey = ['--api-key', `test=${SECRET}`]

/** Runs a program with the key in its environment; what it prints. */
async function run(command, parameters, options = {}) {
  const child = guard(spawn(command, parameters, {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env, GATEWAY_KEY: SECRET },
  }))
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk) => (output += chunk))
  child.stderr.on('data', (chunk) => (errors += chunk))
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  assert.equal(code, 0, `${command} ended with ${code}:\n${output}${errors}`)
  return output
}

/** Listens on a channel until the test ends; resolves when it listens. */
async function listen(t, server, channel) {
  const ended = new AbortController()
  t.after(() => ended.abort())
  const response = await fetch(`${server.origin}/_broadcast/sse?channel=${channel}`, { signal: ended.signal })
  assert.equal(response.status, 200)
  await server.heardBy(channel, 1, { authorization: `Bearer ${SECRET}` })
}

async function ask(server, path) {
  const response = await fetch(server.origin + path, { headers: { authorization: `Bearer ${SECRET}` } })
  assert.equal(response.status, 200)
  return response.json()
}

/** The same without what is new each time: ids and epochs. */
function comparable(value, key) {
  if (Array.isArray(value)) return value.map((item) => comparable(item))
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, value]) => [key, comparable(value, key)]))
  }
  return key === 'id' || key === 'epoch' ? typeof value : value
}

test('each call of curl is answered as the document says', async (t) => {
  const server = await startServer(t, withKey)
  for (const channel of ['orders.41', 'orders.42', 'orders.43']) await listen(t, server, channel)
  let calls = 0
  for (const [at, { language, code }] of blocks.entries()) {
    if (language !== 'sh' || !code.startsWith('curl ')) continue
    const answer = blocks[at + 1]
    assert.equal(answer?.language, 'json', `an answer is behind:\n${code}`)
    assert.ok(code.includes(ADDRESS), code)
    const output = await run('sh', ['-c', code.replaceAll(ADDRESS, server.origin)])
    assert.deepEqual(comparable(JSON.parse(output)), comparable(JSON.parse(answer.code)), code)
    calls += 1
  }
  assert.equal(calls, blocks.filter(({ language }) => language === 'json').length)
  assert.ok(calls >= 7, `${calls} calls were found`)
})

test('the key file of the document opens the gateway', async (t) => {
  const folder = temporaryFolder('keys')
  const commands = blocks.find(({ language, code }) => language === 'sh' && code.includes('--api-keys-file'))
  const [make, serve] = commands.code.trim().split('\n')
  await run('sh', ['-c', make], { cwd: folder })
  const secret = readFileSync(join(folder, 'api-keys'), 'utf8').trim().replace(/^shop=/, '')
  assert.match(secret, /^[0-9a-f]{64}$/)
  assert.match(serve, /^tidings serve .*--api-keys-file api-keys$/)
  const server = await startServer(t, ['--api-keys-file', join(folder, 'api-keys')])
  const statuses = []
  for (const sent of [secret, SECRET]) {
    const response = await fetch(`${server.origin}/api/channels`, { headers: { authorization: `Bearer ${sent}` } })
    statuses.push(response.status)
  }
  assert.deepEqual(statuses, [200, 401])
})

const LANGUAGES = [
  { name: 'Python', language: 'python', program: 'python3', version: '--version', file: 'publish.py', run: ['publish.py'] },
  { name: 'Node.js', language: 'js', program: process.execPath, version: '--version', file: 'publish.mjs', run: ['publish.mjs'] },
  { name: 'PHP', language: 'php', program: 'php', version: '--version', file: 'publish.php', run: ['publish.php'] },
  { name: 'Go', language: 'go', program: 'go', version: 'version', file: 'publish.go', run: ['run', 'publish.go'] },
]

for (const { name, language, program, version, file, run: parameters } of LANGUAGES) {
  test(`a backend in ${name} publishes as the document says`, async (t) => {
    const code = only(language)
    assert.ok(code.includes(ADDRESS))
    if (spawnSync(program, [version]).status !== 0) {
      t.skip(`NOT RUN: ${program} is not installed`)
      return
    }
    const server = await startServer(t, withKey)
    const folder = temporaryFolder(language)
    writeFileSync(join(folder, file), code.replaceAll(ADDRESS, server.origin))
    const id = (await run(program, parameters, { cwd: folder })).trim()
    // Once more: the key makes it one event.
    assert.equal((await run(program, parameters, { cwd: folder })).trim(), id)
    const { events } = await ask(server, '/api/channels/orders.42/history')
    assert.deepEqual(events, [{ event: 'order.paid', data: { amount: 4900 }, id, offset: 1 }])
  })
}
