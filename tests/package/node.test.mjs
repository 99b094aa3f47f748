// The package under Node.js, where pages are rendered: no browser, no WebSocket before Node 22.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { startGateway } from './gateway.mjs'
import { freshProject, node } from './project.mjs'

const noBoot = `
const Module = WebAssembly.Module
WebAssembly.Module = function () { throw new Error('compiled at import') }
`

test('import does nothing but define the classes', async (t) => {
  const root = await freshProject(t, {
    files: {
      'app.mjs': `${noBoot}
        const tidings = await import('tidings')
        console.log(Object.keys(tidings).sort().join(), typeof tidings.BroadcastClient)`,
    },
  })
  assert.equal(await node(root, 'app.mjs'), 'BroadcastChannel,BroadcastClient function')
})

test('require does nothing but define the classes', async (t) => {
  const root = await freshProject(t, {
    files: {
      'app.cjs': `${noBoot}
        const tidings = require('tidings')
        console.log(Object.keys(tidings).sort().join(), typeof tidings.BroadcastClient)`,
    },
  })
  assert.equal(await node(root, 'app.cjs'), 'BroadcastChannel,BroadcastClient function')
})

for (const [missing, options, code] of [
  ['a url', '{ webSocketFactory: () => {} }', 'no-url'],
  ['a WebSocket', "{ url: 'ws://127.0.0.1:9/' }", 'no-websocket'],
]) {
  test(`without ${missing} the constructor says so`, async (t) => {
    const root = await freshProject(t, {
      files: {
        'app.mjs': `
          import { BroadcastClient } from 'tidings'
          delete globalThis.WebSocket
          try { new BroadcastClient(${options}) }
          catch (error) { console.log(error instanceof Error, error.code) }`,
      },
    })
    assert.equal(await node(root, 'app.mjs'), `true ${code}`)
  })
}

test('using: the channel is left and the client closed at the end', async (t) => {
  const root = await freshProject(t, {
    files: {
      'app.mjs': `
        import { BroadcastClient } from 'tidings'
        const client = new BroadcastClient({ url: 'ws://127.0.0.1:9/', autoConnect: false, webSocketFactory: () => {} })
        const channel = client.channel('orders')
        const states = [client.state, channel.state]
        channel[Symbol.dispose]()
        states.push(channel.state)
        client[Symbol.dispose]()
        states.push(client.state)
        client[Symbol.dispose]()
        console.log(states.join())`,
    },
  })
  assert.equal(await node(root, 'app.mjs'), 'idle,subscribing,left,closed')
})

for (const [name, load] of [
  ['app.mjs', `import { BroadcastClient } from 'tidings'\nimport { WebSocket } from 'ws'`],
  ['app.cjs', `const { BroadcastClient } = require('tidings')\nconst { WebSocket } = require('ws')`],
]) {
  test(`a client in ${name} receives an event through ws`, async (t) => {
    const gateway = await startGateway(t)
    const root = await freshProject(t, {
      packages: ['ws@8.23.0'],
      files: {
        [name]: `${load}
          const client = new BroadcastClient({
            url: process.argv[2],
            webSocketFactory: (url) => new WebSocket(url),
          })
          const channel = client.channel('package.test')
          channel.on('greeting', (data) => {
            console.log(data.text)
            client.disconnect()
          })
          channel.ready().then(() => channel.publish('greeting', { text: 'hello' }))`,
      },
    })
    // The process ends by itself: a client that has disconnected keeps nothing alive.
    assert.equal(await node(root, name, gateway.url), 'hello')
  })
}
