// Channels, listeners and publishing of one client, with sockets that the test drives.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeClient, settled } from './fake.mjs'

const msg = (c, e, d, i = `${Math.random()}`) => ({ t: 'msg', c, e, d, i })

/** A client that is connected, with these channels live. */
async function connected(t, names = [], options = {}) {
  const fake = fakeClient(t, options)
  fake.socket.open()
  const channels = names.map((name) => fake.client.channel(name))
  await settled()
  for (const c of names) fake.socket.say({ t: 'ok', c })
  await settled()
  return { ...fake, socket: fake.sockets[0], channels }
}

test('the same name is the same handle', async (t) => {
  const { client, socket } = await connected(t)
  assert.equal(client.channel('a'), client.channel('a'))
  assert.notEqual(client.channel('a'), client.channel('b'))
  assert.equal(client.channel('a').name, 'a')
  await settled()
  assert.deepEqual(socket.frames('sub').map(({ c }) => c).sort(), ['a', 'b'])
})

test('each channel is subscribed once per connection, made offline or online', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  client.channel('early').on('x', () => {})
  client.channel('early')
  sockets[0].open(null)
  client.channel('between')
  sockets[0].say({ t: 'welcome', id: 'a' })
  client.channel('late')
  await settled()
  assert.deepEqual(sockets[0].frames().map(({ t, c }) => `${t} ${c}`).sort(), ['sub between', 'sub early', 'sub late'])

  sockets[0].die()
  await clock.advance(250)
  sockets[1].open()
  await settled()
  assert.deepEqual(sockets[1].frames('sub').map(({ c }) => c).sort(), ['between', 'early', 'late'])
})

test('nothing is said before welcome', async (t) => {
  const { client, socket } = fakeClient(t)
  const a = client.channel('a')
  a.publish('x', 1)
  socket.open(null)
  await settled()
  assert.deepEqual(socket.sent, [])
})

test('subscribed means live: ready(), state and the event', async (t) => {
  const { client, socket, lived } = fakeClient(t)
  socket.open()
  const a = client.channel('a')
  let ready = false
  a.ready().then(() => (ready = true))
  await settled()
  const before = a.state
  assert.deepEqual([ready, lived('subscribed')], [false, []])
  socket.say({ t: 'ok', c: 'a' })
  await settled()
  assert.equal(ready, true)
  assert.notEqual(a.state, before)
  assert.equal(a.state, 'subscribed')
  assert.deepEqual(lived('subscribed'), [{ channel: 'a' }])
  await a.ready()
})

test('a repeated ok is no second subscription', async (t) => {
  const { socket, lived } = await connected(t, ['a'])
  socket.say({ t: 'ok', c: 'a' })
  await settled()
  assert.equal(lived('subscribed').length, 1)
})

test('a refusal is an error event with channel and reason, and is asked again on the next connection', async (t) => {
  const { client, sockets, clock, lived } = fakeClient(t)
  sockets[0].open()
  client.channel('private-a')
  await settled()
  sockets[0].say({ t: 'err', c: 'private-a', r: 'unauthorized' })
  await settled()
  assert.deepEqual(lived('error'), [{ channel: 'private-a', reason: 'unauthorized' }])
  sockets[0].die()
  await clock.advance(250)
  sockets[1].open()
  await settled()
  assert.deepEqual(sockets[1].sent, ['{"t":"sub","c":"private-a"}'])
})

test('events go to their listeners, * hears every one with its name', async (t) => {
  const { socket, channels: [a, b] } = await connected(t, ['a', 'b'])
  const heard = []
  a.on('paid', (...words) => heard.push(['a paid', ...words]))
  a.on('*', (...words) => heard.push(['a *', ...words]))
  b.on('paid', (...words) => heard.push(['b paid', ...words]))
  socket.say(msg('a', 'paid', { amount: 4900 }))
  socket.say(msg('a', 'other', null))
  socket.say(msg('b', 'paid', [1]))
  socket.say(msg('nobody', 'paid', 1))
  await settled()
  assert.deepEqual(heard.sort(), [
    ['a *', 'other', null],
    ['a *', 'paid', { amount: 4900 }],
    ['a paid', { amount: 4900 }],
    ['b paid', [1]],
  ])
})

test('an event that is called * is not every event', async (t) => {
  const { socket, channels: [a] } = await connected(t, ['a'])
  const heard = []
  a.on('*', (event, data) => heard.push([event, data]))
  socket.say(msg('a', '*', 1))
  await settled()
  assert.deepEqual(heard, [['*', 1]])
})

test('names of an object\'s prototype are names like others', async (t) => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
  const { client, socket, lived } = await connected(t, names)
  assert.deepEqual(lived('subscribed').map(({ channel }) => channel), names)
  const heard = []
  for (const name of names) client.channel(name).on(name, (data) => heard.push(data))
  for (const name of names) socket.say(msg(name, name, name))
  await settled()
  assert.deepEqual(heard, names)
})

test('data comes as JavaScript reads JSON', async (t) => {
  const { socket, channels: [a] } = await connected(t, ['a'])
  const heard = []
  a.on('x', (data) => heard.push(data))
  const data = ['', 'ж🚀\u2028"\\', 0, -0, 1e21, 2 ** 53, true, false, null, [], {}, { a: [{ b: null }] }]
  for (const d of data) socket.say(msg('a', 'x', d))
  await settled()
  assert.deepEqual(heard, JSON.parse(JSON.stringify(data)))
})

test('off removes just its listener, twice does no harm, the same function may listen twice', async (t) => {
  const { socket, channels: [a] } = await connected(t, ['a'])
  let heard = 0
  const listener = () => heard++
  const off = a.on('x', listener)
  a.on('x', listener)
  socket.say(msg('a', 'x', 1))
  await settled()
  assert.equal(heard, 2)
  off()
  off()
  socket.say(msg('a', 'x', 1))
  await settled()
  assert.equal(heard, 3)
})

test('a listener that throws is reported and stops nobody else', async (t) => {
  const { socket, reports, channels: [a], client } = await connected(t, ['a'])
  const heard = []
  const boom = new Error('boom')
  const fail = () => {
    throw boom
  }
  a.on('x', fail)
  a.on('*', fail)
  a.on('x', (data) => heard.push(data))
  client.on('subscribed', fail)
  client.on('subscribed', ({ channel }) => heard.push(channel))
  socket.say(msg('a', 'x', 1))
  client.channel('b')
  await settled()
  socket.say({ t: 'ok', c: 'b' })
  socket.say(msg('a', 'x', 2))
  await settled()
  assert.deepEqual(heard, [1, 'b', 2])
  assert.equal(reports.length, 5)
  assert.ok(reports.every((words) => words.includes(boom)))
})

test('a listener may call anything from inside', async (t) => {
  const { client, socket, sockets, clock, channels: [a] } = await connected(t, ['a'])
  const heard = []
  const off = a.on('once', () => {
    off()
    heard.push('once')
  })
  a.on('add', () => a.on('added', () => heard.push('added')))
  a.on('join', () => client.channel('b').on('x', () => heard.push('b')))
  a.on('say', () => a.publish('reply', 1))
  a.on('leave', () => {
    a.leave()
    heard.push('left')
  })
  a.on('leave', () => heard.push('still here'))
  for (const event of ['once', 'once', 'add', 'added', 'join', 'say']) socket.say(msg('a', event, 1))
  await settled()
  assert.deepEqual(heard, ['once', 'added'])
  assert.deepEqual(socket.frames().slice(1).map(({ t, c }) => `${t} ${c}`), ['sub b', 'pub a'])
  socket.say(msg('b', 'x', 1))
  socket.say(msg('a', 'leave', 1))
  await clock.advance(10)
  socket.say(msg('a', 'once', 1))
  await settled()
  assert.equal(heard[2], 'b')
  assert.ok(heard.includes('left'))
  assert.equal(socket.frames('unsub').length, 1)

  client.channel('c').on('stop', () => client.disconnect())
  socket.say(msg('c', 'stop', 1))
  socket.say(msg('c', 'stop', 1))
  await settled()
  assert.equal(client.state, 'closed')
  client.on('state', ({ to }) => to === 'connecting' && heard.push('again'))
  client.connect()
  await settled()
  assert.equal(sockets.length, 2)
  assert.equal(heard.at(-1), 'again')
})

test('lifecycle listeners may act from inside as well', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  client.on('open', () => client.channel('made-in-open').publish('x', 1))
  client.on('close', () => client.channel('made-in-close'))
  client.on('reconnecting', () => client.channel('made-in-reconnecting').publish('y', 2))
  sockets[0].open()
  await settled()
  assert.deepEqual(sockets[0].frames().map(({ t, c }) => `${t} ${c}`), ['sub made-in-open', 'pub made-in-open'])
  sockets[0].die()
  await clock.advance(250)
  sockets[1].open()
  await settled()
  const subs = sockets[1].frames('sub').map(({ c }) => c).sort()
  assert.deepEqual(subs, ['made-in-close', 'made-in-open', 'made-in-reconnecting'])
  assert.equal(sockets[1].frames('pub').length, 2)
})

test('off of a lifecycle listener works', async (t) => {
  const { client, socket } = fakeClient(t)
  let opened = 0
  const off = client.on('open', () => opened++)
  off()
  off()
  socket.open()
  await settled()
  assert.equal(opened, 0)
})

test('leave: unsub once, no more events, a new handle afterwards', async (t) => {
  const { client, socket, clock, channels: [a] } = await connected(t, ['a'])
  a.on('x', () => assert.fail('a listener of a channel that was left'))
  a.leave()
  a.leave()
  await clock.advance(10)
  assert.deepEqual(socket.frames('unsub'), [{ t: 'unsub', c: 'a' }])
  socket.say(msg('a', 'x', 1))
  const again = client.channel('a')
  assert.notEqual(again, a)
  await settled()
  assert.equal(socket.frames('sub').length, 2)
  socket.say({ t: 'ok', c: 'a' })
  const heard = []
  again.on('x', (data) => heard.push(data))
  socket.say(msg('a', 'x', 2))
  await settled()
  assert.deepEqual(heard, [2])
})

test('the handle of a channel that was left is dead and does no harm', async (t) => {
  const { client, socket, clock, channels: [a] } = await connected(t, ['a'])
  a.leave()
  const again = client.channel('a')
  const heard = []
  again.on('x', (data) => heard.push(data))
  a.leave()
  a.on('x', () => assert.fail('a listener of a dead handle'))
  const result = await Promise.race([a.publish('y', 1), clock.advance(100)])
  assert.ok(result === undefined || result.ok === false || result.ok === true)
  socket.say(msg('a', 'x', 1))
  await settled()
  assert.deepEqual(heard, [1])
  assert.equal(socket.frames('unsub').length, 0)
})

test('a leave and a channel in one tick end subscribed, whichever way', async (t) => {
  const { client, socket, clock, channels: [a] } = await connected(t, ['a'])
  a.leave()
  client.channel('a')
  await clock.advance(10)
  const said = socket.frames().map(({ t }) => t)
  assert.equal(said.at(-1), 'sub')
  client.channel('b').leave()
  client.channel('b')
  client.channel('c').leave()
  await clock.advance(10)
  for (const c of ['b', 'c']) socket.say({ t: 'ok', c })
  await clock.advance(10)
  const last = (name) => socket.frames().filter(({ c }) => c === name).at(-1)?.t
  assert.equal(last('b'), 'sub')
  assert.notEqual(last('c'), 'sub')
})

test('a channel that was left offline is not subscribed', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  sockets[0].open()
  const [a] = ['a', 'b'].map((name) => client.channel(name))
  await settled()
  sockets[0].die()
  a.leave()
  client.channel('c').leave()
  await clock.advance(250)
  sockets[1].open()
  await clock.advance(10)
  assert.deepEqual(sockets[1].frames(), [{ t: 'sub', c: 'b' }])
})

test('publish: the frame, and a promise that resolves when it is handed over', async (t) => {
  const { socket, channels: [a] } = await connected(t, ['a'])
  const results = await Promise.all([a.publish('x', { n: 1 }), a.publish('y'), a.publish('z', null), a.publish('w', undefined)])
  assert.ok(results.every(({ ok }) => ok))
  assert.deepEqual(socket.sent.slice(1), [
    '{"t":"pub","c":"a","e":"x","d":{"n":1}}',
    '{"t":"pub","c":"a","e":"y"}',
    '{"t":"pub","c":"a","e":"z","d":null}',
    '{"t":"pub","c":"a","e":"w"}',
  ])
})

test('a publish made while away waits and goes after the subscriptions, in order', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  const a = client.channel('a')
  const results = [1, 2, 3].map((n) => a.publish('x', n))
  let resolved = 0
  for (const result of results) result.then(({ ok }) => (resolved += ok))
  await clock.advance(5_000)
  assert.equal(resolved, 0)
  sockets[0].open()
  await settled()
  assert.equal(resolved, 3)
  assert.deepEqual(sockets[0].frames().map(({ t, d }) => d ?? t), ['sub', 1, 2, 3])
})

test('data is what it was when it was published', async (t) => {
  const { client, socket } = fakeClient(t)
  const data = { n: 1 }
  client.channel('a').publish('x', data)
  data.n = 2
  socket.open()
  await settled()
  assert.deepEqual(socket.frames('pub')[0].d, { n: 1 })
})

test('the outbox drops its oldest frame, and says so to whom it belongs', async (t) => {
  const { client, socket } = fakeClient(t, { outboxLimit: 2 })
  const a = client.channel('a')
  const results = [1, 2, 3].map((n) => a.publish('x', n))
  const first = await results[0]
  assert.equal(first.ok, false)
  assert.equal(typeof first.reason, 'string')
  socket.open()
  assert.deepEqual((await Promise.all(results.slice(1))).map(({ ok }) => ok), [true, true])
  assert.deepEqual(socket.frames('pub').map(({ d }) => d), [2, 3])
})

test('200 frames wait by default', async (t) => {
  const { client, socket } = fakeClient(t)
  const a = client.channel('a')
  for (let n = 1; n <= 201; n++) a.publish('x', n)
  socket.open()
  await settled()
  const sent = socket.frames('pub').map(({ d }) => d)
  assert.deepEqual([sent.length, sent[0], sent.at(-1)], [200, 2, 201])
})

test('disconnect() resolves what waits in the outbox, as not sent', async (t) => {
  const { client } = fakeClient(t)
  const result = client.channel('a').publish('x', 1)
  client.disconnect()
  const { ok, reason } = await result
  assert.equal(ok, false)
  assert.equal(typeof reason, 'string')
})

test('data that is no JSON throws where it is published', async (t) => {
  const { socket, channels: [a] } = await connected(t, ['a'])
  const loop = {}
  loop.loop = loop
  for (const data of [loop, 1n]) assert.throws(() => a.publish('x', data), TypeError)
  await settled()
  assert.equal(socket.frames('pub').length, 0)
})

test('a socket that closes under a publish does not lose it', async (t) => {
  const { sockets, clock, channels: [a] } = await connected(t, ['a'])
  sockets[0].readyState = 2
  const result = a.publish('x', 1)
  await settled()
  sockets[0].die()
  await clock.advance(250)
  sockets[1].open()
  assert.equal((await result).ok, true)
  assert.equal(sockets[1].frames('pub').length, 1)
})

test('what is no text, no JSON or no known frame is dropped', async (t) => {
  const { client, socket, lived, reports, channels: [a] } = await connected(t, ['a'])
  a.on('*', () => assert.fail('not an event'))
  const before = socket.sent.length
  for (const data of [new ArrayBuffer(8), new Uint8Array([123, 125]), undefined, null, 42, '', '{', '[]', '{"t":"dance"}']) socket.say(data)
  socket.say('{"t":"msg","c":"a"}')
  await settled()
  assert.deepEqual([socket.sent.length, lived('error'), reports, client.state], [before, [], [], 'open'])
})
