// What costs a crossing for each step when it is done from Rust. It knows JavaScript, and nothing of the client.

/**
 * A listener for a socket. A text that holds JSON goes to `link.frame`: with the numbers that the maps `tags` and
 * `channels` have for its `t` and `c`, or 0, with whether `i` is a string, and with `e` and `d`. Whatever else there
 * is goes to `link.event`.
 */
export function listener(link, socket, tags, channels) {
  return (event) => {
    const { data } = event
    let frame
    try {
      if (typeof data == 'string') frame = JSON.parse(data)
    } catch {}
    if (frame) {
      const { t, c, e, d, i } = frame
      link.frame(socket, frame, tags.get(t) | 0, channels.get(c) | 0, typeof i == 'string', e, d)
    } else link.event(socket, event)
  }
}

/**
 * Calls the functions in the set `sets.get(key)` with `word`, and with `another` unless it is undefined: in order, as
 * long as they stay in the set; one that is added meanwhile is not called. Returns what was thrown, if anything was.
 */
export function call(sets, key, word, another) {
  const set = sets.get(key)
  let thrown
  if (set) {
    for (const each of [...set]) {
      try {
        if (!set.has(each)) continue
        if (another === undefined) each(word)
        else each(word, another)
      } catch (exception) {
        ;(thrown ??= []).push(exception)
      }
    }
  }
  return thrown
}

/** Empties every set of `sets`, and `sets`. */
export function clear(sets) {
  for (const set of sets.values()) set.clear()
  sets.clear()
}

/** How long a text is in UTF-8. */
export function bytes(text) {
  return new TextEncoder().encode(text).length
}

/** A promise and the functions that settle it. */
export function deferred() {
  const made = {}
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}
