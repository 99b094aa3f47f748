/**
 * A version 1 gateway, written from the protocol's text alone: it proves that a client works with the gateways
 * that are in the field. It knows nothing of version 2 and drops what it does not know.
 */
import { WebSocketServer } from 'ws'
import { Inbox } from './inbox.mjs'
import { ulid } from './ulid.mjs'

const PATH = '/_broadcast'

/**
 * @param {object} [options]
 * @param {number} [options.port] 0: any free one
 * @param {string} [options.path]
 * @param {Record<string, boolean | ((channel: string) => boolean | Promise<boolean>)>} [options.authorize]
 *   by pattern: an exact name, or a prefix with one trailing `*`; a function that throws has failed
 * @param {(publish: {channel: string, event: string, data: unknown, clientId: string}) => boolean | Promise<boolean>} [options.allowPublish]
 *   default: nobody may
 * @param {(channel: string) => void} [options.backplane] throws when it refuses an event
 * @param {number} [options.pingIntervalMs] 0: none
 */
export async function startV1Gateway(options = {}) {
  const gateway = new V1Gateway(options)
  await gateway.listening
  return gateway
}

class V1Gateway {
  /** Every connection there ever was, oldest first. */
  connections = []
  /** Every frame received, as an object; texts that are no object as `{ bad: text }`. */
  received = new Inbox()
  /** A notice `{ open: n }`, `{ closed: n, code }` or `{ subscribed: channel, connection: n }`. */
  life = new Inbox()
  /** While true nothing is sent, not even `welcome`: a peer that is there and says nothing. */
  silent = false
  /** While true upgrades are refused with HTTP 503. */
  refusing = false

  constructor({ port = 0, path = PATH, authorize = {}, allowPublish = () => false, backplane = () => {}, pingIntervalMs = 30_000 }) {
    Object.assign(this, { path, authorize, allowPublish, backplane, pingIntervalMs })
    this.sockets = new WebSocketServer({
      host: '127.0.0.1',
      port,
      path,
      verifyClient: (_, answer) => (this.refusing ? answer(false, 503) : answer(true)),
    })
    this.listening = new Promise((resolve, reject) => this.sockets.once('listening', resolve).once('error', reject))
    this.sockets.on('connection', (socket) => new Connection(this, socket))
  }

  get port() {
    return this.sockets.address().port
  }

  get url() {
    return `ws://127.0.0.1:${this.port}${this.path}`
  }

  /** Connections that are open now. */
  get open() {
    return this.connections.filter(({ socket }) => socket.readyState === socket.OPEN)
  }

  /** How many frames with this tag have come. */
  count(tag, channel) {
    return this.received.count(channel === undefined ? { t: tag } : { t: tag, c: channel })
  }

  subscribers(channel) {
    return this.open.filter(({ channels }) => channels.has(channel))
  }

  /** An event from the application behind the gateway. */
  publish(channel, event, data = null) {
    this.backplane(channel)
    const i = ulid()
    for (const connection of this.subscribers(channel)) connection.send({ t: 'msg', c: channel, e: event, d: data, i })
    return i
  }

  /** Any text, to every open connection. */
  say(text) {
    for (const { socket } of this.open) socket.send(text)
  }

  /** Closes every open connection with a code. */
  drop(code = 1001, reason = '') {
    for (const { socket } of this.open) socket.close(code, reason)
  }

  /** Cuts every open connection without a goodbye. */
  cut() {
    for (const { socket } of this.open) socket.terminate()
  }

  async close() {
    this.cut()
    await new Promise((resolve) => this.sockets.close(resolve))
  }

  async authorized(channel) {
    const rule = best(this.authorize, channel)
    if (rule === undefined) return !/^(private|presence)-/.test(channel)
    return typeof rule === 'function' ? rule(channel) : rule
  }
}

class Connection {
  id = ulid()
  channels = new Set()

  constructor(gateway, socket) {
    Object.assign(this, { gateway, socket, number: gateway.connections.length })
    gateway.connections.push(this)
    gateway.life.push({ open: this.number })
    const ping = gateway.pingIntervalMs > 0 && setInterval(() => this.send({ t: 'ping' }), gateway.pingIntervalMs)
    socket.on('error', () => {})
    socket.on('close', (code) => {
      clearInterval(ping)
      gateway.life.push({ closed: this.number, code })
    })
    socket.on('message', (data, binary) => this.#receive(binary ? undefined : data.toString()))
    this.send({ t: 'welcome', id: this.id })
  }

  send(frame) {
    if (!this.gateway.silent && this.socket.readyState === this.socket.OPEN) this.socket.send(JSON.stringify(frame))
  }

  #receive(text) {
    const frame = parse(text)
    this.gateway.received.push(frame ? { ...frame, connection: this.number } : { bad: text, connection: this.number })
    if (typeof frame?.t !== 'string') return
    const known = { sub: this.#sub, unsub: this.#unsub, pub: this.#pub }
    if (Object.hasOwn(known, frame.t) && isName(frame.c)) known[frame.t].call(this, frame)
  }

  async #sub({ c }) {
    const reason = await this.#refusal(c)
    if (reason) return this.send({ t: 'err', c, r: reason })
    this.channels.add(c)
    this.send({ t: 'ok', c })
    this.gateway.life.push({ subscribed: c, connection: this.number })
  }

  #unsub({ c }) {
    this.channels.delete(c)
  }

  async #pub({ c, e, d = null }) {
    if (!isName(e)) return
    const reason = (await this.#refusal(c)) ?? (await this.#gate(c, e, d))
    if (reason) return this.send({ t: 'err', c, r: reason })
    try {
      this.gateway.publish(c, e, d)
    } catch {
      this.send({ t: 'err', c, r: 'publish failed' })
    }
  }

  async #refusal(channel) {
    try {
      return (await this.gateway.authorized(channel)) ? undefined : 'unauthorized'
    } catch {
      return 'authorization failed'
    }
  }

  async #gate(channel, event, data) {
    try {
      const allowed = await this.gateway.allowPublish({ channel, event, data, clientId: this.id })
      return allowed ? undefined : 'publish denied'
    } catch {
      return 'publish denied'
    }
  }
}

function isName(value) {
  return typeof value === 'string' && value !== ''
}

function parse(text) {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Exact beats prefix, a longer prefix beats a shorter one. */
function best(rules, channel) {
  if (Object.hasOwn(rules, channel)) return rules[channel]
  const prefixes = Object.keys(rules).filter((rule) => rule.endsWith('*') && channel.startsWith(rule.slice(0, -1)))
  prefixes.sort((a, b) => b.length - a.length)
  return rules[prefixes[0]]
}
