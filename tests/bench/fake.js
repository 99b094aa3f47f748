// Takes the place of the page's WebSocket before any library is loaded.

class FakeWebSocket {
  static CONNECTING = 0
  static OPEN = 1
  static CLOSING = 2
  static CLOSED = 3
  /** Every socket that was made. */
  static made = []

  readyState = 0
  protocol = ''
  extensions = ''
  binaryType = 'blob'
  bufferedAmount = 0
  onopen = null
  onmessage = null
  onclose = null
  onerror = null
  #listeners = { open: [], message: [], close: [], error: [] }
  #server

  constructor(url) {
    this.url = String(url)
    FakeWebSocket.made.push(this)
    setTimeout(() => {
      this.#server = FakeWebSocket.serve(this)
      this.readyState = 1
      this.#dispatch({ type: 'open', target: this })
      this.#server.opened(this)
    })
  }

  addEventListener(type, listener) {
    this.#listeners[type].push(listener)
  }

  removeEventListener(type, listener) {
    this.#listeners[type] = this.#listeners[type].filter((other) => other !== listener)
  }

  send(text) {
    setTimeout(() => this.#server.answer(this, text))
  }

  close(code = 1005, reason = '') {
    if (this.readyState === 3) return
    this.readyState = 3
    setTimeout(() => this.#dispatch({ type: 'close', target: this, code, reason, wasClean: true }))
  }

  /** A message from the server. */
  push(data) {
    this.#dispatch({ type: 'message', target: this, data })
  }

  #dispatch(event) {
    this[`on${event.type}`]?.(event)
    for (const listener of this.#listeners[event.type]) listener(event)
  }
}

globalThis.FakeWebSocket = FakeWebSocket
globalThis.WebSocket = FakeWebSocket
