// What the constructor takes, and what it says about the rest.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BroadcastClient, FakeSocket } from './fake.mjs'

const webSocketFactory = (url) => new FakeSocket(url)
const url = 'ws://gateway.test/_broadcast'

function make(options) {
  return new BroadcastClient({ url, webSocketFactory, autoConnect: false, ...options })
}

test('good options are taken', () => {
  for (const options of [
    {},
    { url: 'wss://gateway.test:8443/deep/path?token=a' },
    { autoConnect: false },
    { maxReconnectAttempts: 0 },
    { maxReconnectAttempts: Infinity },
    { reconnectInitialDelayMs: 0, reconnectMaxDelayMs: 0 },
    { outboxLimit: 0, outboxMaxBytes: 0 },
    { outboxLimit: Infinity, outboxMaxBytes: Infinity },
    { reconnectInitialDelayMs: 2_147_483_647, reconnectMaxDelayMs: 2_147_483_647, connectTimeoutMs: 2_147_483_647 },
    { connectTimeoutMs: 1 },
    { outboxMaxAgeMs: 1 },
    { outboxMaxAgeMs: 240_000 },
    { maxReconnectAttempts: undefined, logger: undefined },
  ]) {
    assert.doesNotThrow(() => make(options), JSON.stringify(options))
  }
})

const bad = {
  url: [42, null, {}, '', 'http//nonsense', 'ftp://gateway.test/'],
  autoConnect: ['yes', 1, null],
  maxReconnectAttempts: [-1, NaN, '3', null, 1.5],
  reconnectInitialDelayMs: [-1, 0.5, NaN, '250', 2_147_483_648, Infinity, null],
  reconnectMaxDelayMs: [-1, 0.5, NaN, '250', 2_147_483_648, Infinity],
  connectTimeoutMs: [0, -1, 1.5, NaN, '250', 2_147_483_648, Infinity],
  outboxMaxAgeMs: [0, -1, 1.5, NaN, 240_001, '1', Infinity, -Infinity, null],
  outboxLimit: [-1, 0.5, NaN, '200', -Infinity, null],
  outboxMaxBytes: [-0.1, NaN, '200', -Infinity, null],
  webSocketFactory: [42, 'WebSocket', {}, null],
}

for (const [name, values] of Object.entries(bad)) {
  for (const value of values) {
    test(`${name}: ${typeof value === 'number' ? value : JSON.stringify(value)} is refused by name`, () => {
      assert.throws(() => make({ [name]: value }), (error) => {
        assert.ok(error instanceof TypeError, `${error}`)
        assert.match(error.message, new RegExp(`\\b${name}\\b`))
        return true
      })
    })
  }
}

test('options that are no object are refused', () => {
  for (const options of [42, 'ws://gateway.test', true]) {
    assert.throws(() => new BroadcastClient(options), TypeError, `${options}`)
  }
})

test('without a page and without url the constructor says so', () => {
  for (const make of [() => new BroadcastClient(), () => new BroadcastClient({})]) {
    assert.throws(make, (error) => error instanceof Error && /\burl\b/.test(error.message))
  }
})

test('a programmer\'s mistake throws', () => {
  const client = make({})
  for (const mistake of [
    () => client.channel(),
    () => client.channel(''),
    () => client.channel(42),
    () => client.on('open'),
    () => client.on(42, () => {}),
    () => client.channel('a').on('x'),
    () => client.channel('a').on('x', 'not a function'),
    () => client.channel('a').on(42, () => {}),
    () => client.channel('a').publish(''),
    () => client.channel('a').publish(42),
  ]) {
    assert.throws(mistake, TypeError, mistake.toString())
  }
})

test('without new it does not work, and says so', () => {
  assert.throws(() => BroadcastClient({ url }), TypeError)
})
