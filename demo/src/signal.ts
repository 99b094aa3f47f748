/** Something that happens again and again, and those who want to hear of it. */
export class Signal<T> {
  readonly #listeners = new Set<(value: T) => void>()

  /** Returns the function that stops listening. */
  on(listener: (value: T) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  emit(value: T): void {
    for (const listener of [...this.#listeners]) listener(value)
  }
}
