// Nothing is lost in silence: the package and the real gateway, with a network between them that breaks.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { openContext, openPage } from './browser.mjs'
import { importPackage, unpacked } from './package.mjs'
import { startProxy } from './proxy.mjs'
import { startServer } from './server.mjs'
import { next, within } from './wait.mjs'
import { serveFolder } from './web.mjs'

const { BroadcastClient } = await importPackage()

async function setUp(t, flags = []) {
  const server = await startServer(t, ['--allow-client-publish', 'chat.*', ...flags])
  const proxy = await startProxy(t, server.origin)
  return { server, proxy }
}

function connect(t, url) {
  const client = new BroadcastClient({
    url,
    webSocketFactory: (url) => new WebSocket(url),
    reconnectInitialDelayMs: 20,
    reconnectMaxDelayMs: 200,
  })
  t.after(() => client.disconnect())
  return client
}

/** A live channel, with everything that it hears and every gap in `heard`. */
async function listen(client, name) {
  const channel = client.channel(name)
  channel.heard = []
  channel.on('*', (event, data) => channel.heard.push(data))
  channel.onGap(({ why }) => channel.heard.push(`gap: ${why}`))
  await channel.ready()
  return channel
}

/** Resolves when the channel has heard so much. */
function heard(channel, count) {
  return within(
    new Promise((resolve) => {
      const look = () => {
        if (channel.heard.length < count) return
        off()
        resolve()
      }
      const off = channel.on('*', look)
      look()
    }),
    `${count} events on ${channel.name}, of which came ${JSON.stringify(channel.heard)}`,
  )
}

const upTo = (count) => Array.from({ length: count }, (_, index) => index + 1)

test('what was published while the connection was gone comes, in order and once', async (t) => {
  const { server, proxy } = await setUp(t)
  const client = connect(t, proxy.url)
  const quiet = await listen(client, 'quiet')
  const busy = await listen(client, 'busy')
  for (const n of upTo(3)) await server.publish('busy', 'e', n)
  await heard(busy, 3)
  proxy.shut = true
  const closed = next(client, 'close')
  proxy.cut()
  await closed
  for (const n of [4, 5]) await server.publish('busy', 'e', n)
  await server.publish('quiet', 'e', 1)
  proxy.shut = false
  await heard(busy, 5)
  await heard(quiet, 1)
  await server.publish('busy', 'e', 6)
  await heard(busy, 6)
  assert.deepEqual([busy.heard, quiet.heard], [upTo(6), [1]])
})

test('cut again and again while events come', async (t) => {
  const { server, proxy } = await setUp(t)
  const listeners = []
  for (let n = 0; n < 3; n += 1) listeners.push(await listen(connect(t, proxy.url), 'chat.storm'))
  for (const n of upTo(120)) {
    await server.publish('chat.storm', 'e', n)
    if (n % 15 === 0) proxy.cut()
  }
  for (const channel of listeners) {
    await heard(channel, 120)
    assert.deepEqual(channel.heard, upTo(120))
  }
})

test('a publish says where it went', async (t) => {
  const { server } = await setUp(t, ['--history', 'chat.quick=0'])
  const client = connect(t, server.url)
  const first = await client.channel('chat.1').publish('e', 1)
  assert.equal(first.ok, true)
  assert.match(first.id, /^[0-9A-Z]{26}$/)
  assert.equal(first.offset, 1)
  const quick = await client.channel('chat.quick').publish('e', 1)
  assert.deepEqual([quick.ok, quick.offset], [true, undefined])
  assert.deepEqual(await client.channel('news').publish('e', 1), { ok: false, reason: 'publish denied' })
})

test('publishes on their way when the connection breaks are published once, and in order', async (t) => {
  const { server, proxy } = await setUp(t)
  const witness = await listen(connect(t, server.url), 'chat.1')
  const client = connect(t, proxy.url)
  const channel = client.channel('chat.1')
  await channel.ready()
  // The gateway takes them, and its acknowledgements are lost.
  proxy.deaf = true
  const results = upTo(3).map((n) => channel.publish('e', n))
  await heard(witness, 3)
  proxy.cut()
  proxy.deaf = false
  results.push(channel.publish('e', 4))
  const outcomes = await within(Promise.all(results), 'every outcome')
  assert.deepEqual(outcomes.map(({ ok, offset }) => [ok, offset]), upTo(4).map((n) => [true, n]))
  assert.equal(new Set(outcomes.map(({ id }) => id)).size, 4)
  await heard(witness, 4)
  assert.deepEqual(witness.heard, upTo(4))
})

test('storms on both sides: every publish is told true, and everyone hears the same', async (t) => {
  const { server, proxy } = await setUp(t)
  const witness = await listen(connect(t, server.url), 'chat.1')
  const [ann, bob] = [connect(t, proxy.url), connect(t, proxy.url)]
  const hears = await listen(bob, 'chat.1')
  const channel = ann.channel('chat.1')
  const results = []
  for (const n of upTo(200)) {
    results.push(channel.publish('e', n))
    if (n % 40 === 0) {
      proxy.deaf = n % 80 === 0
      await channel.ready()
      await new Promise(setImmediate)
      proxy.cut()
      proxy.deaf = false
    }
  }
  const outcomes = await within(Promise.all(results), 'every outcome')
  assert.deepEqual(outcomes.map(({ ok, offset }) => [ok, offset]), upTo(200).map((n) => [true, n]))
  await heard(witness, 200)
  await heard(hears, 200)
  assert.deepEqual([witness.heard, hears.heard], [upTo(200), upTo(200)])
})

test('a gateway that has forgotten says so, and goes on', async (t) => {
  const { server, proxy } = await setUp(t)
  const client = connect(t, proxy.url)
  const gaps = []
  client.on('gap', (gap) => gaps.push(gap))
  const channel = await listen(client, 'news')
  await server.publish('news', 'e', 'before')
  await heard(channel, 1)
  const closed = next(client, 'close')
  await server.kill()
  await closed
  await server.start()
  await within(channel.ready(), 'the channel')
  await server.publish('news', 'e', 'after')
  await heard(channel, 3)
  assert.deepEqual(channel.heard, ['before', 'gap: epoch', 'after'])
  assert.deepEqual(gaps, [{ channel: 'news', why: 'epoch' }])
})

test('more than is kept is a gap, and nothing of it comes', async (t) => {
  const { server, proxy } = await setUp(t, ['--history', 'news=3'])
  const client = connect(t, proxy.url)
  const channel = await listen(client, 'news')
  proxy.shut = true
  const closed = next(client, 'close')
  proxy.cut()
  await closed
  for (const n of upTo(5)) await server.publish('news', 'e', n)
  proxy.shut = false
  await within(channel.ready(), 'the channel')
  await server.publish('news', 'e', 6)
  await heard(channel, 2)
  assert.deepEqual(channel.heard, ['gap: expired', 6])
})

test('history is read page by page, and joins what is live without a hole', async (t) => {
  const { server, proxy } = await setUp(t)
  for (const n of upTo(25)) await server.publish('news', 'e', n)
  const client = connect(t, proxy.url)
  const channel = client.channel('news')
  const live = []
  channel.on('e', (n) => live.push(n))
  await channel.ready()
  for (const n of [26, 27]) await server.publish('news', 'e', n)
  const past = []
  let before
  for (;;) {
    const { events } = await channel.history({ limit: 10, before, untilAttach: true })
    if (events.length === 0) break
    past.unshift(...events.map(({ data }) => data))
    before = events[0].offset
    proxy.cut()
  }
  const last = next(channel, 'e', (n) => n === 28)
  await server.publish('news', 'e', 28)
  await last
  assert.deepEqual([...past, ...live], upTo(28))
  await assert.rejects(client.channel('private-x').history(), { code: 'unauthorized' })
})

test('a gateway that drains asks to come back later, and is left in order', async (t) => {
  const { server } = await setUp(t)
  const client = connect(t, server.url)
  const channel = await listen(client, 'news')
  await server.publish('news', 'e', 1)
  await heard(channel, 1)
  const [drain, close] = [next(client, 'drain'), next(client, 'close')]
  const code = server.terminate()
  assert.ok((await drain).afterMs >= 0)
  assert.equal((await close).code, 1012)
  assert.equal(await code, 0)
  await server.start()
  await within(channel.ready(), 'the channel')
  await server.publish('news', 'e', 2)
  await heard(channel, 3)
  assert.deepEqual(channel.heard, [1, 'gap: epoch', 2])
})

test('tabs of a browser behind a network that breaks hear everything once', async (t) => {
  const origin = await serveFolder(t, unpacked())
  const { server, proxy } = await setUp(t, ['--allow-origin', origin])
  const context = await openContext(t)
  const tabs = []
  for (let n = 0; n < 3; n += 1) {
    const page = await openPage(context, `${origin}/`)
    await page.evaluate(async (url) => {
      const { BroadcastClient } = await import('tidings')
      window.client = new BroadcastClient({ url, reconnectInitialDelayMs: 20, reconnectMaxDelayMs: 200 })
      window.channel = client.channel('chat.1')
      window.heard = []
      channel.on('*', (event, data) => heard.push(data))
      channel.onGap(({ why }) => heard.push(`gap: ${why}`))
      await channel.ready()
    }, proxy.url)
    tabs.push(page)
  }
  const outcomes = tabs[0].evaluate(async () => {
    const results = []
    for (let n = 1; n <= 100; n += 1) {
      results.push(channel.publish('mine', n))
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return Promise.all(results)
  })
  for (const n of upTo(50)) {
    await server.publish('chat.1', 'theirs', -n)
    if (n % 10 === 0) proxy.cut()
  }
  const told = await within(outcomes, 'every outcome')
  assert.ok(told.every(({ ok }) => ok), JSON.stringify(told.find(({ ok }) => !ok)))
  for (const page of tabs) {
    await page.waitForFunction(() => heard.length >= 150)
    const log = await page.evaluate(() => heard)
    assert.deepEqual(log.filter((n) => n > 0), upTo(100))
    assert.deepEqual(log.filter((n) => !(n > 0)), upTo(50).map((n) => -n))
    assert.deepEqual(log, await tabs[0].evaluate(() => heard), 'in one order')
  }
})
