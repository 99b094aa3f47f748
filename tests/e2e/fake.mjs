// The package in this process, with sockets and a clock that the test drives.

import { Clock, settled } from './clock.mjs'
import { importPackage } from './package.mjs'

const { BroadcastClient } = await importPackage()

/** What `webSocketFactory` promises to return, and not a bit more. */
export class FakeSocket {
  readyState = 0
  /** The texts that the client sent. */
  sent = []
  /** How the client closed it. */
  closed = undefined
  #listeners = { open: [], message: [], close: [], error: [] }

  constructor(url) {
    this.url = url
  }

  addEventListener(type, listener) {
    this.#listeners[type].push(listener)
  }

  send(text) {
    if (this.readyState !== 1) throw new Error('not open')
    this.sent.push(text)
  }

  close(code, reason) {
    if (this.readyState >= 2) return
    this.readyState = 2
    this.closed = { code, reason }
  }

  /** Opens, and says `welcome` when there is something to say. */
  open(welcome = { id: 'client-1' }) {
    this.readyState = 1
    this.#dispatch('open', {})
    if (welcome) this.say({ t: 'welcome', ...welcome })
    return this
  }

  /** A frame from the gateway; a text, or whatever a socket may deliver, as it is. */
  say(frame) {
    const plain = typeof frame === 'object' && frame !== null && Object.getPrototypeOf(frame) === Object.prototype
    this.#dispatch('message', { data: plain ? JSON.stringify(frame) : frame })
    return this
  }

  /** The connection is gone. */
  die(code = 1006, reason = '') {
    this.readyState = 3
    if (code === 1006) this.#dispatch('error', {})
    this.#dispatch('close', { code, reason, wasClean: code !== 1006 })
  }

  /** What the client sent, read; by tag when one is given. */
  frames(tag) {
    return this.sent.map((text) => JSON.parse(text)).filter(({ t }) => tag === undefined || t === tag)
  }

  #dispatch(type, event) {
    for (const listener of [...this.#listeners[type]]) listener({ type, target: this, ...event })
  }
}

/**
 * A client on fake sockets with a clock that stands still; random numbers are `random`. Lifecycle events are in
 * `life` as `[name, payload]`, what the client reports on the console in `reports`.
 */
export function fakeClient(t, options = {}, { random = 0.5 } = {}) {
  const clock = new Clock(t)
  t.mock.method(Math, 'random', () => random)
  const reports = []
  for (const level of ['error', 'warn']) t.mock.method(console, level, (...words) => reports.push(words))

  const sockets = []
  const client = new BroadcastClient({
    url: 'ws://gateway.test/_broadcast',
    webSocketFactory: (url) => {
      const socket = new FakeSocket(url)
      sockets.push(socket)
      return socket
    },
    ...options,
  })
  const life = []
  for (const name of ['open', 'close', 'reconnecting', 'subscribed', 'error', 'state', 'gap', 'drain']) {
    client.on(name, (payload) => life.push([name, payload]))
  }
  t.after(() => client.disconnect())

  return {
    client,
    clock,
    sockets,
    life,
    reports,
    /** The newest socket. */
    get socket() {
      return sockets.at(-1)
    },
    /** The payloads of lifecycle events with this name. */
    lived: (name) => life.filter((entry) => entry[0] === name).map((entry) => entry[1]),
  }
}

export { BroadcastClient, settled }
