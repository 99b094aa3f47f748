// The contestants, in the page: each has one listener on one channel and gets its frames through a fake socket.

import { Centrifuge } from 'centrifuge'
import Pusher from 'pusher-js'
import { io } from 'socket.io-client'
import { BroadcastClient } from 'tidings'

const CHANNEL = 'orders.42'
const EVENT = 'order.paid'
const ID = '01JZ8Q4M0C5T6V7W8X9Y0A1B2C'

/** After this many frames the microtasks run, as they do after each message of a real socket. */
const BATCH = 16

const text = (value) => JSON.stringify(value)

/** What the contestants' servers answer, and how they frame an event. `listen` resolves once events arrive. */
const contestants = {
  plain: {
    frame: tidingsFrame,
    listen(listener) {
      const channels = new Map([[CHANNEL, new Map([[EVENT, new Set([listener])]])]])
      const socket = new WebSocket('ws://bench.test/plain')
      socket.onmessage = ({ data }) => {
        const frame = JSON.parse(data)
        if (frame.t !== 'msg') return
        const listeners = channels.get(frame.c)?.get(frame.e)
        if (listeners) for (const listener of listeners) listener(frame.d)
      }
    },
  },

  tidings: {
    frame: tidingsFrame,
    opened: (socket) => socket.push(text({ t: 'welcome', id: ID })),
    answer(socket, sent) {
      const { t, c } = JSON.parse(sent)
      if (t === 'sub') socket.push(text({ t: 'ok', c }))
    },
    async listen(listener) {
      const channel = new BroadcastClient({ url: 'ws://bench.test/tidings' }).channel(CHANNEL)
      channel.on(EVENT, listener)
      await channel.ready()
    },
  },

  pusher: {
    // In this protocol data is JSON text inside JSON.
    frame: (data) => text({ event: EVENT, channel: CHANNEL, data: text(data) }),
    opened: (socket) =>
      socket.push(
        text({ event: 'pusher:connection_established', data: text({ socket_id: '1.1', activity_timeout: 120 }) }),
      ),
    answer(socket, sent) {
      const { event, data } = JSON.parse(sent)
      if (event !== 'pusher:subscribe') return
      socket.push(text({ event: 'pusher_internal:subscription_succeeded', channel: data.channel, data: '{}' }))
    },
    async listen(listener) {
      const pusher = new Pusher('pusher', {
        cluster: '',
        wsHost: 'bench.test',
        forceTLS: false,
        enabledTransports: ['ws'],
        enableStats: false,
      })
      const channel = pusher.subscribe(CHANNEL)
      channel.bind(EVENT, listener)
      await new Promise((resolve) => channel.bind('pusher:subscription_succeeded', resolve))
    },
  },

  centrifuge: {
    // Publications have no event name.
    frame: (data) => text({ push: { channel: CHANNEL, pub: { data } } }),
    answer(socket, sent) {
      for (const line of sent.split('\n')) {
        const { id, connect, subscribe } = JSON.parse(line)
        if (connect) socket.push(text({ id, connect: { client: ID, version: '6.0.0', ping: 3600, pong: true } }))
        if (subscribe) socket.push(text({ id, subscribe: {} }))
      }
    },
    async listen(listener) {
      const centrifuge = new Centrifuge('ws://bench.test/centrifuge')
      const subscription = centrifuge.newSubscription(CHANNEL)
      subscription.on('publication', ({ data }) => listener(data))
      subscription.subscribe()
      centrifuge.connect()
      await subscription.ready(10_000)
    },
  },

  socketio: {
    // The client knows no channels: rooms are the server's.
    frame: (data) => `42${text([EVENT, data])}`,
    opened: (socket) =>
      socket.push(
        `0${text({ sid: ID, upgrades: [], pingInterval: 3_600_000, pingTimeout: 3_600_000, maxPayload: 1e6 })}`,
      ),
    answer(socket, sent) {
      if (sent.startsWith('40')) socket.push(`40${text({ sid: ID })}`)
    },
    async listen(listener) {
      const socket = io('ws://bench.test', { path: '/socketio', transports: ['websocket'] })
      socket.on(EVENT, listener)
      await new Promise((resolve) => socket.on('connect', resolve))
    },
  },
}

function tidingsFrame(data) {
  return text({ t: 'msg', c: CHANNEL, e: EVENT, d: data, i: ID })
}

const sockets = new Map()
const inbox = { count: 0, sum: 0 }

/** Joins with every contestant; tells which could not. */
export async function joinAll() {
  const failed = {}
  for (const [name, { listen }] of Object.entries(contestants)) {
    const listener = (data) => {
      inbox.count += 1
      inbox.sum += data.n
    }
    const timeout = new Promise((_, reject) => setTimeout(reject, 10_000, new Error('no answer in 10 seconds')))
    try {
      await Promise.race([listen(listener), timeout])
      const socket = FakeWebSocket.made.findLast(({ url }) => url.includes(name))
      if (!socket) throw new Error('it made no socket')
      await new Promise((resolve) => setTimeout(resolve, 50))
      sockets.set(name, socket)
    } catch (error) {
      failed[name] = String(error)
    }
  }
  return failed
}

/** The same data for all, of a length that makes the Tidings frame `size` bytes long. */
function dataOf(n, size) {
  const data = { n: 1_000_000 + n, currency: 'EUR', paid: true, note: '' }
  data.note = 'x'.repeat(size - tidingsFrame(data).length)
  return data
}

/** Pushes `count` frames to one contestant; resolves with nanoseconds per frame and the frames' length. */
export async function run(name, count, size) {
  const { frame } = contestants[name]
  const socket = sockets.get(name)
  const encoder = new TextEncoder()
  const decoder = new TextDecoder()
  const frames = []
  let sum = 0
  for (let n = 0; n < count; n += 1) {
    const data = dataOf(n, size)
    sum += data.n
    // Through bytes and back: a text in one piece, as it comes from a socket.
    frames.push(decoder.decode(encoder.encode(frame(data))))
  }
  gc()
  await new Promise((resolve) => setTimeout(resolve, 20))
  inbox.count = 0
  inbox.sum = 0

  const start = performance.now()
  for (let pushed = 0; pushed < count; ) {
    const end = Math.min(pushed + BATCH, count)
    for (; pushed < end; pushed += 1) socket.push(frames[pushed])
    for (let turns = 0; inbox.count < pushed; turns += 1) {
      if (turns > 10_000) throw new Error(`${name}: ${inbox.count} of ${pushed} frames arrived`)
      await undefined
    }
  }
  const elapsed = performance.now() - start

  if (inbox.count !== count || inbox.sum !== sum) throw new Error(`${name}: the listener got something else`)
  return { nanoseconds: (elapsed * 1e6) / count, bytes: frames[0].length }
}

/** Joins the contestant's server side to a socket it has just made. */
FakeWebSocket.serve = (socket) => {
  const name = Object.keys(contestants).find((name) => socket.url.includes(name))
  return { opened() {}, answer() {}, ...contestants[name] }
}
