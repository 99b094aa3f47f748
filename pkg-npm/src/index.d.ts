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

/** What is thrown for a mistake in the program, and what `ready()` rejects with. */
export interface BroadcastError extends Error {
  /**
   * `invalid-argument`, `no-url`, `no-websocket`; from `ready()` also `disconnected`, `left`, or the gateway's
   * reason, such as `unauthorized`.
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
  /** How many publishes wait while there is no connection; the oldest one goes first. Default: 200. */
  outboxLimit?: number
  /** How many bytes of publishes wait while there is no connection. Default: 1 MiB. */
  outboxMaxBytes?: number
  /** How long a connection may take to be made, in milliseconds. Default: 10000. */
  connectTimeoutMs?: number
  /** Makes the socket, for Node.js (`url => new WebSocket(url)` with `ws`) and for tests. */
  webSocketFactory?: (url: string) => WebSocketLike
  /** Where to write what happens. Default: nowhere. */
  logger?: Logger
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
  /** The gateway refused something, or the network failed. */
  error: [info: { channel?: string; reason: string }]
  /** `client.state` has changed. */
  state: [change: { from: ClientState; to: ClientState }]
}

/** What became of a publish. */
export type PublishResult =
  | {
      ok: true
      /** The event's id, when the gateway acknowledges publishes. */
      id?: string
      /** The event's place in the channel's history, when the channel has one. */
      offset?: number
    }
  | {
      ok: false
      /** Why not, for example `publish denied`. */
      reason: string
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
   * Publishes, now or once there is a connection. The promise never rejects. `data` is sent as JSON;
   * without it subscribers get `null`.
   */
  publish(event: string, data?: unknown): Promise<PublishResult>
  /**
   * Resolves when the channel is live; rejects with a {@link BroadcastError} when the gateway refuses it, when it
   * is left, or when the client closes.
   */
  ready(): Promise<void>
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
