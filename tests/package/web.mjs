// Static files over HTTP, and a browser that looks at them.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'

import { launch } from '../e2e/chromium.mjs'
import { PATIENCE } from '../e2e/wait.mjs'
import { startGateway } from './gateway.mjs'

const types = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css' }

/** For `waitForSelector`: in the document, visible or not. */
export const attached = { state: 'attached' }

/** An application of a few lines: joins a channel and shows in the page what has come. */
export const application = `
import { BroadcastClient } from 'tidings'

const client = new BroadcastClient({ url: new URLSearchParams(location.search).get('gateway') })
client.on('subscribed', ({ channel }) => { document.body.dataset.subscribed = channel })
client.channel('package.test').on('greeting', (data) => { document.body.dataset.greeting = data.text })
`

export function html(script) {
  return `<!doctype html><html lang="en"><head><title>test</title><link rel="icon" href="data:,"></head>
<body>${script}</body></html>`
}

/** Serves requests by a handler, on a port of its own; returns its origin. */
export async function serve(t, handler, server = createServer()) {
  server.on('request', handler)
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${server.address().port}`
}

export function serveFolder(t, root, headers = {}) {
  return serve(t, async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost')
    const path = pathname.endsWith('/') ? `${pathname}index.html` : pathname
    const body = await readFile(join(root, normalize(path))).catch(() => undefined)
    if (body === undefined) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream', ...headers })
    response.end(body)
  })
}

export async function openBrowser(t) {
  const browser = await launch()
  t.after(() => browser.close())
  return browser
}

/** Opens a page and collects what it complains about. */
export async function openPage(t, address) {
  const browser = await openBrowser(t)
  const page = await browser.newPage()
  page.setDefaultTimeout(PATIENCE)
  const complaints = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  await page.goto(address)
  return { page, complaints }
}

/** Opens the application at this origin, beside a real gateway, and sees an event arrive. */
export async function expectEvent(t, origin, path = '/') {
  const gateway = await startGateway(t, origin)
  const { page, complaints } = await openPage(t, `${origin}${path}?gateway=${encodeURIComponent(gateway.url)}`)
  try {
    await page.waitForSelector('[data-subscribed="package.test"]', attached)
    await gateway.publish('package.test', 'greeting', { text: 'hello' })
    await page.waitForSelector('[data-greeting="hello"]', attached)
  } catch (error) {
    error.message += `\nthe page said: ${complaints.join('\n') || 'nothing'}`
    throw error
  }
  assert.deepEqual(complaints, [])
}
