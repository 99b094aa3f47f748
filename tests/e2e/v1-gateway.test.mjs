// The package against a version 1 gateway, over real sockets.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { ULID } from '../peers/ulid.mjs'
import { startV1Gateway } from '../peers/v1-gateway.mjs'
import { guard } from './children.mjs'
import { importPackage, unpacked } from './package.mjs'
import { next, within } from './wait.mjs'

const { BroadcastClient } = await importPackage()

async function gatewayAndClient(t, options = {}, clientOptions = {}) {
  const gateway = await startV1Gateway(options)
  const client = new BroadcastClient({
    url: gateway.url,
    webSocketFactory: (url) => new WebSocket(url),
    reconnectInitialDelayMs: 10,
    ...clientOptions,
  })
  const errors = []
  client.on('error', (error) => errors.push(error))
  t.after(async () => {
    client.disconnect()
    await gateway.close()
  })
  return { gateway, client, errors }
}

test('welcome, one sub, an event, a publish, an unsub', async (t) => {
  const { gateway, client } = await gatewayAndClient(t, { allowPublish: () => true })
  const a = client.channel('a')
  const event = next(a, 'paid')
  await a.ready()
  assert.match(client.id, ULID)
  gateway.publish('a', 'paid', { amount: 4900 })
  assert.deepEqual(await event, { amount: 4900 })

  const own = next(a, 'typing')
  const { ok } = await a.publish('typing', { who: 'ann' })
  assert.equal(ok, true)
  assert.deepEqual(await own, { who: 'ann' })

  a.leave()
  await gateway.received.until({ t: 'unsub', c: 'a' })
  assert.deepEqual(gateway.received.all.map(({ connection, ...frame }) => frame), [
    { t: 'sub', c: 'a' },
    { t: 'pub', c: 'a', e: 'typing', d: { who: 'ann' } },
    { t: 'unsub', c: 'a' },
  ])
})

test('every refusal arrives as an error event', async (t) => {
  const { client, errors } = await gatewayAndClient(t, {
    authorize: {
      'broken.*': () => {
        throw new Error('no database')
      },
      'private-mine': true,
    },
    allowPublish: ({ channel }) => channel === 'full',
    backplane: () => {
      throw new Error('full')
    },
  })
  await client.ready()
  const arrived = next(client, 'error', () => errors.length === 4)
  client.channel('private-theirs')
  client.channel('broken.1')
  client.channel('private-mine').publish('x')
  client.channel('full').publish('x')
  await arrived
  assert.deepEqual(errors.sort((a, b) => a.channel.localeCompare(b.channel)), [
    { channel: 'broken.1', reason: 'authorization failed' },
    { channel: 'full', reason: 'publish failed' },
    { channel: 'private-mine', reason: 'publish denied' },
    { channel: 'private-theirs', reason: 'unauthorized' },
  ])
})

test('a refused publish does not end a subscription', async (t) => {
  const { gateway, client } = await gatewayAndClient(t)
  const a = client.channel('a')
  const refused = next(client, 'error')
  a.publish('x')
  await refused
  await a.ready()
  assert.equal(a.state, 'subscribed')
  const event = next(a, 'still')
  gateway.publish('a', 'still', 1)
  assert.equal(await event, 1)
})

test('after a cut it comes back, subscribed once, and hears again', async (t) => {
  const { gateway, client } = await gatewayAndClient(t)
  const a = client.channel('a')
  await a.ready()
  const heard = next(a, 'x')
  const subscribed = next(client, 'subscribed')
  gateway.cut()
  await subscribed
  gateway.publish('a', 'x', 'again')
  assert.equal(await heard, 'again')
  assert.equal(gateway.count('sub'), 2)
})

test('what is published while away goes out after the subscriptions', async (t) => {
  const { gateway, client } = await gatewayAndClient(t, { allowPublish: () => true })
  await client.ready()
  gateway.refusing = true
  const closed = next(client, 'close')
  gateway.cut()
  await closed
  const results = [1, 2, 3].map((n) => client.channel('a').publish('x', n))
  const events = []
  const third = next(client.channel('a'), 'x', (n) => events.push(n) === 3)
  gateway.refusing = false
  await Promise.all([third, ...results])
  assert.deepEqual(events, [1, 2, 3])
  assert.deepEqual(gateway.received.all.map(({ t, d }) => d ?? t), ['sub', 1, 2, 3])
})

test('a gateway that accepts and drops is not hammered', async (t) => {
  const { gateway, client } = await gatewayAndClient(t, {}, { reconnectInitialDelayMs: 40 })
  const attempts = []
  client.on('open', () => gateway.drop(1011))
  await next(client, 'reconnecting', ({ attempt }) => attempts.push(attempt) === 5)
  assert.deepEqual(attempts, [1, 2, 3, 4, 5])
})

test('a gateway that says nothing is given up after connectTimeoutMs', async (t) => {
  const { gateway, client } = await gatewayAndClient(t, {}, { connectTimeoutMs: 100, autoConnect: false })
  gateway.silent = true
  client.connect()
  await gateway.life.until({ open: 1 })
  gateway.silent = false
  await client.ready()
  assert.ok(gateway.connections.length >= 3)
})

test('pings are answered', async (t) => {
  const { gateway } = await gatewayAndClient(t, { pingIntervalMs: 5 })
  await gateway.received.until({ t: 'pong' }, 3)
})

test('a close that says stop stops it', async (t) => {
  const { gateway, client, errors } = await gatewayAndClient(t)
  await client.ready()
  const closed = next(client, 'close')
  gateway.drop(4003, 'disconnected')
  await closed
  assert.equal(client.state, 'closed')
  assert.equal(errors.length, 1)
})

test('disconnect closes with 1000', async (t) => {
  const { gateway, client } = await gatewayAndClient(t)
  await client.ready()
  client.disconnect()
  assert.equal((await gateway.life.until(({ closed }) => closed === 0)).code, 1000)
})

test('hundreds of channels', async (t) => {
  const { gateway, client } = await gatewayAndClient(t)
  const channels = Array.from({ length: 300 }, (_, n) => client.channel(`c.${n}`))
  await Promise.all(channels.map((channel) => channel.ready()))
  assert.equal(gateway.count('sub'), 300)
  const all = channels.map((channel) => next(channel, 'x'))
  for (const { name } of channels) gateway.publish(name, 'x', name)
  assert.deepEqual(await Promise.all(all), channels.map(({ name }) => name))
})

test('a process ends when its client is disconnected, and not before', async (t) => {
  const gateway = await startV1Gateway()
  t.after(() => gateway.close())
  const script = `
    import { BroadcastClient } from 'tidings'
    import { WebSocket } from ${JSON.stringify(import.meta.resolve('ws'))}
    const client = new BroadcastClient({ url: ${JSON.stringify(gateway.url)}, webSocketFactory: (url) => new WebSocket(url) })
    client.channel('a').on('bye', () => client.disconnect())
  `
  const child = guard(spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: unpacked(), stdio: 'inherit' }))
  const exit = within(once(child, 'exit'), 'the end of the process')
  await gateway.life.until({ subscribed: 'a' })
  gateway.publish('a', 'bye')
  assert.deepEqual(await exit, [0, null])
})
