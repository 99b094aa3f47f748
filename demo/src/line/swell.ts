import { Signal } from '../signal'
import { numberField } from '../untrusted'
import type { Channel, Line } from './line'

export const SWELL = 100
const EVERY_MS = 40

export type Mark = 'unsent' | 'away' | 'back' | 'twice' | 'late' | 'refused'

/** A run of numbered events to oneself: it shows whether each came back, once and in order. */
export class Swell {
  readonly changed = new Signal<void>()
  marks: Mark[] = Array.from({ length: SWELL }, () => 'unsent')
  #run = 0
  #sent = 0
  #highest = -1
  #timer: ReturnType<typeof setInterval> | undefined
  #channel: Channel

  constructor(
    private readonly line: Line,
    private readonly name: string,
  ) {
    this.#channel = this.#join()
    line.stopped.on(() => this.#halt())
    line.restarted.on(() => (this.#channel = this.#join()))
  }

  get sending(): boolean {
    return this.#timer !== undefined
  }

  count(...marks: Mark[]): number {
    return this.marks.filter((mark) => marks.includes(mark)).length
  }

  start(): void {
    clearInterval(this.#timer)
    this.marks = this.marks.map(() => 'unsent')
    this.#run++
    this.#sent = 0
    this.#highest = -1
    this.#timer = setInterval(() => this.#send(), EVERY_MS)
    this.changed.emit()
  }

  #join(): Channel {
    const channel = this.line.join(this.name)
    channel.on('swell', (data: unknown) => {
      const n = numberField(data, 'n')
      if (n !== undefined && numberField(data, 'run') === this.#run) this.#back(n)
    })
    return channel
  }

  #send(): void {
    const n = this.#sent++
    const run = this.#run
    this.marks[n] = 'away'
    void this.#channel.publish('swell', { run, n }).then((result) => {
      if (result.ok || run !== this.#run) return
      this.marks[n] = 'refused'
      this.changed.emit()
    })
    if (this.#sent === SWELL) this.#halt()
    this.changed.emit()
  }

  #halt(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.changed.emit()
  }

  #back(n: number): void {
    const mark = this.marks[n]
    if (mark === undefined) return
    if (mark === 'away') this.marks[n] = n > this.#highest ? 'back' : 'late'
    else this.marks[n] = 'twice'
    this.#highest = Math.max(this.#highest, n)
    this.changed.emit()
  }
}
