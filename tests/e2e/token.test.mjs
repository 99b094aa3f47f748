// Tokens: when the application is asked for one, and what waits for it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BroadcastClient, FakeSocket, fakeClient, settled } from './fake.mjs'

const V2 = { id: 'client-1', v: 2 }

/** A client whose application is asked for tokens: `asked` has the reasons, `answers` what it gives, in order. */
function tokenClient(t, answers = [], options) {
  const asked = []
  const getToken = (request) => {
    asked.push(request)
    const answer = answers.shift() ?? `token-${asked.length}`
    if (answer instanceof Error) throw answer
    return answer
  }
  return Object.assign(fakeClient(t, { getToken, ...options }), { asked })
}

const auth = (tk) => ({ t: 'auth', tk })
const sub = (c) => ({ t: 'sub', c })
const unauthorized = (c = '') => ({ t: 'err', c, r: 'unauthorized' })

/** The same, welcomed, with the channel `a` that was asked for behind the token. */
async function sentToken(t, answers, options) {
  const fake = tokenClient(t, answers, options)
  const channel = fake.client.channel('a')
  await settled()
  fake.socket.open(V2)
  assert.deepEqual(fake.socket.frames(), [auth('token-1'), sub('a')])
  return Object.assign(fake, { channel })
}

test('the token is asked for while connecting and sent before anything else', async (t) => {
  const fake = tokenClient(t)
  assert.deepEqual(fake.asked, [{ reason: 'connect' }])
  const result = fake.client.channel('a').publish('x', 1)
  await settled()
  fake.socket.open(V2)
  assert.deepEqual(fake.socket.frames(), [auth('token-1'), sub('a')])
  fake.socket.say({ t: 'auth', exp: fake.clock.now / 1000 + 3600 })
  const [pub] = fake.socket.frames('pub')
  assert.deepEqual([pub.e, pub.d], ['x', 1])
  fake.socket.say({ t: 'ack', n: pub.n, i: 'i' })
  assert.deepEqual(await result, { ok: true, id: 'i' })
  assert.deepEqual(fake.lived('error'), [])
})

test('a promise for a token holds everything back', async (t) => {
  let give
  const fake = tokenClient(t, [new Promise((resolve) => (give = resolve))])
  fake.client.channel('a')
  fake.socket.open(V2)
  await settled()
  assert.deepEqual([fake.client.state, fake.socket.sent], ['connecting', []])
  give('late')
  await settled()
  assert.deepEqual([fake.client.state, fake.client.id], ['open', 'client-1'])
  assert.deepEqual(fake.socket.frames(), [auth('late'), sub('a')])
})

for (const [what, answer] of Object.entries({
  'a throw': new Error('no session'),
  'a rejection': Promise.reject(new Error('no session')),
  'no string': 42,
  'an empty string': '',
  'an object in a promise': Promise.resolve({ token: 'x' }),
})) {
  if (answer instanceof Promise) answer.catch(() => {})
  test(`${what} instead of a token is an error event and another attempt`, async (t) => {
    const logged = []
    const logger = { warn: (...words) => logged.push(words) }
    const fake = tokenClient(t, [answer], { logger })
    fake.client.channel('a')
    await settled()
    assert.deepEqual(fake.lived('error'), [{ reason: 'token failed' }])
    assert.deepEqual(fake.lived('reconnecting'), [{ attempt: 1, delayMs: 125 }])
    assert.deepEqual(fake.sockets[0].closed, { code: 1000, reason: 'token failed' })
    assert.equal(logged.length, 1)
    assert.ok(logged[0][0] === 'getToken failed' && logged[0][1] instanceof Error, `${logged}`)
    await fake.clock.advance(125)
    fake.socket.open(V2)
    assert.deepEqual(fake.asked, [{ reason: 'connect' }, { reason: 'connect' }])
    assert.deepEqual(fake.socket.frames(), [auth('token-2'), sub('a')])
  })
}

test('a token is renewed on the open connection before it expires', async (t) => {
  const fake = await sentToken(t)
  fake.socket.say({ t: 'ok', c: 'a' }).say({ t: 'auth', exp: fake.clock.now / 1000 + 600 })
  await fake.clock.advance(539_999)
  assert.equal(fake.asked.length, 1)
  await fake.clock.advance(1)
  assert.deepEqual(fake.asked[1], { reason: 'expiring' })
  assert.deepEqual(fake.socket.frames().slice(2), [auth('token-2')])
  fake.socket.say({ t: 'auth' })
  await fake.clock.advance(3_600_000)
  assert.equal(fake.asked.length, 2)
  assert.deepEqual([fake.sockets.length, fake.channel.state, fake.lived('error')], [1, 'subscribed', []])
})

test('a refused token is replaced, and the channel hears nothing of it', async (t) => {
  const fake = await sentToken(t)
  const ready = fake.channel.ready()
  fake.socket.say(unauthorized()).say(unauthorized('a'))
  await fake.clock.advance(125)
  assert.deepEqual(fake.asked[1], { reason: 'refused' })
  assert.deepEqual(fake.socket.frames().slice(2), [auth('token-2'), sub('a')])
  fake.socket.say({ t: 'auth' }).say({ t: 'ok', c: 'a' })
  await ready
  assert.deepEqual(fake.lived('error'), [])
})

test('after three replacements that are refused the client is nobody, and told so', async (t) => {
  const fake = await sentToken(t)
  const ready = fake.channel.ready()
  fake.socket.say(unauthorized()).say(unauthorized('a'))
  for (const delay of [125, 250, 500]) {
    await fake.clock.advance(delay)
    fake.socket.say(unauthorized()).say(unauthorized('a'))
  }
  assert.deepEqual(fake.asked.slice(1), Array(3).fill({ reason: 'refused' }))
  assert.deepEqual(fake.lived('error'), [{ reason: 'unauthorized' }])
  fake.socket.say(unauthorized('a'))
  await assert.rejects(ready, { code: 'unauthorized' })
  assert.deepEqual(fake.lived('error')[1], { channel: 'a', reason: 'unauthorized' })
  await fake.clock.advance(60_000)
  assert.equal(fake.asked.length, 4)
})

test('a channel that was refused is asked for again with the next token', async (t) => {
  const fake = await sentToken(t)
  fake.socket.say({ t: 'auth', exp: fake.clock.now / 1000 + 600 }).say(unauthorized('a'))
  assert.equal(fake.channel.state, 'denied')
  await fake.clock.advance(540_000)
  fake.socket.say({ t: 'auth' })
  assert.deepEqual(fake.socket.frames().slice(2), [auth('token-2'), sub('a')])
  fake.socket.say({ t: 'ok', c: 'a' })
  assert.equal(fake.channel.state, 'subscribed')
})

test('a live channel that the new token does not cover is denied', async (t) => {
  const fake = await sentToken(t)
  fake.socket.say({ t: 'auth' }).say({ t: 'ok', c: 'a' }).say(unauthorized('a'))
  assert.equal(fake.channel.state, 'denied')
  assert.deepEqual(fake.lived('error'), [{ channel: 'a', reason: 'unauthorized' }])
})

test('a token for a connection that is gone is not used for the next one', async (t) => {
  let give
  const fake = tokenClient(t, [new Promise((resolve) => (give = resolve)), new Promise(() => {})])
  fake.socket.die()
  await fake.clock.advance(125)
  fake.socket.open(V2)
  give('for the first')
  await settled()
  assert.deepEqual([fake.client.state, fake.socket.sent], ['connecting', []])
})

test('a token that never comes is waited for no longer than connectTimeoutMs', async (t) => {
  const fake = tokenClient(t, [new Promise(() => {})], { connectTimeoutMs: 3_000 })
  fake.socket.open(V2)
  await fake.clock.advance(3_000)
  assert.deepEqual(fake.lived('close').map(({ reason }) => reason), ['connect timeout'])
  await fake.clock.advance(125)
  fake.socket.open(V2)
  assert.deepEqual(fake.socket.frames(), [auth('token-2')])
})

test('a gateway of version 1 gets no token, and the application is told', async (t) => {
  const fake = tokenClient(t)
  fake.client.channel('a')
  await settled()
  fake.socket.open()
  assert.deepEqual(fake.socket.frames(), [sub('a')])
  assert.deepEqual(fake.lived('error'), [{ reason: 'tokens unsupported' }])
})

test('getToken may use the client', async (t) => {
  let fake
  const getToken = () => {
    fake?.client.disconnect()
    return 'token'
  }
  fake = fakeClient(t, { getToken, autoConnect: false })
  fake.client.connect()
  await settled()
  assert.deepEqual([fake.client.state, fake.socket.closed.code, fake.reports], ['closed', 1000, []])
})

test('getToken has to be a function', () => {
  for (const getToken of ['token', 42, {}, null]) {
    const make = () => new BroadcastClient({ url: 'ws://gateway.test', webSocketFactory: (url) => new FakeSocket(url), getToken })
    assert.throws(make, (error) => error instanceof TypeError && /\bgetToken\b/.test(error.message))
  }
})

test('no token reaches the logger', async (t) => {
  const lines = []
  const note = (...words) => lines.push(JSON.stringify(words))
  const fake = await sentToken(t, [], { logger: { debug: note, info: note, warn: note, error: note } })
  fake.socket.say(unauthorized())
  await fake.clock.advance(125)
  fake.socket.say({ t: 'auth' })
  assert.ok(lines.length > 0)
  assert.ok(!lines.some((line) => line.includes('token-')), lines.join('\n'))
})
