import { element, panel } from '../dom'
import type { Harbour } from '../room/harbour'
import { copyButton } from './copy'

/** The same publish from outside of any browser. */
export function terminal(harbour: Harbour): HTMLElement {
  const command = element('code', { 'data-testid': 'curl' })
  const update = (): void => {
    const event = { channel: harbour.current.channelName, event: 'chat', data: { from: 'curl', text: 'hello' } }
    command.textContent = [
      `curl -X POST ${location.origin}/api/publish`,
      "  -H 'content-type: application/json'",
      `  -d '${JSON.stringify(event)}'`,
    ].join(' \\\n')
  }
  harbour.changed.on(update)
  update()
  return panel(
    'terminal',
    'From your terminal',
    element('p', {}, 'Any program that speaks HTTP can publish. Paste this and watch the chat:'),
    element('div', { class: 'command' }, element('pre', {}, command), copyButton(command)),
  )
}
