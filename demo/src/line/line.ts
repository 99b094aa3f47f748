import { BroadcastClient, type BroadcastChannel } from 'tidings'

import { Signal } from '../signal'
import { Wire } from './wire'

export type Channel = BroadcastChannel

export interface ChannelEvent {
  /** Milliseconds since 1970. */
  at: number
  channel: string
  event: string
  data: unknown
  /** Minted by the gateway; empty when the frame that brought it is not known. */
  id: string
}

/** The page's one connection, and everything that comes in over it. */
export class Line {
  readonly wire = new Wire()
  readonly client = new BroadcastClient({ webSocketFactory: this.wire.open })
  readonly event = new Signal<ChannelEvent>()
  readonly stopped = new Signal<void>()
  /** After `stop` every channel is gone; whoever had one joins again when this fires. */
  readonly restarted = new Signal<void>()

  get open(): boolean {
    return this.client.state === 'open'
  }

  join(name: string): Channel {
    const channel = this.client.channel(name)
    channel.on('*', (event: string, data: unknown) => {
      const id = this.wire.newest(name, event)?.id ?? ''
      this.event.emit({ at: Date.now(), channel: name, event, data, id })
    })
    return channel
  }

  leave(channel: Channel): void {
    channel.leave()
    this.wire.forget(channel.name)
  }

  /** For good: the client does not come back by itself. */
  stop(): void {
    this.stopped.emit()
    this.client.disconnect()
  }

  start(): void {
    this.client.connect()
    this.restarted.emit()
  }
}
