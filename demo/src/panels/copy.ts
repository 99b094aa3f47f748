import { element } from '../dom'

/** A button that copies a text; where the page may not, it selects the text to be copied by hand. */
export function copyButton(source: HTMLElement): HTMLButtonElement {
  const button = element('button', { type: 'button', class: 'copy' }, 'Copy')
  let back: ReturnType<typeof setTimeout> | undefined
  const say = (word: string): void => {
    button.textContent = word
    clearTimeout(back)
    back = setTimeout(() => (button.textContent = 'Copy'), 1800)
  }
  button.addEventListener('click', () => {
    copy(source.textContent ?? '').then(
      () => say('Copied'),
      () => {
        getSelection()?.selectAllChildren(source)
        say('Selected')
      },
    )
  })
  return button
}

async function copy(text: string): Promise<void> {
  // Absent on a page that came over plain HTTP from another host.
  if (!navigator.clipboard) throw new Error('no clipboard')
  await navigator.clipboard.writeText(text)
}
