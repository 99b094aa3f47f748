// What is asked for now, and again every two seconds. The newest question counts.

const EVERY = 2_000

export class Watch {
  #ask
  #show
  #onProblem
  #timer
  #asked

  /** `show` gets what `ask(signal)` resolves with, and `onProblem` why it does not. */
  constructor({ ask, show, onProblem }) {
    this.#ask = ask
    this.#show = show
    this.#onProblem = onProblem
  }

  /** Asks now, and every two seconds from then on. */
  async look() {
    this.rest()
    const { signal } = (this.#asked = new AbortController())
    try {
      const answer = await this.#ask(signal)
      if (!signal.aborted) this.#show(answer)
    } catch (error) {
      if (!signal.aborted) this.#onProblem(error)
    }
    if (!signal.aborted) this.#timer = setTimeout(() => this.look(), EVERY)
  }

  /** Asks no more; an answer that is on its way is not shown. */
  rest() {
    clearTimeout(this.#timer)
    this.#asked?.abort()
  }
}
