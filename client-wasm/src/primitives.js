// What costs a crossing for each step when it is done from Rust. It knows JavaScript, and nothing of the client.

/**
 * Opens a socket and listens to it. Every message goes to `link.frame`: the JSON that it holds, or an empty object, with the
 * numbers that the maps `tags` and `channels` have for its `t` and `c`, or 0, with whether `i` is a string, with `e` and
 * `d`, and with `o` and `p`, or NaN when they are no numbers. Its end goes to `link.event`, and so does an error.
 */
export function open(factory, url, link, socket, tags, channels) {
  const target = factory ? factory(url) : new WebSocket(url)
  // The listeners belong to the socket and are collected with it, so that one without `removeEventListener` will do.
  target.addEventListener('message', ({ data }) => {
    let frame
    try {
      if (typeof data == 'string') frame = JSON.parse(data)
    } catch {}
    const { t, c, e, d, i, o, p } = (frame ||= {})
    link.frame(socket, frame, tags.get(t) | 0, channels.get(c) | 0, typeof i == 'string', e, d, number(o), number(p))
  })
  target.addEventListener('close', (event) => link.event(socket, true, event))
  target.addEventListener('error', (event) => link.event(socket, false, event))
  return target
}

/** Whether the socket took the text. */
export function send(socket, text) {
  try {
    if (socket.readyState == 1) return socket.send(text), true
  } catch {}
  return false
}

/** Closes a socket. One that cannot be closed is let go all the same. */
export function close(socket, code, reason) {
  try {
    socket.close(code, reason)
  } catch {}
}

/** NaN for what is no number. */
export function number(value) {
  return typeof value == 'number' ? value : NaN
}

/**
 * Calls the functions in the set `sets.get(key)` with `word`, and with `another` unless it is undefined: in order, as
 * long as they stay in the set; one that is added meanwhile is not called. What they throw is logged after the last.
 */
export function call(sets, key, logger, word, another) {
  const set = sets.get(key)
  if (!set) return
  let thrown
  for (const each of [...set]) {
    try {
      if (!set.has(each)) continue
      if (another === undefined) each(word)
      else each(word, another)
    } catch (exception) {
      ;(thrown ??= []).push(exception)
    }
  }
  thrown?.forEach((exception) => {
    const report = ['error', 'a listener threw', exception]
    log(logger, ...report) || log(globalThis.console, ...report)
  })
}

/** Calls a method of a logger, if it has that. Returns whether it has. */
export function log(logger, level, message, detail) {
  const callable = typeof logger?.[level] == 'function'
  try {
    if (callable) logger[level](message, detail)
  } catch {
    // A logger that throws has nowhere to say so.
  }
  return callable
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

/** The text of a publish with the number of its request, and with the idempotency key that begins with `key`. */
export function numbered({ text }, number, key) {
  return `${text.slice(0, -1)},"n":${number},"k":"${key}${number}"}`
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

/** How long the text of a publish is in UTF-8. */
export function bytes({ text }) {
  return new TextEncoder().encode(text).length
}

/** A promise and the functions that settle it; that of a publish has its text. */
export function deferred(text) {
  const made = { text }
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}

/** A mistake in the program: what it is about, and what is allowed. */
export function invalid(what, allowed) {
  return Object.assign(new TypeError(`${what} must be ${allowed}`), { code: 'invalid-argument' })
}

/** Something that cannot be done, and why. */
export function failure(code, message) {
  return Object.assign(new Error(message), { code })
}

/** The absolute address of a WebSocket, or `undefined`; `http` and `https` stand for `ws` and `wss`. */
export function address(given, base) {
  try {
    const url = new URL(given, base)
    url.protocol = url.protocol.replace('http', 'ws')
    if (/^wss?:$/.test(url.protocol) && !url.hash) return url.href
  } catch {}
}
