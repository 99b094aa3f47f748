import { element, panel } from '../dom'
import type { StatusWatch } from '../line/status'
import { SWELL, type Swell } from '../line/swell'

/** Sends numbered events and shows which of them came back. */
export function swell(swellRun: Swell, status: StatusWatch): HTMLElement {
  const start = element('button', { type: 'button', class: 'primary', 'data-testid': 'swell-button' }, `Send ${SWELL} events`)
  const result = element('p', { class: 'swell-result', role: 'status', 'data-testid': 'swell-result' })
  const cells = Array.from({ length: SWELL }, () => element('i'))
  const grid = element('div', { class: 'swell-grid', 'aria-hidden': 'true' }, ...cells)
  start.addEventListener('click', () => swellRun.start())
  const update = (): void => {
    swellRun.marks.forEach((mark, index) => {
      const cell = cells[index]
      if (cell && cell.dataset['mark'] !== mark) cell.dataset['mark'] = mark
    })
    start.disabled = swellRun.sending || status.current.kind === 'stopped'
    const words = tell(swellRun)
    if (result.textContent !== words) result.textContent = words
  }
  swellRun.changed.on(update)
  status.changed.on(update)
  update()
  return panel(
    'swell',
    'What survives a cut',
    element('p', {}, 'Numbered events to yourself, 25 a second. Cut the socket while they run: what you miss is sent again, and what was on its way is not doubled.'),
    start,
    grid,
    result,
  )
}

function tell(run: Swell): string {
  if (run.sending) return 'On their way…'
  if (run.count('unsent') === SWELL) return 'Nothing sent yet.'
  const away = run.count('away')
  const refused = run.count('refused')
  const twice = run.count('twice')
  const late = run.count('late')
  if (refused > 0) return `The gateway refused ${refused} of ${SWELL}.`
  const faults = [twice > 0 && `${twice} came twice`, late > 0 && `${late} out of order`, away > 0 && `${away} did not`]
  const told = faults.filter((fault) => fault !== false)
  return told.length === 0
    ? `All ${SWELL} came back, each once and in order.`
    : `${SWELL - away} of ${SWELL} came back; ${told.join(', ')}.`
}
