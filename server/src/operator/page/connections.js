// Who is connected to this gateway, and a way to end that.

import { at, bytes, count, duration, element, keep, many, timeOfDay, write } from './dom.js'
import { Watch } from './watch.js'

export class Connections {
  #line
  #channel
  #watch

  constructor(line, { onProblem }) {
    this.#line = line
    this.#watch = new Watch({ ask: (signal) => this.#page(signal), show: (page) => this.#show(page), onProblem })
    at('connection-text').oninput = () => this.look()
    at('connection-sort').onchange = () => this.look()
    at('any-channel').onclick = () => this.only(undefined)
    at('ask-no').onclick = () => at('ask').close()
  }

  /** Only those of one channel, or all. */
  only(channel) {
    this.#channel = channel
    at('any-channel').hidden = !channel
    write(at('any-channel'), `Only of “${channel}” ✕`)
    at('any-channel').setAttribute('aria-label', `Show connections of every channel, not only of ${channel}`)
    this.look()
  }

  /** Looks now, and again until it rests. */
  look() {
    this.#watch.look()
  }

  rest() {
    this.#watch.rest()
  }

  close() {
    this.rest()
    at('ask').close()
  }

  #page(signal) {
    const [text, sort] = [at('connection-text').value.trim(), at('connection-sort').value]
    return this.#line.get('connections', { text, sort, channel: this.#channel }, signal)
  }

  #show({ total, matching, rows, silent }) {
    const first = rows.length < matching ? `the first ${count(rows.length)} of ` : ''
    const of = matching < total ? `${first}${count(matching)} that match, of ${many(total, 'connection')}` : first + many(total, 'connection')
    write(at('connection-count'), silent > 0 ? `${of}. ${many(silent, 'worker')} did not answer: those of theirs are missing.` : of)
    keep(at('connection-rows'), rows, ({ id }) => id, (row) => this.#row(row), fill)
  }

  #row(row) {
    const cell = (name, attributes = {}) => element('td', { 'data-name': name, ...attributes })
    const button = element('button', { class: 'danger small', type: 'button', 'aria-label': `Disconnect ${row.user ?? row.id}` }, 'Disconnect')
    button.onclick = () => this.#ask(row)
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, element('code', {}, row.id)),
      cell('User', { class: 'user' }),
      cell('Address'),
      cell('Since'),
      cell('Channels', { class: 'names' }),
      cell('Waiting', { class: 'number' }),
      element('td', { class: 'order' }, button),
    )
  }

  #ask({ id, user, address }) {
    const [dialog, whom, refusal, one, all] = ['ask', 'ask-whom', 'ask-refusal', 'ask-one', 'ask-all'].map(at)
    write(whom, [user === null ? 'Nobody known' : `User ${user}`, address === null ? '' : `from ${address}`, `connection ${id}`].filter(Boolean).join(', '))
    write(refusal, '')
    write(all, `All of user ${user}`)
    all.hidden = user === null
    const order = async (target) => {
      one.disabled = all.disabled = true
      try {
        await this.#line.post('disconnect', target)
        dialog.close()
        this.look()
      } catch (error) {
        write(refusal, `It was not done: ${error.message}`)
      }
      one.disabled = all.disabled = false
    }
    one.onclick = () => order({ client: id })
    all.onclick = () => order({ user })
    dialog.showModal()
    at('ask-no').focus()
  }
}

function fill(node, { user, address, since, channels, names, queued }) {
  const [, who, where, when, what, waiting] = node.children
  write(who, user ?? '–')
  who.classList.toggle('muted', user === null)
  write(where, address ?? '–')
  write(when, `${timeOfDay(since)}, ${duration(Date.now() - since)}`)
  const more = channels - names.length
  write(what, channels === 0 ? '–' : names.join(', ') + (more > 0 ? ` and ${count(more)} more` : ''))
  write(waiting, queued > 0 ? bytes(queued) : '–')
}
