// What the gateway has told of itself in the last five minutes. Totals come once a second; rates are made of them.

const KEPT = 300

export class Figures {
  #samples = []

  get last() {
    return this.#samples.at(-1)
  }

  get first() {
    return this.#samples[0]
  }

  add(sample) {
    this.#samples.push(sample)
    this.#samples.splice(0, this.#samples.length - KEPT)
  }

  /** What was told before all that is here. */
  precede(samples) {
    this.#samples = [...samples, ...this.#samples].slice(-KEPT)
  }

  clear() {
    this.#samples = []
  }

  /** A value over time, as pairs of time and value. */
  course(value) {
    return this.#samples.map((sample) => [sample.at, value(sample)])
  }

  /** How fast a total grows over time, by the second. */
  growth(total) {
    return this.#samples.slice(1).map((sample, index) => [sample.at, slope(this.#samples[index], sample, total)])
  }

  /** How much a total has grown since the first sample. */
  grown(total) {
    const { first, last } = this
    return first ? total(last) - total(first) : 0
  }
}

function slope(before, after, total) {
  const seconds = (after.at - before.at) / 1000
  const grown = total(after) - total(before)
  return seconds > 0 && grown >= 0 ? grown / seconds : null
}
