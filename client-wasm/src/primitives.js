// What costs a crossing for each step when it is done from Rust. It knows JavaScript, and nothing of the client.

/**
 * A listener for a socket. It hands a text that holds JSON to `link.frame`, with what is in it under the keys of an
 * event (numbers as NaN when they are none), and whatever else there is to `link.event`.
 */
export function listener(link, socket) {
  return (event) => {
    const { data } = event
    let frame
    try {
      if (typeof data == 'string') frame = JSON.parse(data)
    } catch {}
    if (frame) {
      link.frame(socket, frame, frame.t, frame.c, frame.e, frame.d, frame.i, number(frame.o), number(frame.p))
    } else link.event(socket, event)
  }
}

function number(value) {
  return typeof value == 'number' ? value : NaN
}

/**
 * Calls the functions in the set `sets.get(key)`, in order, as long as they stay in it; one that is added meanwhile
 * is not called. Returns what was thrown, if anything was.
 */
export function call(sets, key, ...words) {
  const set = sets.get(key)
  let thrown
  if (set) {
    for (const each of [...set]) {
      try {
        if (set.has(each)) each(...words)
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
