// Who is let in: a key, kept as long as the tab.

import { at } from './dom.js'
import { Line, Refused } from './line.js'

const KEPT = 'tidings.operator.key'

/** Resolves with a line whose key the gateway takes. `why` is said to who has to give one. */
export async function enter(why = '') {
  const kept = sessionStorage.getItem(KEPT)
  if (kept) {
    const { line, refusal } = await attempt(kept, true)
    if (line) return line
    why = refusal
  }
  return ask(why)
}

/** Forgets the key. */
export function forget() {
  sessionStorage.removeItem(KEPT)
}

async function ask(why) {
  const [door, key, refusal, submit] = [at('door'), at('key'), at('refusal'), at('door').querySelector('button')]
  refusal.textContent = why
  door.hidden = false
  key.focus()
  return new Promise((resolve) => {
    door.onsubmit = async (event) => {
      event.preventDefault()
      submit.disabled = true
      const { line, refusal: said } = await attempt(key.value.trim(), false)
      submit.disabled = false
      refusal.textContent = said ?? ''
      if (!line) return key.select()
      sessionStorage.setItem(KEPT, key.value.trim())
      key.value = ''
      door.hidden = true
      resolve(line)
    }
  })
}

/** Whether a key opens. One that did before may go on while the gateway does not answer. */
async function attempt(key, knownBefore) {
  const line = new Line(key)
  try {
    await line.get('figures')
    return { line }
  } catch (error) {
    if (error instanceof Refused) return { refusal: 'This key is not valid.' }
    return knownBefore ? { line } : { refusal: 'The gateway does not answer.' }
  }
}
