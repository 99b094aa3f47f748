import { drawing, element } from '../dom'
import type { Status, StatusWatch } from '../line/status'
import type { Line } from '../line/line'
import { flag } from '../room/flag'
import { COLOURS, colourClass } from '../room/palette'
import { NAME_LIMIT, type Person } from '../room/person'
import { currentTheme, themeChanged, toggleTheme } from '../theme'

export function header(line: Line, status: StatusWatch, me: Person): HTMLElement {
  return element(
    'header',
    { class: 'masthead' },
    element(
      'div',
      { class: 'brand' },
      mark(),
      element('h1', {}, 'Tidings'),
      element('p', { class: 'motto' }, 'News, carried by tide'),
    ),
    element('div', { class: 'masthead-tools' }, statePill(line, status), identity(me), themeButton()),
  )
}

function mark(): SVGSVGElement {
  return drawing(
    'svg',
    { class: 'mark', viewBox: '0 0 44 40', 'aria-hidden': 'true', focusable: 'false' },
    drawing('circle', { class: 'mark-news', cx: 22, cy: 9, r: 6 }),
    drawing('path', { class: 'mark-wave', d: 'M2 24c6.7 0 6.7-6 13.3-6S22 24 28.7 24 35.3 18 42 18' }),
    drawing('path', { class: 'mark-wave', d: 'M2 34c6.7 0 6.7-6 13.3-6S22 34 28.7 34 35.3 28 42 28' }),
  )
}

const SAY: Record<Status['kind'], string> = {
  open: 'The line is open',
  waiting: 'Waiting to try again',
  trying: 'Trying to connect',
  stopped: 'Disconnected',
}

function statePill(line: Line, status: StatusWatch): HTMLElement {
  const word = element('span', { 'data-testid': 'connection-state' })
  const pill = element('a', { class: 'state-pill', href: '#connection' }, element('i', { 'aria-hidden': 'true' }), word)
  const spoken = element('span', { class: 'spoken', role: 'status' })
  const update = (): void => {
    word.textContent = line.client.state
    word.dataset['state'] = line.client.state
    pill.dataset['kind'] = status.current.kind
    if (spoken.textContent !== SAY[status.current.kind]) spoken.textContent = SAY[status.current.kind]
  }
  line.client.on('state', update)
  status.changed.on(update)
  update()
  return element('div', { class: 'state-holder' }, pill, spoken)
}

function identity(me: Person): HTMLElement {
  const name = element('input', {
    id: 'name',
    class: 'name-input',
    'data-testid': 'name-input',
    'aria-label': 'Your name',
    maxlength: NAME_LIMIT,
    autocomplete: 'off',
    spellcheck: false,
  })
  const swatches = element('fieldset', {}, element('legend', {}, 'Your colour'))
  COLOURS.forEach((colour, index) => {
    const input = element('input', { type: 'radio', name: 'colour', value: index, 'aria-label': colour })
    input.addEventListener('change', () => me.paint(index))
    swatches.append(element('label', { class: `swatch ${colourClass(index)}`, title: colour }, input))
  })
  const summary = element('summary', { 'aria-label': 'Your flag and colour' })
  const picker = element('details', { class: 'colour-picker' }, summary, swatches)
  const holder = element('div', { class: 'identity' }, picker, name)

  const update = (): void => {
    name.value = me.name
    holder.className = `identity ${colourClass(me.colour)}`
    summary.replaceChildren(flag(me.name))
    const chosen = swatches.querySelectorAll('input')[me.colour]
    if (chosen) chosen.checked = true
  }
  name.addEventListener('change', () => {
    me.rename(name.value)
    update()
  })
  name.addEventListener('keydown', ({ key }) => {
    if (key === 'Enter') name.blur()
  })
  picker.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape' || !picker.open) return
    picker.open = false
    summary.focus()
  })
  document.addEventListener('pointerdown', ({ target }) => {
    if (target instanceof Node && !picker.contains(target)) picker.open = false
  })
  me.changed.on(update)
  update()
  return holder
}

function themeButton(): HTMLElement {
  const button = element(
    'button',
    { type: 'button', class: 'theme-toggle', 'data-testid': 'theme-toggle' },
    drawing(
      'svg',
      { viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' },
      drawing('circle', { cx: 12, cy: 12, r: 8.5, fill: 'none', stroke: 'currentColor', 'stroke-width': 1.8 }),
      drawing('path', { d: 'M12 3.5a8.5 8.5 0 0 1 0 17z', fill: 'currentColor' }),
    ),
  )
  const update = (): void => {
    button.setAttribute('aria-label', currentTheme() === 'dark' ? 'Use the light theme' : 'Use the dark theme')
  }
  button.addEventListener('click', toggleTheme)
  themeChanged.on(update)
  update()
  return button
}
