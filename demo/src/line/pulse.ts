import { Signal } from '../signal'
import { numberField } from '../untrusted'
import type { Channel, Line } from './line'

export interface Sample {
  /** Milliseconds since 1970, when the pulse left. */
  at: number
  /** Milliseconds from publish to the own event's return. */
  roundTrip: number
}

const EVERY_MS = 500
const KEPT_MS = 65_000
const GIVE_UP_MS = 10_000

/** Publishes on a channel of its own and times how long the event takes to come back. */
export class Pulse {
  readonly samples: Sample[] = []
  readonly measured = new Signal<Sample | undefined>()
  readonly #away = new Map<number, { at: number; sent: number }>()
  #channel: Channel
  #count = 0
  #refused = ''

  constructor(
    private readonly line: Line,
    private readonly name: string,
  ) {
    this.#channel = this.#join()
    line.client.on('open', () => (this.#refused = ''))
    line.client.on('error', ({ channel, reason }) => {
      if (channel === name) this.#refuse(reason)
    })
    line.restarted.on(() => (this.#channel = this.#join()))
    setInterval(() => this.#beat(), EVERY_MS)
  }

  /** Why the gateway does not take the pulse; empty when it does. */
  get refused(): string {
    return this.#refused
  }

  #refuse(reason: string): void {
    this.#refused = reason
    this.measured.emit(undefined)
  }

  #join(): Channel {
    const channel = this.line.join(this.name)
    channel.on('pulse', (data: unknown) => this.#back(numberField(data, 'n')))
    return channel
  }

  #beat(): void {
    // A pulse from the outbox would time the outage, not the line.
    if (!this.line.open) return this.#away.clear()
    // Asking twice a second would not change the gateway's mind; the next connection may.
    if (this.#refused) return
    const sent = performance.now()
    for (const [n, pulse] of this.#away) if (sent - pulse.sent > GIVE_UP_MS) this.#away.delete(n)
    const n = ++this.#count
    this.#away.set(n, { at: Date.now(), sent })
    void this.#channel.publish('pulse', { n }).then((result) => {
      if (!result.ok) this.#refuse(result.reason)
    })
  }

  #back(n: number | undefined): void {
    const pulse = n === undefined ? undefined : this.#away.get(n)
    if (n === undefined || !pulse) return
    this.#away.delete(n)
    const sample = { at: pulse.at, roundTrip: performance.now() - pulse.sent }
    this.samples.push(sample)
    while ((this.samples[0]?.at ?? Infinity) < Date.now() - KEPT_MS) this.samples.shift()
    this.measured.emit(sample)
  }
}
