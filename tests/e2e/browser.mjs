// Pages in a real Chromium that have the package at hand.

import { after } from 'node:test'
import { launch } from './chromium.mjs'
import { PATIENCE } from './wait.mjs'

let launched

/** One browser per test process. */
export function browser() {
  launched ??= launch()
  return launched
}

after(async () => (await launched)?.close())

/** A browser profile of its own; it goes when the test ends. */
export async function openContext(t, options = {}) {
  const context = await (await browser()).newContext(options)
  context.setDefaultTimeout(PATIENCE)
  t.after(() => context.close())
  return context
}

/** A tab at this address. What it complains about is in `page.complaints`. */
export async function openPage(context, address) {
  const page = await context.newPage()
  page.complaints = []
  page.on('pageerror', (error) => page.complaints.push(String(error)))
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) page.complaints.push(message.text())
  })
  await page.goto(address)
  return page
}

/** Makes `window.client` in a page, with every lifecycle event of it in `window.life` as `[name, payload]`. */
export async function connectIn(page, options = {}) {
  await page.evaluate(async (options) => {
    const { BroadcastClient } = await import('tidings')
    window.life = []
    window.client = new BroadcastClient(options)
    for (const name of ['open', 'close', 'reconnecting', 'subscribed', 'error', 'state']) {
      client.on(name, (payload) => life.push([name, payload]))
    }
    await client.ready()
  }, options)
}

/** Resolves once `count` lifecycle events of this name have come in a page. */
export function lived(page, name, count = 1) {
  return page.waitForFunction(([name, count]) => life.filter((entry) => entry[0] === name).length >= count, [name, count])
}
