import { milliseconds } from '../clock'
import { Signal } from '../signal'
import type { Line } from './line'

export type EntryKind = 'good' | 'bad' | 'note'

export interface Entry {
  /** Milliseconds since 1970. */
  at: number
  kind: EntryKind
  text: string
  /** How often the same thing was said in a row. */
  times: number
}

const LIMIT = 60

/** The connection's last events, in words. */
export class Logbook {
  readonly entries: Entry[] = []
  readonly written = new Signal<Entry>()
  #wasOpen = false

  constructor(line: Line) {
    const { client, wire } = line
    client.on('open', () => {
      this.#wasOpen = true
      this.#write('good', client.id ? `Open, as ${client.id}` : 'Open')
    })
    client.on('close', ({ code }) => {
      this.#write('bad', this.#wasOpen ? `The socket closed, code ${code}` : `No answer, code ${code}`)
      this.#wasOpen = false
    })
    client.on('reconnecting', ({ attempt, delayMs }) => {
      this.#write('note', `Attempt ${attempt} in ${milliseconds(delayMs)}`)
    })
    client.on('subscribed', ({ channel }) => this.#write('good', `Subscribed to ${channel}`))
    client.on('gap', ({ channel, why }) => this.#write('bad', `Missed something on ${channel}: ${why}`))
    client.on('error', ({ channel, reason }) => {
      this.#write('bad', channel ? `Error on ${channel}: ${reason}` : `Error: ${reason}`)
    })
    client.on('state', ({ to }) => {
      if (to === 'closed') this.#write('note', 'Disconnected for good')
    })
    wire.wasCut.on(() => this.#write('note', 'You cut the socket'))
  }

  #write(kind: EntryKind, text: string): void {
    const last = this.entries.at(-1)
    if (last?.text === text) {
      last.times++
      last.at = Date.now()
      return this.written.emit(last)
    }
    const entry = { at: Date.now(), kind, text, times: 1 }
    this.entries.push(entry)
    if (this.entries.length > LIMIT) this.entries.shift()
    this.written.emit(entry)
  }
}
