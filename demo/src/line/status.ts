import { Signal } from '../signal'
import type { Line } from './line'

export type Status =
  | { kind: 'open'; since: number }
  /** `dueAt` is when the next attempt begins; attempt 0 is the very first connection. */
  | { kind: 'waiting'; attempt: number; delayMs: number; dueAt: number }
  | { kind: 'trying'; attempt: number }
  | { kind: 'stopped' }

/** Where the connection stands, told from the client's own events. */
export class StatusWatch {
  readonly changed = new Signal<Status>()
  #status: Status = { kind: 'trying', attempt: 0 }

  constructor(line: Line) {
    const { client, wire } = line
    if (client.state === 'open') this.#status = { kind: 'open', since: Date.now() }
    client.on('open', () => this.#become({ kind: 'open', since: Date.now() }))
    client.on('reconnecting', ({ attempt, delayMs }) => {
      this.#become({ kind: 'waiting', attempt, delayMs, dueAt: Date.now() + delayMs })
    })
    // The client may call earlier than it said, for example when the network is back.
    wire.dialled.on(() => {
      this.#become({ kind: 'trying', attempt: this.#status.kind === 'waiting' ? this.#status.attempt : 0 })
    })
    client.on('state', ({ to }) => {
      if (to === 'closed' || to === 'idle') this.#become({ kind: 'stopped' })
      else if (to === 'connecting' && this.#status.kind === 'open') this.#become({ kind: 'trying', attempt: 0 })
    })
  }

  get current(): Status {
    return this.#status
  }

  #become(status: Status): void {
    this.#status = status
    this.changed.emit(status)
  }
}
