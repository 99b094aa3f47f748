// One client, its socket and its reconnects, in virtual time.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BroadcastClient, FakeSocket, fakeClient, settled } from './fake.mjs'

test('a client opens at once and is connected when it is welcomed', async (t) => {
  const { client, socket, sockets, life } = fakeClient(t)
  assert.equal(sockets.length, 1)
  assert.equal(socket.url, 'ws://gateway.test/_broadcast')
  assert.deepEqual([client.state, client.connected, client.id], ['connecting', false, undefined])

  socket.open(null)
  await settled()
  assert.deepEqual([client.state, client.connected, client.id], ['connecting', false, undefined])

  socket.say({ t: 'welcome', id: 'abc' })
  await settled()
  assert.deepEqual([client.state, client.connected, client.id], ['open', true, 'abc'])
  assert.deepEqual(life.map(([name]) => name).sort(), ['open', 'state'])
  assert.deepEqual(life.find(([name]) => name === 'state')[1], { from: 'connecting', to: 'open' })
})

test('autoConnect false waits for connect(), which does nothing a second time', async (t) => {
  const { client, sockets } = fakeClient(t, { autoConnect: false })
  assert.equal(client.state, 'idle')
  assert.equal(sockets.length, 0)
  client.connect()
  client.connect()
  assert.equal(sockets.length, 1)
  sockets[0].open()
  await settled()
  client.connect()
  assert.equal(sockets.length, 1)
  assert.equal(client.state, 'open')
})

test('ready() waits for the next welcome, also over a reconnect', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  let ready = 0
  client.ready().then(() => ready++)
  sockets[0].die()
  await clock.advance(250)
  assert.equal(ready, 0)
  sockets[1].open()
  await settled()
  assert.equal(ready, 1)
})

test('disconnect() is for good: no reconnect, channels and outbox emptied, until connect()', async (t) => {
  const { client, sockets, clock, lived } = fakeClient(t)
  sockets[0].open()
  const channel = client.channel('a')
  channel.on('*', () => assert.fail('a channel of the past'))
  await settled()
  sockets[0].say({ t: 'ok', c: 'a' })
  client.disconnect()
  await settled()
  assert.deepEqual([client.state, client.connected, client.id], ['closed', false, undefined])
  assert.equal(sockets[0].closed.code, 1000)
  assert.equal(lived('close').length, 1)
  sockets[0].die(1000)
  await clock.advance(60_000)
  assert.equal(sockets.length, 1)
  assert.equal(clock.pending, 0)

  client.connect()
  sockets[1].open({ id: 'second' })
  sockets[1].say({ t: 'msg', c: 'a', e: 'x', d: 1, i: '1' })
  await settled()
  assert.equal(client.id, 'second')
  assert.deepEqual(sockets[1].sent, [])
  assert.equal(lived('reconnecting').length, 0)
})

test('disconnect() while connecting and while waiting leaves no timer behind', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  client.disconnect()
  assert.equal(clock.pending, 0)
  client.connect()
  sockets[1].die()
  await settled()
  assert.equal(clock.pending, 1)
  client.disconnect()
  await clock.advance(60_000)
  assert.deepEqual([sockets.length, clock.pending, client.state], [2, 0, 'closed'])
})

test('Symbol.dispose disconnects', { skip: !Symbol.dispose && 'this Node.js has no Symbol.dispose' }, async (t) => {
  const { client, socket } = fakeClient(t)
  socket.open()
  client[Symbol.dispose]()
  await settled()
  assert.equal(client.state, 'closed')
  assert.equal(socket.closed.code, 1000)
})

test('reconnects wait a random part of a delay that doubles up to the maximum', async (t) => {
  const { sockets, clock, lived } = fakeClient(t, { reconnectInitialDelayMs: 250, reconnectMaxDelayMs: 2_000 })
  const ceilings = [250, 500, 1_000, 2_000, 2_000, 2_000]
  for (const [i, ceiling] of ceilings.entries()) {
    sockets[i].die()
    await settled()
    assert.deepEqual(lived('reconnecting')[i], { attempt: i + 1, delayMs: ceiling / 2 })
    await clock.advance(ceiling / 2 - 1)
    assert.equal(sockets.length, i + 1)
    await clock.advance(1)
    assert.equal(sockets.length, i + 2)
  }
})

test('jitter is full: from nothing to the whole delay', async (t) => {
  for (const [random, delay] of [[0, 0], [0.999, 249]]) {
    await t.test(`random ${random}`, async (t) => {
      const { socket, lived } = fakeClient(t, {}, { random })
      socket.die()
      await settled()
      assert.ok(Math.abs(lived('reconnecting')[0].delayMs - delay) < 1, `${lived('reconnecting')[0].delayMs}`)
    })
  }
})

test('the count of attempts starts again only after 5 s of connection', async (t) => {
  const { sockets, clock, lived } = fakeClient(t)
  const attempts = []
  for (const [i, upMs] of [0, 4_999, 5_000, 100].entries()) {
    sockets[i].open()
    await clock.advance(upMs)
    sockets[i].die(1001)
    await settled()
    attempts.push(lived('reconnecting').at(-1).attempt)
    await clock.advance(lived('reconnecting').at(-1).delayMs)
  }
  assert.deepEqual(attempts, [1, 2, 1, 2])
})

test('maxReconnectAttempts gives up, reports, and connect() starts again', async (t) => {
  const { client, sockets, clock, lived } = fakeClient(t, { maxReconnectAttempts: 2 })
  for (const i of [0, 1, 2]) {
    sockets[i].die()
    await clock.advance(10_000)
  }
  assert.equal(sockets.length, 3)
  assert.equal(client.state, 'closed')
  assert.deepEqual(lived('reconnecting').map(({ attempt }) => attempt), [1, 2])
  assert.equal(lived('error').length, 1)
  client.connect()
  sockets[3].open()
  await settled()
  assert.equal(client.state, 'open')
})

test('maxReconnectAttempts 0 never reconnects', async (t) => {
  const { client, sockets, clock } = fakeClient(t, { maxReconnectAttempts: 0 })
  sockets[0].open()
  sockets[0].die(1001)
  await clock.advance(60_000)
  assert.deepEqual([sockets.length, client.state], [1, 'closed'])
})

test('a socket that does not open, and one that is not welcomed, is replaced after connectTimeoutMs', async (t) => {
  const { sockets, clock, client } = fakeClient(t, { connectTimeoutMs: 3_000 })
  await clock.advance(2_999)
  assert.equal(sockets.length, 1)
  await clock.advance(1 + 125)
  assert.equal(sockets.length, 2)
  assert.ok(sockets[0].closed)

  sockets[1].open(null)
  await clock.advance(3_000 + 250)
  assert.equal(sockets.length, 3)
  assert.ok(sockets[1].closed)

  sockets[0].say({ t: 'welcome', id: 'too late' })
  await settled()
  assert.equal(client.id, undefined)
  sockets[2].open()
  await clock.advance(3_000)
  assert.equal(sockets.length, 3)
  assert.equal(client.state, 'open')
})

test('a ping is answered', async (t) => {
  const { socket } = fakeClient(t)
  socket.open()
  socket.say({ t: 'ping' })
  await settled()
  assert.deepEqual(socket.sent, ['{"t":"pong"}'])
})

test('nothing heard for ka and 10 s means dead; anything heard means alive', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  sockets[0].open({ id: 'a', v: 2, ka: 30_000 })
  await clock.advance(39_999)
  sockets[0].say({ t: 'ping' })
  await clock.advance(39_999)
  sockets[0].say('not even a frame')
  await clock.advance(39_999)
  assert.deepEqual([sockets.length, client.state], [1, 'open'])
  await clock.advance(1)
  assert.equal(client.state, 'connecting')
  assert.ok(sockets[0].closed)
  await clock.advance(125)
  assert.equal(sockets.length, 2)
})

test('a gateway that promises no keepalive may be silent for ever', async (t) => {
  for (const welcome of [{ id: 'a' }, { id: 'a', v: 2, ka: 0 }]) {
    await t.test(JSON.stringify(welcome), async (t) => {
      const { client, sockets, clock } = fakeClient(t)
      sockets[0].open(welcome)
      await clock.advance(86_400_000)
      assert.deepEqual([sockets.length, client.state], [1, 'open'])
    })
  }
})

test('after a sleep of the machine the connection is probed and replaced within 2 s', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  sockets[0].open({ id: 'a', v: 2, ka: 30_000 })
  client.channel('a')
  await settled()
  sockets[0].say({ t: 'ok', c: 'a' })
  const before = sockets[0].sent.length
  await clock.sleep(3_600_000)
  if (sockets.length === 1) {
    assert.ok(sockets[0].sent.length > before, 'a probe is sent')
    // At 2 s it is given up, and the next one is opened as soon as a timer can fire.
    await clock.advance(2_001)
  }
  assert.equal(sockets.length, 2)
})

test('after a sleep a connection whose gateway answers is kept', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  sockets[0].open({ id: 'a', v: 2, ka: 30_000 })
  client.channel('a')
  await settled()
  sockets[0].say({ t: 'ok', c: 'a' })
  await clock.sleep(3_600_000)
  sockets[0].say({ t: 'ok', c: 'a' })
  await clock.advance(2_000)
  assert.deepEqual([sockets.length, client.state], [1, 'open'])
})

test('close codes: policy and an operator stop the client, all others reconnect', async (t) => {
  for (const code of [1000, 1001, 1005, 1006, 1009, 1011, 1012, 4001, 4008, 4029, 4999]) {
    await t.test(`${code} reconnects`, async (t) => {
      const { sockets, clock, client } = fakeClient(t)
      sockets[0].open()
      sockets[0].die(code)
      await clock.advance(250)
      assert.deepEqual([sockets.length, client.state], [2, 'connecting'])
    })
  }
  for (const code of [1008, 4003]) {
    await t.test(`${code} stops and reports`, async (t) => {
      const { sockets, clock, client, lived } = fakeClient(t)
      sockets[0].open()
      sockets[0].die(code, 'go away')
      await clock.advance(60_000)
      assert.deepEqual([sockets.length, client.state], [1, 'closed'])
      assert.equal(lived('error').length, 1)
    })
  }
})

test('the close event tells the code and the reason', async (t) => {
  const { socket, lived } = fakeClient(t)
  socket.open()
  socket.die(1012, 'restarting')
  await settled()
  assert.equal(lived('close').length, 1)
  const { code, reason } = lived('close')[0]
  assert.deepEqual({ code, reason }, { code: 1012, reason: 'restarting' })
})

test('a factory that throws is an error event and an attempt', async (t) => {
  let calls = 0
  const { client, clock, lived } = fakeClient(t, {
    autoConnect: false,
    webSocketFactory: (url) => {
      if (++calls < 3) throw new Error('no sockets today')
      return new FakeSocket(url)
    },
  })
  client.connect()
  await clock.advance(1_000)
  assert.equal(calls, 3)
  assert.ok(lived('error').length >= 1)
  assert.deepEqual(lived('reconnecting').map(({ attempt }) => attempt), [1, 2])
})

test('frames of an old socket are not taken for those of the new one', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  sockets[0].open({ id: 'old' })
  const heard = []
  client.channel('a').on('*', (event) => heard.push(event))
  await settled()
  sockets[0].die()
  await clock.advance(250)
  sockets[1].open({ id: 'new' })
  sockets[0].say({ t: 'msg', c: 'a', e: 'ghost', d: 1, i: '1' })
  sockets[0].die()
  sockets[1].say({ t: 'msg', c: 'a', e: 'real', d: 1, i: '2' })
  await settled()
  assert.deepEqual(heard, ['real'])
  assert.deepEqual([client.state, client.id, sockets.length], ['open', 'new', 2])
})

test('two clients are two', async (t) => {
  const one = fakeClient(t)
  const other = new BroadcastClient({ url: 'ws://gateway.test/x', webSocketFactory: (url) => new FakeSocket(url) })
  t.after(() => other.disconnect())
  one.socket.open()
  await settled()
  assert.deepEqual([one.client.state, other.state], ['open', 'connecting'])
})
