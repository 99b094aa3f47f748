// Measures the client beside its peers in a real Chromium and writes docs/client.md.
//
//   cargo xtask pack
//   npm ci --prefix tests && npm ci --prefix tests/bench
//   node tests/bench/client.mjs
//
// ROUNDS and FRAMES make it shorter; the page is only written by a whole run.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

import { build } from 'esbuild'

import { launch } from '../e2e/chromium.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')

const DEFAULTS = { rounds: 9, frames: 100_000 }
const ROUNDS = Number(process.env.ROUNDS ?? DEFAULTS.rounds)
const FRAMES = Number(process.env.FRAMES ?? DEFAULTS.frames)
const SIZES = [170, 1000]

const LIBRARIES = [
  { name: 'tidings', package: 'tidings', imports: '{ BroadcastClient }' },
  { name: 'pusher', package: 'pusher-js', imports: 'Pusher' },
  { name: 'centrifuge', package: 'centrifuge', imports: '{ Centrifuge }' },
  { name: 'socketio', package: 'socket.io-client', imports: '{ io }' },
]

/** Unpacks the packed client into `folder`; returns its entry and manifest. */
function unpack(folder) {
  const built = join(root, 'target/npm')
  const tarball =
    process.env.TIDINGS_TARBALL ??
    (existsSync(built) && readdirSync(built).filter((name) => name.endsWith('.tgz')).map((name) => join(built, name))[0])
  if (!tarball) throw new Error('target/npm holds no package: run "cargo xtask pack" first')
  execFileSync('tar', ['-xzf', tarball, '-C', folder, '--strip-components=1'])
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return {
    entry: join(folder, manifest.exports['.'].import.default),
    version: manifest.version,
    parts: join(dirname(tarball), 'size.json'),
  }
}

async function bundle(tidings, source, format = 'esm') {
  const { outputFiles } = await build({
    ...(source ? { stdin: { contents: source, resolveDir: here } } : { entryPoints: [join(here, 'page.mjs')] }),
    bundle: true,
    minify: true,
    write: false,
    format,
    globalName: format === 'iife' ? 'bench' : undefined,
    platform: 'browser',
    target: 'es2022',
    define: { 'process.env.NODE_ENV': '"production"' },
    alias: { tidings: tidings.entry },
    logLevel: 'error',
  })
  return outputFiles[0].contents
}

/** Nanoseconds per frame of every run: `times[size][name][round]`. */
async function measure(tidings) {
  const script = Buffer.from(await bundle(tidings, undefined, 'iife')).toString()
  // The collector is called between the runs.
  const browser = await launch('--js-flags=--expose-gc')
  try {
    const page = await browser.newPage()
    page.on('pageerror', (error) => console.error(String(error)))
    await page.route('**/*', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }))
    await page.addInitScript({ path: join(here, 'fake.js') })
    await page.goto('http://localhost/')
    await page.addScriptTag({ content: script })
    const failed = await page.evaluate(() => bench.joinAll())
    const names = ['plain', ...LIBRARIES.map(({ name }) => name)].filter((name) => !failed[name])
    const times = {}
    const bytes = {}
    for (const size of SIZES) {
      times[size] = Object.fromEntries(names.map((name) => [name, []]))
      bytes[size] = {}
      // Round 0 warms up. Each round starts with another contestant.
      for (let round = 0; round <= ROUNDS; round += 1) {
        for (const index of names.keys()) {
          const name = names[(index + round) % names.length]
          const result = await page.evaluate((words) => bench.run(...words), [name, FRAMES, size])
          bytes[size][name] = result.bytes
          if (round > 0) times[size][name].push(result.nanoseconds)
        }
      }
    }
    return { times, bytes, failed, names, chromium: browser.version() }
  } finally {
    await browser.close()
  }
}

async function sizes(tidings) {
  const rows = []
  for (const library of LIBRARIES) {
    const name = library.imports.replace(/[{} ]/g, '')
    const code = await bundle(
      tidings,
      `import ${library.imports} from '${library.package}'\nglobalThis.listen = ${name}\n`,
    )
    rows.push({ ...library, raw: code.length, gzip: gzipSync(code, { level: 9 }).length })
  }
  return rows
}

function versionOf(name) {
  return JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8')).version
}

/** Milliseconds of the clock, and those that all processors together were busy. */
function processorTimes() {
  const busy = ({ times }) => times.user + times.nice + times.sys + times.irq
  return { wall: performance.now(), busy: cpus().reduce((sum, cpu) => sum + busy(cpu), 0) }
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

const thousands = (value) => Math.round(value).toLocaleString('en')

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(head), `|${head.map((_, index) => (index ? '---:' : '---')).join('|')}|`, ...rows.map(line)].join('\n')
}

function speedTable({ times, bytes, failed, names }, size, title) {
  const plain = times[size].plain
  const rows = names.map((name) => {
    const own = times[size][name]
    const ratios = own.map((time, round) => time / plain[round])
    return [
      title(name),
      bytes[size][name].toLocaleString('en'),
      thousands(median(own)),
      `${thousands(Math.min(...own))} to ${thousands(Math.max(...own))}`,
      median(ratios).toFixed(2),
      median(times[size].tidings.map((time, round) => time / own[round])).toFixed(2),
    ]
  })
  for (const [name, reason] of Object.entries(failed)) {
    rows.push([title(name), `not measured: ${reason}`, '', '', '', ''])
  }
  return table(
    ['client', 'bytes per frame', 'ns per frame', 'least to most', '÷ plain JavaScript', 'Tidings ÷ this'],
    rows,
  )
}

/** Who is cheaper per frame than Tidings and who is dearer, in words. */
function verdict({ times, names }, title) {
  const sentences = SIZES.map((size) => {
    const ratio = (name, other) => median(times[size][name].map((time, round) => time / times[size][other][round]))
    const peers = names.filter((name) => !['plain', 'tidings'].includes(name))
    const list = (names) => names.map((name) => `${title(name)} (${ratio('tidings', name).toFixed(2)})`).join(', ')
    const dearer = list(peers.filter((name) => ratio('tidings', name) < 0.95))
    const same = list(peers.filter((name) => Math.abs(ratio('tidings', name) - 1) <= 0.05))
    const cheaper = list(peers.filter((name) => ratio('tidings', name) > 1.05))
    return (
      `- At ${thousands(size)} bytes Tidings takes ${ratio('tidings', 'plain').toFixed(2)} times as long as plain JavaScript. ` +
      `Less than: ${dearer || 'nobody'}.${same && ` As much, within 5 %, as: ${same}.`} More than: ${cheaper || 'nobody'}.`
    )
  })
  return `In short (in brackets: Tidings' time ÷ theirs):\n\n${sentences.join('\n')}`
}

const folder = mkdtempSync(join(tmpdir(), 'tidings-client-bench-'))
try {
  const tidings = unpack(folder)
  const code = readFileSync(tidings.entry)
  const versions = { tidings: tidings.version }
  for (const { name, package: id } of LIBRARIES.slice(1)) versions[name] = versionOf(id)
  const title = (name) => {
    if (name === 'plain') return 'plain JavaScript'
    const text = `${LIBRARIES.find((library) => library.name === name).package} ${versions[name]}`
    return name === 'tidings' ? `**${text}**` : text
  }

  const weights = await sizes(tidings)
  const before = processorTimes()
  const result = await measure(tidings)
  const after = processorTimes()
  const busy = (after.busy - before.busy) / (after.wall - before.wall)

  const sizeRows = weights.map(({ name, raw, gzip }) => [title(name), thousands(raw), thousands(gzip)])
  sizeRows.push(['Tidings: `dist/index.js` as published', thousands(code.length), thousands(gzipSync(code, { level: 9 }).length)])
  if (existsSync(tidings.parts)) {
    const { wasm, glue } = JSON.parse(readFileSync(tidings.parts, 'utf8'))
    sizeRows.push(['of it the wasm, alone', thousands(wasm.raw), thousands(wasm.gzip)])
    sizeRows.push(['of it the JavaScript around it, alone', thousands(glue.raw), thousands(glue.gzip)])
  }

  // The browser alone keeps about one processor busy.
  const quiet =
    busy < 1.5
      ? ''
      : '**The machine was not quiet**: other programs ran beside the browser. Trust the ratios more than the times, ' +
        'and both only as far as *least to most* is narrow.\n\n'

  const page = `# The client beside its peers

\`node tests/bench/client.mjs\` wrote this page. It says what one received frame costs in a page, and what the page has
to download first.

${table(
  ['', ''],
  [
    ['date', new Date().toISOString().slice(0, 10)],
    ['Tidings', `${tidings.version}, \`dist/index.js\` with SHA-256 ${createHash('sha256').update(code).digest('hex').slice(0, 12)}…`],
    ['Chromium', `${result.chromium}, headless`],
    ['processor', `${cpus()[0].model.trim()}, ${cpus().length} cores`],
    ['rounds', `${ROUNDS}, after one to warm up`],
    ['frames per run', FRAMES.toLocaleString('en')],
    ['processors busy during the run', `${busy.toFixed(2)}, the browser's own threads included`],
  ],
).replace('---:', '---')}

${quiet}${verdict(result, title)}

## Speed

${SIZES.map((size) => `### Tidings frames of ${size.toLocaleString('en')} bytes\n\n${speedTable(result, size, title)}`).join('\n\n')}

Times are medians over the rounds; ratios are medians of the ratios within a round. The machine's speed drifts:
*least to most* shows by how much, and differences smaller than that mean little. Plain JavaScript is about the least
a client can do: \`JSON.parse\`, a \`Map\` of channels, a \`Map\` of events, a \`Set\` of listeners; it has no
reconnect, no joining and no checks. We do not claim that wasm is faster than JavaScript: a frame is parsed by the
browser's own \`JSON.parse\` in all of these.

## How it was measured

- All clients are in one page, bundled and minified by esbuild into one script, each connected once to a fake
  WebSocket that takes the place of the page's before anything is loaded. There is no network and no browser event:
  the fake calls \`onmessage\` and the listeners with \`{ type, target, data }\`. A real socket adds to the cost of all,
  so ratios there are nearer to 1.
- One channel, one listener, which counts and adds up a number in the data; every run checks count and sum.
- The data is the same for all, of a length that makes the Tidings frame ${SIZES.map((size) => size.toLocaleString('en')).join(' or ')} bytes. Each client gets it
  in its own server's JSON format, so frames differ in length. Every frame is another text, made before the clock starts.
- After every 16 frames the clock runs on until the listener has had them all: centrifuge and socket.io-client
  hand events over in microtasks, which in a browser run after each message.
- Clients take turns; each round begins with another one. The garbage collector is called before each run and free
  to work during it.

| client | settings |
|---|---|
| **tidings** | \`url\` only |
| pusher-js | \`enabledTransports: ['ws']\`, \`enableStats: false\`; data is JSON text inside JSON, as its protocol has it, and is parsed twice |
| centrifuge | JSON protocol; publications have no event name, so the listener is the subscription's |
| socket.io-client | \`transports: ['websocket']\`; rooms are the server's business, so the client looks up the event only, and its frame names no channel |

laravel-echo (a layer over pusher-js), ably, phoenix, supabase and partysocket were not tried.

## Size

A script that imports the client class and nothing else, bundled and minified by esbuild ${versionOf('esbuild')} for
\`es2022\`, and \`gzip\` at level 9.

${table(['', 'bytes', 'gzip'], sizeRows)}

The last two rows are what \`cargo xtask pack\` counted, with another gzip; in the published file the wasm is text, so
they do not add up to it. The published file is held below 19,200 bytes by \`tests/package/size.test.mjs\`. What the
clients do with their bytes differs: pusher-js also has presence and fallbacks over HTTP, centrifuge presence, history
and recovery, socket.io-client long-polling, binary data and acknowledgements but no channels.
`
  console.log(page)
  if (ROUNDS >= DEFAULTS.rounds && FRAMES === DEFAULTS.frames) {
    writeFileSync(join(root, 'docs/client.md'), page)
    console.log('docs/client.md')
  } else {
    console.log('Not a whole run: docs/client.md is as it was.')
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
