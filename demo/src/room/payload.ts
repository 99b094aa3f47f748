import { numberField, textField } from '../untrusted'
import { colourOf, isColour, type Colour } from './palette'
import { NAME_LIMIT } from './person'

export const TEXT_LIMIT = 500
const KEY_LIMIT = 64

export interface Sender {
  /** Absent when the event was not published by this page, for example by curl. */
  tab?: string
  from: string
  colour: Colour
}

export interface ChatPayload extends Sender {
  text: string
  /** The sender's own key, by which it knows its message again. */
  key?: string
}

/** A point on a room's chart: both axes from 0 to 1. */
export interface PointPayload extends Sender {
  x: number
  y: number
}

export function readSender(data: unknown): Sender {
  const from = textField(data, 'from', NAME_LIMIT) ?? 'someone'
  const chosen = numberField(data, 'colour')
  const colour = isColour(chosen) ? chosen : colourOf(from)
  const tab = textField(data, 'tab', KEY_LIMIT)
  return tab === undefined ? { from, colour } : { tab, from, colour }
}

export function readChat(data: unknown): ChatPayload | undefined {
  const text = textField(data, 'text', TEXT_LIMIT)
  if (text === undefined) return undefined
  const key = textField(data, 'key', KEY_LIMIT)
  return key === undefined ? { ...readSender(data), text } : { ...readSender(data), text, key }
}

export function readPoint(data: unknown): PointPayload | undefined {
  const x = numberField(data, 'x')
  const y = numberField(data, 'y')
  return isShare(x) && isShare(y) ? { ...readSender(data), x, y } : undefined
}

function isShare(value: number | undefined): value is number {
  return value !== undefined && value >= 0 && value <= 1
}
