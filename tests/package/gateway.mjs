// The real gateway, on a port of its own.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

import { environment, required } from './project.mjs'

/** Starts a gateway that lets pages of these origins connect; it stops when the test ends. */
export async function startGateway(t, ...origins) {
  const words = ['serve', '--bind', '127.0.0.1:0', '--allow-client-publish', 'package.*']
  for (const origin of origins) words.push('--allow-origin', origin)
  const child = spawn(required('TIDINGS_BIN'), words, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => stop(child))

  const origin = await listening(child)
  return {
    url: `${origin.replace('http', 'ws')}/_broadcast`,
    async publish(channel, event, data) {
      const answer = await fetch(`${origin}/api/publish`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ channel, event, data }),
      })
      if (!answer.ok) throw new Error(`publish: ${answer.status} ${await answer.text()}`)
    },
  }
}

function listening(child) {
  return new Promise((resolve, reject) => {
    const printed = []
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        printed.push(line)
        const found = /listening on (http:\/\/[\w.:]+)/.exec(line)
        if (found) resolve(found[1])
      })
    }
    child.on('error', reject)
    child.on('close', (code) => reject(new Error(`the gateway ended with ${code}:\n${printed.join('\n')}`)))
  })
}

function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  return gone
}
