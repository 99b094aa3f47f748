// The two peers that stand for version 1 in these tests, held against the golden frames and against each other.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { V1Client } from '../peers/v1-client.mjs'
import { startV1Gateway } from '../peers/v1-gateway.mjs'
import { ULID } from '../peers/ulid.mjs'

const golden = JSON.parse(readFileSync(new URL('../../protocol/golden.json', import.meta.url)))

async function pair(t, options) {
  const gateway = await startV1Gateway(options)
  const client = new V1Client(gateway.url)
  t.after(async () => {
    client.disconnect()
    await gateway.close()
  })
  return { gateway, client }
}

test('an offline channel is subscribed twice, and both are answered', async (t) => {
  const { gateway, client } = await pair(t)
  client.channel('a')
  await client.received.until({ t: 'ok', c: 'a' }, 2)
  assert.equal(gateway.count('sub', 'a'), 2)
  assert.match(await client.ready(), ULID)
})

test('an event reaches every subscriber, the publisher too', async (t) => {
  const { gateway, client } = await pair(t, { allowPublish: () => true })
  const other = new V1Client(gateway.url)
  t.after(() => other.disconnect())
  const seen = []
  other.channel('a').on('*', (event, data) => seen.push([event, data]))
  const a = client.channel('a')
  await Promise.all([client, other].map(({ received }) => received.until({ t: 'ok', c: 'a' }, 2)))
  a.publish('said', { text: 'hi' })
  const [mine, theirs] = await Promise.all([client, other].map(({ received }) => received.until({ t: 'msg' })))
  assert.deepEqual(mine, theirs)
  assert.match(mine.i, ULID)
  assert.deepEqual(seen, [['said', { text: 'hi' }]])
})

test('every refusal has its reason', async (t) => {
  const { client } = await pair(t, {
    authorize: {
      'broken.*': () => {
        throw new Error('no database')
      },
      'private-mine': true,
    },
    allowPublish: ({ channel }) => channel === 'open' || channel === 'full',
    backplane: (channel) => {
      if (channel === 'full') throw new Error('full')
    },
  })
  await client.ready()
  for (const name of ['private-other', 'presence-x', 'broken.1', 'private-mine']) client.channel(name)
  client.channel('private-other').publish('e')
  client.channel('private-mine').publish('e')
  client.channel('full').publish('e')
  const refusals = [
    ['private-other', 'unauthorized', 2],
    ['presence-x', 'unauthorized', 1],
    ['broken.1', 'authorization failed', 1],
    ['private-mine', 'publish denied', 1],
    ['full', 'publish failed', 1],
  ]
  for (const [c, r, n] of refusals) await client.received.until({ t: 'err', c, r }, n)
  assert.equal(client.received.count({ t: 'err' }), 6)
})

test('the gateway drops what it must and reads what it must', async (t) => {
  const { gateway, client } = await pair(t)
  await client.ready()
  const bad = golden.dropped.filter(({ direction }) => direction !== 'server')
  for (const { text } of bad) client.send(text)
  client.send('{"t":"sub","c":"last"}')
  await client.received.until({ t: 'ok', c: 'last' })
  assert.equal(client.received.count(({ t }) => t !== 'welcome'), 1)
  assert.equal(gateway.received.all.length, bad.length + 1)
})

test('a ping is answered', async (t) => {
  const { gateway } = await pair(t, { pingIntervalMs: 5 })
  await gateway.received.until({ t: 'pong' }, 2)
})

test('a silent gateway is silent, a cut one comes back', async (t) => {
  const { gateway, client } = await pair(t)
  await client.ready()
  gateway.silent = true
  gateway.cut()
  await gateway.life.until({ open: 1 })
  gateway.silent = false
  gateway.drop(4001, 'enough')
  await client.life.until(({ closed, reason }) => closed === 4001 && reason === 'enough')
  await client.life.until((notice) => 'welcome' in notice, 2)
})
