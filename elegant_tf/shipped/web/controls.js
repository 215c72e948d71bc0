/** The edits: for each attribute, a strength and an exemplar. */

const MOST = 1.5;

/**
 * An exemplar: `{name, attributes, thumbnail, code, sha256}`. `attributes`: those that it has; null if that is not
 * known. `thumbnail`: an address, or null.
 */
export class Controls {
  #rows;

  /**
   * @param root the element to fill.
   * @param attributes names.
   * @param changed called when an edit changed.
   * @param add called with a file and the number of an attribute when the user offers a photo as an exemplar.
   */
  constructor(root, attributes, changed, add) {
    this.#rows = attributes.map((name, i) => new Row(name, changed, (file) => add(file, i)));
    root.append(...this.#rows.map((row) => row.element));
  }

  /** Offers an exemplar for every attribute that it may be one for. */
  offer(exemplar) {
    for (const row of this.#rows) row.offer(exemplar);
  }

  /** Takes an exemplar for an attribute, at full strength. */
  take(exemplar, attribute) {
    this.#rows[attribute].take(exemplar);
  }

  reset() {
    for (const row of this.#rows) row.strength = 0;
  }

  /** The edits `[{name, exemplar, strength}]` of all attributes; the exemplar may be undefined, with the strength 0. */
  get edits() {
    return this.#rows.map(({ name, exemplar, strength }) => ({ name, exemplar, strength }));
  }
}

class Row {
  #exemplars = [];
  #list = make("div", { className: "exemplars" });
  #slider = make("input", { type: "range", min: 0, max: MOST, step: 0.01, value: 0, disabled: true });
  #value = make("output");

  constructor(name, changed, add) {
    this.name = name;
    this.element = make("fieldset", { className: "attribute" });
    const words = wordsOf(name);
    this.#slider.setAttribute("aria-label", `${words}: strength`);
    this.#slider.addEventListener("input", () => {
      this.#show();
      changed();
    });
    this.#list.addEventListener("change", (event) => {
      if (event.target.type === "radio") {
        if (!this.strength) this.strength = 1;
        this.#show();
        changed();
      } else if (event.target.files.length) {
        add(event.target.files[0]);
        event.target.value = "";
      }
    });
    const file = make("input", { type: "file", accept: "image/*" });
    file.setAttribute("aria-label", `${words}: take it from another photo`);
    this.#list.append(make("label", { className: "exemplar add" }, file, make("span", {}, "From a photo")));
    const strength = make("div", { className: "strength" }, this.#slider, this.#value);
    this.element.append(make("legend", {}, words), strength, this.#list);
    this.#show();
  }

  get exemplar() {
    const checked = this.#list.querySelector(":checked");
    return checked ? this.#exemplars[checked.value] : undefined;
  }

  get strength() {
    return Number(this.#slider.value);
  }

  set strength(value) {
    this.#slider.value = value;
    this.#show();
  }

  offer(exemplar) {
    // Those that lack the attribute take it away: two are enough.
    const has = exemplar.attributes?.includes(this.name) ?? true;
    if (!has && this.#exemplars.filter((one) => !(one.attributes?.includes(this.name) ?? true)).length >= 2) return;
    const number = this.#exemplars.push(exemplar) - 1;
    const radio = make("input", { type: "radio", name: this.name, value: number });
    radio.setAttribute("aria-label", has ? exemplar.name : `without, as ${exemplar.name}`);
    const image = exemplar.thumbnail ? make("img", { src: exemplar.thumbnail, alt: "" }) : make("i");
    const label = make("label", { className: "exemplar", title: exemplar.name }, radio, image);
    label.append(make("span", {}, has ? exemplar.name.replaceAll("_", " ") : "without"));
    label.classList.toggle("without", !has);
    this.#list.insertBefore(label, has ? this.#list.querySelector(".without") : null);
  }

  take(exemplar) {
    const number = this.#exemplars.indexOf(exemplar);
    this.#list.querySelector(`[value="${number}"]`).checked = true;
    this.strength = 1;
  }

  #show() {
    const text = this.strength.toFixed(2);
    this.#slider.disabled = !this.exemplar;
    this.#value.textContent = this.exemplar ? text : "choose one";
    this.#slider.setAttribute("aria-valuetext", text);
  }
}

/** An element with these properties and children. */
export function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** `Wearing_Hat` in words. */
export function wordsOf(name) {
  const words = name.replaceAll("_", " ").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
