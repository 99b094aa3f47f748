// The page: a door, and behind it what goes on.

import { Channels } from './channels.js'
import { Connections } from './connections.js'
import { at, duration, timeOfDay, write } from './dom.js'
import { enter, forget } from './door.js'
import { Figures } from './figures.js'
import { Gauges } from './gauges.js'
import { Refused } from './line.js'

/** Figures come every second. When none has come for so long, something is wrong. */
const SILENT = 5_000

/** Shows the desk until the operator closes it, or the key is no longer valid; resolves with why. */
function work(line) {
  const figures = new Figures()
  const gauges = new Gauges()
  const { client } = line
  let [heardAt, connected, lists, tab] = [Date.now(), false, undefined, 'channels']

  return new Promise((resolve) => {
    const end = (why) => {
      clearInterval(watch)
      for (const list of Object.values(lists)) list.close()
      line.close()
      at('desk').hidden = true
      resolve(why)
    }
    const onProblem = (error) => error instanceof Refused && end('This key is no longer valid.')
    const show = (name) => {
      tab = name
      for (const other of ['channels', 'connections']) {
        at(other).hidden = other !== name
        at(`${other}-tab`).setAttribute('aria-selected', String(other === name))
        at(`${other}-tab`).tabIndex = other === name ? 0 : -1
        if (other !== name) lists[other].rest()
      }
      lists[name].look()
    }
    lists = {
      channels: new Channels(line, {
        onProblem,
        onConnections: (channel) => {
          show('connections')
          lists.connections.only(channel)
        },
      }),
      connections: new Connections(line, { onProblem }),
    }
    for (const name of ['channels', 'connections']) at(`${name}-tab`).onclick = () => show(name)
    at('lists').querySelector('.tabs').onkeydown = ({ key }) => {
      if (key !== 'ArrowLeft' && key !== 'ArrowRight') return
      show(tab === 'channels' ? 'connections' : 'channels')
      at(`${tab}-tab`).focus()
    }
    at('leave').onclick = () => {
      forget()
      end('')
    }

    const state = () => {
      const gone = !connected || Date.now() - heardAt > SILENT
      at('desk').classList.toggle('gone', gone)
      at('gone').hidden = !gone
      if (gone) write(at('gone'), `The gateway does not answer since ${timeOfDay(heardAt)}. What is shown is how it was then; this page goes on by itself.`)
      head(figures.last, gone)
    }
    client.on('open', () => {
      connected = true
      heardAt = Date.now()
      state()
      lists[tab].look()
    })
    client.on('close', () => {
      connected = false
      state()
    })
    client.on('error', ({ channel, reason }) => channel === undefined && reason === 'unauthorized' && end('This key is no longer valid.'))

    const told = client.channel('figures')
    told.on('figures', (sample) => {
      heardAt = Date.now()
      figures.add(sample)
      gauges.show(figures)
      state()
    })
    const before = async () => {
      const { events } = await told.history({ limit: 300, untilAttach: true })
      figures.precede(events.map(({ data }) => data))
      gauges.show(figures)
    }
    told.onGap(() => {
      // Another process: its totals have begun anew.
      figures.clear()
      before().catch(() => {})
    })
    before().catch(() => {})

    const watch = setInterval(state, 1_000)
    at('desk').hidden = false
    show('channels')
    // A connection that is not made at once is not yet one that is gone.
    setTimeout(state, 1_500)
  })
}

function head(sample, gone) {
  const [kind, said] = gone ? ['bad', 'does not answer'] : !sample ? ['', 'connecting'] : sample.unready ? ['bad', `not ready: ${sample.unready}`] : ['good', 'ready']
  at('state').className = `state ${kind}`
  write(at('state'), said)
  if (!sample) return
  const up = sample.started ? ` · up ${duration(sample.at - sample.started * 1000)}, since ${new Date(sample.started * 1000).toLocaleString()}` : ''
  write(at('facts'), `${sample.version} · backplane ${sample.backplane}${up}`)
  document.title = `${gone ? '✕ ' : ''}Tidings: operators`
}

let why = ''
for (;;) {
  const line = await enter(why)
  why = await work(line)
  if (why) forget()
}
