import './styles/index.css'

import { element } from './dom'
import { Line } from './line/line'
import { Logbook } from './line/logbook'
import { Pulse } from './line/pulse'
import { StatusWatch } from './line/status'
import { Swell } from './line/swell'
import { Tide } from './line/tide'
import { Traffic } from './line/traffic'
import { chat } from './panels/chat'
import { connection } from './panels/connection'
import { header } from './panels/header'
import { inspector } from './panels/inspector'
import { latency } from './panels/latency'
import { rate } from './panels/rate'
import { rooms } from './panels/rooms'
import { stage } from './panels/stage'
import { swell } from './panels/swell'
import { terminal } from './panels/terminal'
import { Harbour } from './room/harbour'
import { Person } from './room/person'
import { Room } from './room/room'
import { followSystemTheme } from './theme'

const ROOMS = [
  ['lobby', 'Lobby'],
  ['studio', 'Studio'],
  ['lighthouse', 'Lighthouse'],
] as const

async function start(app: HTMLElement): Promise<void> {
  followSystemTheme()
  const me = await Person.arrive()
  const line = new Line()
  const status = new StatusWatch(line)
  const tide = new Tide(status)
  const logbook = new Logbook(line)
  const traffic = new Traffic(line.wire)
  const pulse = new Pulse(line, `demo.pulse.${me.tab}`)
  const swellRun = new Swell(line, `demo.swell.${me.tab}`)

  const all = ROOMS.map(([id, title]) => new Room(id, title, line, me))
  const lobby = all[0]
  if (!lobby) return
  const first = all.find(({ id }) => `#${id}` === location.hash) ?? lobby
  const harbour = new Harbour(all, first)
  first.join()

  harbour.changed.on(() => {
    const address = `#${harbour.current.id}`
    if (location.hash !== address) history.replaceState(null, '', address)
  })

  app.replaceChildren(
    header(line, status, me),
    element(
      'main',
      {},
      element('div', { class: 'watch' }, rooms(harbour, line), stage(harbour, status, me), chat(harbour, status, me)),
      connection(line, status, tide, logbook),
      element('div', { class: 'gauges' }, latency(pulse, tide), rate(traffic, tide)),
      element('div', { class: 'tools' }, swell(swellRun, status), terminal(harbour)),
      inspector(line),
    ),
    element('footer', { class: 'colophon' }, 'One WebSocket carries all of this. The client is Rust, compiled to WebAssembly.'),
  )
}

const app = document.getElementById('app')
if (app) void start(app)
