import { Signal } from '../signal'
import type { Room } from './room'

/** All rooms of the page, and the one that is looked at. */
export class Harbour {
  readonly changed = new Signal<void>()
  readonly #unread = new Map<Room, number>()
  #current: Room

  constructor(
    readonly rooms: readonly Room[],
    first: Room,
  ) {
    this.#current = first
    for (const room of rooms) {
      room.messagesChanged.on((message) => {
        const news = !message.mine && room.messages.at(-1) === message
        if (!news || room === this.#current) return
        this.#unread.set(room, this.unread(room) + 1)
        this.changed.emit()
      })
      room.membership.on(() => {
        if (!room.joined) this.#unread.delete(room)
        this.changed.emit()
      })
    }
  }

  get current(): Room {
    return this.#current
  }

  look(room: Room): void {
    this.#current = room
    this.#unread.delete(room)
    this.changed.emit()
  }

  unread(room: Room): number {
    return this.#unread.get(room) ?? 0
  }
}
