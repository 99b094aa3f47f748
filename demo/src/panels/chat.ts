import { timeOfDay } from '../clock'
import { element } from '../dom'
import { flag } from '../room/flag'
import type { StatusWatch } from '../line/status'
import type { Harbour } from '../room/harbour'
import { colourClass } from '../room/palette'
import { TEXT_LIMIT } from '../room/payload'
import type { Person } from '../room/person'
import type { Message, Room } from '../room/room'
import { Later } from './later'
import { refusal } from './refusal'

/** A busy room is drawn this often and not message by message, in milliseconds. */
const SYNC_MS = 40

/** What is said in the room one looks at. */
export function chat(harbour: Harbour, status: StatusWatch, me: Person): HTMLElement {
  const title = element('h2', { id: 'chat-title', class: 'spoken' })
  const names = element('p', { class: 'crew-names' })
  const crew = element('ul', { class: 'crew', 'aria-label': 'Who is here' })
  const log = element('div', {
    class: 'chat-log',
    'data-testid': 'chat-log',
    role: 'log',
    'aria-live': 'polite',
    'aria-labelledby': 'chat-title',
    tabindex: 0,
  })
  const notice = element('div', { class: 'notice', role: 'alert', hidden: true })
  const input = element('input', {
    class: 'chat-input',
    'data-testid': 'chat-input',
    'aria-label': 'Your message',
    maxlength: TEXT_LIMIT,
    autocomplete: 'off',
    enterkeyhint: 'send',
  })
  const send = element('button', { type: 'submit', class: 'primary' }, 'Send')
  const form = element('form', { class: 'chat-form' }, input, send)
  const node = element(
    'section',
    { class: 'panel chat', id: 'chat', 'aria-labelledby': 'chat-title' },
    element('div', { class: 'chat-head' }, title, crew, names),
    log,
    notice,
    form,
  )
  const lines = new Map<Message, HTMLElement>()
  const changed = new Set<Message>()
  let atBottom = true

  const refill = (): void => {
    const room = harbour.current
    title.textContent = `Chat in ${room.title}`
    allow()
    lines.clear()
    log.replaceChildren()
    atBottom = true
    if (room.messages.length === 0) log.append(silence(room))
    sync()
    muster()
  }

  const allow = (): void => {
    const { joined, title: name } = harbour.current
    const stopped = status.current.kind === 'stopped'
    input.disabled = send.disabled = !joined || stopped
    input.placeholder = stopped ? 'Disconnected' : joined ? `Say something in ${name}` : 'Join to talk'
  }

  const sync = (): void => {
    const { messages } = harbour.current
    const kept = new Set(messages)
    for (const [message, line] of lines) {
      if (kept.has(message)) continue
      line.remove()
      lines.delete(message)
    }
    const fresh = messages.filter((message) => !lines.has(message)).map((message) => {
      const line = spoken(message, messages)
      lines.set(message, line)
      return line
    })
    // In place: a new line would be read out a second time.
    for (const message of changed) {
      const line = lines.get(message)
      if (line) tellFate(line, message)
    }
    const mine = [...changed].some((message) => message.mine)
    changed.clear()
    if (fresh.length === 0) return
    log.querySelector('.chat-silence')?.remove()
    log.append(...fresh)
    if (atBottom || mine) log.scrollTop = log.scrollHeight
  }
  const later = new Later(SYNC_MS, sync)
  const show = (message: Message): void => {
    changed.add(message)
    later.request()
  }
  log.addEventListener('scroll', () => {
    atBottom = log.scrollHeight - log.scrollTop - log.clientHeight < 60
  })

  const muster = (): void => {
    const room = harbour.current
    const mates = room.joined ? [{ from: me.name, colour: me.colour, self: true }, ...room.crew.mates] : []
    const others = room.crew.mates.map(({ from }) => from)
    names.textContent = !room.joined ? 'Not joined' : others.length ? `You and ${others.join(', ')}` : 'You, alone so far'
    crew.replaceChildren(
      ...mates.map((mate) => {
        const name = 'self' in mate ? `${mate.from} (you)` : mate.from
        return element('li', { class: colourClass(mate.colour), title: name }, flag(mate.from), element('span', { class: 'spoken' }, name))
      }),
    )
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const text = input.value.trim()
    if (!text) return
    input.value = ''
    harbour.current.say(text)
  })

  let looked: { room: Room; joined: boolean } | undefined
  const look = (): void => {
    const room = harbour.current
    if (looked?.room === room && looked.joined === room.joined) return
    if (looked?.room !== room) notice.hidden = true
    looked = { room, joined: room.joined }
    refill()
  }
  harbour.changed.on(look)
  me.changed.on(muster)
  status.changed.on(allow)
  for (const room of harbour.rooms) {
    room.crew.changed.on(() => room === harbour.current && muster())
    room.messagesChanged.on((message) => room === harbour.current && show(message))
    room.refused.on((reason) => {
      if (room !== harbour.current) return
      notice.hidden = reason === ''
      if (reason) notice.replaceChildren(...refusal(reason))
    })
  }
  look()
  return node
}

function silence(room: Room): HTMLElement {
  const text = room.joined
    ? 'Still water. Say the first word, or open this page in a second tab and answer yourself.'
    : 'Nothing reaches you here until you join.'
  return element('p', { class: 'chat-silence' }, text)
}

function spoken(message: Message, all: Message[]): HTMLElement {
  const before = all[all.indexOf(message) - 1]
  const goesOn =
    before !== undefined &&
    before.from === message.from &&
    before.tab === message.tab &&
    message.at - before.at < 120_000
  const line = element('article', { class: `chat-line ${colourClass(message.colour)}`, 'data-mine': String(message.mine) })
  if (goesOn) line.classList.add('chat-goes-on')
  const name = element('span', { class: 'chat-name' }, message.from)
  if (message.tab === undefined) name.append(element('small', {}, 'from outside'))
  const time = element('time', { datetime: new Date(message.at).toISOString() }, timeOfDay(message.at))
  line.append(flag(message.from), element('div', { class: 'chat-by' }, name, time), element('p', {}, message.text))
  tellFate(line, message)
  return line
}

function tellFate(line: HTMLElement, { state }: Message): void {
  line.querySelector('.chat-fate')?.remove()
  if (typeof state === 'object') {
    line.append(element('span', { class: 'chat-fate chat-refused' }, `not delivered: ${state.refused}`))
  } else if (state === 'sending') {
    line.append(element('span', { class: 'chat-fate' }, 'waiting for the gateway'))
  }
}
