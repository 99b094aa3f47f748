// What goes on, at a glance: numbers with their last five minutes, room left, and what went wrong.

import { at, bytes, count, drawing, duration, element, keep, many, rate, write } from './dom.js'

const WINDOW = 300_000
const [WIDTH, HEIGHT] = [300, 56]
const [NEAR, FULL] = [0.8, 0.95]

const accepted = (sample) => sample.published.accepted ?? 0

/** Each with what it is called, its course, and how a value and what stands below it are written. */
const GAUGES = [
  {
    name: 'Connections',
    course: (figures) => figures.course((sample) => sample.connections),
    text: count,
    note: (figures) => `${rate(latest(figures.growth((sample) => sample.opened)))} new a second · ${many(figures.last.streams, 'event stream')}`,
  },
  {
    name: 'Publishes a second',
    course: (figures) => figures.growth(accepted),
    text: rate,
    note: (figures) => `${count(accepted(figures.last))} since the start`,
  },
  {
    name: 'Deliveries a second',
    course: (figures) => figures.growth((sample) => sample.deliveries),
    text: rate,
    note: (figures) => `${bytes(latest(figures.growth((sample) => sample.sent)))} a second`,
  },
  {
    name: 'Subscriptions',
    course: (figures) => figures.course((sample) => sample.subscriptions),
    text: count,
    note: (figures) => `to ${many(figures.last.channels, 'channel')}`,
  },
  {
    name: 'Waiting for slow clients',
    course: (figures) => figures.course((sample) => sample.queued),
    text: bytes,
    note: (figures) => `${bytes(figures.last.backlog)} between the workers`,
  },
  {
    name: 'Memory',
    course: (figures) => figures.course((sample) => sample.memory),
    text: bytes,
    note: (figures) => {
      const cpu = latest(figures.growth((sample) => sample.cpu))
      return cpu === null ? '' : `${rate(cpu * 100)} % of one processor`
    },
  },
]

const LIMITS = [
  ['Connections', (sample) => sample.connections, (sample) => sample.limits.connections, count],
  ['Open files', (sample) => sample.files, (sample) => sample.limits.files, count],
  ['Events between the workers', (sample) => sample.backlog, (sample) => sample.limits.backlog, bytes],
]

const CODES = {
  1002: 'broke the WebSocket protocol',
  1007: 'text that is not UTF-8',
  1008: 'policy',
  1009: 'message too large',
  1012: 'sent away at the end',
  4001: 'did not answer a ping',
  4003: 'disconnected by an operator',
  4005: 'token expired',
  4008: 'too slow',
  4029: 'too many commands',
}

const REFUSALS = {
  closing: 'while stopping',
  full: 'no room for more connections',
  origin: 'page of a wrong origin',
  address: 'too many from one address',
  pace: 'too many new ones a second',
}

export class Gauges {
  #tiles = GAUGES.map(tile)

  constructor() {
    at('gauges').replaceChildren(...this.#tiles.map(({ node }) => node))
  }

  show(figures) {
    if (!figures.last) return
    GAUGES.forEach((gauge, index) => this.#tiles[index].show(gauge, figures))
    limits(figures.last)
    trouble(figures)
  }
}

function tile({ name }) {
  const value = element('p', { class: 'value' }, '–')
  const note = element('p', { class: 'muted note' })
  const most = element('span', { class: 'most' })
  const area = drawing('path', { class: 'area' })
  const stroke = drawing('path', { class: 'stroke' })
  const chart = drawing('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' }, area, stroke)
  const node = element('article', { class: 'panel tile' }, element('h2', {}, name), value, note, element('div', { class: 'chart' }, chart, most))
  const show = (gauge, figures) => {
    const course = gauge.course(figures)
    write(value, gauge.text(latest(course)))
    write(note, gauge.note(figures))
    const top = Math.max(...course.map(([, value]) => value ?? 0), 0)
    write(most, top > 0 ? gauge.text(top) : '')
    const lines = paths(course, top, figures.last.at)
    stroke.setAttribute('d', lines.map(({ line }) => line).join(''))
    area.setAttribute('d', lines.map(({ line, from, to }) => `${line}L${to} ${HEIGHT}L${from} ${HEIGHT}Z`).join(''))
    chart.setAttribute('aria-label', `${name}, the last five minutes: at most ${gauge.text(top)}, now ${gauge.text(latest(course))}`)
  }
  return { node, show }
}

/** The lines of a chart: a new one wherever a value is missing, or nothing was heard for a while. */
function paths(course, top, now) {
  const lines = []
  let line
  let before
  for (const [at, value] of course) {
    if (value === null || value === undefined) {
      line = undefined
      continue
    }
    const x = ((1 - (now - at) / WINDOW) * WIDTH).toFixed(1)
    const y = (HEIGHT - 1 - (top > 0 ? value / top : 0) * (HEIGHT - 4)).toFixed(1)
    if (!line || at - before > 5_000) lines.push((line = { line: `M${x} ${y}`, from: x, to: x }))
    else line.line += `L${x} ${y}`
    line.to = x
    before = at
  }
  return lines
}

function latest(course) {
  return course.at(-1)?.[1] ?? null
}

function limits(sample) {
  const known = LIMITS.map(([name, used, limit, text]) => ({ name, used: used(sample), limit: limit(sample), text })).filter(
    ({ used, limit }) => limit && used !== null,
  )
  const make = () =>
    element('div', { class: 'limit' }, element('span', { class: 'limit-name' }), element('span', { class: 'limit-text' }), element('meter', { min: 0, max: 1, low: NEAR, high: FULL, optimum: 0 }))
  keep(at('limits'), known, ({ name }) => name, make, (node, { name, used, limit, text }) => {
    const [title, said, meter] = node.children
    const share = Math.min(1, used / limit)
    write(title, name)
    write(said, `${text(used)} of ${text(limit)}${share >= FULL ? ': full' : share >= NEAR ? ': nearly full' : ''}`)
    meter.value = share
    meter.setAttribute('aria-label', name)
    node.className = share >= FULL ? 'limit bad' : share >= NEAR ? 'limit warn' : 'limit'
  })
}

function trouble(figures) {
  const { last, first } = figures
  const of = (group, labels, title) =>
    Object.keys(last[group]).map((key) => ({ name: `${title}: ${labels[key] ?? key}`, total: (sample) => sample[group][key] ?? 0 }))
  const all = [
    ...of('refused', REFUSALS, 'Refused'),
    ...of('closed', CODES, 'Closed'),
    { name: 'Lost without a close', total: (sample) => sample.left['1006'] ?? 0 },
    ...['denied', 'failed', 'invalid'].map((kind) => ({ name: `Publishes ${kind}`, total: (sample) => sample.published[kind] ?? 0 })),
    ...of('excess', { commands: 'commands', address: 'connections of an address' }, 'Above a limit that is only watched'),
    { name: 'Frames that made no sense', total: (sample) => sample.dropped },
    { name: 'Channels that may have lost events', total: (sample) => sample.gaps },
  ]
  const lines = all
    .map(({ name, total }) => ({ name, total: total(last), recent: figures.grown(total) }))
    .filter(({ total }) => total > 0)
    .sort((one, two) => two.recent - one.recent || two.total - one.total)
  if (lines.length === 0) {
    if (!at('trouble').querySelector('.calm')) at('trouble').replaceChildren(element('p', { class: 'muted calm' }, 'Nothing since the start.'))
    return
  }
  if (!at('trouble').querySelector('table')) {
    const head = element('tr', {}, element('th', { scope: 'col' }), element('th', { scope: 'col', class: 'number recent' }), element('th', { scope: 'col', class: 'number' }, 'all'))
    at('trouble').replaceChildren(element('table', {}, element('thead', {}, head), element('tbody')))
  }
  write(at('trouble').querySelector('.recent'), `last ${duration(Math.max(1_000, last.at - first.at))}`)
  const make = () => element('tr', {}, element('th', { scope: 'row' }), element('td', { class: 'number' }), element('td', { class: 'number muted' }))
  keep(at('trouble').querySelector('tbody'), lines, ({ name }) => name, make, (node, { name, total, recent }) => {
    write(node.children[0], name)
    write(node.children[1], count(recent))
    write(node.children[2], count(total))
  })
}
