// The way to the gateway: our own client for what it tells, and requests for what it is asked.

import { BroadcastClient } from './tidings.js'

/** The gateway does not take the key. */
export class Refused extends Error {}

export class Line {
  #key
  #client

  constructor(key) {
    this.#key = key
  }

  /** Asks for a list; `signal` gives up. */
  async get(path, parameters = {}, signal = undefined) {
    const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== '')
    return this.#fetch(`/operator/${path}?${new URLSearchParams(given)}`, { signal })
  }

  async post(path, body) {
    const headers = { 'content-type': 'application/json' }
    return this.#fetch(`/operator/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  }

  async #fetch(url, options) {
    const headers = { ...options.headers, authorization: `Bearer ${this.#key}` }
    const response = await fetch(url, { ...options, headers })
    const answer = await response.json()
    if (response.status === 401) throw new Refused('this key is not valid')
    if (!response.ok) throw new Error(answer.detail ?? `the gateway answered ${response.status}`)
    return answer
  }

  /** The client, which connects when it is first asked for. */
  get client() {
    this.#client ??= new BroadcastClient({ getToken: () => this.#key, reconnectMaxDelayMs: 2_000, connectTimeoutMs: 5_000 })
    return this.#client
  }

  close() {
    this.#client?.disconnect()
  }
}
