// What costs a crossing for each step when it is done from Rust: values are taken apart and put together here, listeners
// called and sockets heard. It decides nothing.

/**
 * The tags of frames, in an order that `frames.rs` knows, with the keys of a word and of two numbers in each. Where there is
 * a number and no word, that of the tag is as good as any.
 */
const FRAMES = [
  'msg i o p',
  'welcome id v ka',
  'ok why o',
  'err r',
  'ping',
  'gap why o',
  'pos t o',
  'ack i o',
  'bye t code after',
  'hist t o',
  'auth t exp',
].map((words) => words.split(' '))

function text(value) {
  if (typeof value == 'string') return value
}

function integer(value) {
  return Number.isSafeInteger(value) && value >= 0 ? value : NaN
}

/** Refuses options that are no object. */
function object(options) {
  if (options !== undefined && (typeof options != 'object' || options === null)) throw invalid('options', 'an object')
}

/** `options[name]` when it is undefined or of this type; otherwise throws that it must be what is `allowed`. */
function option(options, name, type, allowed) {
  const value = options?.[name]
  if (value !== undefined && (typeof value != type || value === null)) throw invalid(name, allowed)
  return value
}

function flag(options, name) {
  return option(options, name, 'boolean', 'true or false')
}

function callable(options, name) {
  return option(options, name, 'function', 'a function')
}

/** The longest that a timer can wait. */
const LONGEST_MS = 2 ** 31 - 1

/** The options of a client that are numbers, in an order that `settings.rs` knows, with the least and the most. */
const NUMBERS = {
  maxReconnectAttempts: [0, Infinity],
  reconnectInitialDelayMs: [0, LONGEST_MS],
  reconnectMaxDelayMs: [0, LONGEST_MS],
  connectTimeoutMs: [1, LONGEST_MS],
  outboxLimit: [0, Infinity],
  outboxMaxBytes: [0, Infinity],
  // A gateway keeps idempotency keys for 5 minutes, and a repeat has to come well before.
  outboxMaxAgeMs: [1, 240_000],
}

/** Those of a page of history. */
const PAGE_NUMBERS = { limit: [1, 1000], before: [0, Number.MAX_SAFE_INTEGER] }

/** The numbers among the options, in the order of `bounds`; `undefined` where nothing is said. */
function numbers(options, bounds) {
  return Object.entries(bounds).map(([name, [least, most]]) => {
    const allowed = `a whole number from ${least} to ${most}`
    const value = option(options, name, 'number', allowed)
    const whole = value >= least && value <= most && value == Math.floor(value)
    if (!whole && value !== undefined) throw invalid(name, allowed)
    return value
  })
}

/** The number in this place among settings, unless nothing is said about it. */
export function number({ numbers }, place, otherwise) {
  return numbers[place] ?? otherwise
}

/** The options of a client, checked. */
export function settings(options, path) {
  object(options)
  const connect = flag(options, 'autoConnect') ?? true
  const url = address(options?.url, path)
  const getToken = callable(options, 'getToken')
  const factory = callable(options, 'webSocketFactory')
  if (!factory && typeof globalThis.WebSocket != 'function')
    throw failure('no-websocket', 'there is no WebSocket here: pass webSocketFactory')
  const logger = option(options, 'logger', 'object', 'an object like console')
  return { numbers: numbers(options, NUMBERS), connect, url, getToken, tokens: !!getToken, factory, logger }
}

/** The absolute address of a gateway, also given relative to the page; `http` and `https` stand for `ws` and `wss`. */
function address(given, path) {
  const page = globalThis.location?.href
  if (given === undefined && page === undefined)
    throw failure('no-url', "there is no page to take the gateway's url from: pass url")
  try {
    if (given === undefined) given = path
    if (typeof given == 'string') {
      const url = new URL(given, page)
      url.protocol = url.protocol.replace('http', 'ws')
      if (/^wss?:$/.test(url.protocol) && !url.hash) return url.href
    }
  } catch {}
  throw invalid('url', 'the address of a WebSocket, like wss://example.com/_broadcast')
}

/** Which page of history is wanted. */
export function page(options) {
  object(options)
  return { numbers: numbers(options, PAGE_NUMBERS), attach: !!flag(options, 'untilAttach') }
}

export function put(map, key, value) {
  map.set(key, value)
}

export function take(map, key) {
  const value = map.get(key)
  map.delete(key)
  return value
}

/** The handle of a channel with these listeners, while the application holds it. */
export function kept(sets) {
  return sets.handle?.deref()
}

export function keep(sets, handle) {
  sets.handle = new WeakRef(handle)
}

/** What the page is like, in numbers that `page.rs` knows. */
export function network() {
  return globalThis.navigator?.onLine === false ? 1 : 0
}

export function visibility() {
  return globalThis.document?.hidden === true ? 3 : 2
}

/** What is listened to, all of it at the window: a change of visibility comes up from the document. */
const CHANGES = ['online', 'offline', 'pageshow', 'visibilitychange']

/** Tells `link.page` of changes until that is called off. Where nothing reports such things, as in Node.js, not at all. */
export function watch(link) {
  if (typeof globalThis.addEventListener != 'function') return
  const listener = ({ type, persisted }) => {
    // A page that is shown for the first time has just connected.
    if (type != 'pageshow') link.page(type == 'visibilitychange' ? visibility() : network())
    else if (persisted) link.page(4)
  }
  for (const change of CHANGES) addEventListener(change, listener)
  return () => {
    for (const change of CHANGES) removeEventListener(change, listener)
  }
}

/** Calls off what can be called off. */
export function end(ending) {
  ending?.()
}

/**
 * Opens a socket and listens to it. An event goes to `link.message`, as numbers: that of its channel in `channels`, or 0,
 * and its offset and the one before it, or NaN. The answer says whether it is for the channel's listeners, and they have
 * had it when `link.proceed` is called. Everything else goes to `link.frame`, field by field. The socket's end goes to
 * `link.closed`, and a failure before it with the code 0: the answer says whether anybody minds.
 */
export function open(settings, link, socket, channels) {
  const { factory, url, logger } = settings
  const target = factory ? factory(url) : new WebSocket(url)
  // The listeners belong to the socket and are collected with it, so that one without `removeEventListener` will do.
  target.addEventListener('message', ({ data }) => {
    let frame
    try {
      if (typeof data == 'string') frame = JSON.parse(data)
    } catch {}
    const { t, c, e, d, i, o, p } = (frame ||= {})
    const channel = channels.get(c)
    const number = channel ? channel.number : 0
    const event = t == 'msg' && typeof i == 'string'
    const verdict = event ? link.message(socket, number, integer(o), integer(p)) : 0
    if (verdict) {
      if (verdict == 1) return
      if (verdict == 2 || !repeated(channel.sets, i)) emit(channel.sets, e, d === undefined ? null : d, settings)
      return link.proceed()
    }
    const { ep, n, rec, ev } = frame
    const tag = FRAMES.findIndex(([name]) => name === t)
    const [, word, first, second] = FRAMES[tag] ?? []
    const recovered = rec === true ? 2 : rec === false ? 1 : 0
    const numbers = [frame[first], frame[second], n].map(integer)
    // An error may be about no channel. Other names are no empty texts.
    const id = text(frame[word])
    link.frame(
      socket,
      tag + 1,
      number,
      t == 'err' ? text(c) : text(c) || undefined,
      text(e) || undefined,
      t == 'welcome' ? id || undefined : id,
      text(ep),
      t == 'hist' ? ev : d,
      ...numbers,
      recovered,
    )
  })
  target.addEventListener('close', ({ code, reason, wasClean }) =>
    link.closed(socket, code > 0 ? code : 1006, text(reason) || '', !!wasClean),
  )
  target.addEventListener('error', (event) => link.closed(socket, 0, '', false) && log(logger, 'warn', 'the socket failed', event))
  return target
}

/** Enters a channel into a map of channels by their names. */
export function enroll(channels, name, number, sets) {
  channels.set(name, { number, sets })
}

/** The number of a channel, or 0. */
export function find(channels, name) {
  return channels.get(name)?.number | 0
}

/** Why a token is asked for, in an order that `js.rs` knows. */
const REASONS = ['connect', 'expiring', 'refused']

/**
 * Asks `getToken` for a token. It goes to `link.token`, and so does `undefined` when there is none, for a reason that is
 * logged.
 */
export function token({ getToken, logger }, reason, link, socket) {
  new Promise((resolve) => resolve(getToken({ reason: REASONS[reason] })))
    .then((token) => name('what getToken gives', token))
    .catch((exception) => void log(logger, 'warn', 'getToken failed', exception))
    .then((token) => link.token(socket, token))
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

/** The message of what was thrown. */
export function message(thrown) {
  return text(thrown?.message) ?? ''
}

/** `word` when it is a string that is not empty. */
export function name(what, word) {
  if (word && typeof word == 'string') return word
  throw invalid(what, 'a string that is not empty')
}

/** The frames that are sent: tag and keys, in an order that `frames.rs` knows. */
const SENT = ['pub c e d', 'sub c rc', 'unsub c', 'hist c limit before n', 'auth tk', 'pong']

/** The JSON of a frame with these values. */
export function write(frame, ...values) {
  const [t, ...keys] = SENT[frame].split(' ')
  return JSON.stringify({ t, ...record(keys, values) })
}

/** A publish: its promise, and its text. */
export function publish(channel, event, data) {
  name('event', event)
  if (/function|symbol/.test(typeof data)) throw invalid('data', 'a value that JSON can express')
  const text = write(0, channel, event, data)
  return Object.assign(deferred(), { text })
}

/** A position as it is sent. */
export function position(ep, o) {
  return { ep, o }
}

/**
 * Adds a function to the set under `event`, NaN being gaps and `*` every event: that set is under `sets`. Returns what
 * takes it out, and only it: it may be in there twice.
 */
export function listen(sets, event, what, listener) {
  if (event === event) name('event', event)
  if (typeof listener != 'function') throw invalid(what, 'a function')
  const key = event == '*' ? sets : event
  let set = sets.get(key)
  if (!set) sets.set(key, (set = new Set()))
  const entry = listener.bind()
  set.add(entry)
  set.list = undefined
  return () => {
    set.delete(entry)
    set.list = undefined
  }
}

/** Hands an event to the functions in its set, and to those that hear every event when it has a name: `sets` is their key. */
export function emit(sets, event, data, { logger }) {
  call(sets, event, logger, data)
  if (event && typeof event == 'string') call(sets, sets, logger, event, data)
}

/**
 * Calls the functions in the set `sets.get(key)` with `word`, and with `another` unless it is undefined: in order, as
 * long as they stay in the set; one that is added meanwhile is not called. What they throw is logged after the last.
 */
function call(sets, key, logger, word, another) {
  const set = sets.get(key)
  if (!set) return
  let thrown
  const list = (set.list ??= [...set])
  for (const each of list) {
    try {
      if (set.list != list && !set.has(each)) continue
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
function log(logger, level, message, detail) {
  const callable = typeof logger?.[level] == 'function'
  try {
    if (callable) logger[level](message, detail)
  } catch {
    // A logger that throws has nowhere to say so.
  }
  return callable
}

/** Whether `word` is among the last thousand ids beside `sets`; if not, it goes in. */
export function repeated(sets, word) {
  const set = (sets.ids ??= new Set())
  if (set.has(word)) return true
  set.add(word)
  if (set.size > 1000) set.delete(set.values().next().value)
  return false
}

/** An object with these values under these keys. What is `undefined` is left out. */
function record(keys, values) {
  const object = {}
  keys.forEach((key, index) => {
    if (values[index] !== undefined) object[key] = values[index]
  })
  return object
}

/** What promises are resolved with: keys, in an order that `js.rs` knows. */
const RESULTS = ['ok id offset', 'ok reason', 'events epoch offset']

/** Resolves a promise with an object that has these values. */
export function resolve(promise, result, ...values) {
  promise.resolve(record(RESULTS[result].split(' '), values))
}

/** What promises are rejected for, in an order that `js.rs` knows. */
const FAILURES = [
  'the client is closed',
  'the channel was left',
  'the gateway refused the channel',
  'there is no page of history',
]

/** Rejects a promise with an error that has this code. */
export function reject(promise, code, reason) {
  promise.reject(failure(code, FAILURES[reason]))
}

/** The promise that is kept beside these listeners: one for all who wait. */
export function wait(sets) {
  return (sets.ready ??= deferred()).promise
}

/** Settles that promise: rejects it when there is a code. */
export function settle(sets, code, reason) {
  const { ready } = sets
  if (!ready) return
  sets.ready = undefined
  if (code === undefined) ready.resolve()
  else reject(ready, code, reason)
}

/** The events of a client: name and keys, in an order that `js.rs` knows. */
const EVENTS = [
  'open',
  'close code reason wasClean',
  'reconnecting attempt delayMs',
  'subscribed channel',
  'error channel reason',
  'state from to',
  'gap channel why',
  'drain afterMs',
]

/** Tells the listeners of a client an event with an object that has these values, and logs it. */
export function tell(sets, { logger }, event, ...values) {
  const [name, ...keys] = EVENTS[event].split(' ')
  const detail = event ? record(keys, values) : undefined
  log(logger, 'debug', name, detail)
  call(sets, name, logger, detail)
}

/** Tells the listeners to gaps of one. */
export function gap(sets, { logger }, channel, why) {
  call(sets, NaN, logger, { channel, why })
}

/** The events of a page of history as the application gets them; `null` where there is nothing. */
export function events(list) {
  return (Array.isArray(list) ? list : [])
    .filter((each) => each && typeof each == 'object')
    .map(({ e = null, d = null, i = null, o = null }) => ({ event: e, data: d, id: i, offset: o }))
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
  for (const set of sets.values()) set.clear(), (set.list = undefined)
  sets.clear()
}

/** How long the text of a publish is in UTF-8. */
export function bytes({ text }) {
  return new TextEncoder().encode(text).length
}

/** A promise and the functions that settle it. */
export function deferred() {
  const made = {}
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}

/** A mistake in the program: what it is about, and what is allowed. */
function invalid(what, allowed) {
  return Object.assign(new TypeError(`${what} must be ${allowed}`), { code: 'invalid-argument' })
}

/** Something that cannot be done, and why. */
function failure(code, message) {
  return Object.assign(new Error(message), { code })
}
