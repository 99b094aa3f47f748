// One channel: who is there, where it is, and its events as they come.

import { at, count, element, many, rate, timeOfDay, write } from './dom.js'
import { Watch } from './watch.js'

/** So many events stay on the page. */
const KEPT = 200
const EARLIER = 50

/** Of each event so many characters are shown. */
const CHARACTERS = 2_000

/** The name on the wire is longer, and may have 200 bytes as every other. */
const LONGEST = 195

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

export class Tail {
  /** The channel that is open. */
  name
  #line
  #channel
  #watch
  #paused = false
  #waiting = []
  #missed = 0
  #frame
  #parts
  #on

  constructor(line, on) {
    this.#line = line
    this.#on = on
    const ask = (signal) => line.get('channel', { channel: this.name }, signal)
    this.#watch = new Watch({ ask, show: (facts) => this.#show(facts), onProblem: on.onProblem })
  }

  open(name) {
    if (this.name === name) return
    this.close()
    this.name = name
    this.#build(name)
    this.#watch.look()
    if (new TextEncoder().encode(name).length > LONGEST) {
      return write(this.#parts.note, 'Its events cannot be followed: its name is too long for that.')
    }
    const channel = (this.#channel = this.#line.client.channel(`tail:${name}`))
    channel.on('*', (event, data) => this.#add({ at: Date.now(), event, data }))
    channel.onGap(({ why }) => this.#add({ at: Date.now(), gap: why === 'backplane' ? 'Some events are not shown here.' : `Events are missing here: ${why}.` }))
    this.#begin(channel)
  }

  close() {
    this.#watch.rest()
    cancelAnimationFrame(this.#frame)
    this.#frame = undefined
    this.#channel?.leave()
    this.#channel = undefined
    this.#waiting = []
    this.#missed = 0
    this.#paused = false
    this.name = undefined
    at('tail').hidden = true
    at('tail').replaceChildren()
  }

  async #begin(channel) {
    try {
      await channel.ready()
      const { events } = await channel.history({ limit: EARLIER, untilAttach: true })
      if (channel !== this.#channel) return
      const earlier = events.map(({ event, data, id }) => ({ at: timeOf(id), event, data, earlier: true }))
      this.#parts.events.append(...earlier.reverse().map(entry))
      this.#trim()
    } catch (error) {
      if (channel !== this.#channel || error.code === 'no-history' || error.code === 'no history') return
      write(this.#parts.note, `Its events before now cannot be shown: ${error.message}`)
    }
  }

  #build(name) {
    const part = (tag, attributes = {}, ...children) => element(tag, attributes, ...children)
    const pause = part('button', { type: 'button', 'aria-pressed': 'false' }, 'Pause')
    const clear = part('button', { type: 'button' }, 'Clear')
    const shut = part('button', { type: 'button' }, 'Close')
    const who = part('button', { type: 'button', class: 'link' }, 'Its connections')
    const facts = part('p', { class: 'facts' })
    const note = part('p', { class: 'note', role: 'status' })
    const events = part('ol', { class: 'events', tabindex: '0', 'aria-label': `Events of ${name}, the newest first` })
    this.#parts = { pause, facts, note, events }
    pause.onclick = () => this.#pause(!this.#paused)
    clear.onclick = () => {
      this.#waiting = []
      events.replaceChildren()
    }
    shut.onclick = () => {
      this.close()
      this.#on.onClose()
    }
    who.onclick = () => this.#on.onConnections(name)
    at('tail').replaceChildren(part('h3', { id: 'tail-name' }, name), facts, part('div', { class: 'tools' }, pause, clear, who, shut), note, events)
    at('tail').hidden = false
  }

  #show({ subscribers, rate: events, epoch, offset, skipped }) {
    const position = epoch === null ? 'keeps no history' : `at ${count(offset)} of epoch ${epoch}`
    write(this.#parts.facts, `${many(subscribers, 'subscriber')} · ${rate(events)} events a second · ${position}`)
    if (skipped > 0) write(this.#parts.note, `Not shown, because they come too fast: ${many(skipped, 'event')}.`)
  }

  #pause(paused) {
    this.#paused = paused
    this.#parts.pause.setAttribute('aria-pressed', String(paused))
    if (!paused) {
      this.#missed = 0
      this.#schedule()
    }
    this.#label()
  }

  #label() {
    write(this.#parts.pause, this.#paused ? `Go on (${count(this.#missed)} new)` : 'Pause')
  }

  #add(item) {
    this.#waiting.push(item)
    if (this.#waiting.length > KEPT) this.#waiting.shift()
    if (this.#paused) {
      this.#missed += 1
      this.#label()
    } else {
      this.#schedule()
    }
  }

  /** Events are written once a frame, however many come. */
  #schedule() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined
      if (this.#paused) return
      this.#parts.events.prepend(...this.#waiting.reverse().map(entry))
      this.#waiting = []
      this.#trim()
    })
  }

  #trim() {
    const { events } = this.#parts
    while (events.children.length > KEPT) events.lastElementChild.remove()
  }
}

function entry({ at, event, data, gap, earlier }) {
  const time = element('time', {}, timeOfDay(at))
  if (gap) return element('li', { class: 'gap' }, time, element('span', {}, gap))
  return element('li', earlier ? { class: 'earlier' } : {}, time, element('b', {}, event), element('code', {}, text(data)))
}

function text(data) {
  const whole = JSON.stringify(data) ?? 'null'
  return whole.length > CHARACTERS ? `${whole.slice(0, CHARACTERS)}… (${count(whole.length)} characters)` : whole
}

/** The time that an event's id begins with. */
function timeOf(id) {
  return [...id.slice(0, 10)].reduce((time, digit) => time * 32 + Math.max(0, ALPHABET.indexOf(digit)), 0)
}
