// Version 2 of the protocol: positions, acknowledged publishes, history and draining.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeClient, settled } from './fake.mjs'

const V2 = { id: 'client-1', v: 2 }

/** A client that a gateway of version 2 has welcomed. */
function open(t, options) {
  const fake = fakeClient(t, options)
  fake.socket.open(V2)
  /** The connection is lost and made again. */
  fake.again = async () => {
    fake.socket.die()
    await fake.clock.advance(1_000)
    fake.socket.open(V2)
  }
  return fake
}

/** The same with the live channel `a` at k:10. What it hears is in `heard`, in order. */
function atTen(t, options) {
  const fake = open(t, options)
  const channel = fake.client.channel('a')
  const heard = []
  channel.on('*', (event, data) => heard.push(data))
  channel.onGap(({ channel, why }) => heard.push(`gap in ${channel}: ${why}`))
  fake.socket.say({ t: 'ok', c: 'a', ep: 'k', o: 10 })
  return Object.assign(fake, { channel, heard })
}

const msg = (o, more) => ({ t: 'msg', c: 'a', e: 'x', d: o, i: `id-${o}`, o, ...more })

test('a channel is resumed from where it was', async (t) => {
  const fake = atTen(t)
  fake.socket.say(msg(11)).say(msg(11)).say(msg(15, { p: 11 })).say({ t: 'pos', c: 'a', o: 17 })
  await fake.again()
  assert.deepEqual(fake.socket.frames(), [{ t: 'sub', c: 'a', rc: { ep: 'k', o: 17 } }])
  fake.socket.say({ t: 'ok', c: 'a', ep: 'k', o: 19, rec: true, n: 2 }).say(msg(18)).say(msg(19)).say(msg(20))
  assert.deepEqual(fake.heard, [11, 15, 18, 19, 20])
  assert.deepEqual(fake.lived('gap'), [])
})

test('a gap is told before the channel is live, and to the client too', async (t) => {
  const fake = atTen(t)
  await fake.again()
  const order = []
  fake.client.on('gap', (gap) => order.push(gap))
  fake.client.on('subscribed', () => order.push('subscribed'))
  const ready = fake.channel.ready().then(() => order.push('ready'))
  fake.socket.say({ t: 'ok', c: 'a', ep: 'z', o: 3, rec: false, why: 'epoch' })
  await ready
  assert.deepEqual(order, [{ channel: 'a', why: 'epoch' }, 'subscribed', 'ready'])
  fake.socket.say(msg(3)).say(msg(4))
  assert.deepEqual(fake.heard, ['gap in a: epoch', 4])
})

test('a gap while connected comes in order, also when a listener causes what follows', (t) => {
  const fake = atTen(t)
  const off = fake.channel.on('x', () => {
    off()
    fake.socket.say({ t: 'gap', c: 'a', ep: 'k', o: 20, why: 'backplane' }).say(msg(21))
  })
  fake.socket.say(msg(11)).say(msg(22))
  assert.deepEqual(fake.heard, [11, 'gap in a: backplane', 21, 22])
})

test('a hole is resumed once, and then it is a gap', (t) => {
  const fake = atTen(t)
  fake.socket.say(msg(13)).say(msg(14))
  assert.deepEqual(fake.socket.frames().slice(1), [{ t: 'sub', c: 'a', rc: { ep: 'k', o: 10 } }])
  fake.socket.say({ t: 'ok', c: 'a', ep: 'k', o: 14, rec: true, n: 0 })
  fake.socket.say(msg(20, { p: 18 })).say(msg(21))
  assert.deepEqual(fake.heard, ['gap in a: hole', 20, 21])
  assert.equal(fake.socket.frames().length, 2)
})

test('onGap returns its own off function, and a listener that throws stops nobody', (t) => {
  const fake = atTen(t)
  const seen = []
  const off = fake.channel.onGap(() => seen.push('off'))
  fake.channel.onGap(() => {
    throw new Error('mine')
  })
  fake.channel.onGap((gap) => seen.push(gap))
  off()
  off()
  fake.socket.say({ t: 'gap', c: 'a', ep: 'k', o: 20, why: 'backplane' })
  assert.deepEqual(seen, [{ channel: 'a', why: 'backplane' }])
  assert.equal(fake.reports.length, 1)
  fake.channel.leave()
  fake.socket.say({ t: 'gap', c: 'a', ep: 'k', o: 21, why: 'backplane' })
  assert.equal(seen.length, 1)
})

test('no event of a gateway reaches the listeners to gaps', (t) => {
  const fake = atTen(t)
  for (const e of [null, true, 'NaN', '', 0, {}, undefined]) fake.socket.say({ t: 'msg', c: 'a', e, d: 1, i: 'i', o: 11 })
  assert.ok(fake.heard.every((entry) => entry === 1), `${fake.heard}`)
})

test('without a position an id is heard once, among the last thousand', (t) => {
  const fake = open(t)
  const heard = []
  fake.client.channel('a').on('x', (data) => heard.push(data))
  const say = (id) => fake.socket.say({ t: 'msg', c: 'a', e: 'x', d: id, i: `${id}` })
  fake.socket.say({ t: 'ok', c: 'a' })
  for (let id = 0; id < 1000; id++) say(id)
  say(0)
  say(999)
  assert.equal(heard.length, 1000)
  say(1000)
  say(0)
  assert.deepEqual(heard.slice(1000), [1000, 0])
})

test('a gateway of version 1 is told nothing of version 2', async (t) => {
  const fake = fakeClient(t)
  fake.socket.open()
  const channel = fake.client.channel('a')
  const heard = []
  channel.on('x', (data) => heard.push(data))
  fake.socket.say({ t: 'ok', c: 'a', ep: 'k', o: 10 }).say(msg(20)).say(msg(20)).say(msg(5))
  fake.socket.say({ t: 'bye', code: 1012, after: 9 })
  assert.deepEqual(await channel.publish('y', 1), { ok: true })
  await assert.rejects(channel.history(), { code: 'unsupported' })
  fake.socket.die()
  await fake.clock.advance(1_000)
  fake.socket.open()
  assert.deepEqual(heard, [20, 20, 5])
  assert.deepEqual(fake.lived('gap'), [])
  assert.deepEqual(fake.lived('drain'), [])
  const sent = fake.sockets.flatMap((socket) => socket.frames())
  assert.deepEqual(sent, [{ t: 'sub', c: 'a' }, { t: 'pub', c: 'a', e: 'y', d: 1 }, { t: 'sub', c: 'a' }])
})

test('a publish resolves when it is acknowledged', async (t) => {
  const fake = open(t)
  const channel = fake.client.channel('a')
  const results = [channel.publish('x', { n: 1 }), channel.publish('x'), channel.publish('"}', '"}')]
  const sent = fake.socket.frames('pub')
  assert.deepEqual(sent.map(({ k, ...frame }) => frame), [
    { t: 'pub', c: 'a', e: 'x', d: { n: 1 }, n: 1 },
    { t: 'pub', c: 'a', e: 'x', n: 2 },
    { t: 'pub', c: 'a', e: '"}', d: '"}', n: 3 },
  ])
  for (const { k } of sent) assert.match(k, /^[0-9a-z.-]{8,40}$/)
  assert.equal(new Set(sent.map(({ k }) => k)).size, 3)
  fake.socket.say({ t: 'ack', n: 2, i: 'id-2' }).say({ t: 'ack', n: 1, i: 'id-1', o: 7 })
  fake.socket.say({ t: 'err', c: 'a', r: 'publish denied', n: 3 })
  assert.deepEqual(await Promise.all(results), [
    { ok: true, id: 'id-1', offset: 7 },
    { ok: true, id: 'id-2' },
    { ok: false, reason: 'publish denied' },
  ])
  assert.deepEqual(fake.lived('error'), [{ channel: 'a', reason: 'publish denied' }])
})

test('what was not acknowledged is sent again with the same key, before what is newer', async (t) => {
  const fake = open(t)
  const channel = fake.client.channel('a')
  const results = ['1', '2', '3'].map((event) => channel.publish(event))
  const first = fake.socket.frames('pub')
  fake.socket.say({ t: 'ack', n: 2, i: 'id-2' })
  fake.socket.die()
  results.push(channel.publish('4'))
  await fake.clock.advance(1_000)
  fake.socket.open(V2)
  const again = fake.socket.frames('pub')
  assert.deepEqual(again.map(({ e }) => e), ['1', '3', '4'])
  assert.deepEqual(again.slice(0, 2), [first[0], first[2]])
  for (const { n } of again) fake.socket.say({ t: 'ack', n, i: `id-${n}` })
  assert.deepEqual((await Promise.all(results)).map(({ id }) => id), ['id-1', 'id-2', 'id-3', 'id-4'])
})

test('two clients have no key in common', (t) => {
  const keys = [1, 2].map(() => {
    const fake = fakeClient(t, {}, { random: Math.random() })
    fake.socket.open(V2)
    fake.client.channel('a').publish('x')
    t.mock.restoreAll()
    return fake.socket.frames('pub')[0].k
  })
  assert.notEqual(keys[0], keys[1])
})

test('what became of a publish may be unknown', async (t) => {
  const fake = open(t, { outboxMaxAgeMs: 30_000, maxReconnectAttempts: 0 })
  const channel = fake.client.channel('a')
  const sent = channel.publish('x')
  await fake.clock.advance(30_000)
  assert.deepEqual(await sent, { ok: false, reason: 'unacknowledged' })
  const lost = channel.publish('x')
  fake.client.disconnect()
  assert.deepEqual(await lost, { ok: false, reason: 'unacknowledged' })
  assert.deepEqual(await channel.publish('x'), { ok: false, reason: 'disconnected' })
})

test('a publish that waits too long for a connection expires', async (t) => {
  const fake = fakeClient(t, { autoConnect: false, outboxMaxAgeMs: 1000 })
  const result = fake.client.channel('a').publish('x')
  await fake.clock.advance(1000)
  assert.deepEqual(await result, { ok: false, reason: 'expired' })
})

test('a page of history', async (t) => {
  const fake = atTen(t)
  const page = fake.channel.history({ limit: 2, before: 9 })
  assert.deepEqual(fake.socket.frames('hist'), [{ t: 'hist', c: 'a', n: 1, limit: 2, before: 9 }])
  const ev = [{ e: 'x', d: { deep: [1] }, i: 'id-7', o: 7 }, { e: 'y', i: 'id-8', o: 8 }]
  fake.socket.say({ t: 'hist', c: 'a', n: 1, ep: 'k', o: 10, ev })
  assert.deepEqual(await page, {
    events: [
      { event: 'x', data: { deep: [1] }, id: 'id-7', offset: 7 },
      { event: 'y', data: null, id: 'id-8', offset: 8 },
    ],
    epoch: 'k',
    offset: 10,
  })
  assert.deepEqual(fake.heard, [])
})

test('history joins live without a hole or an overlap', async (t) => {
  const fake = open(t)
  const channel = fake.client.channel('a')
  const page = channel.history({ untilAttach: true })
  assert.deepEqual(fake.socket.frames('hist'), [])
  fake.socket.say({ t: 'ok', c: 'a', ep: 'k', o: 10 }).say(msg(11))
  assert.deepEqual(fake.socket.frames('hist'), [{ t: 'hist', c: 'a', n: 1, before: 11 }])
  await fake.again()
  fake.socket.say({ t: 'ok', c: 'a', ep: 'k', o: 11, rec: true, n: 0 })
  assert.deepEqual(fake.socket.frames('hist'), [{ t: 'hist', c: 'a', n: 1, before: 11 }])
  fake.socket.say({ t: 'hist', c: 'a', n: 1, ep: 'k', o: 11, ev: [] })
  assert.deepEqual((await page).events, [])
})

test('a page of history that does not come is an error with a code', async (t) => {
  const fake = atTen(t)
  const refused = fake.channel.history()
  fake.socket.say({ t: 'err', c: 'a', r: 'unauthorized', n: 1 })
  await assert.rejects(refused, { name: 'Error', code: 'unauthorized' })
  assert.deepEqual(fake.lived('error'), [])

  const without = fake.client.channel('b')
  const pending = without.history({ untilAttach: true })
  fake.socket.say({ t: 'ok', c: 'b' })
  await assert.rejects(pending, { code: 'no-history' })

  const denied = fake.client.channel('c')
  const waiting = denied.history({ untilAttach: true })
  fake.socket.say({ t: 'err', c: 'c', r: 'unauthorized' })
  await assert.rejects(waiting, { code: 'unauthorized' })
  await assert.rejects(denied.history({ untilAttach: true }), { code: 'unauthorized' })

  const left = without.history()
  without.leave()
  await assert.rejects(left, { code: 'left' })
  await assert.rejects(without.history(), { code: 'left' })

  const closing = fake.channel.history()
  fake.client.disconnect()
  await assert.rejects(closing, { code: 'disconnected' })
  await assert.rejects(fake.channel.history(), { code: 'left' })
  await assert.rejects(fake.client.channel('d').history(), { code: 'disconnected' })
})

test('a page of history whose events are none is empty', async (t) => {
  const fake = atTen(t)
  for (const [n, ev] of [null, 5, 'text', {}, [null, 1, 'x']].entries()) {
    const page = fake.channel.history()
    fake.socket.say({ t: 'hist', c: 'a', n: n + 1, ep: 'k', o: 10, ev })
    assert.deepEqual((await page).events, [], JSON.stringify(ev))
  }
})

test('a mistake in the arguments is thrown by name', (t) => {
  const { channel } = atTen(t)
  for (const [name, values] of [
    ['limit', [0, 1001, 1.5, '5', null, NaN, -1]],
    ['before', [-1, 0.5, '5', null, Infinity, 2 ** 53]],
    ['untilAttach', ['yes', 1, null]],
  ]) {
    for (const value of values) {
      assert.throws(() => channel.history({ [name]: value }), (error) => {
        assert.ok(error instanceof TypeError && error.code === 'invalid-argument', `${error}`)
        assert.match(error.message, new RegExp(`\\b${name}\\b`))
        return true
      })
    }
  }
  for (const mistake of [() => channel.history(5), () => channel.history('a'), () => channel.onGap(), () => channel.onGap('x')]) {
    assert.throws(mistake, TypeError, mistake.toString())
  }
})

test('a gateway that drains is called again no sooner than it asked', async (t) => {
  const fake = open(t)
  fake.socket.say({ t: 'bye', code: 1012, after: 8000 })
  assert.deepEqual(fake.lived('drain'), [{ afterMs: 8000 }])
  assert.equal(fake.client.connected, true)
  fake.client.channel('a').publish('x')
  assert.equal(fake.socket.frames('pub').length, 1)
  fake.socket.die(1012)
  assert.deepEqual(fake.lived('reconnecting'), [{ attempt: 1, delayMs: 8125 }])
  await fake.clock.advance(8124)
  assert.equal(fake.sockets.length, 1)
  await fake.clock.advance(1)
  assert.equal(fake.sockets.length, 2)
})

test('a promise of a publish never rejects, and those of history are handled once', async (t) => {
  const fake = atTen(t)
  fake.channel.publish('x')
  const pages = [fake.channel.history(), fake.channel.history()]
  fake.client.disconnect()
  assert.deepEqual((await Promise.allSettled(pages)).map(({ status }) => status), ['rejected', 'rejected'])
  await settled()
})
