// Sockets that behave as an application's own fakes may: they answer from inside a call, or are none at all.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BroadcastClient, FakeSocket, fakeClient, settled } from './fake.mjs'

/** A socket with a gateway inside: every answer comes before `send` returns. */
class EagerSocket extends FakeSocket {
  send(text) {
    super.send(text)
    const { t, c, e, d } = JSON.parse(text)
    if (t === 'sub') this.say({ t: 'ok', c })
    if (t === 'pub') this.say({ t: 'msg', c, e, d: d ?? null, i: `${this.sent.length}` })
  }

  close(code, reason) {
    super.close(code, reason)
    this.die(code, reason)
  }
}

/** A client on eager sockets, welcomed. */
function eagerClient(t) {
  const sockets = []
  const client = new BroadcastClient({
    url: 'ws://gateway.test/_broadcast',
    webSocketFactory: (url) => {
      sockets.push(new EagerSocket(url))
      return sockets.at(-1)
    },
  })
  t.after(() => client.disconnect())
  sockets[0].open()
  return { client, sockets }
}

test('a socket that answers before send returns', async (t) => {
  const { client, sockets } = eagerClient(t)
  const heard = []
  const a = client.channel('a')
  a.on('*', (event, data) => heard.push([event, data]))
  a.on('ask', () => a.publish('answer', 2))
  await a.ready()
  assert.equal((await a.publish('ask', 1)).ok, true)
  await settled()
  assert.deepEqual(heard, [['ask', 1], ['answer', 2]])
  assert.equal(sockets[0].frames('sub').length, 1)
})

test('a socket that reports its end before close returns', async (t) => {
  const { client, sockets } = eagerClient(t)
  const life = []
  for (const name of ['close', 'state', 'reconnecting', 'error']) client.on(name, (payload) => life.push([name, payload]))
  client.disconnect()
  await settled()
  assert.equal(life.filter(([name]) => name === 'close').length, 1)
  assert.deepEqual(life.filter(([name]) => ['reconnecting', 'error'].includes(name)), [])
  assert.deepEqual([client.state, sockets.length], ['closed', 1])
})

test('a socket that ends while it is being used', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  sockets[0].open()
  await settled()
  sockets[0].send = () => {
    sockets[0].die()
    throw new Error('gone')
  }
  const a = client.channel('a')
  const result = a.publish('x', 1)
  await clock.advance(250)
  sockets[1].open()
  assert.equal((await result).ok, true)
  assert.deepEqual(sockets[1].frames().map(({ t }) => t), ['sub', 'pub'])
})

for (const [what, make] of [
  ['nothing', () => undefined],
  ['a number', () => 42],
  ['an empty object', () => ({})],
]) {
  test(`a factory that returns ${what} is an error event, and tried again`, async (t) => {
    let calls = 0
    const { client, clock, lived } = fakeClient(t, {
      autoConnect: false,
      webSocketFactory: () => {
        calls++
        return make()
      },
    })
    assert.doesNotThrow(() => client.connect())
    await clock.advance(5_000)
    assert.ok(lived('error').length >= 1)
    assert.ok(calls >= 2)
    assert.equal(client.state, 'connecting')
  })
}

test('an error without a close is given up after connectTimeoutMs', async (t) => {
  const { sockets, clock } = fakeClient(t, { connectTimeoutMs: 1_000 })
  sockets[0].addEventListener = () => {}
  await clock.advance(1_000 + 250)
  assert.equal(sockets.length, 2)
})

test('promises of ready() are rejected with a code when waiting is in vain', async (t) => {
  const { client, socket } = fakeClient(t)
  const code = async (promise) => promise.then(() => 'resolved', (error) => error instanceof Error && error.code)
  const waiting = client.ready()
  const [a, b, c] = ['a', 'b', 'private-c'].map((name) => client.channel(name))
  const channels = [a, b, c].map((channel) => code(channel.ready()))
  a.leave()
  socket.open()
  await waiting
  await settled()
  socket.say({ t: 'err', c: 'private-c', r: 'unauthorized' })
  client.disconnect()
  const codes = await Promise.all([...channels, ...[a, b, client].map((it) => code(it.ready()))])
  assert.deepEqual(codes.slice(0, 4), ['left', 'disconnected', 'unauthorized', 'left'])
  assert.ok(['left', 'disconnected'].includes(codes[4]), codes[4])
  assert.equal(codes[5], 'disconnected')
  assert.deepEqual([a, b, c].map(({ state }) => state), ['left', 'left', 'left'])
})

test('a logger is told instead of the console, and may throw', async (t) => {
  const told = []
  const { client, socket, reports } = fakeClient(t, {
    logger: {
      error: (...words) => {
        told.push(words)
        throw new Error('a logger with a problem')
      },
    },
  })
  const boom = new Error('boom')
  client.on('open', () => {
    throw boom
  })
  socket.open()
  await settled()
  assert.equal(told.length, 1)
  assert.ok(told[0].includes(boom))
  assert.deepEqual(reports, [])
  assert.equal(client.state, 'open')
})

test('outboxMaxBytes bounds what waits: the oldest goes, one that is larger than all goes itself', async (t) => {
  const { client, socket } = fakeClient(t, { outboxMaxBytes: 200 })
  const a = client.channel('a')
  const small = ['first', 'second', 'third', 'fourth', 'fifth'].map((word) => a.publish('x', word.padEnd(20)))
  const large = a.publish('x', 'y'.repeat(300))
  assert.equal((await large).ok, false)
  assert.equal((await small[0]).ok, false)
  socket.open()
  const sent = (await Promise.all(small)).map(({ ok }) => ok)
  assert.equal(sent.at(-1), true)
  assert.equal(socket.frames('pub').length, sent.filter(Boolean).length)
  assert.ok(socket.sent.filter((text) => text.includes('"pub"')).join('').length <= 200)
})
