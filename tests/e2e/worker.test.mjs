// The package in workers of a browser.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openContext, openPage } from './browser.mjs'
import { entryPath, unpacked } from './package.mjs'
import { startServer } from './server.mjs'
import { serveFolder } from './web.mjs'

/** A worker that joins a channel and passes on, by `pass`, what it hears there. */
const script = (listen) => `
import { BroadcastClient } from '${entryPath()}'

let pass
const said = []
function tell(word) {
  if (pass) pass(word)
  else said.push(word)
}
${listen}
const client = new BroadcastClient({ url: new URL(location).searchParams.get('gateway') })
const channel = client.channel('chat.worker')
channel.on('*', (event, data) => tell([event, data]))
channel.ready().then(() => channel.publish('ready', typeof window), (error) => tell(['failed', String(error)]))
`

const files = {
  '/dedicated.js': script('pass = (word) => postMessage(word)'),
  '/shared.js': script(`onconnect = ({ ports: [port] }) => {
    pass = (word) => port.postMessage(word)
    said.splice(0).forEach(pass)
  }`),
  '/service.js': script(`onmessage = ({ source }) => {
    pass = (word) => source.postMessage(word)
    said.splice(0).forEach(pass)
  }`),
}

const start = {
  dedicated: (gateway) => {
    new Worker(`/dedicated.js?gateway=${gateway}`, { type: 'module' }).onmessage = ({ data }) => heard.push(data)
  },
  shared: (gateway) => {
    window.kept = new SharedWorker(`/shared.js?gateway=${gateway}`, { type: 'module' })
    kept.port.onmessage = ({ data }) => heard.push(data)
  },
  service: async (gateway) => {
    navigator.serviceWorker.onmessage = ({ data }) => heard.push(data)
    const registration = await navigator.serviceWorker.register(`/service.js?gateway=${gateway}`, { type: 'module' })
    await navigator.serviceWorker.ready
    registration.active.postMessage('hello')
  },
}

for (const kind of ['dedicated', 'shared', 'service']) {
  test(`in a ${kind} worker`, async (t) => {
    const origin = await serveFolder(t, unpacked(), files)
    const server = await startServer(t, ['--allow-origin', origin, '--allow-client-publish', 'chat.*'])
    const page = await openPage(await openContext(t), origin)
    await page.evaluate(() => (window.heard = []))
    await page.evaluate(start[kind], encodeURIComponent(server.url))
    await page.waitForFunction(() => heard.length === 1)
    await server.publish('chat.worker', 'greeting', { text: 'hello' })
    await page.waitForFunction(() => heard.length === 2)
    assert.deepEqual(await page.evaluate(() => heard), [
      ['ready', 'undefined'],
      ['greeting', { text: 'hello' }],
    ])
    assert.deepEqual(page.complaints, [])
  })
}

test('the address comes from the worker\'s page as well', async (t) => {
  const server = await startServer(t, ['--static-dir', unpacked()])
  const page = await openPage(await openContext(t), server.origin)
  const id = await page.evaluate(async (entry) => {
    const source = `import { BroadcastClient } from '${location.origin}${entry}'
      const client = new BroadcastClient({ url: '${location.origin.replace('http', 'ws')}/_broadcast' })
      client.ready().then(() => postMessage(client.id))`
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), { type: 'module' })
    return new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)))
  }, entryPath())
  assert.equal(typeof id, 'string')
})
