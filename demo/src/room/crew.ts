import { Signal } from '../signal'
import type { Sender } from './payload'

export interface Mate extends Sender {
  tab: string
  /** Milliseconds since 1970. */
  seen: number
}

/** A mate that is silent this long is gone: more than the minute to which browsers throttle hidden tabs. */
const GONE_AFTER_MS = 80_000

/** Beyond this many, newcomers are not shown: a script could invent any number. */
const CROWD = 100

/** The other tabs in a room, known from what they publish. */
export class Crew {
  readonly changed = new Signal<void>()
  readonly #mates = new Map<string, Mate>()

  get mates(): Mate[] {
    return [...this.#mates.values()].sort((a, b) => a.from.localeCompare(b.from))
  }

  hear(sender: Sender): void {
    const { tab } = sender
    if (tab === undefined) return
    const known = this.#mates.get(tab)
    if (!known && this.#mates.size >= CROWD) return
    this.#mates.set(tab, { ...sender, tab, seen: Date.now() })
    if (known?.from !== sender.from || known.colour !== sender.colour) this.changed.emit()
  }

  part(tab: string | undefined): void {
    if (tab !== undefined && this.#mates.delete(tab)) this.changed.emit()
  }

  sweep(): void {
    const before = this.#mates.size
    for (const mate of this.#mates.values()) {
      if (mate.seen < Date.now() - GONE_AFTER_MS) this.#mates.delete(mate.tab)
    }
    if (this.#mates.size !== before) this.changed.emit()
  }

  clear(): void {
    this.#mates.clear()
    this.changed.emit()
  }
}
