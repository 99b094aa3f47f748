// What a page hears from its browser (the network came back, the user came back) and what the client makes of it.
// The gateway is a version 1 peer that can fall silent.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startV1Gateway } from '../peers/v1-gateway.mjs'
import { connectIn, lived, openContext, openPage } from './browser.mjs'
import { unpacked } from './package.mjs'
import { serveFolder } from './web.mjs'

/** A page with a client that has one live channel, a clock that only the test moves, and a count of its sockets. */
async function connectedPage(t, options = {}) {
  const gateway = await startV1Gateway()
  t.after(() => gateway.close())
  const page = await openPage(await openContext(t), await serveFolder(t, unpacked()))
  await page.clock.install({ time: 0 })
  await page.clock.pauseAt(1_000)
  await page.evaluate(() => {
    window.sockets = 0
    window.WebSocket = class extends WebSocket {
      constructor(...words) {
        super(...words)
        window.sockets++
      }
    }
  })
  await connectIn(page, { url: gateway.url, ...options })
  await page.evaluate(async () => {
    window.heard = []
    client.channel('a').on('*', (event) => heard.push(event))
    await client.channel('a').ready()
  })
  return { gateway, page }
}

/** Resolves when a page has heard all that its gateway said so far. */
async function caughtUp({ gateway, page }, word) {
  gateway.publish('a', word)
  await page.waitForFunction((word) => heard.includes(word), word)
}

const events = {
  online: () => {
    Object.defineProperty(navigator, 'onLine', { configurable: true, value: true })
    dispatchEvent(new Event('online'))
  },
  pageshow: () => dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })),
  visibilitychange: () => document.dispatchEvent(new Event('visibilitychange', { bubbles: true })),
}

/** Says that the page is hidden, or that it is visible, as the browser does. */
function show(page, visibility) {
  return page.evaluate((visibility) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, value: visibility })
    Object.defineProperty(document, 'hidden', { configurable: true, value: visibility === 'hidden' })
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))
  }, visibility)
}

/** What happens to a page that the user comes back to. */
async function comeBack(page, name) {
  if (name === 'visibilitychange') await show(page, 'visible')
  else await page.evaluate(events[name])
}

for (const name of Object.keys(events)) {
  test(`${name}: a connection that is dead is replaced within 2 s`, async (t) => {
    const { gateway, page } = await connectedPage(t)
    if (name === 'visibilitychange') await show(page, 'hidden')
    gateway.silent = true
    await comeBack(page, name)
    assert.equal(await page.evaluate(() => sockets), 1)
    // At 2 s it is given up, and the next one is opened as soon as a timer can fire.
    await page.clock.runFor(2_001)
    await gateway.life.until({ open: 1 })
    gateway.silent = false
  })

  test(`${name}: a connection that answers is kept, and the application notices nothing`, async (t) => {
    const { gateway, page } = await connectedPage(t)
    if (name === 'visibilitychange') await show(page, 'hidden')
    const before = await page.evaluate(() => life.length)
    const subs = gateway.count('sub', 'a')
    await comeBack(page, name)
    await gateway.received.until({ t: 'sub', c: 'a' }, subs + 1)
    await caughtUp({ gateway, page }, 'after the probe')
    await page.clock.runFor(30_000)
    await caughtUp({ gateway, page }, 'after its time')
    assert.deepEqual(await page.evaluate(() => [sockets, life.length, client.state]), [1, before, 'open'])
  })
}

for (const [name, dispatch] of [['online', events.online], ['pageshow', events.pageshow]]) {
  test(`${name}: who waits to reconnect does it at once`, async (t) => {
    const { gateway, page } = await connectedPage(t, { reconnectInitialDelayMs: 600_000, reconnectMaxDelayMs: 600_000 })
    await page.evaluate(() => (Math.random = () => 0.9))
    gateway.cut()
    await lived(page, 'reconnecting')
    assert.equal(await page.evaluate(() => sockets), 1)
    await page.evaluate(dispatch)
    await gateway.life.until({ open: 1 })
  })
}

test('becoming visible: who waits to reconnect does it at once', async (t) => {
  const { gateway, page } = await connectedPage(t, { reconnectInitialDelayMs: 600_000, reconnectMaxDelayMs: 600_000 })
  await page.evaluate(() => (Math.random = () => 0.9))
  await show(page, 'hidden')
  gateway.cut()
  await lived(page, 'reconnecting')
  assert.equal(await page.evaluate(() => sockets), 1)
  await show(page, 'visible')
  await gateway.life.until({ open: 1 })
})

test('a hidden page reconnects lazily', async (t) => {
  const { gateway, page } = await connectedPage(t)
  await page.evaluate(() => (Math.random = () => 0.9))
  await show(page, 'hidden')
  gateway.cut()
  await lived(page, 'reconnecting')
  const hidden = await page.evaluate(() => life.find(([name]) => name === 'reconnecting')[1])
  assert.ok(hidden.delayMs > 250, `${hidden.delayMs} ms`)
})

test('offline: no attempts while there is no network', async (t) => {
  const { gateway, page } = await connectedPage(t, { reconnectInitialDelayMs: 0, maxReconnectAttempts: 2 })
  await page.evaluate(() => {
    Object.defineProperty(navigator, 'onLine', { configurable: true, value: false })
    dispatchEvent(new Event('offline'))
  })
  gateway.cut()
  await lived(page, 'close')
  await page.clock.runFor(3_600_000)
  assert.deepEqual(await page.evaluate(() => [sockets, client.state]), [1, 'connecting'])
  await page.evaluate(events.online)
  await page.clock.runFor(1)
  await gateway.received.until({ t: 'sub', c: 'a', connection: 1 })
})

test('disconnect takes its listeners off the page', async (t) => {
  const { gateway, page } = await connectedPage(t)
  await page.evaluate(() => client.disconnect())
  for (const dispatch of Object.values(events)) await page.evaluate(dispatch)
  await page.clock.runFor(60_000)
  assert.deepEqual(await page.evaluate(() => [sockets, client.state]), [1, 'closed'])
})
