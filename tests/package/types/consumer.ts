// Compiled, never run: what a consumer may write, and (@ts-expect-error) what must not compile.

import { BroadcastChannel, BroadcastClient } from 'tidings'
import type {
  BroadcastClientOptions,
  BroadcastError,
  ChannelState,
  ClientState,
  Gap,
  HistoryEvent,
  HistoryPage,
  Off,
  PublishResult,
  TokenRequest,
  WebSocketLike,
} from 'tidings'

interface Order {
  id: number
  paid: boolean
}

const options: BroadcastClientOptions = {
  url: 'wss://example.com/_broadcast',
  autoConnect: false,
  maxReconnectAttempts: Infinity,
  reconnectInitialDelayMs: 250,
  reconnectMaxDelayMs: 10_000,
  outboxLimit: 200,
  outboxMaxBytes: 1_048_576,
  outboxMaxAgeMs: 240_000,
  connectTimeoutMs: 10_000,
  getToken: ({ reason }) => (reason === 'connect' ? 'token' : Promise.resolve('another')),
}
const client = new BroadcastClient(options)
new BroadcastClient()
new BroadcastClient({ getToken: async (request: TokenRequest) => request.reason })
// @ts-expect-error: a token is a string
new BroadcastClient({ getToken: () => 42 })
// @ts-expect-error: there is no such reason
new BroadcastClient({ getToken: ({ reason }) => (reason === 'bored' ? 'a' : 'b') })

const id: string | undefined = client.id
const connected: boolean = client.connected
const state: ClientState = client.state
const opened: Promise<void> = client.ready()
client.connect()

const off: Off = client.on('open', () => {})
off()
client.on('close', ({ code, reason, wasClean }) => [code.toFixed(), reason.trim(), wasClean === true])
client.on('reconnecting', ({ attempt, delayMs }) => attempt + delayMs)
client.on('subscribed', ({ channel }) => channel.toUpperCase())
client.on('error', ({ channel, reason }) => `${channel?.trim()} ${reason.trim()}`)
client.on('gap', (gap: Gap) => [gap.channel.trim(), gap.why.trim()])
client.on('drain', ({ afterMs }) => afterMs.toFixed())
client.on('state', ({ from, to }) => from === 'open' && to === 'closed')

const orders: BroadcastChannel = client.channel('private-orders.42')
const name: string = orders.name
const channelState: ChannelState = orders.state
orders.on<Order>('order.paid', (order) => order.id.toFixed())
orders.on('order.paid', (order: Order) => order.paid)
orders.on('order.paid', (order) => {
  // @ts-expect-error: data is unknown until someone says what it is
  order.id
})
orders.on('*', (event, data) => [event.trim(), data])
orders.on<Order>('*', (event, order) => [event.trim(), order.id])
orders.publish('typing')
orders.publish('typing', { who: 'ann' }).then((result: PublishResult) => {
  if (result.ok) return [result.id?.trim(), result.offset?.toFixed()]
  // @ts-expect-error: a refused event has no id
  result.id
  return [result.reason.trim()]
})
const deaf: Off = orders.onGap(({ channel, why }) => [channel.trim(), why.trim()])
deaf()
const page: Promise<HistoryPage> = orders.history()
orders.history({ limit: 50, before: 1043, untilAttach: true }).then(({ events, epoch, offset }) => {
  // @ts-expect-error: data is unknown until someone says what it is
  events[0]?.data.id
  return [events.length, epoch.trim(), offset.toFixed()]
})
orders.history<Order>().then(({ events }) => events.map((event: HistoryEvent<Order>) => event.data.id + event.offset))
// @ts-expect-error: a number
orders.history({ limit: '50' })
page.catch((error: BroadcastError) => error.code.trim())
const live: Promise<void> = orders.ready()
live.catch((error: BroadcastError) => error.code.trim())
orders.leave()
client.disconnect()

const socket: WebSocketLike = {
  readyState: 0,
  send: (text: string) => text.length,
  close: () => {},
  addEventListener: () => {},
}
new BroadcastClient({ webSocketFactory: () => socket })

// @ts-expect-error: no such event
client.on('opened', () => {})
// @ts-expect-error: `open` has no payload
client.on('open', (info: { code: number }) => info)
// @ts-expect-error: the attempt is a number
client.on('reconnecting', ({ attempt }: { attempt: string }) => attempt)
// @ts-expect-error: `delay` is called `delayMs`
client.on('reconnecting', ({ delay }) => delay)
// @ts-expect-error: a channel may be missing from an error
client.on('error', ({ channel }) => channel.length)
// @ts-expect-error: not a state
client.state === 'connected'
// @ts-expect-error: read only
client.id = 'x'
// @ts-expect-error: no such option
new BroadcastClient({ reconnect: true })
// @ts-expect-error: an option of the wrong type
new BroadcastClient({ outboxLimit: '200' })
// @ts-expect-error: a factory must make a socket
new BroadcastClient({ webSocketFactory: () => ({}) })
// @ts-expect-error: channels come from a client
new BroadcastChannel()
// @ts-expect-error: memory is none of the consumer's business
client.free()
// @ts-expect-error: an event needs a name
orders.publish()
// @ts-expect-error: a handler gets the data only
orders.on('order.paid', (event: string, data: Order) => [event, data])

export const used = [id, channelState, connected, state, opened, name, live]
