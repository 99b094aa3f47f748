// The operator's page in a real browser, at a real gateway.

import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { WebSocket } from 'ws'
import { openContext, openPage } from './browser.mjs'
import { importPackage } from './package.mjs'
import { startServer } from './server.mjs'
import { next, within } from './wait.mjs'

const { BroadcastClient } = await importPackage()
const output = fileURLToPath(new URL('../output', import.meta.url))
const KEY = '0123456789abcdef'

/** A gateway with a page for operators. */
async function gatewayWithPage(t, admin = '127.0.0.1:0') {
  const server = await startServer(t, ['--admin-bind', admin, '--admin-key', `ann=${KEY}`])
  const [, address] = await server.logged(/operators look at +http:\/\/([\d.:]+)\//)
  return { server, address }
}

async function openDesk(t, address, options) {
  const context = await openContext(t, options)
  const page = await openPage(context, `http://${address}/`)
  await page.getByLabel('Your key').fill(KEY)
  await page.getByRole('button', { name: 'Open' }).click()
  await page.getByText('ready', { exact: true }).waitFor()
  return page
}

async function clientOf(t, server, ...channels) {
  const client = new BroadcastClient({ url: server.url, webSocketFactory: (url) => new WebSocket(url) })
  t.after(() => client.disconnect())
  await within(Promise.all(channels.map((name) => client.channel(name).ready())), 'the channels')
  await within(client.ready(), 'the connection')
  return client
}

/** A tile of the page. */
const tile = (page, name) => page.getByRole('article').filter({ has: page.getByRole('heading', { name }) })

test('a wrong key opens nothing, and the right one stays in the tab', async (t) => {
  const { address } = await gatewayWithPage(t)
  const page = await openPage(await openContext(t), `http://${address}/`)
  await page.getByLabel('Your key').fill('0123456789abcdeF')
  await page.getByRole('button', { name: 'Open' }).click()
  await page.getByText('This key is not valid.').waitFor()
  assert.equal(await page.locator('#desk').isVisible(), false)
  await page.getByLabel('Your key').fill(KEY)
  await page.getByRole('button', { name: 'Open' }).click()
  await page.getByText('ready', { exact: true }).waitFor()
  await page.reload()
  await page.getByText('ready', { exact: true }).waitFor()
  assert.ok(!page.url().includes(KEY))
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Your key').waitFor()
  await page.reload()
  await page.getByLabel('Your key').waitFor()
  // Only the answer to the wrong key.
  assert.deepEqual(page.complaints.filter((text) => !text.includes('401')), [])
})

test('figures move by themselves, and those of before are there', async (t) => {
  const { server, address } = await gatewayWithPage(t)
  const page = await openDesk(t, address)
  await clientOf(t, server, 'news')
  await tile(page, 'Connections').locator('.value', { hasText: /^1$/ }).waitFor()
  await clientOf(t, server, 'news')
  await tile(page, 'Connections').locator('.value', { hasText: /^2$/ }).waitFor()
  await server.publish('news', 'headline', 'calm sea')
  await tile(page, 'Publishes a second').locator('.note', { hasText: /^1 since/ }).waitFor()
  // Another operator, later, sees when they came.
  const late = await openDesk(t, address)
  await late.waitForFunction(() => document.querySelector('.tile .stroke').getAttribute('d').split('L').length > 2)
  const course = await tile(late, 'Connections').locator('.stroke').getAttribute('d')
  assert.ok(new Set(course.match(/ [\d.]+/g)).size > 1, `the course of 0, 1 and 2 connections: ${course}`)
  assert.deepEqual([...page.complaints, ...late.complaints], [])
})

test('the events of a channel are shown as text', async (t) => {
  const { server, address } = await gatewayWithPage(t)
  const page = await openDesk(t, address)
  const evil = `<img src=x onerror="window.hacked = true">`
  await clientOf(t, server, 'room.1', 'room.2')
  await server.publish('room.1', 'early', 'before anybody looked')
  await page.getByRole('button', { name: 'room.1' }).click()
  const events = page.getByRole('list', { name: /Events of room.1/ })
  await events.getByText('before anybody looked').waitFor()
  await server.publish('room.1', evil, { evil })
  await server.publish('room.2', 'other', 'not of this channel')
  await server.publish('room.1', 'later', 'after it')
  await events.getByText('after it').waitFor()
  const shown = await events.getByRole('listitem').allTextContents()
  assert.equal(shown.length, 3)
  assert.ok(shown[1].includes(evil) && shown[1].includes(JSON.stringify({ evil })), shown[1])
  assert.equal(await page.evaluate(() => window.hacked ?? document.querySelectorAll('img').length), 0)

  // The reader of a channel wants it to stand still at times.
  await page.getByRole('button', { name: 'Pause' }).click()
  await server.publish('room.1', 'paused', 'while it stood still')
  await page.getByRole('button', { name: 'Go on (1 new)' }).waitFor()
  assert.equal(await events.getByText('while it stood still').count(), 0)
  await page.getByRole('button', { name: 'Go on' }).click()
  await events.getByText('while it stood still').waitFor()
  for (let n = 0; n < 220; n++) await server.publish('room.1', 'n', n)
  await events.getByText('219', { exact: true }).waitFor()
  assert.equal(await events.getByRole('listitem').count(), 200)

  // A name that nobody listens to is opened as well.
  await page.getByLabel('Name', { exact: true }).fill('quiet')
  await page.getByRole('button', { name: 'Open “quiet”' }).click()
  await page.getByText('0 subscribers').waitFor()
  assert.deepEqual(page.complaints, [])
})

test('a connection is found and disconnected, after one question', async (t) => {
  const { server, address } = await gatewayWithPage(t)
  const [goes, stays] = [await clientOf(t, server, 'news'), await clientOf(t, server, 'news')]
  const page = await openDesk(t, address)
  await page.getByRole('tab', { name: 'Connections' }).click()
  await page.getByText('2 connections', { exact: true }).waitFor()
  await page.getByLabel('User, address or id').fill(goes.id)
  await page.getByText('1 that match, of 2 connections').waitFor()
  await page.getByRole('button', { name: `Disconnect ${goes.id}` }).click()
  await page.getByRole('button', { name: 'Cancel' }).click()
  assert.equal(goes.connected, true)
  const closed = next(goes, 'close')
  await page.getByRole('button', { name: `Disconnect ${goes.id}` }).click()
  await page.getByRole('button', { name: 'This connection' }).click()
  assert.equal((await closed).code, 4003)
  await page.getByText('0 that match, of 1 connection').waitFor()
  await page.getByLabel('User, address or id').fill('')
  await page.getByRole('row').filter({ hasText: stays.id }).waitFor()
  assert.equal(stays.connected, true)
  await page.getByText('Closed: disconnected by an operator').waitFor()
  await server.logged(/an operator disconnects a client.*operator="ann"/)
  assert.ok(!server.log.includes(KEY))
  assert.deepEqual(page.complaints, [])
})

test('it says when the gateway has gone, and comes back by itself', async (t) => {
  const { server, address } = await gatewayWithPage(t)
  await clientOf(t, server, 'news')
  const page = await openDesk(t, address)
  await page.getByRole('button', { name: 'news' }).click()
  await server.publish('news', 'e', 'of the first')
  const events = page.getByRole('list', { name: /Events of news/ })
  await events.getByText('of the first').waitFor()
  await server.kill()
  await page.getByText('The gateway does not answer since').waitFor()
  const { server: again } = await gatewayWithPage(t, address)
  await page.getByText('ready', { exact: true }).waitFor()
  await page.getByText('The gateway does not answer since').waitFor({ state: 'hidden' })
  // It is another process, and the channel began anew.
  await events.getByText('Events are missing here').waitFor()
  await again.publish('news', 'e', 'of the second')
  await events.getByText('of the second').waitFor()
  await tile(page, 'Connections').locator('.value', { hasText: /^0$/ }).waitFor()
})

test('it fits a phone, by day and by night', async (t) => {
  const { server, address } = await gatewayWithPage(t)
  await clientOf(t, server, 'news', 'room.1')
  mkdirSync(output, { recursive: true })
  for (const [name, options] of [
    ['phone', { viewport: { width: 390, height: 844 } }],
    ['night', { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' }],
  ]) {
    const page = await openDesk(t, address, options)
    await page.getByRole('button', { name: 'news' }).click()
    await server.publish('news', 'e', 'x'.repeat(400))
    await page.getByRole('list', { name: /Events of news/ }).getByText('xxxx').first().waitFor()
    await page.getByRole('tab', { name: 'Connections' }).click()
    await page.getByRole('row').first().waitFor({ state: 'attached' })
    const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
    assert.ok(wide <= inner, `${name}: ${wide} in ${inner}`)
    await page.screenshot({ path: join(output, `operator-${name}.png`), fullPage: true })
  }
})
