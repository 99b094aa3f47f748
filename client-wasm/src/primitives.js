// What costs a crossing for each step when it is done from Rust. It knows JavaScript, and nothing of the client.

/**
 * A listener for a socket. A text that holds JSON goes to `link.frame`: with the numbers that the maps `tags` and
 * `channels` have for its `t` and `c`, or 0, with whether `i` is a string, with `e` and `d`, and with `o` and `p`, or
 * NaN when they are no numbers. Whatever else there is goes to `link.event`.
 */
export function listener(link, socket, tags, channels) {
  return (event) => {
    const { data } = event
    let frame
    try {
      if (typeof data == 'string') frame = JSON.parse(data)
    } catch {}
    if (frame) {
      const { t, c, e, d, i, o, p } = frame
      link.frame(socket, frame, tags.get(t) | 0, channels.get(c) | 0, typeof i == 'string', e, d, number(o), number(p))
    } else link.event(socket, event)
  }
}

function number(value) {
  return typeof value == 'number' ? value : NaN
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

/** Whether `word` is in the set; if not, it goes in, and the oldest of more than `limit` goes out. */
export function repeated(set, word, limit) {
  if (set.has(word)) return true
  set.add(word)
  if (set.size > limit) set.delete(set.values().next().value)
  return false
}

/** An object with these values under these names, between which is a space. What is `undefined` is left out. */
export function record(names, ...values) {
  const object = {}
  names.split(' ').forEach((name, index) => {
    if (values[index] !== undefined) object[name] = values[index]
  })
  return object
}

/** What the objects in a list have under `keys`, under `names`; `null` where there is nothing. */
export function renamed(list, keys, names) {
  return (Array.isArray(list) ? list : [])
    .filter((each) => each && typeof each == 'object')
    .map((each) => record(names, ...keys.split(' ').map((key) => each[key] ?? null)))
}

/** The JSON text of an object that has the properties of two, neither of which is empty. */
export function join(text, another) {
  return text.slice(0, -1) + ',' + another.slice(1)
}

/** A word that no other client has. */
export function unique() {
  return Date.now().toString(36) + Math.random().toString(36).slice(2) + '-'
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
