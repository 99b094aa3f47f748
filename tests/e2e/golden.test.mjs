// The package against the golden frames that the Rust tests read as well.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fakeClient, settled } from './fake.mjs'

const golden = JSON.parse(readFileSync(new URL('../../protocol/golden.json', import.meta.url)))

/** A client that is welcomed and has this channel, live, and what it tells its application. */
async function listening(t, channel) {
  const fake = fakeClient(t)
  const events = []
  fake.client.channel(channel).on('*', (event, data) => events.push({ event, data }))
  fake.socket.open()
  await settled()
  fake.socket.say({ t: 'ok', c: channel })
  await settled()
  fake.life.length = 0
  fake.socket.sent.length = 0
  return { ...fake, socket: fake.socket, events }
}

const fromServer = [...golden.frames, ...golden.read].filter(({ direction }) => direction === 'server')

for (const { name, text, fields } of fromServer) {
  test(`reads: ${name}`, async (t) => {
    const { frame, channel, event, data, reason, id } = fields
    if (frame === 'welcome') {
      const { client, socket } = fakeClient(t)
      socket.open(null).say(text)
      await settled()
      assert.deepEqual([client.id, client.state], [id, 'open'])
      return
    }
    if (frame === 'ok') {
      const { client, socket, lived } = fakeClient(t)
      client.channel(channel)
      socket.open()
      await settled()
      socket.say(text)
      await settled()
      assert.deepEqual(lived('subscribed'), [{ channel }])
      return
    }
    const { socket, events, lived, client } = await listening(t, channel || 'x')
    socket.say(text)
    await settled()
    if (frame === 'msg') assert.deepEqual(events, [{ event, data: JSON.parse(data) }])
    if (frame === 'ping') assert.deepEqual(socket.sent, ['{"t":"pong"}'])
    if (frame === 'err') {
      const [error] = lived('error')
      assert.equal(error.reason, reason)
      assert.equal(error.channel || '', channel)
    }
    if (frame !== 'msg') assert.deepEqual(events, [])
    assert.equal(client.state, 'open')
  })
}

for (const { name, text } of golden.dropped.filter(({ direction }) => direction !== 'client')) {
  test(`drops: ${name}`, async (t) => {
    const { socket, events, life, reports, client } = await listening(t, 'x')
    socket.say(text)
    await settled()
    assert.deepEqual([events, life, socket.sent, reports, client.state], [[], [], [], [], 'open'])
  })
}

test('what is dropped before welcome is no welcome', async (t) => {
  const { socket, client } = fakeClient(t)
  socket.open(null)
  for (const { text, direction } of golden.dropped) if (direction !== 'client') socket.say(text)
  await settled()
  assert.equal(client.state, 'connecting')
})

const fromClient = golden.frames.filter(({ direction, version }) => direction === 'client' && version === 1)

for (const { name, text, fields } of fromClient) {
  test(`writes: ${name}`, async (t) => {
    const { client, socket, clock } = fakeClient(t)
    socket.open()
    const { frame, channel, event, data } = fields
    if (frame === 'pong') socket.say({ t: 'ping' })
    else {
      const handle = client.channel(channel)
      if (frame === 'unsub') {
        await settled()
        socket.say({ t: 'ok', c: channel })
        handle.leave()
        await clock.advance(10)
      }
      if (frame === 'pub') handle.publish(event, ...(data === undefined ? [] : [JSON.parse(data)]))
    }
    await settled()
    assert.equal(socket.sent.at(-1), text)
  })
}

test('to a version 1 gateway nothing is said that version 1 does not know', async (t) => {
  const { client, sockets, clock } = fakeClient(t)
  const known = {
    sub: ['t', 'c'],
    unsub: ['t', 'c'],
    pub: ['t', 'c', 'e', 'd'],
    pong: ['t'],
  }
  for (const i of [0, 1]) {
    sockets[i].open({ id: 'v1' })
    const a = client.channel('a')
    const b = client.channel('b')
    a.publish('x', 1)
    b.publish('y')
    await settled()
    sockets[i].say({ t: 'ok', c: 'a' }).say({ t: 'ok', c: 'b' }).say({ t: 'ping' })
    sockets[i].say({ t: 'msg', c: 'a', e: 'x', d: 1, i: '01JZ8Q4M0C5T6V7W8X9Y0A1B2D' })
    await settled()
    b.leave()
    await clock.advance(100)
    const frames = sockets[i].frames()
    assert.ok(frames.length >= 6)
    for (const frame of frames) {
      assert.deepEqual(Object.keys(frame).filter((key) => !known[frame.t]?.includes(key)), [], JSON.stringify(frame))
    }
    sockets[i].die()
    await clock.advance(250)
  }
})
