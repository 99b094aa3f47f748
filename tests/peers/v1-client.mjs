/**
 * A version 1 client, written from the protocol's text alone, with the habits of those in the field: every frame
 * said while offline waits in one outbox, so a channel that was made offline is subscribed twice on `welcome`,
 * once from the set of channels and once from the outbox. It ignores what version 2 adds.
 */
import { WebSocket } from 'ws'
import { Inbox } from './inbox.mjs'

export class V1Client {
  id = undefined
  /** Every frame received, as an object. */
  received = new Inbox()
  /** `{ open }`, `{ welcome: id }`, `{ closed: code, reason }` and `{ failed: message }`. */
  life = new Inbox()
  /** While true, `ping` is not answered. */
  mute = false

  #url
  #options
  #channels = new Map()
  #outbox = []
  #attempt = 0
  #stopped = false

  /**
   * @param {string} url
   * @param {object} [options]
   * @param {boolean} [options.connect] default true
   * @param {boolean} [options.reconnect] default true
   * @param {number} [options.delayMs] before the first reconnect; doubles up to 10 s
   * @param {Record<string, string>} [options.headers] of the upgrade request
   */
  constructor(url, { connect = true, reconnect = true, delayMs = 50, headers = {} } = {}) {
    this.#url = url
    this.#options = { reconnect, delayMs, headers }
    if (connect) this.connect()
  }

  get connected() {
    return this.id !== undefined
  }

  connect() {
    this.#stopped = false
    const socket = new WebSocket(this.#url, { headers: this.#options.headers, perMessageDeflate: false })
    this.socket = socket
    socket.on('open', () => this.life.push({ open: true }))
    socket.on('error', (error) => this.life.push({ failed: error.message }))
    socket.on('message', (data, binary) => !binary && this.#receive(data.toString()))
    socket.on('close', (code, reason) => this.#closed(code, reason.toString()))
  }

  channel(name) {
    if (!this.#channels.has(name)) {
      this.#channels.set(name, new Set())
      this.#say({ t: 'sub', c: name })
    }
    const listeners = this.#channels.get(name)
    return {
      on: (event, listener) => {
        const entry = { event, listener }
        listeners.add(entry)
        return () => listeners.delete(entry)
      },
      publish: (event, data) => this.#say({ t: 'pub', c: name, e: event, d: data }),
      leave: () => this.#channels.delete(name) && this.#say({ t: 'unsub', c: name }),
    }
  }

  /** Any text, as it is. */
  send(text) {
    this.socket.send(text)
  }

  /** Resolves with the id once `welcome` has come. */
  async ready() {
    return (await this.life.until((notice) => 'welcome' in notice)).welcome
  }

  disconnect() {
    this.#stopped = true
    this.#channels.clear()
    this.#outbox = []
    this.socket.close(1000)
  }

  #say(frame) {
    const text = JSON.stringify(frame)
    if (this.connected) this.socket.send(text)
    else this.#outbox.push(text)
  }

  #receive(text) {
    const frame = JSON.parse(text)
    this.received.push(frame)
    if (frame.t === 'welcome') this.#welcome(frame.id)
    if (frame.t === 'ping' && !this.mute) this.socket.send('{"t":"pong"}')
    if (frame.t === 'msg') {
      for (const { event, listener } of this.#channels.get(frame.c) ?? []) {
        if (event === '*') listener(frame.e, frame.d)
        else if (event === frame.e) listener(frame.d)
      }
    }
  }

  #welcome(id) {
    this.id = id
    this.#attempt = 0
    for (const name of this.#channels.keys()) this.#say({ t: 'sub', c: name })
    for (const text of this.#outbox.splice(0)) this.socket.send(text)
    this.life.push({ welcome: id })
  }

  #closed(code, reason) {
    this.id = undefined
    this.life.push({ closed: code, reason })
    if (this.#stopped || !this.#options.reconnect) return
    const delay = Math.min(this.#options.delayMs * 2 ** this.#attempt++, 10_000)
    setTimeout(() => this.#stopped || this.connect(), Math.random() * delay).unref()
  }
}
