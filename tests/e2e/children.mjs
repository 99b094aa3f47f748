// Child processes and folders that do not outlive the test process, whatever ends it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const cleanups = new Set()

function cleanUp() {
  for (const cleanup of cleanups) cleanup()
  cleanups.clear()
}

process.on('exit', cleanUp)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    cleanUp()
    process.exit(1)
  })
}

/** Kills `child` at the latest when this process ends. */
export function guard(child) {
  const kill = () => child.kill('SIGKILL')
  cleanups.add(kill)
  child.once('exit', () => cleanups.delete(kill))
  return child
}

/** A folder that goes with this process. */
export function temporaryFolder(name) {
  const folder = mkdtempSync(join(tmpdir(), `tidings-${name}-`))
  cleanups.add(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
