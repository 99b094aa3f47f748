// Pages in a real browser, the real package, the real gateway.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectIn, lived, openContext, openPage } from './browser.mjs'
import { unpacked } from './package.mjs'
import { startServer } from './server.mjs'
import { serveFolder } from './web.mjs'

const flags = () => ['--static-dir', unpacked(), '--allow-client-publish', 'chat.*']

/** Joins a channel in a page and collects its events in `window.heard`. */
async function join(page, name) {
  await page.evaluate(async (name) => {
    window.heard ??= []
    client.channel(name).on('*', (event, data) => heard.push([event, data]))
    await client.channel(name).ready()
  }, name)
}

const heard = (page, count) =>
  page.waitForFunction((count) => heard.length >= count && heard, count).then((handle) => handle.jsonValue())

test('two tabs talk, at the address of their page', async (t) => {
  const server = await startServer(t, flags())
  const context = await openContext(t)
  const [ann, bob] = await Promise.all([openPage(context, server.origin), openPage(context, server.origin)])
  for (const page of [ann, bob]) {
    await connectIn(page)
    await join(page, 'chat.1')
  }
  const result = await ann.evaluate(() => client.channel('chat.1').publish('said', { text: 'hi 🚀' }))
  assert.equal(result.ok, true)
  for (const page of [ann, bob]) assert.deepEqual(await heard(page, 1), [['said', { text: 'hi 🚀' }]])
  await bob.evaluate(() => client.channel('chat.1').publish('said', { text: 'ho' }))
  await server.publish('chat.1', 'notice', [1, 2])
  for (const page of [ann, bob]) assert.equal((await heard(page, 3)).length, 3)
  for (const page of [ann, bob]) assert.deepEqual(page.complaints, [])
})

test('a refusal arrives as an error event', async (t) => {
  const server = await startServer(t, flags())
  const page = await openPage(await openContext(t), server.origin)
  await connectIn(page)
  await page.evaluate(() => {
    client.channel('private-x')
    client.channel('news').publish('x')
  })
  await lived(page, 'error', 2)
  const errors = await page.evaluate(() => life.filter(([name]) => name === 'error').map(([, error]) => error))
  assert.deepEqual(errors.sort((a, b) => a.channel.localeCompare(b.channel)), [
    { channel: 'news', reason: 'publish denied' },
    { channel: 'private-x', reason: 'unauthorized' },
  ])
})

test('a gateway that is killed and started again under the page is found again', async (t) => {
  const server = await startServer(t, flags())
  const page = await openPage(await openContext(t), server.origin)
  await connectIn(page, { reconnectMaxDelayMs: 200 })
  await join(page, 'chat.1')
  const first = await page.evaluate(() => client.id)
  await server.kill()
  await lived(page, 'close')
  await lived(page, 'reconnecting', 2)
  const published = page.evaluate(() => client.channel('chat.1').publish('while away', 1))
  await server.start()
  assert.equal((await published).ok, true)
  await lived(page, 'subscribed', 2)
  assert.deepEqual(await heard(page, 1), [['while away', 1]])
  await server.publish('chat.1', 'after', 2)
  assert.deepEqual((await heard(page, 2))[1], ['after', 2])
  assert.notEqual(await page.evaluate(() => client.id), first)
})

test('three restarts in a row', async (t) => {
  const server = await startServer(t, flags())
  const page = await openPage(await openContext(t), server.origin)
  await connectIn(page, { reconnectMaxDelayMs: 100 })
  await join(page, 'chat.1')
  for (let n = 1; n <= 3; n++) {
    await server.restart()
    await lived(page, 'subscribed', n + 1)
    await server.publish('chat.1', 'x', n)
    assert.deepEqual((await heard(page, n)).at(-1), ['x', n])
  }
})

test('offline waits without burning attempts, online is back at once', async (t) => {
  const server = await startServer(t, flags())
  const context = await openContext(t)
  const page = await openPage(context, server.origin)
  await connectIn(page, { maxReconnectAttempts: 1, reconnectInitialDelayMs: 60_000, reconnectMaxDelayMs: 60_000 })
  await join(page, 'chat.1')
  await page.evaluate(() => addEventListener('offline', () => (window.wentOffline = true)))
  await context.setOffline(true)
  await page.waitForFunction(() => window.wentOffline)
  await server.restart()
  await lived(page, 'close')
  const published = page.evaluate(() => client.channel('chat.1').publish('while away', 1))
  assert.equal(await page.evaluate(() => client.state), 'connecting')
  await context.setOffline(false)
  assert.equal((await published).ok, true)
  await lived(page, 'subscribed', 2)
  assert.deepEqual(await heard(page, 1), [['while away', 1]])
})

test('a page of an origin that is not allowed stays outside, an allowed one is let in', async (t) => {
  const inside = await serveFolder(t, unpacked())
  const outside = await serveFolder(t, unpacked())
  const server = await startServer(t, ['--allow-origin', inside])
  const context = await openContext(t)
  const page = await openPage(context, inside)
  await connectIn(page, { url: server.url })
  const stranger = await openPage(context, outside)
  await stranger.evaluate(async (url) => {
    const { BroadcastClient } = await import('tidings')
    window.life = []
    window.client = new BroadcastClient({ url, maxReconnectAttempts: 1, reconnectInitialDelayMs: 0 })
    for (const name of ['open', 'error', 'state']) client.on(name, (payload) => life.push([name, payload]))
  }, server.url)
  await stranger.waitForFunction(() => client.state === 'closed')
  assert.equal(await stranger.evaluate(() => life.some(([name]) => name === 'open')), false)
})

test('a page that goes away is forgotten, one that is reloaded comes back', async (t) => {
  const server = await startServer(t, flags())
  const context = await openContext(t)
  const page = await openPage(context, server.origin)
  await connectIn(page)
  await join(page, 'chat.1')
  await page.reload()
  await connectIn(page)
  await join(page, 'chat.1')
  await server.publish('chat.1', 'x', 1)
  assert.deepEqual(await heard(page, 1), [['x', 1]])
  assert.deepEqual(page.complaints, [])
})

test('ten thousand events arrive in order', async (t) => {
  const server = await startServer(t, [...flags(), '--commands-per-second', '0'])
  const page = await openPage(await openContext(t), server.origin)
  await connectIn(page)
  await join(page, 'chat.1')
  await page.evaluate(async () => {
    const channel = client.channel('chat.1')
    for (let batch = 0; batch < 20; batch++) {
      for (let n = 0; n < 500; n++) channel.publish('x', batch * 500 + n)
      await new Promise((resolve) => {
        const off = channel.on('end of batch', () => {
          off()
          resolve()
        })
        channel.publish('end of batch')
      })
    }
  })
  const events = await page.evaluate(() => heard.filter(([event]) => event === 'x').map(([, n]) => n))
  assert.deepEqual(events, Array.from({ length: 10_000 }, (_, n) => n))
})
