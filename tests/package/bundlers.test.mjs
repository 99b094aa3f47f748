// The package in fresh projects of the common bundlers, seen in a real browser.

import { join } from 'node:path'
import { test } from 'node:test'

import { build as esbuild } from 'esbuild'
import { build as viteBuild, createServer } from 'vite'
import webpack from 'webpack'

import { addFiles, freshProject } from './project.mjs'
import { application, expectEvent, html, serveFolder } from './web.mjs'

test('vite build', async (t) => {
  const root = await freshProject(t, {
    files: { 'index.html': html('<script type="module" src="/app.js"></script>'), 'app.js': application },
  })
  await viteBuild({ root, configFile: false, logLevel: 'warn' })
  await expectEvent(t, await serveFolder(t, join(root, 'dist')))
})

test('vite dev server', async (t) => {
  const root = await freshProject(t, {
    files: { 'index.html': html('<script type="module" src="/app.js"></script>'), 'app.js': application },
  })
  const server = await createServer({
    root,
    configFile: false,
    logLevel: 'warn',
    server: { host: '127.0.0.1', port: 0 },
  })
  t.after(() => server.close())
  await server.listen()
  await expectEvent(t, `http://127.0.0.1:${server.httpServer.address().port}`)
})

test('webpack 5', async (t) => {
  const root = await freshProject(t, { files: { 'app.js': application } })
  await new Promise((resolve, reject) => {
    webpack(
      { context: root, mode: 'production', entry: './app.js', output: { path: join(root, 'dist'), filename: 'app.js' } },
      (error, stats) => {
        if (error) reject(error)
        else if (stats.hasErrors() || stats.hasWarnings()) reject(new Error(stats.toString()))
        else resolve()
      },
    )
  })
  await addFiles(root, { 'dist/index.html': html('<script src="app.js"></script>') })
  await expectEvent(t, await serveFolder(t, join(root, 'dist')))
})

for (const format of ['esm', 'iife']) {
  test(`esbuild (${format})`, async (t) => {
    const root = await freshProject(t, { files: { 'app.js': application } })
    await esbuild({
      absWorkingDir: root,
      entryPoints: ['app.js'],
      bundle: true,
      minify: true,
      format,
      outfile: 'dist/app.js',
      logLevel: 'warning',
    })
    const kind = format === 'esm' ? 'type="module" ' : ''
    await addFiles(root, { 'dist/index.html': html(`<script ${kind}src="app.js"></script>`) })
    await expectEvent(t, await serveFolder(t, join(root, 'dist')))
  })
}
