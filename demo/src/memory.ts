type Where = 'local' | 'session'

/** What the browser kept under a key; undefined when nothing, or when storage is blocked. */
export function recall(where: Where, key: string): string | undefined {
  try {
    return storage(where).getItem(key) ?? undefined
  } catch {
    return undefined
  }
}

/** Keeps a text, or forgets it; silently does nothing when storage is blocked or full. */
export function remember(where: Where, key: string, value: string | undefined): void {
  try {
    if (value === undefined) storage(where).removeItem(key)
    else storage(where).setItem(key, value)
  } catch {
    // It then lives as long as the page.
  }
}

function storage(where: Where): Storage {
  return where === 'local' ? localStorage : sessionStorage
}
