// Our gateway against a version 1 client: every frame, every reason that can be had from outside.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { ULID } from '../peers/ulid.mjs'
import { V1Client } from '../peers/v1-client.mjs'
import { startServer } from './server.mjs'

const golden = JSON.parse(readFileSync(new URL('../../protocol/golden.json', import.meta.url)))

const server = await startServer({ after: (cleanup) => test.after(cleanup) }, [
  '--allow-client-publish', 'chat.*',
  '--ping-interval-ms', '200',
])

let names = 0
/** A channel name that no other test uses. */
const fresh = (prefix = 'room') => `${prefix}.${names++}`

async function connect(t, options) {
  const client = new V1Client(server.url, { reconnect: false, ...options })
  t.after(() => client.disconnect())
  await client.ready()
  return client
}

test('welcome is first and has an id that is a ULID, another one each time', async (t) => {
  const [a, b] = await Promise.all([connect(t), connect(t)])
  assert.equal(a.received.all[0].t, 'welcome')
  assert.match(a.id, ULID)
  assert.match(b.id, ULID)
  assert.notEqual(a.id, b.id)
})

test('welcome tells the keepalive, and no version but 2', async (t) => {
  const client = await connect(t)
  const { v = 2, ka } = client.received.all[0]
  assert.deepEqual([v, ka], [2, 200])
})

test('a sub is answered with ok, and a repeated one again', async (t) => {
  const client = new V1Client(server.url)
  t.after(() => client.disconnect())
  const name = fresh()
  client.channel(name)
  await client.received.until({ t: 'ok', c: name }, 2)
  assert.equal(client.received.count({ t: 'err' }), 0)
})

test('a channel that is subscribed twice hears each event once', async (t) => {
  const client = new V1Client(server.url)
  t.after(() => client.disconnect())
  const name = fresh()
  client.channel(name)
  await client.received.until({ t: 'ok', c: name }, 2)
  await server.publish(name, 'x', 1)
  await server.publish(name, 'last', 2)
  await client.received.until({ t: 'msg', e: 'last' })
  assert.deepEqual(client.received.matching({ t: 'msg' }).map(({ e }) => e), ['x', 'last'])
})

test('an event has exactly the keys of version 1, or known ones of version 2', async (t) => {
  const client = await connect(t)
  const name = fresh()
  client.channel(name)
  await client.received.until({ t: 'ok' })
  await server.publish(name, 'paid', { amount: 4900 })
  const { t: tag, c, e, d, i, ...rest } = await client.received.until({ t: 'msg' })
  assert.deepEqual({ tag, c, e, d }, { tag: 'msg', c: name, e: 'paid', d: { amount: 4900 } })
  assert.match(i, ULID)
  assert.deepEqual(Object.keys(rest).filter((key) => !['o', 'p'].includes(key)), [])
})

test('unsub is not answered, of an unknown channel neither; no event comes afterwards', async (t) => {
  const client = await connect(t)
  const name = fresh()
  const channel = client.channel(name)
  await client.received.until({ t: 'ok', c: name })
  client.send('{"t":"unsub","c":"never-subscribed"}')
  channel.leave()
  const last = fresh()
  client.channel(last)
  await client.received.until({ t: 'ok', c: last })
  await server.publish(name, 'x', 1)
  await server.publish(last, 'x', 1)
  await client.received.until({ t: 'msg', c: last })
  assert.deepEqual(client.received.matching(({ t }) => !['welcome', 'ping'].includes(t)).map(({ t, c }) => `${t} ${c}`), [
    `ok ${name}`,
    `ok ${last}`,
    `msg ${last}`,
  ])
})

test('private and presence channels are unauthorized, for sub and for pub', async (t) => {
  const client = await connect(t)
  for (const c of ['private-orders.42', 'presence-room']) {
    client.channel(c)
    await client.received.until({ t: 'err', c, r: 'unauthorized' })
    client.send(JSON.stringify({ t: 'pub', c, e: 'x', d: 1 }))
    await client.received.until({ t: 'err', c, r: 'unauthorized' }, 2)
  }
})

test('a publish is denied where no pattern allows it', async (t) => {
  const client = await connect(t)
  for (const c of ['news', 'chat', 'chatter']) {
    client.send(JSON.stringify({ t: 'pub', c, e: 'x', d: 1 }))
    await client.received.until({ t: 'err', c, r: 'publish denied' })
  }
})

test('a publish needs no subscription and reaches every subscriber, the publisher too', async (t) => {
  const [a, b, outsider] = await Promise.all([connect(t), connect(t), connect(t)])
  const name = fresh('chat')
  const channel = a.channel(name)
  b.channel(name)
  for (const client of [a, b]) await client.received.until({ t: 'ok', c: name })
  channel.publish('said', { text: 'hi' })
  const events = await Promise.all([a, b].map(({ received }) => received.until({ t: 'msg' })))
  assert.deepEqual(events[0], events[1])
  assert.match(events[0].i, ULID)
  outsider.send(JSON.stringify({ t: 'pub', c: name, e: 'from outside', d: 1 }))
  await Promise.all([a, b].map(({ received }) => received.until({ t: 'msg', e: 'from outside' })))
  assert.equal(outsider.received.count({ t: 'msg' }), 0)
})

test('who subscribes and publishes in one breath gets its own event', async (t) => {
  const client = await connect(t)
  for (let n = 0; n < 100; n++) {
    const name = fresh('chat')
    client.channel(name).publish('x', 1)
    client.channel(name).publish('x', 2)
    await client.received.until({ t: 'msg', c: name }, 2)
    assert.deepEqual(client.received.matching({ c: name }).map(({ t, d }) => d ?? t), ['ok', 1, 2])
  }
})

test('a publish without data is one of null', async (t) => {
  const client = await connect(t)
  const name = fresh('chat')
  client.channel(name).publish('y', undefined)
  const { d } = await client.received.until({ t: 'msg', e: 'y' })
  assert.equal(d, null)
})

test('every subscriber sees one and the same order', async (t) => {
  const clients = await Promise.all([1, 2, 3].map(() => connect(t)))
  const name = fresh('chat')
  for (const client of clients) client.channel(name)
  for (const client of clients) await client.received.until({ t: 'ok', c: name })
  for (let n = 0; n < 50; n++) for (const [who, client] of clients.entries()) client.channel(name).publish('x', [who, n])
  for (const client of clients) await client.received.until({ t: 'msg' }, 150)
  const [first, ...others] = clients.map(({ received }) => received.matching({ t: 'msg' }).map(({ d }) => d))
  for (const other of others) assert.deepEqual(other, first)
  for (const who of [0, 1, 2]) {
    assert.deepEqual(first.filter((d) => d[0] === who).map((d) => d[1]), Array.from({ length: 50 }, (_, n) => n))
  }
})

test('data goes through byte for byte', async (t) => {
  const client = await connect(t)
  const name = fresh('chat')
  client.channel(name)
  await client.received.until({ t: 'ok', c: name })
  const texts = []
  client.socket.on('message', (data) => texts.push(data.toString()))
  const samples = ['{ "b" : 1 ,\t"a":2}', '[1e400,123456789012345678901234567890,1.10,-0]', '"\\u0041\\/\\ud83d\\ude80 \u{1f680}"']
  for (const d of samples) client.send(`{"t":"pub","c":"${name}","e":"x","d": ${d} }`)
  client.send(JSON.stringify({ t: 'pub', c: name, e: 'last' }))
  await client.received.until({ t: 'msg', e: 'last' })
  const said = texts.filter((text) => text.includes('"msg"')).slice(0, 3)
  for (const [i, d] of samples.entries()) assert.ok(said[i].includes(`"d":${d},`), said[i])
})

test('bad frames are dropped in silence and the connection stays up', async (t) => {
  const client = await connect(t)
  const bad = golden.dropped.filter(({ direction }) => direction !== 'server')
  for (const { text } of bad) client.send(text)
  client.socket.send(Buffer.from([0, 1, 2, 255]), { binary: true })
  const name = fresh()
  client.channel(name)
  await client.received.until({ t: 'ok', c: name })
  const others = client.received.matching(({ t, c }) => !['welcome', 'ping'].includes(t) && c !== name)
  assert.deepEqual(others, [])
})

for (const { name, text, fields } of golden.read.filter(({ direction }) => direction === 'client')) {
  if (fields.frame !== 'sub') continue
  const printable = !/[\s\p{Cc}]/u.test(fields.channel)
  test(`an odd sub is read: ${name}`, async (t) => {
    const client = await connect(t)
    client.send(text)
    if (printable) await client.received.until({ t: 'ok', c: fields.channel })
    else await client.received.until({ t: 'err', c: fields.channel, r: 'invalid channel' })
  })
}

test('names out of bounds are refused with their reason', async (t) => {
  const client = await connect(t)
  const long = 'x'.repeat(201)
  for (const c of [long, 'a b', 'a\u00a0b']) {
    client.send(JSON.stringify({ t: 'sub', c }))
    await client.received.until({ t: 'err', c, r: 'invalid channel' })
  }
  client.send(JSON.stringify({ t: 'pub', c: 'chat.1', e: long, d: 1 }))
  await client.received.until({ t: 'err', c: 'chat.1', r: 'invalid event' })
})

test('the 129th channel of a connection is one too many', async (t) => {
  const client = await connect(t)
  const prefix = fresh()
  for (let n = 0; n <= 128; n++) client.channel(`${prefix}.${n}`)
  await client.received.until({ t: 'err', c: `${prefix}.128`, r: 'too many channels' })
  await client.received.until({ t: 'ok' }, 128)
  client.channel(`${prefix}.0`).leave()
  client.send(JSON.stringify({ t: 'sub', c: `${prefix}.128` }))
  await client.received.until({ t: 'ok', c: `${prefix}.128` })
})

test('a client that answers its pings is kept', async (t) => {
  const client = await connect(t)
  await client.received.until({ t: 'ping' }, 3)
  assert.equal(client.connected, true)
})

test('two listeners of the API: an event published over HTTP reaches both, once', async (t) => {
  const clients = await Promise.all([connect(t), connect(t)])
  const name = fresh()
  for (const client of clients) client.channel(name)
  for (const client of clients) await client.received.until({ t: 'ok', c: name })
  await server.publish(name, 'x', { n: 1 })
  const [a, b] = await Promise.all(clients.map(({ received }) => received.until({ t: 'msg' })))
  assert.deepEqual(a, b)
})

test('a gateway that was killed is found again, with its channels', async (t) => {
  const mortal = await startServer(t)
  const client = new V1Client(mortal.url)
  t.after(() => client.disconnect())
  client.channel('a')
  await client.received.until({ t: 'ok', c: 'a' }, 2)
  await mortal.restart()
  await client.received.until({ t: 'welcome' }, 2)
  await client.received.until({ t: 'ok', c: 'a' }, 3)
  await mortal.publish('a', 'x', 1)
  await client.received.until({ t: 'msg' })
  assert.equal(client.received.count({ t: 'msg' }), 1)
})
