import { element } from '../dom'
import type { Line } from '../line/line'
import type { Harbour } from '../room/harbour'
import type { Room } from '../room/room'

/** The rooms of the page: choose which one to look at, join others beside it, leave. */
export function rooms(harbour: Harbour, line: Line): HTMLElement {
  const nav = element('nav', { class: 'rooms', 'aria-label': 'Rooms' })
  nav.append(...harbour.rooms.map((room) => berth(harbour, room, line)))
  return nav
}

function berth(harbour: Harbour, room: Room, line: Line): HTMLElement {
  const title = element('span', { class: 'room-title' }, room.title)
  const note = element('span', { class: 'room-note' })
  const unread = element('span', { class: 'room-unread' })
  const choose = element('button', { type: 'button', class: 'room-choose', 'data-testid': `room-${room.id}` })
  choose.append(title, note, unread)
  const leave = element(
    'button',
    { type: 'button', class: 'room-leave', 'data-testid': `leave-${room.id}`, 'aria-label': `Leave ${room.title}` },
    'Leave',
  )
  const holder = element('div', { class: 'room' }, choose, leave)

  const update = (): void => {
    const current = harbour.current === room
    const missed = harbour.unread(room)
    holder.dataset['joined'] = String(room.joined)
    choose.setAttribute('aria-current', String(current))
    choose.dataset['live'] = String(room.live)
    note.textContent = standing(room, line)
    unread.textContent = missed > 0 ? String(missed) : ''
    unread.setAttribute('aria-label', missed > 0 ? `${missed} unread` : '')
    leave.hidden = !room.joined
  }
  choose.addEventListener('click', () => {
    room.join()
    harbour.look(room)
  })
  leave.addEventListener('click', () => {
    room.leave()
    choose.focus()
  })
  room.membership.on(update)
  room.crew.changed.on(update)
  harbour.changed.on(update)
  update()
  return holder
}

function standing(room: Room, line: Line): string {
  if (!room.joined) return 'not joined'
  if (!room.live) return line.open ? 'joining…' : 'offline'
  const here = room.crew.mates.length + 1
  return here === 1 ? 'you alone' : `${here} here`
}
