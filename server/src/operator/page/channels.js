// The channels that have subscribers on this gateway.

import { at, count, element, keep, many, rate, write } from './dom.js'
import { Tail } from './tail.js'
import { Watch } from './watch.js'

export class Channels {
  #line
  #tail
  #watch

  constructor(line, { onProblem, onConnections }) {
    this.#line = line
    this.#watch = new Watch({ ask: (signal) => this.#ask(signal), show: (page) => this.#show(page), onProblem })
    this.#tail = new Tail(line, { onProblem, onConnections, onClose: () => this.#mark() })
    at('channel-text').oninput = () => this.look()
    at('channel-sort').onchange = () => this.look()
    at('open-named').onclick = () => this.open(at('channel-text').value.trim())
  }

  /** Shows a channel's events. */
  open(name) {
    this.#tail.open(name)
    this.#mark()
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
    this.#tail.close()
  }

  async #ask(signal) {
    const text = at('channel-text').value.trim()
    return { text, ...(await this.#line.get('channels', { text, sort: at('channel-sort').value }, signal)) }
  }

  #show({ text, total, matching, rows }) {
    const first = rows.length < matching ? `the first ${count(rows.length)} of ` : ''
    const found = text ? `${count(matching)} with “${text}”, of ` : ''
    write(at('channel-count'), `${first}${found}${many(total, 'channel')} with subscribers here`)
    const named = at('open-named')
    named.hidden = !text || rows.some(({ channel }) => channel === text)
    write(named, `Open “${text}”`)
    keep(at('channel-rows'), rows, ({ channel }) => channel, (row) => this.#row(row), (node, row) => {
      write(node.children[1], count(row.subscribers))
      write(node.children[2], rate(row.rate))
    })
    this.#mark()
  }

  #row({ channel }) {
    const button = element('button', { class: 'link', type: 'button' }, channel)
    button.onclick = () => this.open(channel)
    return element('tr', {}, element('th', { scope: 'row' }, button), element('td', { class: 'number' }), element('td', { class: 'number' }))
  }

  #mark() {
    for (const row of at('channel-rows').children) row.toggleAttribute('data-open', row.dataset.key === this.#tail.name)
  }
}
