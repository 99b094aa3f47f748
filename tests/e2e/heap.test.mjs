// What is taken off is gone: the heap is where it was.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startV1Gateway } from '../peers/v1-gateway.mjs'
import { connectIn, openContext, openPage } from './browser.mjs'
import { unpacked } from './package.mjs'
import { serveFolder } from './web.mjs'

const KIB = 1024

async function measuredPage(t) {
  const gateway = await startV1Gateway({ allowPublish: () => true })
  t.after(() => gateway.close())
  const context = await openContext(t)
  const page = await openPage(context, await serveFolder(t, unpacked()))
  const session = await context.newCDPSession(page)
  await session.send('HeapProfiler.enable')
  // Where a linear memory is made, so that its size can be asked for.
  await page.evaluate(() => {
    const { Instance } = WebAssembly
    WebAssembly.Instance = function (...words) {
      const instance = new Instance(...words)
      window.memory = Object.values(instance.exports).find((value) => value instanceof WebAssembly.Memory)
      return instance
    }
    WebAssembly.Instance.prototype = Instance.prototype
  })
  await connectIn(page, { url: gateway.url })
  const measure = async () => {
    for (let i = 0; i < 3; i++) {
      await page.evaluate(() => {
        window.finalized = new Promise((resolve) => (window.registry = new FinalizationRegistry(resolve)))
        registry.register({}, 'gone')
      })
      await session.send('HeapProfiler.collectGarbage')
      // Finalizers run in tasks of their own after a collection.
      await page.evaluate(() => finalized)
    }
    const { usedSize } = await session.send('Runtime.getHeapUsage')
    return { heap: usedSize, wasm: await page.evaluate(() => window.memory?.buffer.byteLength ?? 0) }
  }
  return { gateway, page, measure }
}

/** Runs `round` to warm up, measures, runs it several times, and expects the heap where it was. */
async function expectSteady({ page, measure }, round, { rounds, allowedKib }) {
  await page.evaluate(round)
  const before = await measure()
  for (let i = 0; i < rounds; i++) await page.evaluate(round)
  const after = await measure()
  const grown = (after.heap - before.heap) / KIB
  assert.ok(grown < allowedKib, `the heap grew by ${grown.toFixed(0)} KiB`)
  // It grows by whole pages, and what is finalized late may need one.
  assert.ok(after.wasm - before.wasm <= 64 * KIB, `the linear memory grew by ${(after.wasm - before.wasm) / KIB} KiB`)
}

test('10,000 times on and off', async (t) => {
  const measured = await measuredPage(t)
  await expectSteady(measured, () => {
    const channel = client.channel('a')
    for (let i = 0; i < 1_000; i++) channel.on(`event-${i % 10}`, () => i)()
    for (let i = 0; i < 1_000; i++) client.on('open', () => i)()
  }, { rounds: 10, allowedKib: 200 })
})

test('1,000 times channel and leave, with an answer of the gateway each', async (t) => {
  const measured = await measuredPage(t)
  await expectSteady(measured, async () => {
    for (let round = 0; round < 4; round++) {
      const channels = Array.from({ length: 50 }, (_, n) => client.channel(`room.${round}.${n}`))
      for (const channel of channels) channel.on('x', () => {})
      await Promise.all(channels.map((channel) => channel.ready()))
      for (const channel of channels) channel.leave()
    }
    const last = client.channel('last')
    await last.ready()
    last.leave()
  }, { rounds: 5, allowedKib: 200 })
  await measured.gateway.received.until({ t: 'unsub' }, 1_206)
  assert.equal(measured.gateway.connections[0].channels.size, 0)
})

test('10,000 publishes and their echoes', async (t) => {
  const measured = await measuredPage(t)
  await measured.page.evaluate(() => client.channel('echo').ready())
  await expectSteady(measured, async () => {
    const channel = client.channel('echo')
    let echoes = 0
    const off = channel.on('x', () => echoes++)
    const done = new Promise((resolve) => {
      const offDone = channel.on('done', () => {
        offDone()
        resolve()
      })
    })
    for (let i = 0; i < 2_000; i++) channel.publish('x', { i, text: 'some text that has to be copied' })
    channel.publish('done')
    await done
    off()
    if (echoes !== 2_000) throw new Error(`${echoes} echoes`)
  }, { rounds: 5, allowedKib: 200 })
})

test('clients that come and go', async (t) => {
  const measured = await measuredPage(t)
  await measured.page.evaluate((url) => (window.gateway = url), measured.gateway.url)
  await expectSteady(measured, async () => {
    const { BroadcastClient } = await import('tidings')
    for (let i = 0; i < 20; i++) {
      const other = new BroadcastClient({ url: gateway })
      other.channel('a').on('x', () => {})
      await other.channel('a').ready()
      other.disconnect()
    }
  }, { rounds: 5, allowedKib: 300 })
})

test('a client that nobody holds any more still hears', async (t) => {
  const { gateway, page, measure } = await measuredPage(t)
  await page.evaluate(async (url) => {
    const { BroadcastClient } = await import('tidings')
    window.heard = 0
    const forgotten = new BroadcastClient({ url })
    forgotten.channel('kept').on('x', () => window.heard++)
    await forgotten.channel('kept').ready()
  }, gateway.url)
  await measure()
  gateway.publish('kept', 'x')
  await page.waitForFunction(() => window.heard === 1)
})
