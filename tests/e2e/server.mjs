// The real gateway, as its own process on a free port.

import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import { guard } from './children.mjs'
import { binary, environment } from './environment.mjs'
import { PATIENCE, within } from './wait.mjs'

/** Starts a gateway with these flags; it goes when the test ends. */
export async function startServer(t, flags = []) {
  const server = new Server(flags)
  t.after(() => server.kill())
  await server.start()
  return server
}

class Server {
  /** What it printed. */
  log = ''
  #flags
  #child
  #lines = new EventEmitter()
  #bind = '127.0.0.1:0'

  constructor(flags) {
    this.#flags = flags
  }

  async start() {
    const words = ['serve', '--bind', this.#bind, ...this.#flags]
    const child = guard(spawn(binary(), words, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] }))
    this.#child = child
    const address = new Promise((resolve, reject) => {
      const read = (line) => {
        this.log += `${line}\n`
        this.#lines.emit('line')
        const found = /listening on (http:\/\/(127\.0\.0\.1:\d+))/.exec(line)
        if (found) resolve(found)
      }
      createInterface({ input: child.stdout }).on('line', read)
      createInterface({ input: child.stderr }).on('line', read)
      child.once('error', reject)
      child.once('close', (code, signal) => reject(new Error(`the gateway ended (${code ?? signal}):\n${this.log}`)))
    })
    ;[, this.origin, this.#bind] = await address
  }

  /** The address of its WebSocket. */
  get url() {
    return `${this.origin.replace('http', 'ws')}/_broadcast`
  }

  /** An event from the application behind the gateway. */
  async publish(channel, event, data) {
    const response = await fetch(`${this.origin}/api/publish`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ channel, event, data }),
    })
    const body = await response.text()
    if (!response.ok) throw new Error(`publish answered ${response.status}: ${body}`)
    return body ? JSON.parse(body) : undefined
  }

  /** Resolves once it has printed something like this, with what was found. */
  async logged(pattern) {
    for (;;) {
      const found = pattern.exec(this.log)
      if (found) return found
      await within(once(this.#lines, 'line'), `${pattern} in the log`)
    }
  }

  /** Resolves once so many clients hear what is published on a channel. */
  async heardBy(channel, count = 1, headers = {}) {
    const until = Date.now() + PATIENCE
    for (;;) {
      const response = await fetch(`${this.origin}/api/channels/${encodeURIComponent(channel)}`, { headers })
      const body = await response.text()
      if (!response.ok) throw new Error(`the channel ${channel} is answered with ${response.status}: ${body}`)
      const { subscribers } = JSON.parse(body)
      if (subscribers >= count) return
      if (Date.now() > until) throw new Error(`${channel} has ${subscribers} subscribers, and not ${count}`)
    }
  }

  /** Ends it without a goodbye. */
  async kill() {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }

  /** Asks it to end, as a supervisor does; resolves with its exit code. */
  async terminate() {
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    return (await exit)[0]
  }

  /** Kills it and starts it again on the same port. */
  async restart() {
    await this.kill()
    await this.start()
  }
}
