// The package without a bundler, and under a content security policy.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { freshProject } from './project.mjs'
import { application, attached, expectEvent, html, openPage, serveFolder } from './web.mjs'

const entry = '/node_modules/tidings/dist/index.js'
const plain = {
  'index.html': html('<script type="module" src="/app.js"></script>'),
  'app.js': application.replace("'tidings'", `'${entry}'`),
}

test('a plain module script', async (t) => {
  const root = await freshProject(t, { files: plain })
  await expectEvent(t, await serveFolder(t, root))
})

test('an import map', async (t) => {
  const map = JSON.stringify({ imports: { tidings: entry } })
  const root = await freshProject(t, {
    files: {
      'index.html': html(
        `<script type="importmap">${map}</script><script type="module" src="/app.js"></script>`,
      ),
      'app.js': application,
    },
  })
  await expectEvent(t, await serveFolder(t, root))
})

test("a policy of script-src 'self' 'wasm-unsafe-eval'", async (t) => {
  const root = await freshProject(t, { files: plain })
  await expectEvent(
    t,
    await serveFolder(t, root, {
      'content-security-policy':
        "default-src 'none'; img-src data:; script-src 'self' 'wasm-unsafe-eval'; connect-src ws:",
    }),
  )
})

test('a policy without wasm: the import works, the constructor says what is missing', async (t) => {
  const root = await freshProject(t, {
    files: {
      'index.html': html('<script type="module" src="/app.js"></script>'),
      'app.js': `
        import { BroadcastClient } from '${entry}'
        try { new BroadcastClient({ url: 'ws://127.0.0.1:9/' }) }
        catch (error) { document.body.dataset.refused = error.message }`,
    },
  })
  const origin = await serveFolder(t, root, { 'content-security-policy': "script-src 'self'" })
  const { page } = await openPage(t, origin)
  const body = await page.waitForSelector('[data-refused]', attached)
  assert.match(await body.getAttribute('data-refused'), /WebAssembly/)
})
