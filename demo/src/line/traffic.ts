import type { Wire } from './wire'

export interface Second {
  /** Seconds since 1970. */
  second: number
  received: number
  published: number
}

const KEPT = 65

/** Events in and out, counted second by second from the frames on the wire. */
export class Traffic {
  readonly seconds: Second[] = []

  constructor(wire: Wire) {
    wire.frame.on(({ direction, tag }) => {
      if (direction === 'in' && tag === 'msg') this.#now().received++
      if (direction === 'out' && tag === 'pub') this.#now().published++
    })
  }

  /** Events of the last whole second. */
  get rate(): { received: number; published: number } {
    const last = Math.floor(Date.now() / 1000) - 1
    return this.seconds.findLast(({ second }) => second === last) ?? { received: 0, published: 0 }
  }

  #now(): Second {
    const second = Math.floor(Date.now() / 1000)
    const newest = this.seconds.at(-1)
    if (newest?.second === second) return newest
    const next = { second, received: 0, published: 0 }
    this.seconds.push(next)
    if (this.seconds.length > KEPT) this.seconds.shift()
    return next
  }
}
