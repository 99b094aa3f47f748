import { motionIsReduced } from '../motion'

/** Calls while the page can be seen; no more than once a second for those who want less motion. */
export function every(ms: number, call: () => void): void {
  let last = 0
  setInterval(() => {
    if (document.hidden) return
    if (motionIsReduced() && Date.now() - last < 1000) return
    last = Date.now()
    call()
  }, ms)
}
