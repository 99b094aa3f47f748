// The types in consumers of several kinds. Types of libraries are checked as well (no skipLibCheck).

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { addFiles, freshProject } from './project.mjs'

const run = promisify(execFile)

const compilers = {
  'TypeScript 5.9': fileURLToPath(import.meta.resolve('typescript/lib/tsc.js')),
  'TypeScript 7': join(dirname(fileURLToPath(import.meta.resolve('typescript-7/package.json'))), 'bin/tsc'),
}
const modules = {
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
  node10: { module: 'commonjs', moduleResolution: 'node10' },
}
const consumers = {}

before(async () => {
  for (const name of ['consumer', 'browser', 'node', 'using']) {
    consumers[name] = await readFile(new URL(`types/${name}.ts`, import.meta.url), 'utf8')
  }
})

/** Compiles the consumers; a compile error rejects with the compiler's output. */
async function compile(root, compiler, files, options) {
  const compilerOptions = { target: 'es2022', lib: ['es2022'], types: [], strict: true, noEmit: true, ...options }
  await addFiles(root, { 'tsconfig.json': JSON.stringify({ compilerOptions, files }) })
  await run(process.execPath, [compilers[compiler], '--pretty', 'false'], { cwd: root }).catch((error) => {
    throw new Error(`${JSON.stringify(options)}\n${error.stdout}${error.stderr}`)
  })
}

test('types', async (t) => {
  const root = await freshProject(t, {
    packages: ['ws@8.23.0', '@types/ws@8.18.2', '@types/node@20.19.39'],
    files: {
      'consumer.ts': consumers.consumer,
      'consumer.cts': consumers.consumer,
      'browser.ts': consumers.browser,
      'node.ts': consumers.node,
      'using.ts': consumers.using,
    },
  })
  for (const compiler of Object.keys(compilers)) {
    for (const [name, options] of Object.entries(modules)) {
      // TypeScript 6 and later have left node10 behind.
      if (name === 'node10' && compiler === 'TypeScript 7') continue
      const files = name === 'nodenext' ? ['consumer.ts', 'consumer.cts'] : ['consumer.ts']
      await t.test(`${compiler}, ${name}, lib es2022`, () => compile(root, compiler, files, options))
    }
    await t.test(`${compiler}, a page`, () =>
      compile(root, compiler, ['browser.ts', 'consumer.ts'], { ...modules.bundler, lib: ['es2022', 'dom'] }),
    )
    await t.test(`${compiler}, Node.js with ws`, () =>
      compile(root, compiler, ['node.ts', 'consumer.ts'], { ...modules.nodenext, types: ['node'] }),
    )
    await t.test(`${compiler}, using`, () =>
      compile(root, compiler, ['using.ts'], { ...modules.bundler, lib: ['es2022', 'esnext.disposable'] }),
    )
  }
})
