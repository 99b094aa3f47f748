/**
 * Tidings: real-time channels over one WebSocket.
 *
 * @packageDocumentation
 */

/** A function that undoes what returned it. Calling it again does nothing. */
export type Off = () => void

/** The state of a client's connection. */
export type ClientState = 'idle' | 'connecting' | 'open' | 'closed'

/** The state of a channel: `subscribed` means that events arrive, `denied` that the gateway refused it. */
export type ChannelState = 'subscribing' | 'subscribed' | 'denied' | 'left'

/**
 * What the client needs of a WebSocket. The browser's own, the one of the npm package `ws` and a fake for
 * tests all fit.
 */
export interface WebSocketLike {
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: number
  send(text: string): void
  close(code?: number, reason?: string): void
  addEventListener(type: 'open' | 'error', listener: (event: unknown) => void): void
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
  addEventListener(
    type: 'close',
    listener: (event: { readonly code: number; readonly reason: string; readonly wasClean: boolean }) => void,
  ): void
}

/** Where the client writes what it does. `console` fits. */
export interface Logger {
  debug?(message: string, detail: unknown): void
  info?(message: string, detail: unknown): void
  warn?(message: string, detail: unknown): void
  error?(message: string, detail: unknown): void
}

/** What is thrown for a mistake in the program, and what `ready()` and `history()` reject with. */
export interface BroadcastError extends Error {
  /**
   * `invalid-argument`, `no-url`, `no-websocket`; from `ready()` and `history()` also `disconnected`, `left`, or the
   * gateway's reason, such as `unauthorized`; from `history()` also `unsupported` and `no-history`.
   */
  readonly code: string
}

export interface BroadcastClientOptions {
  /**
   * The gateway: `ws:`, `wss:`, `http:` or `https:`, or relative to the page. Default: `/_broadcast` on the
   * page's host. Outside a page it must be given.
   */
  url?: string
  /** Connect at once. Default: true. Otherwise {@link BroadcastClient.connect} does. */
  autoConnect?: boolean
  /** How often to try again before giving up. Default: Infinity. */
  maxReconnectAttempts?: number
  /** The longest wait before the first new attempt, in milliseconds; it doubles each time. Default: 250. */
  reconnectInitialDelayMs?: number
  /** The longest wait before any new attempt, in milliseconds. Default: 10000. */
  reconnectMaxDelayMs?: number
  /**
   * How many publishes wait while there is no connection, those that were sent and not acknowledged included; the
   * oldest one goes first. Default: 200.
   */
  outboxLimit?: number
  /** How many bytes of publishes wait while there is no connection. Default: 1 MiB. */
  outboxMaxBytes?: number
  /**
   * How long a publish waits, for a connection or for its acknowledgement, in milliseconds from 1 to 240000. Default:
   * 240000. It has to be shorter than a gateway remembers what it has published (5 minutes).
   */
  outboxMaxAgeMs?: number
  /** How long a connection may take to be made, in milliseconds. Default: 10000. */
  connectTimeoutMs?: number
  /** Makes the socket, for Node.js (`url => new WebSocket(url)` with `ws`) and for tests. */
  webSocketFactory?: (url: string) => WebSocketLike
  /**
   * Gives the token that tells the gateway who this is: a string that is not empty, now or by a promise. It is called for
   * every connection, while that is being made; when a token is about to expire; and when the gateway has refused one.
   * Until there is a token nothing is sent, and until the gateway has accepted it nothing is published. When it throws,
   * rejects or takes longer than `connectTimeoutMs`, an `error` event with `token failed` says so, and it is called again
   * with the delays of reconnects. Default: none.
   */
  getToken?: (request: TokenRequest) => string | Promise<string>
  /** Where to write what happens. Default: nowhere. */
  logger?: Logger
}

/** Why a token is wanted. */
export interface TokenRequest {
  /**
   * `connect`: a connection is being made. `expiring`: the token in use is about to expire. `refused`: the gateway did not
   * accept the token before, so that one that was kept should not be given again.
   */
  reason: 'connect' | 'expiring' | 'refused'
}

/** Events of a channel were missed and will not come. */
export interface Gap {
  channel: string
  /**
   * Why: `epoch` (the history began anew), `expired` (it does not go back so far), `limit` (too much was missed),
   * `unavailable` (it could not be read, or the gateway has none), `backplane` (the gateway lost events), `hole` (the
   * gateway did not send what was missing when it was asked again), or a word of a newer gateway.
   */
  why: string
}

/** The events of a client, each with the arguments that its listeners get. */
export interface BroadcastClientEvents {
  /** The gateway has greeted the client. */
  open: []
  /** The connection is gone. */
  close: [info: { code: number; reason: string; wasClean: boolean }]
  /** A new attempt follows after this delay. `attempt` counts from 1. */
  reconnecting: [info: { attempt: number; delayMs: number }]
  /** A channel is live. */
  subscribed: [info: { channel: string }]
  /**
   * The gateway refused something. Without a channel it is about the connection, for example `token failed` (`getToken`
   * gave none), `unauthorized` (the gateway refused several tokens in a row and takes the client for nobody) or `tokens
   * unsupported` (a gateway of version 1). A connection that is lost or cannot be made is told by `close` and
   * `reconnecting`.
   */
  error: [info: { channel?: string; reason: string }]
  /** `client.state` has changed. */
  state: [change: { from: ClientState; to: ClientState }]
  /** A channel has a gap; {@link BroadcastChannel.onGap} tells it for one channel. */
  gap: [gap: Gap]
  /** The gateway is about to close the connection. The client calls again by itself, no sooner than this. */
  drain: [info: { afterMs: number }]
}

/** What became of a publish. */
export type PublishResult =
  | {
      ok: true
      /**
       * The event's id. A gateway of version 1 does not acknowledge: then there is none, and `ok` means that the
       * publish was sent.
       */
      id?: string
      /** The event's place in the channel's history, when the channel has one. */
      offset?: number
    }
  | {
      ok: false
      /**
       * Why not: the gateway's reason, such as `publish denied`, or
       * - `outbox full`, `expired`, `disconnected`: it was never sent, because too many others waited too, because it
       *   waited too long, or because the client was closed;
       * - `frame too large`: it is larger than the gateway takes, and cost the connection;
       * - `unacknowledged`: it was sent and no answer came. It may have been published or not.
       */
      reason: string
    }

/** Which page of history. */
export interface HistoryOptions {
  /** At most this many events, from 1 to 1000: the last ones. Default: the gateway's, 100. */
  limit?: number
  /** Only events before this offset: the `offset` of the first event of a page gives the page before it. */
  before?: number
  /**
   * Wait until the channel is live, and give only events from before that moment: with those that the listeners get
   * they are all, and none comes twice. After a gap it is the gap's end that counts. Default: false.
   */
  untilAttach?: boolean
}

/** An event of a page of history. */
export interface HistoryEvent<T = unknown> {
  event: string
  data: T
  id: string
  offset: number
}

/** A page of history. */
export interface HistoryPage<T = unknown> {
  /** The oldest first. */
  events: HistoryEvent<T>[]
  /** Offsets can be compared while this stays the same. */
  epoch: string
  /** The end of the history when the page was read. */
  offset: number
}

/**
 * One connection and any number of channels on it.
 *
 * What the network or the gateway does is told by events and never thrown. A mistake in the program, such as an
 * option of the wrong type, is thrown as a {@link BroadcastError}.
 */
export declare class BroadcastClient {
  constructor(options?: BroadcastClientOptions)

  /** The id that the gateway gave this connection; undefined until it has. */
  readonly id: string | undefined
  /** Whether the gateway has greeted the client and the connection is up. */
  readonly connected: boolean
  readonly state: ClientState

  /** Opens the connection. Does nothing while it is being made or is open. */
  connect(): void
  /** Closes for good: no reconnect, all channels left, the outbox emptied. `connect()` starts again. */
  disconnect(): void
  /** Resolves when the connection is open; rejects with a {@link BroadcastError} when the client closes. */
  ready(): Promise<void>
  /** Joins a channel. The same name gives the same handle until it is left. */
  channel(name: string): BroadcastChannel
  /** Listens to the client's own events. Returns what removes just this listener. */
  on<Event extends keyof BroadcastClientEvents>(
    event: Event,
    listener: (...args: BroadcastClientEvents[Event]) => void,
  ): Off
}

/** `using client = new BroadcastClient()` disconnects at the end of the block. */
export interface BroadcastClient extends Disposable {}

/** One channel of a client, made by {@link BroadcastClient.channel}. */
export declare class BroadcastChannel {
  private constructor()

  readonly name: string
  readonly state: ChannelState

  /** Listens to every event of the channel. Returns what removes just this listener. */
  on<T = unknown>(event: '*', handler: (event: string, data: T) => void): Off
  /** Listens to one event of the channel. Returns what removes just this handler. */
  on<T = unknown>(event: string, handler: (data: T) => void): Off
  /**
   * Listens to gaps, which come in order with the events: what came before is complete up to some point, what follows
   * is complete again. Returns what removes just this handler.
   */
  onGap(handler: (gap: Gap) => void): Off
  /**
   * Publishes, now or once there is a connection. The promise never rejects; it is resolved when the gateway has
   * acknowledged the publish or it has failed. What a connection took with it is sent again on the next one and is
   * not published twice. `data` is sent as JSON; without it subscribers get `null`.
   */
  publish(event: string, data?: unknown): Promise<PublishResult>
  /**
   * Resolves when the channel is live; rejects with a {@link BroadcastError} when the gateway refuses it, when it
   * is left, or when the client closes. A gap is told before.
   */
  ready(): Promise<void>
  /**
   * Reads a page of the channel's history. Rejects with a {@link BroadcastError}; its code is the gateway's reason,
   * `left`, `disconnected`, `unsupported` (a gateway of version 1), or with `untilAttach` `no-history` (the channel is
   * live and has none). After a reconnect it asks again.
   */
  history<T = unknown>(options?: HistoryOptions): Promise<HistoryPage<T>>
  /** Leaves the channel and removes its handlers. */
  leave(): void
}

/** `using orders = client.channel('orders')` leaves at the end of the block. */
export interface BroadcastChannel extends Disposable {}

declare global {
  /**
   * Empty on purpose: where TypeScript's library knows `Symbol.dispose`, this joins its declaration; where it
   * does not, nothing is missing.
   */
  interface Disposable {}
}
