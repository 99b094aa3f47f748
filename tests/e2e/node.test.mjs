// The package in Node.js with the ws package, against the real gateway.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { importPackage, unpacked } from './package.mjs'
import { startServer } from './server.mjs'
import { next } from './wait.mjs'

const { BroadcastClient } = await importPackage()

function connect(t, server, options = {}) {
  const client = new BroadcastClient({
    url: server.url,
    webSocketFactory: (url) => new WebSocket(url),
    reconnectInitialDelayMs: 10,
    reconnectMaxDelayMs: 50,
    ...options,
  })
  t.after(() => client.disconnect())
  return client
}

test('subscribes, hears, publishes', async (t) => {
  const server = await startServer(t, ['--allow-client-publish', 'chat.*'])
  const client = connect(t, server)
  const channel = client.channel('chat.1')
  const heard = next(channel, 'x')
  await channel.ready()
  await server.publish('chat.1', 'x', { a: [1, null, 'é'] })
  assert.deepEqual(await heard, { a: [1, null, 'é'] })
  const echo = next(channel, 'y')
  assert.equal((await channel.publish('y')).ok, true)
  assert.equal(await echo, null)
})

test('works when it is required', async (t) => {
  const server = await startServer(t)
  const { BroadcastClient: Required } = createRequire(join(unpacked(), 'index.js'))('tidings')
  const client = new Required({ url: server.url, webSocketFactory: (url) => new WebSocket(url) })
  t.after(() => client.disconnect())
  await client.ready()
  assert.equal(client.connected, true)
})

test('an http address stands for a ws one', async (t) => {
  const server = await startServer(t)
  await connect(t, server, { url: `${server.origin}/_broadcast` }).ready()
})

test('a frame that is too large costs the connection, and the client comes back without it', async (t) => {
  const server = await startServer(t, ['--allow-client-publish', 'chat.*'])
  const client = connect(t, server)
  const channel = client.channel('chat.1')
  const heard = []
  channel.on('*', (event) => heard.push(event))
  await channel.ready()
  const codes = []
  client.on('close', ({ code }) => codes.push(code))
  const back = next(client, 'subscribed')
  await channel.publish('too large', 'x'.repeat(70_000))
  await back
  const small = next(channel, 'small')
  channel.publish('small', 1)
  await small
  assert.deepEqual([codes, heard], [[1009], ['small']])
})

test('the gateway restarts: subscribed again, and what was published meanwhile arrives', async (t) => {
  const server = await startServer(t, ['--allow-client-publish', 'chat.*'])
  const client = connect(t, server)
  const channels = Array.from({ length: 100 }, (_, n) => client.channel(`chat.${n}`))
  await Promise.all(channels.map((channel) => channel.ready()))
  const closed = next(client, 'close')
  await server.kill()
  await closed
  let back = 0
  const all = next(client, 'subscribed', () => ++back === 100)
  const echoes = channels.map((channel) => next(channel, 'x'))
  for (const channel of channels) channel.publish('x', channel.name)
  await server.start()
  await all
  assert.deepEqual(await Promise.all(echoes), channels.map(({ name }) => name))
})

test('a gateway that drains is left with its code, and found again', async (t) => {
  const server = await startServer(t)
  const client = connect(t, server)
  await client.ready()
  const closed = next(client, 'close')
  await server.terminate()
  const { code } = await closed
  assert.ok([1001, 1012].includes(code), `${code}`)
  const open = next(client, 'open')
  await server.start()
  await open
})

test('refusals come as error events with their reasons', async (t) => {
  const server = await startServer(t)
  const client = connect(t, server)
  const errors = []
  const three = next(client, 'error', (error) => errors.push(error) === 3)
  client.channel('private-a')
  client.channel('a b')
  client.channel('a').publish('x')
  await three
  assert.deepEqual(errors.sort((x, y) => x.channel.localeCompare(y.channel)), [
    { channel: 'a', reason: 'publish denied' },
    { channel: 'a b', reason: 'invalid channel' },
    { channel: 'private-a', reason: 'unauthorized' },
  ])
})
