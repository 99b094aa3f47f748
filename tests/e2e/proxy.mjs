// A TCP proxy that does to connections what networks do.

import { EventEmitter, once } from 'node:events'
import { connect, createServer } from 'node:net'
import { within } from './wait.mjs'

/** Starts a proxy in front of the server at `origin`; it goes when the test ends. */
export async function startProxy(t, origin) {
  const proxy = new Proxy(origin)
  await proxy.listen()
  t.after(() => proxy.close())
  return proxy
}

class Proxy {
  #port
  #server
  #pairs = new Set()
  #text = ''
  #asked = ''
  #events = new EventEmitter()
  /** Whether new connections are refused. */
  shut = false
  /** Whether what the gateway says is thrown away. */
  deaf = false

  constructor(origin) {
    this.#port = new URL(origin).port
  }

  async listen() {
    this.#server = createServer((near) => this.#open(near))
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const host = `127.0.0.1:${this.#server.address().port}`
    this.url = `ws://${host}/_broadcast`
    this.origin = `http://${host}`
  }

  /** Resolves once the gateway has said something like this. */
  async said(pattern) {
    while (!pattern.test(this.#text)) await within(once(this.#events, 'said'), `${pattern}`)
  }

  /** Whether a client has said something like this. */
  wasAsked(pattern) {
    return pattern.test(this.#asked)
  }

  /** Ends every connection behind what was said. */
  end() {
    for (const [near, far] of this.#pairs) {
      near.destroySoon()
      far.destroy()
    }
  }

  /** Ends every connection, at once and in the middle of whatever it was at. */
  cut() {
    for (const [near, far] of this.#pairs) {
      near.resetAndDestroy()
      far.destroy()
    }
  }

  close() {
    this.shut = true
    this.cut()
    this.#server.close()
  }

  #open(near) {
    near.on('error', () => {})
    if (this.shut) return near.resetAndDestroy()
    const far = connect(this.#port, '127.0.0.1')
    far.on('error', () => {})
    const pair = [near, far]
    this.#pairs.add(pair)
    near.on('data', (bytes) => {
      far.write(bytes)
      this.#asked += bytes
    })
    far.on('data', (bytes) => {
      if (!this.deaf) near.write(bytes)
      this.#text += bytes
      this.#events.emit('said')
    })
    for (const socket of pair) {
      socket.once('close', () => {
        this.#pairs.delete(pair)
        near.destroy()
        far.destroy()
      })
    }
  }
}
