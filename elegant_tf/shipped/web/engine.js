/** The page's side of worker.js. */

export class Engine {
  #worker = new Worker(new URL("worker.js", import.meta.url));
  #waiting = new Map();
  #calls = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(event.message || "the worker cannot be loaded"));
      this.#waiting.clear();
    };
  }

  /** Calls a function of worker.js; `moved`: buffers that are given away, not copied. */
  call(name, values = {}, moved = []) {
    const id = this.#calls++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, call: name, values }, moved);
    });
  }
}
