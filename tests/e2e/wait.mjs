// Waiting for the thing itself, but not for ever.

/** How long what has to come is waited for, in ms: on a machine that is ten times slower than most it comes as well. */
export const PATIENCE = 60_000

/** The payload of the next event with this name; with `when`, of the first for which that is true. */
export function next(emitter, name, when = () => true) {
  return within(
    new Promise((resolve) => {
      const off = emitter.on(name, (payload) => {
        if (!when(payload)) return
        off()
        resolve(payload)
      })
    }),
    `the event ${name}`,
  )
}

/** `promise`, rejected when it takes longer than `ms`. */
export function within(promise, what, ms = PATIENCE) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come in ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
