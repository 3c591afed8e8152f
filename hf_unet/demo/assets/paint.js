// A mask painted by hand, in full resolution: from the prediction or from nothing, with undo.

const MOST_PAINTED_PIXELS = 16e6;
const STEPS_BACK = 20;

class Painting {
  constructor(scene, layer) {
    this.scene = scene;
    this.layer = layer;
    this.canvas = document.createElement("canvas");
    this.canvas.width = scene.width;
    this.canvas.height = scene.height;
    this.context = this.canvas.getContext("2d");
    this.values = new ARRAYS[layer.dtype](scene.width * scene.height);
    this.before = [];
    this.begun = false;
  }

  // Where it begins nothing is left to undo.
  start(values) {
    if (this.begun) this.remember();
    this.begun = true;
    if (values) this.values.set(values);
    else this.values.fill(0);
    this.redraw(0, 0, this.scene.width, this.scene.height);
  }

  // Strokes are undone as a whole: a copy is kept from before each.
  remember() {
    this.before.push(this.values.slice());
    if (this.before.length > STEPS_BACK || this.before.length * this.values.length > 4 * MOST_PAINTED_PIXELS)
      this.before.shift();
  }

  undo() {
    if (!this.before.length) return;
    this.values = this.before.pop();
    this.redraw(0, 0, this.scene.width, this.scene.height);
  }

  // A disc of `radius` pixels. With classes that overlap a stroke sets or clears one of them.
  dab(x, y, radius, index, erase) {
    const { width, height } = this.scene;
    const reach = Math.ceil(radius);
    const top = Math.max(0, y - reach), bottom = Math.min(height - 1, y + reach);
    const left = Math.max(0, x - reach), right = Math.min(width - 1, x + reach);
    for (let row = top; row <= bottom; row++)
      for (let column = left; column <= right; column++) {
        if ((row - y) ** 2 + (column - x) ** 2 > radius * radius) continue;
        const n = row * width + column;
        if (this.layer.kind === "bits") {
          if (erase) this.values[n] &= ~(1 << index);
          else this.values[n] |= 1 << index;
        } else this.values[n] = erase ? 0 : index;
      }
    if (right >= left && bottom >= top) this.redraw(left, top, right - left + 1, bottom - top + 1);
  }

  stroke(from, to, radius, index, erase) {
    const length = Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y), 1);
    const spacing = Math.max(1, radius / 2);
    for (let at = 0; at <= length; at += spacing) {
      const share = at / length;
      this.dab(Math.round(from.x + (to.x - from.x) * share), Math.round(from.y + (to.y - from.y) * share), radius, index, erase);
    }
    this.dab(to.x, to.y, radius, index, erase);
  }

  redraw(left, top, width, height) {
    const picture = this.context.createImageData(width, height);
    const colors = this.layer.colors.map(hex);
    for (let row = 0, at = 0; row < height; row++)
      for (let column = 0; column < width; column++, at += 4) {
        const value = this.values[(top + row) * this.scene.width + left + column];
        if (!value) continue;
        // The last class on top, as elsewhere.
        const index = this.layer.kind === "bits" ? 31 - Math.clz32(value) : value;
        if (this.layer.kind === "indices" && index < this.layer.first) continue;
        picture.data.set([...colors[index], 140], at);
      }
    this.context.putImageData(picture, left, top);
  }

  // [value, length, value, length, ...], row by row.
  runs() {
    const runs = [];
    let start = 0;
    for (let n = 1; n <= this.values.length; n++)
      if (n === this.values.length || this.values[n] !== this.values[start]) {
        runs.push(this.values[start], n - start);
        start = n;
      }
    return runs;
  }
}
