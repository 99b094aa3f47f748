// Time that a test moves by hand. Timers run in their order, each at its own time.

export class Clock {
  now = 1_800_000_000_000
  #timers = new Map()
  #next = 1

  /** Puts this clock in the place of the process's for the rest of the test. */
  constructor(t) {
    const set = (repeat) => (callback, delay = 0, ...words) => {
      const every = Math.max(1, Number(delay) || 0)
      this.#timers.set(this.#next, { at: this.now + every, every: repeat ? every : undefined, run: () => callback(...words) })
      return this.#next++
    }
    const clear = (id) => this.#timers.delete(id)
    t.mock.method(globalThis, 'setTimeout', set(false))
    t.mock.method(globalThis, 'setInterval', set(true))
    t.mock.method(globalThis, 'clearTimeout', clear)
    t.mock.method(globalThis, 'clearInterval', clear)
    t.mock.method(Date, 'now', () => this.now)
  }

  /** How many timers are set. */
  get pending() {
    return this.#timers.size
  }

  /** Lets time pass. */
  async advance(ms) {
    const end = this.now + ms
    await settled()
    for (;;) {
      const [id, timer] = this.#first() ?? []
      if (!timer || timer.at > end) break
      this.now = Math.max(this.now, timer.at)
      if (timer.every) timer.at = this.now + timer.every
      else this.#timers.delete(id)
      timer.run()
      await settled()
    }
    this.now = end
  }

  /** Time passes, but nothing runs: the machine sleeps. What was due in that time runs when it wakes. */
  async sleep(ms) {
    this.now += ms
    await this.advance(0)
  }

  #first() {
    return [...this.#timers].sort(([, a], [, b]) => a.at - b.at)[0]
  }
}

/** Lets everything that is ready to run, run. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve))
}
