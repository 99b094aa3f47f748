// A TCP proxy that does to connections what networks do.

import { connect, createServer } from 'node:net'

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
    this.url = `ws://127.0.0.1:${this.#server.address().port}/_broadcast`
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
    near.on('data', (bytes) => far.write(bytes))
    far.on('data', (bytes) => {
      if (!this.deaf) near.write(bytes)
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
