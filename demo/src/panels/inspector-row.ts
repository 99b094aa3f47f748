import { timeOfDayExact } from '../clock'
import { element } from '../dom'
import type { ChannelEvent } from '../line/line'
import type { Frame } from '../line/wire'

/** Events that come all the time and would bury the others. */
const CHATTER = ['cursor', 'pulse', 'here']

export interface Row {
  at: number
  way: 'in' | 'out'
  channel: string
  event: string
  payload: string
  id: string
}

export function fromEvent({ at, channel, event, data, id }: ChannelEvent): Row {
  return { at, way: 'in', channel, event, payload: JSON.stringify(data) ?? '', id }
}

export function fromFrame({ at, direction, tag, channel, event, text, id }: Frame): Row {
  return { at, way: direction, channel, event: event ? `${tag} ${event}` : tag, payload: text, id }
}

export function isChatter({ event }: Row): boolean {
  return CHATTER.some((name) => event === name || event.endsWith(` ${name}`)) || event === 'ack'
}

export function searchable({ channel, event, payload, id }: Row): string {
  return `${channel} ${event} ${payload} ${id}`.toLowerCase()
}

export function tableRow(row: Row): HTMLTableRowElement {
  const compact = element('span', {}, row.payload)
  const payload = element('button', { type: 'button', 'aria-expanded': 'false', title: 'Show the whole payload' }, compact)
  const cell = element('td', { class: 'cell-payload' }, payload)
  payload.addEventListener('click', () => {
    const opened = payload.getAttribute('aria-expanded') === 'false'
    payload.setAttribute('aria-expanded', String(opened))
    if (opened) cell.append(element('pre', {}, pretty(row.payload)))
    else cell.querySelector('pre')?.remove()
  })
  return element(
    'tr',
    { 'data-way': row.way },
    element('td', { class: 'cell-time' }, row.way === 'out' ? '↑ ' : '↓ ', timeOfDayExact(row.at)),
    element('td', { class: 'cell-channel' }, row.channel),
    element('td', { class: 'cell-event' }, row.event),
    cell,
    element('td', { class: 'cell-id', title: row.id }, row.id || '–'),
  )
}

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2)
  } catch {
    return json
  }
}
