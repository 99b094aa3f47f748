import { Signal } from '../signal'

export interface Frame {
  /** Milliseconds since 1970. */
  at: number
  direction: 'in' | 'out'
  tag: string
  channel: string
  event: string
  id: string
  text: string
}

/** Opens the sockets for the client, so that the page can watch their frames and cut them. */
export class Wire {
  readonly frame = new Signal<Frame>()
  /** A new socket was asked for. */
  readonly dialled = new Signal<void>()
  readonly wasCut = new Signal<void>()
  /** While set, every new socket fails, as if the gateway were gone. */
  blocked = false
  #last: WebSocket | BlockedSocket | undefined
  readonly #newest = new Map<string, Frame>()

  readonly open = (url: string): WebSocket | BlockedSocket => {
    this.#last = this.blocked ? new BlockedSocket() : this.#watched(new WebSocket(url))
    this.dialled.emit()
    return this.#last
  }

  /** Closes the socket under the client's feet; the client is not told that it was us. */
  cut(): void {
    this.wasCut.emit()
    this.#last?.close()
  }

  /** The frame that brought the event a channel handler is being called with. */
  newest(channel: string, event: string): Frame | undefined {
    const frame = this.#newest.get(channel)
    return frame?.event === event ? frame : undefined
  }

  forget(channel: string): void {
    this.#newest.delete(channel)
  }

  #watched(socket: WebSocket): WebSocket {
    // Registered before the client's own listener, so `newest` is right while its handlers run.
    socket.addEventListener('message', (message) => {
      if (typeof message.data === 'string') this.#see('in', message.data)
    })
    const send = socket.send.bind(socket)
    socket.send = (data) => {
      if (typeof data === 'string') this.#see('out', data)
      send(data)
    }
    return socket
  }

  #see(direction: Frame['direction'], text: string): void {
    const frame = read(direction, text)
    if (!frame) return
    if (frame.tag === 'msg') this.#newest.set(frame.channel, frame)
    this.frame.emit(frame)
  }
}

function read(direction: Frame['direction'], text: string): Frame | undefined {
  try {
    const frame = JSON.parse(text) as Record<string, unknown>
    const string = (key: string): string => (typeof frame[key] === 'string' ? frame[key] : '')
    return {
      at: Date.now(),
      direction,
      tag: string('t'),
      channel: string('c'),
      event: string('e'),
      id: string('i') || string('id'),
      text,
    }
  } catch {
    return undefined
  }
}

const FAILS_AFTER_MS = 300

/** A socket that never opens. */
class BlockedSocket {
  readyState: number = WebSocket.CONNECTING
  readonly #events = new EventTarget()
  readonly #timer = setTimeout(() => this.#fail(), FAILS_AFTER_MS)

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#events.addEventListener(type, listener as EventListener)
  }

  send(): void {
    throw new DOMException('The socket never opened.', 'InvalidStateError')
  }

  close(): void {
    clearTimeout(this.#timer)
    queueMicrotask(() => this.#fail())
  }

  #fail(): void {
    if (this.readyState === WebSocket.CLOSED) return
    this.readyState = WebSocket.CLOSED
    this.#events.dispatchEvent(new Event('error'))
    this.#events.dispatchEvent(new CloseEvent('close', { code: 1006 }))
  }
}
