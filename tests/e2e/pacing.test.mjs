// Who publishes faster than the gateway lets it is made to wait, and is not closed: with the gateway's limits as they are.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { connectIn, openContext, openPage } from './browser.mjs'
import { importPackage, unpacked } from './package.mjs'
import { startServer } from './server.mjs'

const { BroadcastClient } = await importPackage()

const COUNT = 2_000
/** Of a hundred a second, 512 may come at once. */
const LEAST_MS = (COUNT - 512) * 10

/** Publishes in a loop on a live channel of `client`; what came of it. Also runs in a page. */
async function loop(client, count) {
  const closes = []
  client.on('close', ({ code }) => closes.push(code))
  const channel = client.channel('chat.1')
  const heard = []
  channel.on('n', (n) => heard.push(n))
  await channel.ready()
  const answers = []
  const began = performance.now()
  const promises = []
  for (let n = 0; n < count; n++) {
    promises.push(channel.publish('n', n).then(({ ok, offset }) => answers.push([n, ok, offset])))
  }
  await Promise.all(promises)
  return { closes, heard, answers, ms: performance.now() - began }
}

function check({ closes, heard, answers, ms }) {
  assert.deepEqual(closes, [])
  const first = answers[0][2]
  assert.deepEqual(answers, Array.from({ length: COUNT }, (_, n) => [n, true, first + n]))
  assert.deepEqual(heard, Array.from({ length: COUNT }, (_, n) => n))
  assert.ok(ms >= LEAST_MS, `${ms} ms`)
}

describe('two thousand publishes in a loop are acknowledged in order, no faster than is allowed', { concurrency: true }, () => {
  test('in Node.js', async (t) => {
    const server = await startServer(t, ['--allow-client-publish', 'chat.*'])
    const client = new BroadcastClient({ url: server.url, webSocketFactory: (url) => new WebSocket(url) })
    t.after(() => client.disconnect())
    check(await loop(client, COUNT))
  })

  test('in a page', async (t) => {
    const server = await startServer(t, ['--allow-client-publish', 'chat.*', '--static-dir', unpacked()])
    const page = await openPage(await openContext(t), server.origin)
    await connectIn(page)
    check(await page.evaluate(`(${loop})(client, ${COUNT})`))
    assert.deepEqual(page.complaints, [])
  })
})
