/** Passes the first value at once and then the newest one, never more often than the interval. */
export class Throttle<T> {
  #timer: ReturnType<typeof setTimeout> | undefined
  #waiting: { value: T } | undefined

  constructor(
    private readonly everyMs: number,
    private readonly pass: (value: T) => void,
  ) {}

  push(value: T): void {
    if (this.#timer !== undefined) {
      this.#waiting = { value }
      return
    }
    this.#timer = setTimeout(() => this.#next(), this.everyMs)
    this.pass(value)
  }

  cancel(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#waiting = undefined
  }

  #next(): void {
    this.#timer = undefined
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting) this.push(waiting.value)
  }
}
