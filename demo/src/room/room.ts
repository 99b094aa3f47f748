import type { Channel, Line } from '../line/line'
import { Signal } from '../signal'
import { Crew } from './crew'
import { readChat, readPoint, readSender, type PointPayload, type Sender } from './payload'
import { randomId, type Person } from './person'
import { Throttle } from './throttle'

export interface Message extends Sender {
  /** Milliseconds since 1970. */
  at: number
  text: string
  mine: boolean
  /** `sending` in the outbox, `sent` once it has left, `delivered` once the own event has come back. */
  state: 'sending' | 'sent' | 'delivered' | { refused: string }
  key: string
}

export type Pointing = { tab: string } & ({ gone: true } | (PointPayload & { gone: false }))

const MESSAGES_KEPT = 200
const POINT_EVERY_MS = 50
const HERE_EVERY_MS = 25_000
const ANSWER_WITHIN_MS = 400

/**
 * One room: a channel, who is in it, and what was said. Pointers have a channel beside it that keeps no history: where
 * one was a second ago is of no use to who comes back.
 */
export class Room {
  readonly channelName: string
  readonly #pointersName: string
  readonly crew = new Crew()
  readonly messages: Message[] = []
  readonly membership = new Signal<void>()
  readonly messagesChanged = new Signal<Message>()
  readonly pointed = new Signal<Pointing>()
  readonly rippled = new Signal<PointPayload>()
  /** The gateway's reason for not letting us in or not taking an event; empty when all is well. */
  readonly refused = new Signal<string>()
  #channel: Channel | undefined
  #pointers: Channel | undefined
  /** Refused once, cursors and greetings wait for the next connection instead of being refused again and again. */
  #muted = false
  #answer: ReturnType<typeof setTimeout> | undefined
  readonly #pointing = new Throttle<{ x: number; y: number } | undefined>(POINT_EVERY_MS, (point) => this.#point(point))

  constructor(
    readonly id: string,
    readonly title: string,
    private readonly line: Line,
    private readonly me: Person,
  ) {
    this.channelName = `demo.${id}`
    this.#pointersName = `demo.pointers.${id}`
    line.stopped.on(() => this.#quiet())
    line.restarted.on(() => {
      if (this.joined) this.#enter()
    })
    line.client.on('open', () => {
      this.#muted = false
      this.refused.emit('')
    })
    line.client.on('subscribed', ({ channel }) => {
      if (channel !== this.channelName) return
      this.#announce('arrive')
      this.membership.emit()
    })
    line.client.on('state', () => this.membership.emit())
    line.client.on('error', ({ channel, reason }) => {
      if (channel === this.channelName || channel === this.#pointersName) this.#refuse(reason)
    })
    me.changed.on(() => this.#announce('here'))
    setInterval(() => {
      this.crew.sweep()
      this.#announce('here')
    }, HERE_EVERY_MS)
    addEventListener('pagehide', () => this.#announce('depart'))
  }

  get joined(): boolean {
    return this.#channel !== undefined
  }

  /** Whether events reach us: joined, and the gateway has said so. */
  get live(): boolean {
    return this.#channel?.state === 'subscribed'
  }

  join(): void {
    if (this.joined) return
    this.#enter()
    this.membership.emit()
  }

  leave(): void {
    const channel = this.#channel
    if (!channel) return
    this.#announce('depart')
    this.#quiet()
    this.#channel = undefined
    this.line.leave(channel)
    if (this.#pointers) this.line.leave(this.#pointers)
    this.#pointers = undefined
    this.membership.emit()
  }

  say(text: string): void {
    const channel = this.#channel
    if (!channel) return
    const key = randomId()
    const message: Message = { ...this.#sender(), at: Date.now(), text, mine: true, state: 'sending', key }
    this.#keep(message)
    void channel.publish('chat', { ...this.#sender(), text, key }).then((result) => {
      if (!result.ok) this.#settle(message, { refused: result.reason })
      else if (message.state === 'sending') this.#settle(message, 'sent')
    })
  }

  /** Tells the others where our pointer is, at most 20 times a second; undefined when it left the chart. */
  point(point: { x: number; y: number } | undefined): void {
    this.#pointing.push(point)
  }

  ripple(x: number, y: number): void {
    if (this.line.open && !this.#muted) void this.#pointers?.publish('ripple', { ...this.#sender(), x, y })
  }

  #quiet(): void {
    clearTimeout(this.#answer)
    this.#pointing.cancel()
    this.crew.clear()
  }

  #enter(): void {
    const channel = this.line.join(this.channelName)
    this.#channel = channel
    const pointers = this.line.join(this.#pointersName)
    this.#pointers = pointers
    channel.on('chat', (data: unknown) => this.#hearChat(data))
    pointers.on('cursor', (data: unknown) => this.#hearPoint(data))
    pointers.on('ripple', (data: unknown) => {
      const point = readPoint(data)
      if (point) this.rippled.emit(point)
    })
    channel.on('arrive', (data: unknown) => {
      if (this.#hearMate(data)) this.#answerSoon()
    })
    channel.on('here', (data: unknown) => this.#hearMate(data))
    channel.on('depart', (data: unknown) => {
      const { tab } = readSender(data)
      if (tab === undefined) return
      this.crew.part(tab)
      this.pointed.emit({ tab, gone: true })
    })
  }

  #hearChat(data: unknown): void {
    const chat = readChat(data)
    if (!chat) return
    const mine = chat.tab === this.me.tab
    const known = mine && this.messages.find(({ key }) => key === chat.key)
    if (known) return this.#settle(known, 'delivered')
    this.#hearMate(data)
    this.#keep({ ...chat, at: Date.now(), mine, state: 'delivered', key: chat.key ?? randomId() })
  }

  #hearPoint(data: unknown): void {
    const sender = this.#hearMate(data)
    if (!sender) return
    const point = readPoint(data)
    this.pointed.emit(point ? { ...point, tab: sender.tab, gone: false } : { tab: sender.tab, gone: true })
  }

  /** Undefined for ourselves and for senders that are no tab. */
  #hearMate(data: unknown): (Sender & { tab: string }) | undefined {
    const sender = readSender(data)
    if (sender.tab === undefined || sender.tab === this.me.tab) return undefined
    this.crew.hear(sender)
    return { ...sender, tab: sender.tab }
  }

  // Not all at once: a newcomer to a full room would get every answer in the same instant.
  #answerSoon(): void {
    clearTimeout(this.#answer)
    this.#answer = setTimeout(() => this.#announce('here'), Math.random() * ANSWER_WITHIN_MS)
  }

  // Only over an open line: from the outbox it would tell what is no longer so.
  #announce(event: 'arrive' | 'here' | 'depart'): void {
    if (this.line.open && !this.#muted) void this.#channel?.publish(event, this.#sender())
  }

  #point(point: { x: number; y: number } | undefined): void {
    if (!this.line.open || this.#muted) return
    const sender = this.#sender()
    void this.#pointers?.publish('cursor', point ? { ...sender, x: round(point.x), y: round(point.y) } : sender)
  }

  // Against a version 1 gateway a refusal names the channel only, so it goes to all that is under way.
  #refuse(reason: string): void {
    this.#muted = true
    for (const message of this.messages) {
      const underWay = message.state === 'sending' || message.state === 'sent'
      if (underWay) this.#settle(message, { refused: reason })
    }
    this.refused.emit(reason)
  }

  #settle(message: Message, state: Message['state']): void {
    message.state = state
    if (state === 'delivered') {
      this.#muted = false
      this.refused.emit('')
    }
    this.messagesChanged.emit(message)
  }

  #keep(message: Message): void {
    this.messages.push(message)
    if (this.messages.length > MESSAGES_KEPT) this.messages.shift()
    this.messagesChanged.emit(message)
  }

  #sender(): Sender {
    return { tab: this.me.tab, from: this.me.name, colour: this.me.colour }
  }
}

function round(share: number): number {
  return Math.round(share * 10_000) / 10_000
}
