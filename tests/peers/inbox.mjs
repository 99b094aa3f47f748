import { PATIENCE } from '../e2e/wait.mjs'

/** What a peer has received so far, and a way to wait for more. */
export class Inbox {
  all = []
  #waiting = new Set()

  push(item) {
    this.all.push(item)
    for (const check of [...this.#waiting]) check()
  }

  /** Those that match: an object is matched key by key, a function says so itself. */
  matching(want = {}) {
    return this.all.filter((item) => matches(item, want))
  }

  count(want) {
    return this.matching(want).length
  }

  /** Resolves with the `n`th match, past or future; rejects when it does not come, telling what came instead. */
  until(want, n = 1) {
    return new Promise((resolve, reject) => {
      const check = () => {
        const found = this.matching(want)
        if (found.length < n) return
        this.#waiting.delete(check)
        clearTimeout(timer)
        resolve(found[n - 1])
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(check)
        const wanted = typeof want === 'function' ? want.toString() : JSON.stringify(want)
        reject(new Error(`no match ${n} of ${wanted} in ${PATIENCE} ms among ${JSON.stringify(this.all.slice(-50))}`))
      }, PATIENCE)
      this.#waiting.add(check)
      check()
    })
  }
}

function matches(item, want) {
  if (typeof want === 'function') return want(item)
  return Object.entries(want).every(([key, value]) => JSON.stringify(item?.[key]) === JSON.stringify(value))
}
