import { recall, remember } from './memory'
import { Signal } from './signal'

export type Theme = 'light' | 'dark'

const KEY = 'tidings.demo.theme'
const system = matchMedia('(prefers-color-scheme: dark)')

export const themeChanged = new Signal<Theme>()

export function currentTheme(): Theme {
  return document.documentElement.dataset['theme'] === 'dark' ? 'dark' : 'light'
}

/** Switches, and follows the system again as soon as the choice equals the system's. */
export function toggleTheme(): void {
  const theme = currentTheme() === 'dark' ? 'light' : 'dark'
  remember('local', KEY, theme === systemTheme() ? undefined : theme)
  wear(theme)
}

export function followSystemTheme(): void {
  system.addEventListener('change', () => {
    if (recall('local', KEY) === undefined) wear(systemTheme())
  })
}

function systemTheme(): Theme {
  return system.matches ? 'dark' : 'light'
}

function wear(theme: Theme): void {
  document.documentElement.dataset['theme'] = theme
  themeChanged.emit(theme)
}
