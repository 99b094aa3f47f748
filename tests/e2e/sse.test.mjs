// Server-sent events, read by the EventSource of a real browser and by curl.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { openContext, openPage } from './browser.mjs'
import { guard } from './children.mjs'
import { startProxy } from './proxy.mjs'
import { startServer } from './server.mjs'
import { within } from './wait.mjs'
import { serveFolder } from './web.mjs'

const page = '<!doctype html><meta charset="utf-8"><title>SSE</title><link rel="icon" href="data:,">'

/** A gateway, and a page that may or may not use it. */
async function setUp(t, { allowed = true, flags = [] } = {}) {
  const origin = await serveFolder(t, '/nowhere', { '/index.html': page })
  const server = await startServer(t, [...(allowed ? ['--allow-origin', origin] : []), ...flags])
  const context = await openContext(t)
  return { server, origin, page: await openPage(context, `${origin}/`) }
}

/** Opens `window.source` in a page; what it hears is in `window.heard` as `[name, data, id]`. */
function listen(page, address, options = {}) {
  return page.evaluate(([address, options]) => {
    window.heard = []
    window.source = new EventSource(address, options)
    source.onopen = () => heard.push(['open'])
    source.onerror = () => heard.push(['error', source.readyState])
    for (const name of ['tick', 'message', 'gap', '_error']) {
      source.addEventListener(name, ({ type, data, lastEventId }) => heard.push([type, JSON.parse(data), lastEventId]))
    }
  }, [address, options])
}

/** Resolves once a page has heard so many events of this name. */
function heard(page, name, count = 1) {
  return page.waitForFunction(([name, count]) => window.heard.filter(([type]) => type === name).length >= count, [name, count])
}

const data = (page, name) =>
  page.evaluate((name) => window.heard.filter(([type]) => type === name).map(([, data]) => data), name)

test('an EventSource gets events of one channel and of several', async (t) => {
  const { server, page } = await setUp(t)
  await listen(page, `${server.origin}/_broadcast/sse?channel=a`)
  await heard(page, 'open')
  await server.heardBy('a')
  await server.publish('a', 'tick', { n: 1 })
  await server.publish('a', 'message', 'grüß dich\n')
  await server.publish('a', 'error', [])
  await heard(page, '_error')
  assert.deepEqual(await data(page, 'tick'), [{ n: 1 }])
  assert.deepEqual(await data(page, 'message'), ['grüß dich\n'])
  assert.deepEqual(await data(page, 'error'), [])

  await page.evaluate(() => source.close())
  await listen(page, `${server.origin}/_broadcast/sse?channel=a&channel=${encodeURIComponent('б&')}`)
  await heard(page, 'open')
  await server.heardBy('б&')
  await server.publish('б&', 'tick', null)
  await heard(page, 'tick')
  assert.deepEqual(await data(page, 'tick'), [{ c: 'б&', d: null }])
  assert.deepEqual(page.complaints, [])
})

test('a cut connection comes back and has missed nothing', async (t) => {
  const { server, page } = await setUp(t)
  const proxy = await startProxy(t, server.origin)
  await listen(page, `${proxy.origin}/_broadcast/sse?channel=a`)
  await heard(page, 'open')
  await server.heardBy('a')
  for (let n = 0; n < 10; n++) await server.publish('a', 'tick', n)
  await heard(page, 'tick', 10)
  proxy.shut = true
  proxy.end()
  await heard(page, 'error')
  for (let n = 10; n < 20; n++) await server.publish('a', 'tick', n)
  proxy.shut = false
  await heard(page, 'tick', 20)
  for (let n = 20; n < 25; n++) await server.publish('a', 'tick', n)
  await heard(page, 'tick', 25)
  assert.deepEqual(await data(page, 'tick'), Array.from({ length: 25 }, (_, n) => n))
  assert.deepEqual(await data(page, 'gap'), [])
})

test('channels that were quiet until the cut recover too', async (t) => {
  const { server, page } = await setUp(t)
  const proxy = await startProxy(t, server.origin)
  await listen(page, `${proxy.origin}/_broadcast/sse?channel=a&channel=b`)
  await proxy.said(/^id: \w+:0,\w+:0$/m)
  // Chromium may drop what it has not read when a connection ends. What it has read shows in what it asks for next.
  for (let opened = 1; !proxy.wasAsked(/^last-event-id: \w+:0,\w+:0\r$/im); opened++) {
    await heard(page, 'open', opened)
    proxy.end()
    await heard(page, 'open', opened + 1)
  }
  const errors = await page.evaluate(() => window.heard.filter(([type]) => type === 'error').length)
  proxy.shut = true
  proxy.end()
  await heard(page, 'error', errors + 1)
  await server.publish('b', 'tick', 1)
  await server.publish('b', 'tick', 2)
  proxy.shut = false
  await heard(page, 'tick', 2)
  assert.deepEqual(await data(page, 'tick'), [{ c: 'b', d: 1 }, { c: 'b', d: 2 }])
  assert.deepEqual(await data(page, 'gap'), [])
})

test('a gateway that begins anew is a gap', async (t) => {
  const { server, page } = await setUp(t)
  await listen(page, `${server.origin}/_broadcast/sse?channel=a`)
  await heard(page, 'open')
  await server.heardBy('a')
  await server.publish('a', 'tick', 1)
  await heard(page, 'tick')
  assert.equal(await server.terminate(), 0)
  await heard(page, 'error')
  await server.start()
  await heard(page, 'gap')
  await server.publish('a', 'tick', 2)
  await heard(page, 'tick', 2)
  assert.deepEqual(await data(page, 'gap'), [{ c: 'a', why: 'epoch' }])
  const all = await page.evaluate(() => window.heard)
  const errors = all.filter(([name]) => name === 'error')
  assert.ok(errors.every(([, state]) => state === 0), 'it never gives up')
  // A gateway that is still ending opens a stream to say that it is to come again: then nothing else is in it.
  const others = all.filter(([name], n) => name !== 'error' && !(name === 'open' && all[n + 1]?.[0] === 'error'))
  assert.deepEqual(others.map(([name]) => name), ['open', 'tick', 'open', 'gap', 'tick'])
})

test('a page of an allowed origin may come with cookies, another one not at all', async (t) => {
  const { server, page } = await setUp(t)
  await listen(page, `${server.origin}/_broadcast/sse?channel=a`, { withCredentials: true })
  await heard(page, 'open')
  await server.heardBy('a')
  await server.publish('a', 'tick', 1)
  await heard(page, 'tick')
  // Its own client may say where it was, which asks for leave first.
  const status = await page.evaluate(async (address) => {
    const response = await fetch(address, { headers: { 'last-event-id': 'rubbish' } })
    await response.body.cancel()
    return response.status
  }, `${server.origin}/_broadcast/sse?channel=a`)
  assert.equal(status, 200)

  const other = await setUp(t, { allowed: false })
  await listen(other.page, `${other.server.origin}/_broadcast/sse?channel=a`)
  await heard(other.page, 'error')
  assert.deepEqual(await other.page.evaluate(() => window.heard), [['error', 2]])
})

test('a denied channel ends an EventSource for good', async (t) => {
  const { server, page } = await setUp(t)
  await listen(page, `${server.origin}/_broadcast/sse?channel=private-a`)
  await heard(page, 'error')
  assert.deepEqual(await page.evaluate(() => window.heard), [['error', 2]])
})

test('curl reads the stream', async (t) => {
  const server = await startServer(t)
  const curl = startCurl(t, [`${server.origin}/_broadcast/sse?channel=a`])
  await curl.until(/^id: \w+:0$/m)
  await server.publish('a', 'order.paid', { amount: 4900 })
  await curl.until(/^event: order\.paid\nid: \w+:1\ndata: \{"amount":4900\}\n\n/m)
  const id = /^id: (\w+:0)$/m.exec(curl.text)[1]
  const back = startCurl(t, ['-H', `last-event-id: ${id}`, `${server.origin}/_broadcast/sse?channel=a`])
  await back.until(/^data: \{"amount":4900\}\n\n/m)
  assert.equal(await server.terminate(), 0)
  assert.equal(await within(curl.ended, 'the end of curl'), 0)
})

function startCurl(t, args) {
  const child = guard(spawn('curl', ['-sSN', ...args], { stdio: ['ignore', 'pipe', 'inherit'] }))
  t.after(() => child.kill())
  const curl = { text: '', ended: new Promise((resolve) => child.once('close', resolve)) }
  curl.until = (pattern) =>
    within(
      new Promise((resolve) => {
        const look = () => pattern.test(curl.text) && resolve()
        child.stdout.on('data', look)
        look()
      }),
      `${pattern}`,
    )
  child.stdout.setEncoding('utf8').on('data', (text) => {
    curl.text += text
  })
  return curl
}
