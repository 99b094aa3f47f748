// A real Chromium, with nothing of its own on the network.

import { chromium } from 'playwright-core'
import { chromiumPath } from './environment.mjs'

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export const launch = (...flags) => chromium.launch({ executablePath: chromiumPath, args: [...FLAGS, ...flags] })
