// How our gateway ends a connection, and whom it does not let in.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect as tcp } from 'node:net'
import { describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { V1Client } from '../peers/v1-client.mjs'
import { startServer } from './server.mjs'

const KIB = 1024

function client(t, url, options) {
  const client = new V1Client(url, { reconnect: false, ...options })
  t.after(() => client.disconnect())
  return client
}

const closed = ({ life }, code) => life.until((notice) => notice.closed === code)

describe('the gateway', { concurrency: true }, () => {
  test('closes with 1009 for a frame above 64 KiB, and takes one of 64 KiB', async (t) => {
    const server = await startServer(t)
    const fits = client(t, server.url)
    await fits.ready()
    fits.send(`{"t":"sub","c":"a","x":"${'y'.repeat(64 * KIB - 24 - 2)}"}`)
    await fits.received.until({ t: 'ok', c: 'a' })

    const tooLarge = client(t, server.url)
    await tooLarge.ready()
    tooLarge.send(`{"t":"sub","c":"a","x":"${'y'.repeat(64 * KIB)}"}`)
    await closed(tooLarge, 1009)
    assert.equal(fits.connected, true)
  })

  test('closes with 4001 who does not answer a ping in time', async (t) => {
    const server = await startServer(t, ['--ping-interval-ms', '500'])
    const alive = client(t, server.url)
    await alive.ready()
    const start = performance.now()
    const dead = client(t, server.url)
    dead.mute = true
    await closed(dead, 4001)
    const seconds = (performance.now() - start) / 1000
    assert.ok(seconds > 10, `after ${seconds} s`)
    // By the gateway's clock, however slow this machine is: one every half second, until 10 s after the first.
    const pings = dead.received.count({ t: 'ping' })
    assert.ok(pings > 0 && pings <= 21, `${pings} pings`)
    assert.equal(alive.connected, true)
  })

  test('closes with 4008 who does not read', async (t) => {
    const server = await startServer(t)
    const slow = client(t, server.url)
    const quick = client(t, server.url)
    for (const one of [slow, quick]) {
      one.channel('firehose')
      await one.received.until({ t: 'ok', c: 'firehose' })
    }
    slow.socket.pause()
    const data = 'x'.repeat(60 * KIB)
    const givenUp = async () => {
      const metrics = await (await fetch(`${server.origin}/metrics`)).text()
      return metrics.includes('tidings_connections_closed_total{side="gateway",code="4008"} 1\n')
    }
    let events = 0
    // How much the system takes of it in the client's place differs.
    while (!(await givenUp())) await server.publish('firehose', 'x', { n: events++, data })
    await quick.received.until({ t: 'msg' }, events)
    slow.socket.resume()
    await closed(slow, 4008)
    assert.equal(quick.connected, true)
    const heard = slow.received.matching({ t: 'msg' }).map(({ d }) => d.n)
    assert.ok(heard.length < events)
    assert.deepEqual(heard, heard.map((_, n) => n))
  })

  test('refuses pages of other origins with 403 before the upgrade', async (t) => {
    const server = await startServer(t, ['--allow-origin', 'https://app.example.com'])
    for (const [origin, open] of [
      [undefined, true],
      [server.origin, true],
      ['https://app.example.com', true],
      ['https://evil.example.com', false],
      ['https://app.example.com.evil.com', false],
      ['http://app.example.com', false],
      ['null', false],
    ]) {
      const one = client(t, server.url, { headers: origin === undefined ? {} : { origin } })
      if (open) await one.ready()
      else {
        const { failed } = await one.life.until((notice) => 'failed' in notice)
        assert.match(failed, /403/, origin)
      }
    }
  })

  test('lets every origin in when told *', async (t) => {
    const server = await startServer(t, ['--allow-origin', '*'])
    await client(t, server.url, { headers: { origin: 'https://anyone.example.com' } }).ready()
  })

  test('is mounted where --path says, and nowhere else', async (t) => {
    const server = await startServer(t, ['--path', '/live'])
    await client(t, server.url.replace('/_broadcast', '/live')).ready()
    const elsewhere = client(t, server.url)
    assert.match((await elsewhere.life.until((notice) => 'failed' in notice)).failed, /404/)
  })

  test('answers a close and ends the connection', async (t) => {
    const server = await startServer(t)
    const one = client(t, server.url)
    await one.ready()
    one.socket.close(1000)
    await closed(one, 1000)
  })

  test('closes with 1007 or 1002 for a text that is no UTF-8', async (t) => {
    const server = await startServer(t)
    const one = client(t, server.url)
    await one.ready()
    one.socket._socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]))
    const { closed: code } = await one.life.until((notice) => 'closed' in notice)
    assert.ok([1002, 1007].includes(code), `${code}`)
  })

  test('lives on when a client cuts the line in the middle of a frame', async (t) => {
    const server = await startServer(t)
    const one = client(t, server.url)
    await one.ready()
    one.socket._socket.end(Buffer.from([0x81, 0xfe, 0xff]))
    await one.life.until((notice) => 'closed' in notice)
    await client(t, server.url).ready()
  })

  test('takes a message in fragments', async (t) => {
    const server = await startServer(t)
    const one = client(t, server.url)
    await one.ready()
    one.socket.send('{"t":"sub",', { fin: false })
    one.socket.send('"c":"split"}', { fin: true })
    await one.received.until({ t: 'ok', c: 'split' })
  })

  test('answers what is no WebSocket with an HTTP error, and lives on', async (t) => {
    const server = await startServer(t)
    const plain = await fetch(server.url.replace('ws', 'http'))
    assert.ok(plain.status >= 400 && plain.status < 500, `${plain.status}`)
    const { port, hostname } = new URL(server.origin)
    const socket = tcp(Number(port), hostname)
    await once(socket, 'connect')
    socket.end('\0\0nonsense\r\n\r\n')
    socket.resume()
    await once(socket, 'close')
    await client(t, server.url).ready()
  })

  test('publishes over HTTP, or says what is wrong', async (t) => {
    const server = await startServer(t)
    const publish = (body, headers = { 'content-type': 'application/json' }) =>
      fetch(`${server.origin}/api/publish`, { method: 'POST', headers, body })
    const good = await publish(JSON.stringify({ channel: 'a', event: 'b', data: { c: 1 } }))
    assert.ok(good.ok, `${good.status}`)
    for (const body of [
      '',
      'hello',
      '[]',
      '{}',
      '{"channel":"a"}',
      '{"channel":"","event":"b","data":1}',
      '{"channel":"a b","event":"b","data":1}',
      '{"channel":1,"event":"b","data":1}',
      '{"channel":"a","event":"","data":1}',
      `{"channel":"${'x'.repeat(201)}","event":"b","data":1}`,
    ]) {
      const { status } = await publish(body)
      assert.ok(status >= 400 && status < 500, `${status} for ${body}`)
    }
    assert.equal((await fetch(`${server.origin}/api/publish`)).status, 405)
  })

  test('publishes for no page but its own, also when a name was made to mean this machine', async (t) => {
    const server = await startServer(t)
    const { port } = new URL(server.origin)
    const status = (headers) =>
      new Promise((resolve, reject) => {
        const options = { port, host: '127.0.0.1', method: 'POST', path: '/api/publish' }
        const json = { 'content-type': 'application/json' }
        const sent = request({ ...options, headers: { ...json, ...headers } }, ({ statusCode }) => resolve(statusCode))
        sent.on('error', reject)
        sent.end('{"channel":"a","event":"b","data":1}')
      })
    assert.equal(await status({}), 200)
    assert.equal(await status({ origin: server.origin }), 200)
    assert.equal(await status({ origin: 'https://evil.example.com' }), 403)
    const rebound = `evil.example.com:${port}`
    assert.equal(await status({ host: rebound, origin: `http://${rebound}` }), 403)
    assert.equal(await status({ 'content-type': 'text/plain' }), 415)
  })

  test('a thousand connections come and go', async (t) => {
    const server = await startServer(t, ['--connections-per-second', '100000'])
    for (let round = 0; round < 10; round++) {
      const sockets = await Promise.all(
        Array.from({ length: 100 }, async () => {
          const socket = new WebSocket(server.url)
          await once(socket, 'message')
          socket.send('{"t":"sub","c":"crowd"}')
          await once(socket, 'message')
          return socket
        }),
      )
      const heard = sockets.map((socket) => once(socket, 'message'))
      await server.publish('crowd', 'x', round)
      await Promise.all(heard)
      await Promise.all(sockets.map((socket, n) => {
        const close = once(socket, 'close')
        if (n % 2) socket.close()
        else socket.terminate()
        return close
      }))
    }
  })

  test('ends on SIGTERM, and tells its clients', async (t) => {
    const server = await startServer(t)
    const one = client(t, server.url)
    await one.ready()
    assert.equal(await server.terminate(), 0)
    const { closed: code } = await one.life.until((notice) => 'closed' in notice)
    assert.ok([1001, 1012].includes(code), `${code}`)
  })

  test('says what is wrong with a flag', async () => {
    for (const [flags, words] of [
      [['--bind', 'nonsense'], /bind/],
      [['--no-such-flag'], /no-such-flag/],
      [['--ping-interval-ms', 'soon'], /ping-interval-ms/],
      [['--allow-client-publish', 'a*b'], /a\*b/],
    ]) {
      await assert.rejects(startServer({ after: () => {} }, flags), words)
    }
  })
})
