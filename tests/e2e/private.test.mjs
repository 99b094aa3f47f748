// Private channels, with tokens that the gateway itself has made: package and binary, as an application has them.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { WebSocket } from 'ws'
import { binary, environment } from './environment.mjs'
import { importPackage } from './package.mjs'
import { startServer } from './server.mjs'
import { next, within } from './wait.mjs'

const { BroadcastClient } = await importPackage()
const run = promisify(execFile)
const RULES = ['--rule', 'private-user.{sub}=authenticated', '--allow-client-publish', 'private-*']

/** A gateway that takes tokens; `mint(user, flags)` makes one. */
async function gatewayWithTokens(t) {
  const folder = await mkdtemp(join(tmpdir(), 'tidings-e2e-'))
  t.after(() => rm(folder, { recursive: true }))
  const secret = join(folder, 'secret')
  await writeFile(secret, 'a secret that is long enough for HS256\n')
  const server = await startServer(t, ['--jwt-secret-file', secret, ...RULES])
  const mint = async (user, ...flags) => {
    const words = ['token', '--jwt-secret-file', secret, '--sub', user, ...flags]
    const { stdout } = await run(binary(), words, { env: environment() })
    return stdout.trim()
  }
  return { server, mint }
}

function clientOf(t, server, getToken) {
  const webSocketFactory = (url) => new WebSocket(url)
  const client = new BroadcastClient({ url: server.url, getToken, webSocketFactory, reconnectInitialDelayMs: 10 })
  t.after(() => client.disconnect())
  return client
}

test('a token opens the channels of its user, and those it names', async (t) => {
  const { server, mint } = await gatewayWithTokens(t)
  const asked = []
  const client = clientOf(t, server, (request) => {
    asked.push(request)
    return mint('ann', '--channels', 'private-orders.*')
  })
  const refused = next(client, 'error')
  const [own, orders, other] = ['private-user.ann', 'private-orders.42', 'private-user.bob'].map((name) => client.channel(name))
  await within(Promise.all([own.ready(), orders.ready()]), 'the private channels')
  assert.deepEqual(await refused, { channel: 'private-user.bob', reason: 'unauthorized' })
  assert.equal(other.state, 'denied')

  const paid = next(orders, 'paid')
  await server.publish('private-orders.42', 'paid', { amount: 4900 })
  assert.deepEqual(await paid, { amount: 4900 })
  assert.equal((await own.publish('note', 'mine')).ok, true)
  assert.deepEqual(asked, [{ reason: 'connect' }])
})

test('nobody gets a private channel', async (t) => {
  const { server } = await gatewayWithTokens(t)
  const client = clientOf(t, server)
  const refused = next(client, 'error')
  client.channel('private-user.ann')
  assert.deepEqual(await refused, { channel: 'private-user.ann', reason: 'unauthorized' })
})

test('a token that is refused is replaced on the same connection', async (t) => {
  const { server, mint } = await gatewayWithTokens(t)
  const asked = []
  const client = clientOf(t, server, ({ reason }) => {
    asked.push(reason)
    return asked.length === 1 ? 'no.token.atall' : mint('ann')
  })
  const own = client.channel('private-user.ann')
  await client.ready()
  const { id } = client
  await within(own.ready(), 'the private channel')
  assert.deepEqual([asked, client.id], [['connect', 'refused'], id])
})

// The gateway lets clocks be off by 15 s, and the client renews 10 s before the end that it is told.
test('a token is renewed before it expires, and the channel misses nothing', async (t) => {
  const { server, mint } = await gatewayWithTokens(t)
  const asked = []
  const renewed = Promise.withResolvers?.() ?? deferred()
  const client = clientOf(t, server, async ({ reason }) => {
    asked.push(reason)
    if (reason === 'expiring') renewed.resolve()
    return mint('ann', '--expires', asked.length === 1 ? '1s' : '1h')
  })
  const own = client.channel('private-user.ann')
  const [got, gaps] = [[], []]
  own.on('n', (n) => got.push(n))
  own.onGap((gap) => gaps.push(gap))
  await within(own.ready(), 'the private channel')
  const { id } = client
  await server.publish('private-user.ann', 'n', 1)
  await within(renewed.promise, 'the renewal')
  const last = next(own, 'n', (n) => n === 3)
  for (const n of [2, 3]) await server.publish('private-user.ann', 'n', n)
  await last
  assert.deepEqual([got, gaps, asked, client.id], [[1, 2, 3], [], ['connect', 'expiring'], id])
})

function deferred() {
  const all = {}
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }))
  return all
}
