// The demo as a user meets it: two tabs, a gateway that comes and goes.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openContext, openPage } from './browser.mjs'
import { startServer } from './server.mjs'

const dist = fileURLToPath(new URL('../../demo/dist', import.meta.url))
const output = fileURLToPath(new URL('../output', import.meta.url))
const skip = !existsSync(join(dist, 'index.html')) && 'demo/dist is not built: cargo xtask demo builds it'

const flags = ['--static-dir', dist, '--allow-client-publish', 'demo.*', '--history', 'demo.pointers.*=0']

async function openDemo(t, { tabs = 2, server, context = {} } = {}) {
  server ??= await startServer(t, flags)
  const profile = await openContext(t, context)
  const pages = []
  for (let n = 0; n < tabs; n++) pages.push(await openPage(profile, server.origin))
  for (const page of pages) {
    await isIn(page, 'open')
    await page.getByTestId('timeline').getByText('Subscribed to demo.lobby').first().waitFor()
  }
  return { server, pages }
}

/** Resolves when the page shows this state of its connection. */
function isIn(page, state) {
  return page.getByTestId('connection-state').and(page.locator(`[data-state="${state}"]`)).waitFor()
}

async function say(page, text) {
  await page.getByTestId('chat-input').fill(text)
  await page.getByTestId('chat-input').press('Enter')
}

function hears(page, text) {
  return page.getByTestId('chat-log').getByText(text, { exact: true }).first().waitFor()
}

/** What a page complained about, apart from the browser's own words about a gateway that is away. */
function complaints(page) {
  return page.complaints.filter((text) => !/WebSocket connection to|net::ERR_/.test(text))
}

test('two tabs chat, and what is published over HTTP comes too', { skip }, async (t) => {
  const { server, pages: [ann, bob] } = await openDemo(t)
  await say(ann, 'Land in sight')
  for (const page of [ann, bob]) await hears(page, 'Land in sight')
  await say(bob, 'Aye')
  for (const page of [ann, bob]) await hears(page, 'Aye')
  await server.publish('demo.lobby', 'chat', { from: 'curl', text: 'Hello from the terminal' })
  for (const page of [ann, bob]) await hears(page, 'Hello from the terminal')
  for (const page of [ann, bob]) assert.deepEqual(page.complaints, [])
})

test('a cursor in one tab is seen in the other', { skip }, async (t) => {
  const { pages: [ann, bob] } = await openDemo(t)
  await bob.getByTestId('timeline').getByText('Subscribed to demo.pointers.lobby').first().waitFor()
  const surface = ann.locator('.stage-surface')
  const box = await surface.boundingBox()
  await bob.bringToFront()
  await ann.bringToFront()
  const seen = bob.getByTestId('cursor').first().waitFor()
  await ann.mouse.move(box.x + box.width / 3, box.y + box.height / 3)
  await ann.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 5 })
  await seen
  assert.deepEqual(bob.complaints, [])
})

test('rooms are left and joined', { skip }, async (t) => {
  const { server, pages: [page] } = await openDemo(t, { tabs: 1 })
  await page.getByTestId('room-studio').click()
  await page.getByTestId('timeline').getByText('Subscribed to demo.studio').first().waitFor()
  await server.publish('demo.studio', 'chat', { from: 'curl', text: 'in the studio' })
  await hears(page, 'in the studio')
  await page.getByTestId('leave-studio').click()
  await page.getByTestId('join-studio').click()
  await say(page, 'back again')
  await hears(page, 'back again')
  assert.deepEqual(page.complaints, [])
})

test('a cut socket is replaced, and what is said meanwhile arrives', { skip }, async (t) => {
  const { pages: [ann, bob] } = await openDemo(t)
  await ann.getByTestId('block-switch').check()
  await isIn(ann, 'connecting')
  await say(ann, 'said while away')
  await ann.getByTestId('block-switch').uncheck()
  await isIn(ann, 'open')
  for (const page of [ann, bob]) await hears(page, 'said while away')
  await ann.getByTestId('cut-button').click()
  await ann.getByTestId('timeline').getByText('You cut the socket').first().waitFor()
  await say(ann, 'back')
  for (const page of [ann, bob]) await hears(page, 'back')
  await say(bob, 'welcome back')
  await hears(ann, 'welcome back')
  for (const page of [ann, bob]) assert.deepEqual(complaints(page), [])
})

test('the gateway is killed and started again under both tabs', { skip }, async (t) => {
  const { server, pages } = await openDemo(t)
  await server.kill()
  for (const page of pages) await isIn(page, 'connecting')
  await server.start()
  for (const page of pages) await isIn(page, 'open')
  for (const page of pages) {
    await page.getByTestId('timeline').getByText('Missed something on demo.lobby: epoch').first().waitFor()
  }
  await say(pages[0], 'after the storm')
  for (const page of pages) await hears(page, 'after the storm')
  for (const page of pages) assert.deepEqual(complaints(page), [])
})

test('disconnect is for good, connect is back in the room', { skip }, async (t) => {
  const { server, pages: [page] } = await openDemo(t, { tabs: 1 })
  await page.getByTestId('disconnect-button').click()
  await isIn(page, 'closed')
  await page.getByTestId('disconnect-button').click()
  await isIn(page, 'open')
  await say(page, 'here again')
  await hears(page, 'here again')
  await server.publish('demo.lobby', 'chat', { from: 'curl', text: 'and heard' })
  await hears(page, 'and heard')
  assert.deepEqual(page.complaints, [])
})

test('a run of numbered events comes back whole', { skip }, async (t) => {
  const { pages: [page] } = await openDemo(t, { tabs: 1 })
  await page.getByTestId('swell-button').click()
  await page.getByTestId('swell-result').getByText(/each once and in order/).waitFor()
  assert.deepEqual(page.complaints, [])
})

test('a run of numbered events comes back whole when the socket is cut under it', { skip }, async (t) => {
  const { pages: [page] } = await openDemo(t, { tabs: 1 })
  await page.getByTestId('swell-button').click()
  for (const marks of [20, 50]) {
    await page.waitForFunction((count) => document.querySelectorAll('[data-mark=back]').length >= count, marks)
    const opened = page.getByTestId('timeline').getByText(/^Open, as/)
    const before = await opened.count()
    await page.getByTestId('cut-button').click()
    await opened.nth(before).waitFor()
  }
  await page.getByTestId('swell-result').getByText(/each once and in order/).waitFor()
  assert.deepEqual(complaints(page), [])
})

test('it asks no other host for anything', { skip }, async (t) => {
  const server = await startServer(t, flags)
  const context = await openContext(t)
  const hosts = new Set()
  context.on('request', (request) => hosts.add(new URL(request.url()).host))
  const page = await openPage(context, server.origin)
  await isIn(page, 'open')
  assert.deepEqual([...hosts], [new URL(server.origin).host])
})

const looks = {
  light: { colorScheme: 'light', viewport: { width: 1280, height: 900 } },
  dark: { colorScheme: 'dark', viewport: { width: 1280, height: 900 } },
  phone: { colorScheme: 'light', viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
  'phone-dark': { colorScheme: 'dark', viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
}

for (const [name, context] of Object.entries(looks)) {
  test(`it fits: ${name}`, { skip }, async (t) => {
    const { server, pages: [page] } = await openDemo(t, { tabs: 1, context: { ...context, reducedMotion: 'reduce' } })
    await server.publish('demo.lobby', 'chat', { from: 'curl', text: 'Hello from the terminal' })
    await hears(page, 'Hello from the terminal')
    mkdirSync(output, { recursive: true })
    await page.screenshot({ path: join(output, `demo-${name}.png`), fullPage: true })
    const { width, content } = await page.evaluate(() => ({
      width: document.documentElement.clientWidth,
      content: document.documentElement.scrollWidth,
    }))
    assert.ok(content <= width, `${content} pixels of content in ${width}`)
    assert.deepEqual(page.complaints, [])
  })
}
