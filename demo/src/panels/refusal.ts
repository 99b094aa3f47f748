import { element } from '../dom'

/** What the gateway's reason means for the person at the keyboard. */
export function refusal(reason: string): (Node | string)[] {
  switch (reason) {
    case 'publish denied':
      return [
        element('strong', {}, 'This gateway does not let the page publish.'),
        ' You still hear everything. To talk, start it with ',
        element('code', {}, "--allow-client-publish 'demo.*'"),
        '.',
      ]
    case 'unauthorized':
      return [element('strong', {}, 'The gateway does not let you into this room.'), ' Try another one.']
    case 'authorization failed':
    case 'publish failed':
      return [element('strong', {}, 'The gateway had trouble with that.'), ' Please try once more.']
    default:
      return [element('strong', {}, 'That did not go through.'), ` The gateway says: ${reason}.`]
  }
}
