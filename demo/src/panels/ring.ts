/** The newest values, up to a limit. */
export class Ring<T> {
  readonly #values: T[] = []
  #next = 0

  constructor(private readonly limit: number) {}

  push(value: T): void {
    this.#values[this.#next] = value
    this.#next = (this.#next + 1) % this.limit
  }

  newestFirst(): T[] {
    return [...this.#values.slice(this.#next), ...this.#values.slice(0, this.#next)].reverse()
  }

  clear(): void {
    this.#values.length = 0
    this.#next = 0
  }
}
