// A page that React renders on the server and hydrates in the browser, built by Vite.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'

import { build, createServer } from 'vite'

import { freshProject } from './project.mjs'
import { expectEvent, html, serve, serveFolder } from './web.mjs'

const project = {
  packages: ['react@19.3.1', 'react-dom@19.3.1'],
  files: {
    'index.html': html('<main><!--page--></main><script type="module" src="/client.js"></script>'),
    'page.js': `
      import { createElement, useEffect, useState } from 'react'
      import { BroadcastClient } from 'tidings'

      export function Page() {
        const [greeting, setGreeting] = useState('none yet')
        const [subscribed, setSubscribed] = useState()
        useEffect(() => {
          const client = new BroadcastClient({ url: new URLSearchParams(location.search).get('gateway') })
          client.on('subscribed', ({ channel }) => setSubscribed(channel))
          client.channel('package.test').on('greeting', (data) => setGreeting(data.text))
          return () => client.disconnect()
        }, [])
        return createElement('p', { 'data-subscribed': subscribed, 'data-greeting': greeting }, greeting)
      }`,
    'client.js': `
      import { createElement, StrictMode } from 'react'
      import { hydrateRoot } from 'react-dom/client'
      import { Page } from './page.js'

      hydrateRoot(document.querySelector('main'), createElement(StrictMode, null, createElement(Page)))`,
    'server.js': `
      import { createElement, StrictMode } from 'react'
      import { renderToString } from 'react-dom/server'
      import { Page } from './page.js'

      export const render = () => renderToString(createElement(StrictMode, null, createElement(Page)))`,
  },
}
const rendered = '<p data-greeting="none yet">none yet</p>'

for (const [name, noExternal] of [
  ['with the package in node_modules', undefined],
  ['with the package bundled into the server', true],
]) {
  test(`server rendering, built, ${name}`, async (t) => {
    const root = await freshProject(t, project)
    const common = { root, configFile: false, logLevel: 'warn' }
    await build({ ...common, build: { outDir: 'dist/client' } })
    await build({ ...common, build: { ssr: 'server.js', outDir: 'dist/server' }, ssr: { noExternal } })

    const { render } = await import(pathToFileURL(join(root, 'dist/server/server.js')))
    const template = await readFile(join(root, 'dist/client/index.html'), 'utf8')
    const page = template.replace('<!--page-->', render())
    assert.ok(page.includes(rendered), page)
    const files = await serveFolder(t, join(root, 'dist/client'))
    const origin = await serve(t, async ({ url }, response) => {
      if (url.startsWith('/?')) return response.writeHead(200, { 'content-type': 'text/html' }).end(page)
      const file = await fetch(files + url)
      response.writeHead(file.status, { 'content-type': file.headers.get('content-type') ?? '' })
      response.end(Buffer.from(await file.arrayBuffer()))
    })
    await expectEvent(t, origin)
  })
}

test('server rendering, development', async (t) => {
  const root = await freshProject(t, project)
  const server = createHttpServer()
  const vite = await createServer({
    root,
    configFile: false,
    logLevel: 'warn',
    appType: 'custom',
    server: { middlewareMode: true, hmr: { server } },
  })
  t.after(() => vite.close())
  const page = async (_request, response) => {
    try {
      const { render } = await vite.ssrLoadModule('/server.js')
      const template = await vite.transformIndexHtml('/', project.files['index.html'])
      response.writeHead(200, { 'content-type': 'text/html' })
      response.end(template.replace('<!--page-->', render()))
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  }
  const handler = (request, response) => vite.middlewares(request, response, () => page(request, response))
  const origin = await serve(t, handler, server)
  assert.ok((await (await fetch(`${origin}/`)).text()).includes(rendered))
  await expectEvent(t, origin)
})
