/** Calls once, a little later, however often it is asked meanwhile. */
export class Later {
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly ms: number,
    private readonly call: () => void,
  ) {}

  request(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.call()
    }, this.ms)
  }
}
